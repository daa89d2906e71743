"""Homes with a history that no clean run has: an old backup of the log, a clock that went back, rows changed by hand,
new time-zone data, one event of long ago, and an account that cannot be metered."""

import json
import shutil
import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from billing import periods
from billing.home import Home
from billing.jobs.nightly import run_nightly
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import open_database, reading
from billing.metering.spans import Metering, meter_log, meter_with_leaves
from tests.commands import Commands, Done

pytestmark = pytest.mark.thorough

CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "America/Sao_Paulo"
policy = "trtc-intl"
free_minutes = 100

[[account]]
id = "other"
name = "Other"
currency = "USD"
timezone = "America/Sao_Paulo"
policy = "trtc-intl"
free_minutes = 0

[[app]]
id = 1
account = "acme"
name = "One"

[[app]]
id = 2
account = "other"
name = "Two"

[[package]]
id = "pkg"
account = "acme"
minutes = 500
purchased_at = "2026-03-01T00:00:00-03:00"
"""


class Site:
    """A home and its files; `now` is a day of March 2026 and an hour, in Brazil."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.commands = Commands(home=directory / "home")
        (directory / "catalog.toml").write_text(CATALOG)
        for line in ("init", f"catalog apply {directory}/catalog.toml"):
            assert self("01T12:00", line).exit_code == 0

    def __call__(self, now: str, line: str) -> Done:
        return replace(self.commands, now=f"2026-03-{now}:00-03:00")(line)

    def hour_alone(self, name: str, at: str, app: int = 1) -> str:
        """Writes a file with one hour of one user, from an RFC 3339 instant on, and returns its path."""
        start = int(periods.parse_instant(at).timestamp() * 1000)
        rows = [
            {"app_id": app, "room_id": "r", "user_id": name, "at": start, "type": "enter"},
            {"app_id": app, "room_id": "r", "user_id": name, "at": start + 3_600_000, "type": "exit"},
        ]
        path = self.directory / f"{name}.ndjson"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    def rows(self, now: str, line: str) -> list[dict[str, Any]]:
        done = self(now, f"{line} --format json")
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def seconds(self, app: int = 1) -> dict[str, int]:
        """The billed seconds of March and of 2015 by day, corrections included."""
        found: dict[str, int] = {}
        for row in self.rows("31T12:00", f"usage {app} --from 2015-01-01 --to 2026-03-31 --by day"):
            found[row["day"]] = found.get(row["day"], 0) + row["seconds"]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_log_from_an_old_backup_is_refused_by_every_writer_and_no_hour_is_lost(site: Site) -> None:
    """Both ingests are billed, then the log of the first one comes back: its next ingest would be the second again."""
    one, two, three = (
        site.hour_alone(name, f"2026-03-0{day}T10:00:00-03:00") for name, day in zip("abc", "234", strict=True)
    )
    assert site("03T01:00", f"ingest {one}").exit_code == 0
    shutil.copytree(site.commands.home / "events", site.directory / "backup")
    assert site("03T01:01", "nightly").exit_code == 0
    assert site("04T01:00", f"ingest {two}").exit_code == 0
    assert site("04T01:01", "nightly").exit_code == 0
    shutil.rmtree(site.commands.home / "events")
    shutil.copytree(site.directory / "backup", site.commands.home / "events")
    for line in (f"ingest {three}", "nightly", "refresh", "rebill acme --from 2026-03-02 --reason x"):
        done = site("05T01:00", line)
        assert done.exit_code == 1, line
        assert "restore the log from the same backup as the database" in done.stderr
    assert site.seconds() == {"2026-03-02": 3600, "2026-03-03": 3600}


def test_a_log_that_went_on_from_an_old_backup_is_known_by_its_commits(site: Site) -> None:
    """Somebody else has given it as many ingests as were billed: only their identity is different."""
    files = [site.hour_alone(name, f"2026-03-0{day}T10:00:00-03:00") for name, day in zip("abc", "234", strict=True)]
    other = Commands(home=site.directory / "elsewhere", now="2026-03-05T01:00:00-03:00")
    for line in ("init", f"catalog apply {site.directory}/catalog.toml", f"ingest {files[0]} {files[2]}"):
        assert other(line).exit_code == 0
    assert site("05T01:00", f"ingest {files[0]} {files[1]}").exit_code == 0
    assert site("05T01:01", "nightly").exit_code == 0
    shutil.rmtree(site.commands.home / "events")
    shutil.copytree(other.home / "events", site.commands.home / "events")
    for line in ("nightly", f"ingest {files[1]}"):
        done = site("06T01:00", line)
        assert done.exit_code == 1
        assert "ingest 2 is not the one that was billed" in done.stderr


def test_a_clock_that_went_back_does_not_show_a_later_run_as_known_before(site: Site) -> None:
    """The second night runs with a clock that is a day behind: at 04T02:00 only the first night was known."""
    for name, day in zip("ab", "23", strict=True):
        assert site("05T01:00", f"ingest {site.hour_alone(name, f'2026-03-0{day}T10:00:00-03:00')}").exit_code == 0
    assert site("05T03:00", "nightly --date 2026-03-02").exit_code == 0
    assert site("04T03:00", "nightly --date 2026-03-03").exit_code == 0
    runs = site.rows("06T01:00", "runs")
    assert [run["finished_at"] for run in runs] == sorted((run["finished_at"] for run in runs), reverse=True)
    done = site(
        "06T01:00", f"invoice export acme --month 2026-03 --as-of 2026-03-04T12:00:00-03:00 -o {site.directory}/x.xlsx"
    )
    assert done.exit_code == 1
    assert "is billed" in done.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE package SET minutes = 5", "package"),
        ("UPDATE account SET currency = 'CNY'", "account"),
        ("UPDATE account SET timezone = 'UTC'", "account"),
        ("UPDATE account_terms SET policy_id = 'trtc-cn'", "account terms"),
        ("UPDATE app SET account_id = 'other' WHERE id = 1", "app"),
    ],
)
def test_what_bills_rest_on_cannot_be_changed_by_hand(site: Site, change: str, named: str) -> None:
    """Before the first bill it can: nothing rests on it."""
    with sqlite3.connect(site.commands.home / "billing.db") as conn:
        conn.execute(change)
        conn.rollback()
    assert site("03T01:00", f"ingest {site.hour_alone('a', '2026-03-02T10:00:00-03:00')}").exit_code == 0
    assert site("03T01:01", "nightly").exit_code == 0
    with pytest.raises(sqlite3.IntegrityError, match=f"days are billed with this {named}"):
        conn.execute(change)
    conn.close()


def test_a_package_that_has_less_than_was_taken_stops_its_account_by_name(site: Site) -> None:
    """Somebody has switched the guard off; the other account is billed."""
    for name, app in (("a", 1), ("b", 2)):
        assert site("03T01:00", f"ingest {site.hour_alone(name, '2026-03-02T10:00:00-03:00', app)}").exit_code == 0
    for hour in range(4):
        file = site.hour_alone(f"more-{hour}", f"2026-03-02T1{hour}:00:00-03:00")
        assert site("03T01:00", f"ingest {file}").exit_code == 0
    assert site("03T01:01", "nightly").exit_code == 0
    with sqlite3.connect(site.commands.home / "billing.db") as conn:
        conn.execute("DROP TRIGGER package_is_billed")
        conn.execute("UPDATE package SET minutes = 5")
    conn.close()
    assert site("04T01:00", f"ingest {site.hour_alone('c', '2026-03-03T10:00:00-03:00', 2)}").exit_code == 0
    done = site("04T01:01", "nightly")
    assert done.exit_code == 1
    assert 'package "pkg" has -' in done.stderr
    assert site.seconds(2) == {"2026-03-02": 3600, "2026-03-03": 3600}


def test_a_settled_day_keeps_its_bounds_when_the_time_zone_data_change(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user stays for days. Between two nights the zone moves by an hour: no second is billed twice, none is lost."""
    start = int(periods.parse_instant("2026-03-02T00:00:00-03:00").timestamp())
    event = {"app_id": 1, "room_id": "r", "user_id": "u", "type": "enter"}
    beats = [{**event, "type": "video_off", "stream": "a/camera"} for _ in range(6)]
    rows = [{**event, "at": start * 1000}] + [
        {**beat, "at": (start + 43_200 * (n + 1)) * 1000, "event_id": f"beat-{n}"} for n, beat in enumerate(beats)
    ]
    file = site.directory / "days.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert site("03T09:00", f"ingest {file}").exit_code == 0
    assert site("03T09:00", "nightly").exit_code == 0
    day_start = periods.day_start.__wrapped__

    def moved(day: date, zone: Any) -> int:
        return int(day_start(day, zone)) - (3600 if day >= date(2026, 3, 3) else 0)

    for module in ("billing.periods", "billing.jobs.rerating"):
        monkeypatch.setattr(f"{module}.day_start", moved)
    for line in (f"ingest {file}", "nightly"):  # at first the later rows were in the future
        assert site("05T09:00", line).exit_code == 0
    with reading(open_database(Home.at(site.commands.home).database)) as conn:
        bounds = AccountLedger(conn=conn, account_id="acme").settled_bounds(date(2026, 3, 2), date(2026, 3, 4))
    assert [end - begin for begin, end in bounds.values()] == [86_400, 82_800, 86_400]
    assert [begin for begin, _ in list(bounds.values())[1:]] == [end for _, end in list(bounds.values())[:-1]]
    assert site.seconds() == {str(day): end - begin for day, (begin, end) in bounds.items()}
    (finding,) = (row for row in site.rows("05T09:01", "findings acme") if row["finding"] == "zone_changed")
    assert (finding["day"], finding["detail"]) == (
        "2026-03-03",
        "the day begins 3,600 s later than the time-zone database says now: where the settled day before it ended",
    )


def test_one_event_of_long_ago_costs_no_night_for_each_day_since(site: Site) -> None:
    """4,078 quiet days are settled at once, with the free minutes that each month lets lapse."""
    assert site("03T01:00", f"ingest {site.hour_alone('old', '2015-01-02T10:00:00-03:00')}").exit_code == 0
    assert site("03T01:00", f"ingest {site.hour_alone('new', '2026-03-02T10:00:00-03:00')}").exit_code == 0
    billed = [row for row in site.rows("03T01:01", "nightly") if row["account"] == "acme"]
    assert [(row["day"], row["result"]) for row in billed] == [
        ("2015-01-02", "billed"),
        ("2026-03-01", "billed"),
        ("2026-03-02", "billed"),
    ]
    days = (date(2026, 3, 1) - date(2015, 1, 3)).days + 1
    assert billed[1]["detail"] == f"0 minutes, {days:,} days without usage from 2015-01-03"
    packages = {row["id"]: row for row in site.rows("03T01:02", "packages acme")}
    assert len(packages) == 12 * 11 + 3 + 1
    assert packages["free-2020-02"]["lapsed"] == 100
    assert packages["free-2015-01"]["deducted"] == 60
    assert site.seconds() == {"2015-01-02": 3600, "2026-03-02": 3600}


def test_a_late_event_of_long_ago_settles_the_days_up_to_the_first_billed_one(site: Site) -> None:
    """The same as if it had been there from the beginning."""
    assert site("03T01:00", f"ingest {site.hour_alone('new', '2026-03-02T10:00:00-03:00')}").exit_code == 0
    assert site("03T01:01", "nightly").exit_code == 0
    assert site("04T01:00", f"ingest {site.hour_alone('old', '2015-01-02T10:00:00-03:00')}").exit_code == 0
    results = [(row["day"], row["result"]) for row in site.rows("04T01:01", "nightly") if row["account"] == "acme"]
    assert results == [("2026-03-03", "corrected"), ("2026-03-03", "billed")]
    (site.directory / "clean").mkdir()
    clean = Site(site.directory / "clean")
    assert clean("04T01:00", f"ingest {site.directory}/new.ndjson {site.directory}/old.ndjson").exit_code == 0
    assert clean("04T01:01", "nightly").exit_code == 0
    assert site.seconds() == clean.seconds()
    assert site.rows("04T01:02", "packages acme") == clean.rows("04T01:02", "packages acme")


def test_one_account_that_cannot_be_metered_stops_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both days have the same bounds, and are metered together until that fails."""
    for name, app in (("a", 1), ("b", 2)):
        assert site("03T01:00", f"ingest {site.hour_alone(name, '2026-03-02T10:00:00-03:00', app)}").exit_code == 0

    def metering(log: Any, ingest_id: int, carried: Any, span: Any) -> Any:
        if 1 in span.rules:
            raise ZeroDivisionError("a fault in metering")
        return meter_log(log, ingest_id, carried, span)

    monkeypatch.setenv("BILLING_NOW", "2026-03-03T01:01:00-03:00")
    home = Home.at(site.commands.home)
    outcomes = run_nightly(home, open_database(home.database), metering=metering)
    assert {outcome.account: outcome.result for outcome in outcomes} == {"acme": "failed", "other": "billed"}
    again = {row["account"]: row["result"] for row in site.rows("03T01:02", "nightly")}
    assert again == {"acme": "billed", "other": "already_billed"}
    assert site.seconds() == site.seconds(2) == {"2026-03-02": 3600}


@pytest.mark.parametrize("metering", [meter_log, meter_with_leaves])
def test_a_day_has_the_seal_of_its_events_whether_metering_knows_their_leaves(
    site: Site, metering: Metering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it does not, the log is read for them. The verifier computes them from texts."""
    assert site("03T01:00", f"ingest {site.hour_alone('a', '2026-03-02T10:00:00-03:00')}").exit_code == 0
    monkeypatch.setenv("BILLING_NOW", "2026-03-03T01:01:00-03:00")
    home = Home.at(site.commands.home)
    list(run_nightly(home, open_database(home.database), metering=metering))
    with sqlite3.connect(home.database) as database:
        query = "SELECT rooms, events FROM day_seal WHERE account_id = 'acme' AND day = '2026-03-02'"
        assert database.execute(query).fetchall() == [(1, 2)]
    assert site("03T01:02", "verify").exit_code == 0
