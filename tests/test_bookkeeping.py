"""Worked examples that a bookkeeper can follow: from minutes in rooms to invoices, payments, refunds and arrears.

Each docstring is the example; the commands are those that one would type. Nothing is set up behind the program's back.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.documents_home import at, ok, rows

SIZES = {"hd": (1280, 720), "fhd": (1920, 1080), "2k": (2560, 1440), "4k": (3840, 2160)}
SELLER = """
[seller]
name = "Rooms Ltd."
timezone = "Asia/Tokyo"
terms_days = {terms_days}

[[tax]]
id = "vat"
version = [{{ valid_from = 2019-10-01, category = "S", rate = "{rate}", rounding = "{rounding}", text = "VAT" }}]
"""
ACCOUNT = """
[[account]]
id = "{id}"
name = "{id}"
currency = "{currency}"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 0
invoices_from = "2026-03"
{more}
[[app]]
id = {app}
account = "{id}"
name = "Classroom"
"""
CONTRACT = """
[[contract]]
account = "{id}"
valid_from = 2020-01-01
prices = {{ {prices} }}
"""
PACKAGE = """
[[package]]
id = "{id}"
account = "{id}"
minutes = {minutes}
purchased_at = "2026-03-02T10:00:00+09:00"
price = "{price}"
charge = "prepaid"
"""


def seller(rate: str = "10", rounding: str = "half_up", terms_days: int = 30) -> str:
    return SELLER.format(rate=rate, rounding=rounding, terms_days=terms_days)


def account(
    name: str = "acme", *, currency: str = "USD", app: int = 1, more: str = "", prices: Mapping[str, str] | None = None
) -> str:
    """An account with one app, and a contract where prices (for 1,000 minutes) are given."""
    text = ACCOUNT.format(id=name, currency=currency, app=app, more=more)
    if prices:
        all_prices = {"audio": "1", "hd": "1", "fhd": "1", "2k": "1", "4k": "1"} | dict(prices)
        agreed = ", ".join(f'{item} = "{price}"' for item, price in all_prices.items())
        text += CONTRACT.format(id=name, prices=agreed)
    return text


def stay(day: str, minutes: int, *, app: int = 1, user: str = "u") -> str:
    """Events of a user who is alone in a room for whole minutes from midnight on: audio."""
    return "".join(_lines(app, f"{user}-{day}", user, day, minutes))


def lesson(day: str, minutes: int, pupils: int, item: str, *, app: int = 1) -> str:
    """Events of a room in which pupils receive a teacher's camera: minutes x pupils of video, and the teacher audio."""
    width, height = SIZES[item]
    video = {"type": "video_on", "stream": "teacher/camera", "width": width, "height": height}
    room = f"{item}-{day}"
    lines = [*_lines(app, room, "teacher", day, minutes)]
    for number in range(pupils):
        lines += _lines(app, room, f"pupil{number}", day, minutes, video)
    return "".join(lines)


def _lines(
    app: int, room: str, user: str, day: str, minutes: int, video: Mapping[str, object] | None = None
) -> Iterator[str]:
    start = datetime.fromisoformat(f"{day}T00:00:00+09:00")
    row: dict[str, Any] = {"app_id": app, "room_id": room, "user_id": user, "at": start.isoformat()}
    yield json.dumps(row | {"type": "enter"}) + "\n"
    if video:
        yield json.dumps(row | video) + "\n"
    yield json.dumps(row | {"type": "exit", "at": (start + timedelta(minutes=minutes)).isoformat()}) + "\n"


def home(folder: Path, catalog: str, events: Iterable[str]) -> Commands:
    """A home with a catalog of 1 March and events that are not billed yet."""
    run = Commands(home=folder / "home", now="2026-06-30T09:00:00+09:00")
    ok(run, "init")
    apply(at(run, "2026-03-01T09:00:00+09:00"), folder, catalog)
    (folder / "events.ndjson").write_text("".join(events), encoding="utf-8")
    ok(run, f"ingest {folder / 'events.ndjson'}")
    return run


def apply(run: Commands, folder: Path, catalog: str) -> None:
    (folder / "catalog.toml").write_text(catalog, encoding="utf-8")
    ok(run, f"catalog apply {folder / 'catalog.toml'}")


def on(run: Commands, day: str, time: str = "09:00:00") -> Commands:
    """The same home at another moment, in Tokyo, billed up to the day before."""
    moment = at(run, f"{day}T{time}+09:00")
    ok(moment, "nightly")
    return moment


def opens(run: Commands) -> dict[str, str]:
    return {row["number"]: row["open"] for row in rows(run, "invoice list")}


def test_a_month_in_yen_is_rounded_once_and_taxed_once(tmp_path: Path) -> None:
    """Agreed prices for 1,000 minutes: audio 150, HD 600, FHD 1,350 JPY; tax 10 %, rounded down.

    ```
    audio  1,051 min x 0.15 =   157.65
    HD     1,751 min x 0.60 = 1,050.60
    FHD      703 min x 1.35 =   949.05
                              2,157.30
    rounding                     -0.30
    base                      2,157
    tax 10 %                    215     (215.7 rounded down)
    total                     2,372
    ```

    Rounded line by line the tax would be 15 + 105 + 94 = 214. (17 pupils of a lesson of 103 minutes have 1,751 minutes
    of HD, 19 of 37 minutes 703 of FHD, and their teachers 140 of audio; 911 more are somebody alone.)
    """
    prices = {"audio": "150", "hd": "600", "fhd": "1350"}
    used = [stay("2026-03-03", 911), lesson("2026-03-04", 103, 17, "hd"), lesson("2026-03-31", 37, 19, "fhd")]
    catalog = seller("10", "down") + account(currency="JPY", more='tax = "vat"', prices=prices)
    run = on(home(tmp_path, catalog, used), "2026-04-01")
    assert rows(run, "account balance")[0]["balance"] == "-2372"
    (issued,) = rows(run, "invoice finalize acme --month 2026-03")
    assert (issued["net"], issued["tax"], issued["total"]) == ("2157", "215", "2372")
    (shown,) = rows(run, f"invoice show {issued['number']}")
    assert [(line["kind"], line["item"], line["payable_minutes"], line["amount"]) for line in shown["lines"]] == [
        ("usage", "audio", 1051, "157.65"),
        ("usage", "hd", 1751, "1050.6"),
        ("usage", "fhd", 703, "949.05"),
        ("rounding", None, 0, "-0.3"),
    ]
    assert rows(run, "account balance")[0]["balance"] == "-2372"
    ok(run, "payment add acme 2372 --id BANK-1")
    assert rows(run, "invoice list")[0]["state"] == "paid"
    assert rows(run, "audit") == []


def test_an_invoice_that_is_credited_line_by_line_gives_back_its_tax_to_the_cent(tmp_path: Path) -> None:
    """Four lines at 20 %, credited one after the other. The tax of each credit note is the tax of all that is
    credited so far, less what was credited before.

    ```
    line    credited so far    tax of it    tax of the credit note
    68.33             68.33        13.67     13.67
    57.50            125.83        25.17     11.50
    85.00            210.83        42.17     17.00
    68.33            279.16        55.83     13.66
    ```
    """
    prices = {"audio": "6833", "hd": "5750", "fhd": "8500", "2k": "6833"}
    catalog = seller("20") + account(currency="EUR", more='tax = "vat"', prices=prices)
    lessons = [lesson("2026-03-03", 1, 10, item) for item in ("hd", "fhd", "2k")]
    run = on(home(tmp_path, catalog, [stay("2026-03-03", 7), *lessons]), "2026-04-01")
    (issued,) = rows(run, "invoice finalize acme --month 2026-03")
    assert (issued["net"], issued["tax"]) == ("279.16", "55.83")
    notes = [rows(run, f"invoice credit INV-2026-000001 --lines {line} --reason agreed")[0] for line in (1, 2, 3, 4)]
    assert [(note["net"], note["tax"]) for note in notes] == [
        ("68.33", "13.67"),
        ("57.5", "11.5"),
        ("85", "17"),
        ("68.33", "13.66"),
    ]
    invoice = rows(run, "invoice list")[0]
    assert (invoice["state"], invoice["credited"], invoice["open"]) == ("credited", "334.99", "0")
    assert rows(run, "audit") == []


def test_payments_go_to_the_invoice_that_is_due_first(tmp_path: Path) -> None:
    """Invoice A of 100.00 is due on 30 April, invoice B of 50.00 on 31 May.

    ```
    paid    A open    B open    credit
             100.00     50.00
    120.00     0.00     30.00
     40.00     0.00      0.00     10.00
    ```

    The 10.00 pay a part of the next invoice as soon as that is issued.
    """
    catalog = account(prices={"audio": "1000"})
    used = [stay("2026-03-10", 100), stay("2026-04-10", 50), stay("2026-05-10", 30)]
    run = on(home(tmp_path, seller(terms_days=29) + catalog, used), "2026-04-01")
    (a,) = rows(run, "invoice finalize acme --month 2026-03")
    run = on(run, "2026-05-01")
    apply(run, tmp_path, seller(terms_days=30) + catalog)
    (b,) = rows(run, "invoice finalize acme --month 2026-04")
    assert (a["due_on"], b["due_on"]) == ("2026-04-30", "2026-05-31")
    assert [row["state"] for row in rows(run, "invoice list")] == ["overdue", "issued"]
    (first,) = rows(run, "payment add acme 120 --id BANK-1")
    assert first["allocated"] == [{"number": a["number"], "amount": "100"}, {"number": b["number"], "amount": "20"}]
    assert opens(run) == {a["number"]: "0", b["number"]: "30"}
    (second,) = rows(run, "payment add acme 40 --id BANK-2")
    assert second["credit"] == "10"
    assert opens(run) == {a["number"]: "0", b["number"]: "0"}
    run = on(run, "2026-06-01")
    (c,) = rows(run, "invoice finalize acme --month 2026-05")
    assert opens(run)[c["number"]] == "20"
    assert rows(run, "account balance")[0]["balance"] == "-20"
    assert rows(run, "audit") == []


def test_what_is_left_of_a_package_is_refunded(tmp_path: Path) -> None:
    """The used minutes cost the list price of a package of their own size; the rest of the price is given back.

    ```
    paid    granted    used       a used minute           refund
    227     250,000     30,000    0.00096                 227 - 28.80  = 198.20
     24      25,000     24,000    0.00099 (list price)     24 - 23.76  =   0.24
    227     250,000    245,000    0.00096                 227 - 235.20 <   0: nothing
    ```

    A minute of HD video takes 4 package minutes.
    """
    bought = {"large": (1, 250_000, "227"), "small": (2, 25_000, "24"), "used": (3, 250_000, "227")}
    catalog = seller() + "".join(
        account(name, app=app) + PACKAGE.format(id=name, minutes=minutes, price=price)
        for name, (app, minutes, price) in bought.items()
    )
    events = [stay("2026-03-03", 1000, app=1, user=f"u{n}") for n in range(30)]
    events += [stay("2026-03-03", 1000, app=2, user=f"u{n}") for n in range(24)]
    events.append(lesson("2026-03-03", 1000, 61, "hd", app=3))
    run = on(home(tmp_path, catalog, events), "2026-03-04")
    found = [rows(run, f"package refund {name}")[0] for name in bought]
    assert [(row["used"], row["unit_price"], row["amount"], row["number"]) for row in found] == [
        (30_000, "0.00096", "198.2", "CN-2026-000001"),
        (24_000, "0.00099", "0.24", "CN-2026-000002"),
        (245_000, "0.00096", "0", None),
    ]
    for name in bought:
        (package,) = rows(run, f"packages {name}")
        left = package["deducted"] + package["lapsed"] + package["refunded"] + package["remaining"]
        assert (left, package["remaining"]) == (package["granted"], 0)
        assert "was refunded already" in run(f"package refund {name}").stderr
    balances = {row["account"]: row["balance"] for row in rows(run, "account balance")}
    assert balances == {"large": "-28.8", "small": "-23.76", "used": "-227"}
    assert rows(run, "audit") == []


def test_an_account_in_arrears_is_reminded_suspended_and_admitted_again(tmp_path: Path) -> None:
    """An audio minute costs 0.10 USD, and 10.00 are paid in advance.

    ```
    03-11 00:20  nightly: 98 minutes of 03-10, 9.80     balance  0.20  active
    03-12 00:20  nightly: 23 minutes of 03-11, 2.30     balance -2.10  reminded
    03-13 00:19                                                        reminded: users still enter
    03-13 00:20  24 hours after the reminder                           suspended: nobody enters
    03-13 15:00  5.00 are paid                          balance  2.90  active at once
    ```
    """
    catalog = seller() + account(more='overdue_policy = "trtc"', prices={"audio": "100"})
    run = home(tmp_path, catalog, [stay("2026-03-10", 98), stay("2026-03-11", 23)])
    ok(at(run, "2026-03-10T09:00:00+09:00"), "payment add acme 10.00 --id BANK-1")
    for day, expected in (("2026-03-11", ("0.2", "active", True)), ("2026-03-12", ("-2.1", "reminded", True))):
        assert standing(on(run, day, "00:20:00")) == expected
    assert standing(at(run, "2026-03-13T00:19:59+09:00")) == ("-2.1", "reminded", True)
    # Cron has not run yet: the answer comes from the time of the reminder.
    assert standing(at(run, "2026-03-13T00:20:00+09:00")) == ("-2.1", "suspended", False)
    assert standing(on(run, "2026-03-13", "00:20:00")) == ("-2.1", "suspended", False)
    paying = at(run, "2026-03-13T15:00:00+09:00")
    ok(paying, "payment add acme 5.00 --id BANK-2")
    assert standing(paying) == ("2.9", "active", True)
    (row,) = json.loads((run.home / "status.json").read_text(encoding="utf-8"))
    assert (row["state"], row["since"]) == ("active", "2026-03-13T15:00:00.000+09:00")


def standing(run: Commands) -> tuple[str, str, bool]:
    """The balance of the account, the state of its app and whether users may enter."""
    (row,) = rows(run, "status 1")
    return row["balance"], row["state"], row["admit"]


@pytest.mark.parametrize("first", ["credit", "write-off"])
def test_a_credit_gives_back_only_what_was_paid(tmp_path: Path, first: str) -> None:
    """An invoice of 100.00, of which 40.00 are paid, is credited whole: 60.00 are no longer owed, and 40.00 are the
    customer's. It is the same when the 60.00 were written off before.
    """
    run = on(home(tmp_path, seller() + account(prices={"audio": "1000"}), [stay("2026-03-10", 100)]), "2026-04-01")
    ok(run, "invoice finalize acme --month 2026-03")
    ok(run, "payment add acme 40 --id BANK-1")
    if first == "write-off":
        ok(run, "invoice write-off INV-2026-000001 --reason bankrupt")
        assert rows(run, "account balance")[0]["balance"] == "0"
    ok(run, "invoice credit INV-2026-000001 --reason 'wrong customer'")
    assert rows(run, "account balance")[0]["credit"] == "40"
    assert rows(run, "audit") == []


def test_never_more_is_credited_than_an_invoice_has(tmp_path: Path) -> None:
    """March was billed with 100 minutes, of which 30 were a mistake. April has 100 minutes.

    ```
    invoice of April: usage 100.00, correction -30.00, total 70.00
    credit of the usage line: not 100.00, for the invoice has only 70.00
    ```
    """
    catalog = seller() + account(prices={"audio": "1000"})
    run = on(home(tmp_path, catalog, [stay("2026-03-10", 30, user="mistake")]), "2026-04-01")
    for day, minutes in (("2026-03-10", 70), ("2026-04-10", 100)):
        (tmp_path / "more.ndjson").write_text(stay(day, minutes), encoding="utf-8")
        ok(at(run, "2026-06-30T09:00:00+09:00"), f"ingest {tmp_path / 'more.ndjson'}")
    ok(run, "nightly")
    ok(run, "invoice finalize acme --month 2026-03")
    ok(run, "retract --app 1 --ingest 1 --reason 'a test call'")
    run = on(run, "2026-05-01")
    (april,) = rows(run, "invoice finalize acme --month 2026-04")
    assert april["total"] == "70"
    refused = run(f"invoice credit {april['number']} --lines 1 --reason agreed")
    assert refused.exit_code == 1, refused.output
    (note,) = rows(run, f"invoice credit {april['number']} --amount 70 --reason agreed")
    assert note["total"] == "70"
    assert [row["state"] for row in rows(run, "invoice list")] == ["issued", "credited", "issued"]
    assert rows(run, "audit") == []


def test_a_package_that_stands_on_a_credit_note_is_refunded_all_the_same(tmp_path: Path) -> None:
    """March was billed with 100.00 by mistake. A package of 24.00 is bought in April, on the invoice of the month.

    ```
    document of April: package 24.00, correction -100.00: a credit note of 76.00
    refund of the package, of which nothing is used: 24.00
    ```
    """
    package = PACKAGE.format(id="acme", minutes=1000, price="24").replace("prepaid", "invoice")
    catalog = seller() + account(prices={"audio": "1000"}) + package.replace("2026-03-02", "2026-04-02")
    run = on(home(tmp_path, catalog, [stay("2026-03-10", 100)]), "2026-04-01")
    ok(run, "invoice finalize acme --month 2026-03")
    ok(run, "retract --app 1 --ingest 1 --reason 'a test call'")
    run = on(run, "2026-05-01")
    (april,) = rows(run, "invoice finalize acme --month 2026-04")
    assert (april["kind"], april["total"]) == ("credit_note", "76")
    before = rows(run, "account balance")[0]["balance"]
    assert before == "-24"
    run = at(run, "2026-05-01T10:00:00+09:00")
    (refund,) = rows(run, "package refund acme")
    assert refund["amount"] == "24"
    assert rows(run, "account balance")[0]["balance"] == "0"
    assert rows(run, "audit") == []
