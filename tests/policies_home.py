"""A home with an account for each way to count: the presets of other vendors, and rules of its own.

Each account has two apps, with use on both of them in March and in April, a stay over the end of the month, a late
event of March that was corrected in April, few free minutes, and an issued invoice of March. (Of two accounts, the
second app has use in one of the months only.)
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.documents_home import apply, at, ingest, ok

OWN_POLICY = """
[[policy]]
id = "weighed"
name = "Six seconds, items weighed, slabs, fees"
[[policy.version]]
valid_from = 2026-01-01
ratios = { audio = 1, hd = 4 }
money = { round = "down" }
[[policy.version.meter]]
items = [{ name = "audio" }, { name = "hd" }]
free_when = ["disconnect_grace"]
[policy.version.quantity]
period = "month"
step = 6
mode = "down"
per = ["app"]
weights = { audio = 1, hd = 4 }
[[policy.version.allowance]]
amount = 100
scope = "app"
[policy.version.price.USD]
audio = "990"
hd = "990"
ladder = [{ upto = 2_000, discount = "1" }, { upto = 3_000, price = "800" }, { discount = "0.5" }]
[policy.version.fee.USD]
base = "1.50"
minimum = "100000"
"""
SELLER = """
[[seller]]
id = "s"
name = "Seller"
invoice = { prefix = "R" }
credit_note = { prefix = "C" }
"""
# What each account is billed by; its apps are numbered by its place.
POLICIES = {
    "agora": "agora-2025",
    "alibaba": "alibaba-artc",
    "byteplus": "byteplus",
    "livekit": "livekit-cloud",
    "vonage": "vonage",
    "house": "weighed",
}
FREE_MINUTES = {"agora": 150, "byteplus": 60, "vonage": 20}
LATE_DAY = "2026-03-05"
# Their second apps have use in April only, and in March only.
NEW_APP, GONE_APP = "alibaba", "livekit"


def apps_of(account: str) -> tuple[int, int]:
    first = 10 * (1 + list(POLICIES).index(account))
    return first, first + 1


def catalog() -> str:
    """The seller, the accounts with their apps, and packages of two of them."""
    parts = [SELLER, OWN_POLICY]
    for account, policy in POLICIES.items():
        currency = "CNY" if account == "alibaba" else "USD"
        free = f"free_minutes = {FREE_MINUTES[account]}\n" if account in FREE_MINUTES else ""
        parts.append(
            f'[[account]]\nid = "{account}"\nname = "{account}"\ncurrency = "{currency}"\ntimezone = "UTC"\n'
            f'policy = "{policy}"\n{free}'
        )
        parts += [f'[[app]]\nid = {app}\naccount = "{account}"\nname = "App {app}"\n' for app in apps_of(account)]
    for account, app in (("agora", ""), ("byteplus", "app = 31\n"), ("house", "")):
        parts.append(
            f'[[package]]\nid = "{account}-package"\naccount = "{account}"\n{app}minutes = 45\n'
            'purchased_at = "2026-03-04T00:00:00+00:00"\nprice = "3"\nterm = "month"\n'
        )
    parts.append('[[contract]]\naccount = "vonage"\nvalid_from = 2026-03-03\ndiscount = "0.9"\n')
    return "\n".join(parts)


def talk(
    app: int, day: str, begin: str, seconds: int, *, room: str = "r", video: bool = False
) -> Iterator[dict[str, Any]]:
    """Two users in a room, who see each other from the second minute on, each over a connection with a name."""
    for number, user in enumerate("ab"):
        who = {"app_id": app, "room_id": room, "user_id": user, "connection": f"{user}-{day}-{begin}"}
        yield {**who, "type": "enter", "at": f"{day}T{begin}:0{number}Z"}
        if video:
            stream = {"stream": f"{'ba'[number]}/camera", "width": 1280, "height": 720}
            hour, minute = map(int, begin.split(":"))
            yield {**who, "type": "video_on", **stream, "at": f"{day}T{hour:02}:{minute + 1:02}:30Z"}
        yield {**who, "type": "exit", "at": _later(day, begin, seconds + 11 * number)}


def _later(day: str, begin: str, seconds: int) -> str:
    hour, minute = map(int, begin.split(":"))
    end = hour * 3600 + minute * 60 + seconds
    number, second = divmod(end, 86_400)
    year, month, first = map(int, day.split("-"))
    if number:
        month, first = month + 1, 1  # only the last days of a month go over midnight
    return f"{year}-{month:02}-{first:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def story(account: str) -> Iterator[dict[str, Any]]:
    """What happens in its apps."""
    one, other = apps_of(account)
    in_march, in_april = (one if account == only else other for only in (NEW_APP, GONE_APP))
    yield from talk(one, "2026-03-02", "09:00", 3_605, video=True)
    yield from talk(in_march, "2026-03-02", "09:01", 1_234, room="r2")
    yield from talk(one, LATE_DAY, "10:02", 2_707)
    yield from talk(in_march, LATE_DAY, "10:03", 1_801, room="r2", video=True)
    yield from talk(one, "2026-03-31", "23:50", 1_513, video=True)
    yield from talk(in_april, "2026-04-01", "08:00", 601)
    yield from talk(one, "2026-04-03", "08:00", 777, video=True)
    lost = {"app_id": one, "room_id": "lost", "user_id": "c"}
    yield {**lost, "type": "enter", "at": "2026-03-02T12:00:00Z"}
    yield {**lost, "type": "disconnect", "at": "2026-03-02T12:00:20Z"}


def late(account: str) -> Iterator[dict[str, Any]]:
    """What comes late."""
    yield from talk(apps_of(account)[0], LATE_DAY, "15:00", 333, room="late", video=True)


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Such a home, which nobody changes."""
    return policies_home(tmp_path_factory.mktemp("policies"))


def policies_home(folder: Path) -> Commands:
    run = Commands(home=folder / "home", now="2026-04-03T20:00:00Z")
    ok(run, "init")
    apply(run, folder, catalog())
    ingest(run, folder, *lines(story))
    ok(run, "nightly")
    ingest(run, folder, *lines(late))
    run = at(run, "2026-04-05T01:00:00Z")
    ok(run, "nightly")
    for account in POLICIES:
        ok(run, f"invoice finalize {account} --month 2026-03")
    run = at(run, "2026-05-02T01:00:00Z")
    ok(run, "nightly")
    return run


def lines(of: Any) -> list[str]:
    return [json.dumps(event) + "\n" for account in POLICIES for event in of(account)]
