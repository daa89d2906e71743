"""Settled days in a real database: written once and whole, read back exactly, never more than a payer has."""

import threading
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.exc import IntegrityError

from billing.errors import BillingError
from billing.ledger import tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import reading, writing
from billing.ledger.settled_days import AlreadyBilled, SpanBill
from billing.metering.schemas import STATE_SCHEMA, USAGE_SCHEMA, as_state
from billing.rating.balances import PackageBalance
from billing.rating.deductions import Deduction
from tests.integration.days import ACME, CLASSROOM, FIRST, LIST_PRICES, apply_catalog, charge, day_bill, run, settle

SECOND = FIRST + timedelta(days=1)
LOBBY = 2
# Midnight of 2026-03-01 in Tokyo.
START = 1_772_290_800
# A user who receives a stream over a named connection, and one who waits.
CAMERA = {"stream": "alice/camera", "width": 1280, "height": 720, "connection": "c1"}
OPEN = {"connection": "c1", "receives": "all", "until": None, "closed": False}
STATE = pl.DataFrame(
    [
        (LOBBY, "r1", "bob", START, None, [CAMERA], [OPEN], [], ["carol/camera"], [], None, None),
        (LOBBY, "東京", "dan", START, START + 90, [], [], [CAMERA], [], [], None, None),
    ],
    schema=STATE_SCHEMA,
    orient="row",
)


@pytest.fixture
def books(engine: Engine) -> Engine:
    """A database with the account `acme`, its app and a package of 25,000 minutes for March."""
    apply_catalog(engine, ACME + f'[[app]]\nid = {LOBBY}\naccount = "acme"\nname = "Lobby"\n')
    return engine


def first_day() -> SpanBill:
    """90 s of HD and 30 s of audio in the classroom, audio in the lobby; free minutes pay for some of it."""
    return day_bill(
        run(FIRST),
        usage=[
            (CLASSROOM, START + 300, "hd", "camera", 40),
            (CLASSROOM, START, "hd", "camera", 40),
            (CLASSROOM, START, "hd", "screen_share", 10),
            (CLASSROOM, START, "audio", "alone_in_room", 30),
            (LOBBY, START + 600, "audio", "no_video_received", 61),
        ],
        deductions=[
            Deduction(START, CLASSROOM, "hd", "free-2026-03", 1, 4),
            Deduction(START, CLASSROOM, "audio", "free-2026-03", 1, 1),
            Deduction(START + 600, LOBBY, "audio", "pkg-1", 1, 1),
        ],
        charges=[
            charge("hd", seconds=90, deducted_minutes=1),
            charge("audio", seconds=30, deducted_minutes=1),
            charge("audio", seconds=61, deducted_minutes=1, app_id=LOBBY),
        ],
        findings=[
            (CLASSROOM, "r1", 'bob, "the\r\n\0builder"', START * 1000 + 5, "outside_stay", "exit"),
            (CLASSROOM, "r1", None, START * 1000 + 4, "outside_stay", ""),
        ],
        state=STATE,
        free_grant=10_000,
    )


def _ledger(conn: Connection, account_id: str = "acme") -> AccountLedger:
    return AccountLedger(conn=conn, account_id=account_id, catalog=load_catalog(conn))


def _balances(conn: Connection, on: date = date.max) -> list[PackageBalance]:
    return _ledger(conn).package_balances(on=on)


def _row_counts(engine: Engine) -> dict[str, int]:
    with reading(engine) as conn:
        return {name: conn.execute(select(func.count()).select_from(table)).scalar_one() for name, table in _billed()}


def _billed() -> list[tuple[str, Table]]:
    catalog = {
        "catalog_change",
        "catalog_entry",
        "policy",
        "account",
        "account_terms",
        "app",
        "package",
        "contract",
        "contract_price",
    }
    return [(name, table) for name, table in tables.metadata.tables.items() if name not in catalog]


def test_usage_is_read_back_by_day_app_window_item_and_reason(books: Engine) -> None:
    settle(books, first_day())
    with reading(books) as conn:
        found = _ledger(conn).usage(FIRST, SECOND)
        in_lobby = _ledger(conn).usage(FIRST, SECOND, apps=[LOBBY])
        later = _ledger(conn).usage(SECOND, SECOND)
    expected = sorted(first_day().days[0].metered.usage.rows())
    assert found.rows() == [(FIRST, *row) for row in sorted(expected, key=lambda row: (row[0] != LOBBY, row))]
    assert found.schema == {"day": pl.Date, **USAGE_SCHEMA}
    assert in_lobby.rows() == [(FIRST, LOBBY, START + 600, "audio", "no_video_received", 61)]
    assert later.schema == found.schema
    assert later.is_empty()


def test_deductions_name_their_payer_window_by_window(books: Engine) -> None:
    settle(books, first_day())
    with reading(books) as conn:
        found = _ledger(conn).deductions(FIRST, FIRST)
    assert {Deduction(*row) for row in found.select(*Deduction._fields).rows()} == set(
        first_day().days[0].billed.deductions
    )


def test_charges_are_exact_and_know_their_list_price_and_run(books: Engine) -> None:
    run_id = settle(books, first_day())
    with reading(books) as conn:
        posted = _ledger(conn).charges(FIRST, FIRST)
    lobby, audio, hd = posted
    assert [entry.charge for entry in posted] == [first_day().days[0].billed.charges[number] for number in (2, 1, 0)]
    assert (lobby.charge.app_id, audio.charge.item, hd.charge.item) == (LOBBY, "audio", "hd")
    assert hd.charge.amount == Decimal("0.00399")
    assert hd.list_price == LIST_PRICES["hd"]
    assert (hd.day, hd.kind, hd.currency, hd.run_id) == (FIRST, "usage", "USD", run_id)


def test_a_charge_without_a_list_price_has_none(books: Engine) -> None:
    bill = day_bill(run(), charges=[charge("hd", seconds=60)])
    settle(books, replace(bill, days=[replace(bill.days[0], list_prices={})]))
    with reading(books) as conn:
        assert _ledger(conn).charges(FIRST, FIRST)[0].list_price is None


def test_findings_keep_their_order_and_any_text_but_nul(books: Engine) -> None:
    settle(books, first_day())
    with reading(books) as conn:
        found = _ledger(conn).findings(FIRST, FIRST)
    assert found.drop("day").rows() == [
        (CLASSROOM, "r1", 'bob, "the\r\n\N{SYMBOL FOR NULL}builder"', START * 1000 + 5, "outside_stay", "exit"),
        (CLASSROOM, "r1", None, START * 1000 + 4, "outside_stay", ""),
    ]


def test_the_state_at_the_end_of_a_day_is_read_back_with_its_types(books: Engine) -> None:
    settle(books, first_day())
    with reading(books) as conn:
        assert_frame_equal(_ledger(conn).state_after(FIRST), STATE)
        assert_frame_equal(_ledger(conn).state_before(SECOND), STATE)
        assert _ledger(conn).state_after(SECOND).is_empty()


def test_the_state_of_an_older_version_is_read_in_todays_columns() -> None:
    stored = STATE.select(
        *STATE.columns[:5],
        pl.col("streams").list.eval(pl.struct(pl.element().struct.field("stream", "width", "height"))),
    )
    read = as_state(stored)
    assert read.schema == STATE_SCHEMA
    assert read["streams"].to_list() == [[CAMERA | {"connection": None}], []]
    assert read.select("connections", "published", "excepted").rows() == [([], [], [])] * 2
    assert read.select(STATE.columns[:5]).equals(STATE.select(STATE.columns[:5]))


def test_a_settled_day_knows_its_run(books: Engine) -> None:
    run_id = settle(books, first_day())
    settle(books, day_bill(run(SECOND)))
    with reading(books) as conn:
        days = _ledger(conn).settled_days(FIRST, SECOND)
        assert list(days) == [FIRST, SECOND]
        assert days[FIRST].id == run_id
        assert days[FIRST].counts == {"findings": 1}
        assert days[FIRST].ingest_id == 7
        assert _ledger(conn).last_settled_day() == SECOND
        assert _ledger(conn, "nobody").last_settled_day() is None


def test_a_settled_day_is_not_billed_again_and_nothing_is_written(books: Engine) -> None:
    settle(books, first_day())
    before = _row_counts(books)
    with pytest.raises(AlreadyBilled, match='account "acme" is billed up to 2026-03-01 already'):
        settle(books, first_day())
    assert _row_counts(books) == before


def test_a_day_before_the_first_billed_one_counts_as_billed(books: Engine) -> None:
    settle(books, first_day())
    with pytest.raises(AlreadyBilled):
        settle(books, day_bill(run(FIRST - timedelta(days=1))))


def test_a_day_cannot_be_left_out(books: Engine) -> None:
    settle(books, first_day())
    with pytest.raises(ValueError, match="2026-03-03 does not follow"):
        settle(books, day_bill(run(SECOND + timedelta(days=1))))


def test_of_many_that_bill_a_day_at_once_one_does(books: Engine) -> None:
    results: list[str] = []

    def bill_it() -> None:
        try:
            settle(books, first_day())
            results.append("billed")
        except AlreadyBilled:
            results.append("already_billed")

    threads = [threading.Thread(target=bill_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["already_billed"] * 5 + ["billed"]
    assert _row_counts(books)["usage"] == 5


def test_the_database_itself_refuses_a_second_row_for_a_day(books: Engine) -> None:
    run_id = settle(books, first_day())
    again = {
        "account_id": "acme",
        "day": FIRST,
        "run_id": run_id,
        "policy_id": "trtc-intl",
        "policy_hash": "x",
        "starts_at": 1,
        "ends_at": 2,
    }
    with pytest.raises(IntegrityError), writing(books) as conn:
        conn.execute(tables.settled_day.insert(), again)


def test_a_day_that_cannot_be_written_whole_is_not_written(books: Engine) -> None:
    """The last usage row has no seconds, which the table refuses."""
    impossible = day_bill(
        run(), usage=[(CLASSROOM, START, "hd", "camera", 5), (LOBBY, START, "hd", "camera", 0)], free_grant=10_000
    )
    before = _row_counts(books)
    with pytest.raises(Exception, match="ck_usage_seconds"):
        settle(books, impossible)
    assert _row_counts(books) == before


def test_balances_start_with_what_is_bought_and_go_down_day_by_day(books: Engine) -> None:
    def balances(on: date = date.max) -> dict[str, tuple[int, int, int, int]]:
        with reading(books) as conn:
            found = _balances(conn, on)
        return {entry.id: (entry.granted, entry.deducted, entry.lapsed, entry.remaining) for entry in found}

    assert balances() == {"pkg-1": (25_000, 0, 0, 25_000)}
    settle(books, first_day())
    settle(books, day_bill(run(SECOND), deductions=[Deduction(START + 86_400, LOBBY, "audio", "pkg-1", 9, 9)]))
    assert balances() == {"free-2026-03": (10_000, 5, 0, 9_995), "pkg-1": (25_000, 10, 0, 24_990)}
    assert balances(on=FIRST) == {"free-2026-03": (10_000, 5, 0, 9_995), "pkg-1": (25_000, 1, 0, 24_999)}
    assert balances(on=FIRST - timedelta(days=1)) == {}
    with reading(books) as conn:
        before = {day: _ledger(conn).balances(before=day) for day in (FIRST, SECOND, date.max)}
    assert dict(before[date.max].deducted) == {"free-2026-03": 5, "pkg-1": 10}
    assert before[date.max].granted == {"free-2026-03": 10_000, "pkg-1": 25_000}
    assert [before[day].remaining("pkg-1") for day in before] == [25_000, 24_999, 24_990]


def test_balances_list_free_minutes_by_month_then_packages_by_first_day(books: Engine) -> None:
    earlier = ACME.replace("pkg-1", "pkg-0").replace("2026-03-01T18", "2026-02-27T18")
    apply_catalog(books, earlier + ACME[ACME.index("[[package]]") :].replace("pkg-1", "pkg-a"))
    last_of_february = FIRST - timedelta(days=1)
    settle(books, day_bill(run(last_of_february), free_grant=10_000, lapses={"free-2026-02": 10_000}))
    settle(books, day_bill(run(FIRST), free_grant=500))
    with reading(books) as conn:
        found = _balances(conn)
    assert [entry.id for entry in found] == ["free-2026-02", "free-2026-03", "pkg-0", "pkg-1", "pkg-a"]
    assert found[0] == PackageBalance(
        id="free-2026-02",
        app_id=None,
        valid_from=date(2026, 2, 1),
        valid_to=last_of_february,
        granted=10_000,
        deducted=0,
        lapsed=10_000,
    )
    assert (found[3].valid_from, found[3].valid_to) == (FIRST, date(2026, 3, 31))


@pytest.mark.parametrize(
    "bill",
    [
        day_bill(run(), deductions=[Deduction(START, LOBBY, "audio", "pkg-1", 25_001, 25_001)]),
        day_bill(run(), deductions=[Deduction(START, LOBBY, "audio", "pkg-1", 25_000, 25_000)], lapses={"pkg-1": 1}),
        day_bill(run(), deductions=[Deduction(START, LOBBY, "audio", "free-2026-03", 2, 2)], free_grant=1),
        day_bill(run(), lapses={"unknown": 1}),
    ],
    ids=["deducted", "deducted and lapsed", "free minutes", "unknown payer"],
)
def test_no_payer_gives_more_than_it_has(books: Engine, bill: SpanBill) -> None:
    before = _row_counts(books)
    with pytest.raises(BillingError, match="than it has left: its packages were changed during this run"):
        settle(books, bill)
    assert _row_counts(books) == before


def test_a_payer_may_be_emptied_to_the_last_unit(books: Engine) -> None:
    settle(
        books,
        day_bill(run(), deductions=[Deduction(START, LOBBY, "audio", "pkg-1", 24_999, 24_999)], lapses={"pkg-1": 1}),
    )
    with reading(books) as conn:
        assert [entry.remaining for entry in _balances(conn)] == [0]
