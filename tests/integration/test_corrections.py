"""Settled days corrected in a real database: by the nightly that finds late events, and on demand.

The example, worked out by hand: app 1 of `acme` in Tokyo, 3 free minutes in March, then package `pkg` with 30.

On 2026-03-02, known when that day is billed: `u` is in room `r` from 10:00:00 to 10:06:00, `v` from 10:00:00 to
10:05:00, and `v` receives 1280x720 from 10:00:05 on. Audio: 5 s of `v`, 300 s and 60 s (alone) of `u` = 365 s = 7
minutes; HD: 295 s = 5 minutes. In the first window audio has 305 s: 6 minutes, 3 free and 3 from the package; 5 HD
minutes take 20. In the second 60 s of audio: 1 minute from the package. 24 of 30 are used.

Known a day later: `w` was alone in room `z` on 03-01 from 10:00 to 10:02, and alone in room `q` over midnight, from
23:59 on 03-02 to 00:01 on 03-03. So 03-01 has 2 minutes of audio, from the free minutes; on 03-02 only 1 minute is
free and the package pays 2 more; audio has 60 s more: 1 minute from the package. 27 of 30 are used.

On 03-03: `u` is alone in `r` from 10:00 to 10:10, and `w` for 60 s after midnight: 11 minutes, of which the package
pays 3, and 8 are payable: 8 x 0.00099 = 0.00792 USD.
"""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DatabaseError

from billing import periods
from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.jobs.cutoff import cutoff_now
from billing.jobs.ingest import IngestContext, ingest_files
from billing.jobs.metered_days import meter_days
from billing.jobs.nightly import Outcome, run_nightly
from billing.jobs.rebill import run_rebill
from billing.jobs.refresh import run_refresh
from billing.jobs.rerating import Posting, open_rerating
from billing.ledger import corrections, tables
from billing.ledger.database import open_database, reading, upgrade, writing
from billing.metering.schemas import Metered
from billing.metering.spans import meter_log
from billing.reports import account as books
from billing.reports.usage import app_usage
from tests.integration.days import apply_catalog

CATALOG = """
[[account]]
id = "acme"
name = "Acme K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 3

[[app]]
id = 1
account = "acme"
name = "One"

[[package]]
id = "pkg"
account = "acme"
minutes = 30
purchased_at = "2026-03-01T00:00:00+09:00"
term = "month"
"""
MARCH = date(2026, 3, 1)
D1, D2, D3 = (date(2026, 3, day) for day in (1, 2, 3))
HD = {"stream": "a/camera", "width": 1280, "height": 720}
ON_TIME = [
    ("02T10:00:00", "r", "u", "enter", {}),
    ("02T10:00:00", "r", "v", "enter", {}),
    ("02T10:00:05", "r", "v", "video_on", HD),
    ("02T10:05:00", "r", "v", "exit", {}),
    ("02T10:06:00", "r", "u", "exit", {}),
]
LATE = [
    ("01T10:00:00", "z", "w", "enter", {}),
    ("01T10:02:00", "z", "w", "exit", {}),
    ("02T23:59:00", "q", "w", "enter", {}),
    ("03T00:01:00", "q", "w", "exit", {}),
]
LAST = [("03T10:00:00", "r", "u", "enter", {}), ("03T10:10:00", "r", "u", "exit", {})]


class Acme:
    """The account, with a clock that can be set."""

    def __init__(self, engine: Engine, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.directory, self.monkeypatch = engine, directory, monkeypatch
        self.home = Home.at(directory)
        self.files = 0
        apply_catalog(engine, CATALOG)

    def at(self, moment: str) -> None:
        """Sets the clock, `03T09:00` of March in Tokyo."""
        self.monkeypatch.setenv("BILLING_NOW", f"2026-03-{moment}:00+09:00")

    def ingest(self, events: list[tuple[str, str, str, str, dict[str, Any]]]) -> None:
        self.files += 1
        file = self.directory / f"{self.files}.ndjson"
        lines = [
            {"app_id": 1, "at": f"2026-03-{at}+09:00", "room_id": room, "user_id": user, "type": kind, **more}
            for at, room, user, kind, more in events
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        reports = list(ingest_files(IngestContext(home=self.home, apps={1}, now=periods.now()), [str(file)]))
        assert [report.accepted for report in reports] == [len(events)]

    def nightly(self) -> list[Outcome]:
        return list(run_nightly(self.home, self.engine))

    def usage(self, **options: Any) -> pl.DataFrame:
        return app_usage(self.home, self.engine, 1, D1, D3, **options)

    def charges(self, **options: Any) -> list[tuple[Any, ...]]:
        """Day, item, kind, seconds, minutes, deducted and payable minutes, and who paid."""
        rows = books.charges(self.engine, "acme", MARCH, **options).to_dicts()
        names = ("day", "item", "kind", "seconds", "minutes", "deducted_minutes", "payable_minutes")
        return [
            (*(row[name] for name in names), {payer["payer_id"]: payer["minutes"] for payer in row["deducted_by"]})
            for row in rows
        ]

    def packages(self, **options: Any) -> list[tuple[Any, ...]]:
        """Id, granted, deducted, lapsed, remaining, settled."""
        return [(row[0], *row[4:]) for row in books.packages(self.engine, "acme", **options).rows()]


@pytest.fixture
def acme(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acme:
    return Acme(engine, tmp_path, monkeypatch)


@pytest.fixture
def billed(acme: Acme) -> Acme:
    """2026-03-02 is billed as far as it is known."""
    acme.at("03T09:00")
    acme.ingest(ON_TIME)
    assert [outcome.result for outcome in acme.nightly()] == ["billed"]
    return acme


@pytest.fixture
def corrected(billed: Acme) -> Acme:
    """The next night has come, with late events."""
    billed.at("04T09:00")
    billed.ingest(LAST)
    billed.ingest(LATE)
    assert [outcome.result for outcome in billed.nightly()] == ["corrected", "billed"]
    return billed


SETTLED_FIRST = [
    (D2, "audio", "usage", 365, 7, 7, 0, {"free-2026-03": 3, "pkg": 4}),
    (D2, "hd", "usage", 295, 5, 5, 0, {"pkg": 5}),
]
AT_LAST = [
    (D1, "audio", "correction", 120, 2, 2, 0, {"free-2026-03": 2}),
    SETTLED_FIRST[0],
    (D2, "audio", "correction", 60, 1, 1, 0, {"free-2026-03": -2, "pkg": 3}),
    SETTLED_FIRST[1],
    (D3, "audio", "usage", 660, 11, 3, 8, {"pkg": 3}),
]


def test_late_events_are_posted_as_corrections_before_the_next_day_is_billed(corrected: Acme) -> None:
    assert corrected.charges() == AT_LAST
    assert corrected.packages() == [("free-2026-03", 3, 3, 0, 0, 0, True), ("pkg", 30, 30, 0, 0, 0, True)]


def test_a_correction_names_its_cause_its_run_and_the_run_that_it_corrects(corrected: Acme) -> None:
    rows = books.charges(corrected.engine, "acme", MARCH).to_dicts()
    names = ("day", "kind", "run", "corrects_run", "posted_on", "cause", "settled")
    assert [tuple(row[name] for name in names) for row in rows if row["item"] == "audio"] == [
        (D1, "correction", 2, None, D3, "late events of ingest 3", True),
        (D2, "usage", 1, None, D2, None, True),
        (D2, "correction", 2, 1, D3, "late events of ingest 3", True),
        (D3, "usage", 3, None, D3, None, True),
    ]


def test_a_correction_is_posted_in_the_month_of_the_day_that_the_nightly_bills(billed: Acme) -> None:
    billed.monkeypatch.setenv("BILLING_NOW", "2026-04-02T09:00:00+09:00")
    billed.ingest(LATE)
    billed.nightly()
    assert [row[:3] for row in billed.charges() if row[2] == "correction"] == []
    april = books.charges(billed.engine, "acme", date(2026, 4, 1)).to_dicts()
    assert [(row["day"], row["kind"]) for row in april] == [(D1, "correction"), (D2, "correction")]


def test_nothing_is_posted_twice(corrected: Acme) -> None:
    before = _rows(corrected.engine)
    assert [outcome.result for outcome in corrected.nightly()] == ["already_billed"]
    assert _rows(corrected.engine) == before


def test_late_events_that_change_nothing_are_read_once(billed: Acme) -> None:
    billed.at("04T09:00")
    billed.ingest([("02T09:00:00", "r", "nobody", "exit", {})])
    first, second = billed.nightly(), billed.nightly()
    assert [outcome.result for outcome in first] == ["corrected", "billed"]
    assert [outcome.result for outcome in second] == ["already_billed"]
    assert billed.charges() == SETTLED_FIRST
    found = books.findings(billed.engine, account_id="acme", first=D1, last=D3)
    assert found.select("day", "user_id", "finding").rows() == [(D2, "nobody", "outside_stay")]


def test_originals_and_corrections_are_what_one_clean_run_gives(corrected: Acme, tmp_path: Path) -> None:
    """The same events in the other order, billed at once."""
    clean = Home.at(tmp_path / "clean")
    clean.directory.mkdir()
    upgrade(clean.database)
    engine = open_database(clean.database)
    apply_catalog(engine, CATALOG)
    files = [str(corrected.directory / f"{number}.ndjson") for number in (3, 2, 1)]
    list(ingest_files(IngestContext(home=clean, apps={1}, now=periods.now()), files))
    list(run_nightly(clean, engine))
    for by in ("window", "day", "room", "user"):
        one = app_usage(clean, engine, 1, D1, D3, by=by).drop("kind", "run", "settled")
        keys = one.columns[:-1]
        both = corrected.usage(by=by).group_by(keys).agg(pl.col("seconds").sum())
        assert_frame_equal(both, one, check_row_order=False)
    for by in ("window", "day"):
        one = app_usage(clean, engine, 1, D1, D3, by=by, unit="minutes").drop("kind", "run", "settled")
        both = corrected.usage(by=by, unit="minutes").group_by(one.columns[:-1]).agg(pl.col("minutes").sum())
        assert_frame_equal(
            both.filter(pl.col("minutes") != 0), one.filter(pl.col("minutes") != 0), check_row_order=False
        )
    numbers = ["seconds", "minutes", "deducted_minutes", "payable_minutes", "amount"]
    sums = [
        books.charges(each, "acme", MARCH).group_by("day", "app_id", "item").agg(pl.col(numbers).sum())
        for each in (corrected.engine, engine)
    ]
    assert_frame_equal(*sums, check_row_order=False)
    assert_frame_equal(books.packages(corrected.engine, "acme"), books.packages(engine, "acme"))


def test_what_was_known_at_a_run_is_shown_again_after_the_log_was_compacted(corrected: Acme) -> None:
    now = {by: corrected.usage(by=by) for by in ("window", "day", "room", "user")}
    then = {by: corrected.usage(by=by, run=1) for by in now}
    table = DeltaTable(corrected.home.events.as_uri())
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    for by, rows in now.items():
        assert_frame_equal(corrected.usage(by=by), rows)
        assert_frame_equal(corrected.usage(by=by, run=1), then[by])
        assert rows.filter(pl.col("run") == 1).equals(then[by])
    assert then["user"].select("user_id", "seconds").rows() == [("u", 60), ("u", 300), ("v", 5), ("v", 295)]


def test_rebill_posts_what_dry_run_said(billed: Acme) -> None:
    billed.at("03T10:00")
    billed.ingest(LATE)
    before = _rows(billed.engine)
    planned = run_rebill(billed.home, billed.engine, "acme", D2, reason="found on a disk", dry_run=True)
    assert (planned.run, _rows(billed.engine)) == (None, before)
    done = run_rebill(billed.home, billed.engine, "acme", D2, reason="found on a disk")
    assert (done.lines, done.deducted_by) == (planned.lines, planned.deducted_by)
    assert [(line.day, line.posted_on, line.cause) for line in done.lines] == [
        (D1, D2, "found on a disk"),
        (D2, D2, "found on a disk"),
    ]
    assert billed.charges() == AT_LAST[:-1]
    assert run_rebill(billed.home, billed.engine, "acme", D1, reason="again").lines == []


def test_rebill_refuses_what_is_not_billed_and_what_has_no_reason(billed: Acme) -> None:
    with pytest.raises(UsageError, match="2026-03-03 is not billed yet: the last billed day is 2026-03-02"):
        run_rebill(billed.home, billed.engine, "acme", D3, reason="x")
    with pytest.raises(UsageError, match="give --reason"):
        run_rebill(billed.home, billed.engine, "acme", D2, reason=" ")


def test_today_is_provisional_and_ends_as_the_nightly_settles_it(billed: Acme) -> None:
    billed.at("03T10:07")
    billed.ingest(LAST[:1])
    run_refresh(billed.home, billed.engine)
    assert billed.charges(provisional=True)[-1] == (D3, "audio", "usage", 300, 5, 5, 0, {"pkg": 5})
    assert billed.packages(provisional=True)[-1] == ("pkg", 30, 29, 0, 0, 1, False)
    assert billed.packages()[-1] == ("pkg", 30, 24, 0, 0, 6, True)
    assert billed.charges() == SETTLED_FIRST
    billed.at("04T00:03")
    billed.ingest([("03T09:00:00", "s", "x", "enter", {}), ("03T09:01:00", "s", "x", "exit", {}), LAST[1]])
    run_refresh(billed.home, billed.engine)
    open_day = {by: billed.usage(by=by, provisional=True) for by in ("window", "day", "room", "user")}
    charges = billed.charges(provisional=True)
    assert charges[-1] == (D3, "audio", "usage", 660, 11, 6, 5, {"pkg": 6})
    assert [outcome.result for outcome in billed.nightly()] == ["billed"]
    for by, rows in open_day.items():
        assert_frame_equal(billed.usage(by=by).drop("run", "settled"), rows.drop("run", "settled"))
    assert billed.charges() == charges
    assert billed.charges(provisional=True) == charges


def test_a_refresh_after_many_is_a_refresh_from_the_start(billed: Acme) -> None:
    """Room `r` gets an event from before the cut; `q` goes on; and then everything is forgotten."""
    billed.at("03T10:21")
    billed.ingest([*LAST[:1], ("03T10:01:00", "q", "w", "enter", {}), ("03T10:02:00", "q", "w", "disconnect", {})])
    run_refresh(billed.home, billed.engine)
    billed.at("03T10:31")
    billed.ingest([("03T10:03:00", "r", "v", "enter", {}), LAST[1], ("03T10:22:00", "q", "y", "enter", {})])
    run_refresh(billed.home, billed.engine)
    step_by_step = billed.usage(provisional=True)
    with writing(billed.engine) as conn:
        conn.execute(tables.provisional_day.delete())
    run_refresh(billed.home, billed.engine)
    assert_frame_equal(billed.usage(provisional=True), step_by_step)


def test_whatever_is_settled_refuses_to_change(acme: Acme) -> None:
    """A month with findings, late findings, corrections, and what lapses at its end."""
    stray = ("02T09:00:00", "r", "nobody", "exit", {})
    acme.at("03T09:00")
    acme.ingest([*ON_TIME, stray])
    acme.nightly()
    acme.monkeypatch.setenv("BILLING_NOW", "2026-04-02T09:00:00+09:00")
    acme.ingest([*LATE, ("02T09:00:01", *stray[1:])])
    acme.nightly()
    before = _rows(acme.engine)
    for table in tables.SETTLED:
        assert before[table.name], table.name
        column = next(iter(table.c))
        for change in (table.update().values({column: column}), table.delete()):
            with pytest.raises(DatabaseError, match="is written once"), writing(acme.engine) as conn:
                conn.execute(change)
    assert _rows(acme.engine) == before


def test_books_that_changed_meanwhile_are_not_corrected(billed: Acme) -> None:
    """Another host bills a day between the reading and the posting."""
    billed.at("04T09:00")
    with reading(billed.engine) as conn:
        cutoff = cutoff_now(conn, billed.home)
        ledger = cutoff.ledger(conn, "acme")
        rerating = open_rerating(ledger, D2, Posting(command="rebill", posted_on=D2, cause="x"))
        for account_day in rerating.days:
            for opening, metered in meter_days([rerating.opening(ledger, account_day)], cutoff, meter_log):
                assert isinstance(metered, Metered)
                rerating.add(ledger, opening, metered)
    billed.nightly()
    with pytest.raises(BillingError, match="were changed during this run: nothing was corrected"):
        corrections.post(billed.engine, rerating.correction(cutoff))


def _rows(engine: Engine) -> Counter[str]:
    """How many rows each table has."""
    with reading(engine) as conn:
        return Counter(
            {
                name: conn.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.metadata.tables.items()
            }
        )
