"""Homes with issued documents: a small account whose months are billed, for the tests of documents and money."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.commands import Commands

APP = 1400000001
CATALOG = """
[[seller]]
id = "rooms"
name = "Rooms Ltd."
timezone = "Asia/Tokyo"
terms_days = 30
invoice = {{ prefix = "R" }}
credit_note = {{ prefix = "RC" }}

[[tax]]
id = "jp-10"
[[tax.version]]
valid_from = 2019-10-01
category = "S"
rate = "10"
rounding = "down"
text = "10 %"

[[account]]
id = "acme"
name = "Acme K.K."
currency = "{currency}"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 0
{account}

[[app]]
id = 1400000001
account = "acme"
name = "Classroom"

[[contract]]
account = "acme"
valid_from = 2020-01-01
prices = {{ audio = "1000", hd = "4000", fhd = "9000", 2k = "16000", 4k = "36000" }}
{more}
"""


def catalog(account: str = "", more: str = "", currency: str = "USD") -> str:
    """A catalog in which an audio minute costs 1.00; `account` has further keys of the account."""
    return CATALOG.format(account=account, more=more, currency=currency)


def audio(day: str, minutes: int, name: str = "u") -> str:
    """Events of a user alone in a room for whole minutes."""
    row = {"app_id": APP, "room_id": f"{name}-{day}", "user_id": name}
    start, end = f"{day}T10:00:00+09:00", f"{day}T{10 + minutes // 60:02}:{minutes % 60:02}:00+09:00"
    rows = [{**row, "at": start, "type": "enter"}, {**row, "at": end, "type": "exit"}]
    return "".join(json.dumps(each) + "\n" for each in rows)


def home(folder: Path, text: str, events: Sequence[str], *, now: str) -> Commands:
    """A home with a catalog and events, billed up to the day before `now`."""
    run = Commands(home=folder / "home", now=now)
    ok(run, "init")
    apply(run, folder, text)
    ingest(run, folder, *events)
    ok(run, "nightly")
    return run


def apply(run: Commands, folder: Path, text: str) -> None:
    (folder / "catalog.toml").write_text(text, encoding="utf-8")
    ok(run, f"catalog apply {folder / 'catalog.toml'}")


def ingest(run: Commands, folder: Path, *events: str) -> None:
    (folder / "events.ndjson").write_text("".join(events), encoding="utf-8")
    ok(run, f"ingest {folder / 'events.ndjson'}")


def ok(run: Commands, line: str) -> str:
    """The output of a command that must succeed."""
    done = run(line)
    assert done.exit_code == 0, f"{line}: {done.output}"
    return done.stdout


def rows(run: Commands, line: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ok(run, f"{line} --format json"))
    return found


def refused(run: Commands, line: str, exit_code: int = 1) -> str:
    """What a command says that must fail; it changes nothing."""
    done = run(line)
    assert done.exit_code == exit_code, f"{line}: {done.output}"
    assert "Traceback" not in done.output
    return done.stderr


def at(run: Commands, now: str) -> Commands:
    """The same home at another moment."""
    return replace(run, now=now)
