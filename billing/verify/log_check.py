"""The log once more: its files as they were committed, and the events of every sealed day as they were sealed.

Of a file, the size, the marks at its ends and its content must be what the log says; what is wrong is named with the
day of its partition. The leaves of a day's rooms are made again from the texts of the events, not from the keys beside
them, and the keys, which are what is metered, must be those of the texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import select

from billing.errors import BillingError
from billing.events.data_files import LOG_SCHEMA, day_of
from billing.events.durable_files import scan_files, whole_parquet
from billing.events.log import EventLog
from billing.events.log_table import files_of, open_table
from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.events.schema import CONNECTION_KEYS_SCHEMA, KEYS_SCHEMA
from billing.ledger import tables
from billing.verify.mismatches import Days, Mismatch
from billing.verify.seal_check import Seal
from billing.verify.settled_facts import AccountFacts, DayFacts

_KEYS = (*KEYS_SCHEMA, *CONNECTION_KEYS_SCHEMA)


def file_mismatches(log: EventLog, days: Days, *, read: bool) -> Iterator[Mismatch]:
    """Files that are missing, have another size, or cannot be read; `read`: their content is read too."""
    try:
        table = open_table(log.directory)
    except BillingError as error:
        yield Mismatch(check="log", expected="an event log", found="a damaged one", detail=str(error).splitlines()[0])
        return
    for file in files_of(table) if table else []:
        if days.first <= file.day + timedelta(days=1) and file.day - timedelta(days=1) <= days.last:
            path = log.directory / file.path
            reason = _wrong(path, file.size, file.rows, read=read)
            if reason:
                expected = f"{file.size:,} bytes, {file.rows:,} rows"
                yield Mismatch(
                    check="file", day=file.day, file=str(path), expected=expected, found=reason[0], detail=reason[1]
                )


def _wrong(path: Path, size: int, rows: int, *, read: bool) -> tuple[str, str] | None:
    """What was found of a file, and what that means."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"{found:,} bytes", "the file has another size than the log says"
        whole_parquet(path)
        scanned = scan_files([path], LOG_SCHEMA)
        counted = scanned.select(pl.len()).collect().item()
        if read:
            scanned.select(pl.all().null_count()).collect()
    except FileNotFoundError:
        return "no file", "a file of the log is missing"
    except (BillingError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return "a damaged file", str(error).splitlines()[0][:200]
    return None if counted == rows else (f"{counted:,} rows", "the file has another number of rows than the log says")


@dataclass(slots=True, kw_only=True)
class LogCheck:
    """The events in the log, day by day. What was read of a span serves all accounts that share it."""

    log: EventLog
    _read: dict[tuple[int, int, int], tuple[pl.DataFrame, dict[int, str]] | str] = field(default_factory=dict)

    def mismatches(self, facts: AccountFacts, seals: Sequence[Seal], days: Days) -> Iterator[Mismatch]:
        """Sealed days of an account whose events are no longer those that were sealed."""
        by_day = {day.day: day for day in facts.days}
        before = archived_before(self.log)
        last = {seal.day: seal for seal in seals if seal.day in days and seal.day in by_day}
        last = {day: seal for day, seal in last.items() if not starts_in_archive(by_day[day], before)}
        apps = self._apps(facts)
        ingests = _ingests(facts)
        for day, seal in last.items():
            yield from self._day(facts, by_day[day], seal, apps, ingests)

    def _day(
        self, facts: AccountFacts, day: DayFacts, seal: Seal, apps: Sequence[int], ingests: Mapping[int, int]
    ) -> Iterator[Mismatch]:
        found = self._leaves(day, ingests.get(seal.run_id, 0))
        if isinstance(found, str):
            yield _event(facts, day.day, f"{seal.events:,} events", "none that can be read", found)
            return
        leaves, keyless = found
        of_account = leaves.filter(pl.col("app_id").is_in(list(apps)))
        root = EventsRoot.over(of_account["leaf"], int(of_account["events"].sum())) if of_account.height else NO_EVENTS
        if root.root.hex() != seal.events_root:
            expected = f"{seal.events:,} events in {seal.rooms:,} rooms, {seal.events_root}"
            now = f"{root.events:,} events in {root.rooms:,} rooms, {root.root.hex()}"
            yield _event(facts, day.day, expected, now, f"the events of the day are not those under seal {seal.number}")
        for app_id in apps:
            if app_id in keyless:
                said = "the keys of an event are not those of its texts"
                yield _event(facts, day.day, "keys of its texts", "others", said, app_id, keyless[app_id])

    def _leaves(self, day: DayFacts, ingest_id: int) -> tuple[pl.DataFrame, dict[int, str]] | str:
        """The leaves of a span, and by app a room whose keys are wrong; or why they cannot be read."""
        key = (day.start, day.end, ingest_id)
        if key not in self._read:
            self._read = {key: self._computed(*key)}
        return self._read[key]

    def _computed(self, start: int, end: int, ingest_id: int) -> tuple[pl.DataFrame, dict[int, str]] | str:
        from billing.events.room_leaves import LEAVES_SCHEMA, leaves_of, recomputed

        try:
            rows = self.log.scan(start, end, ingest_id=ingest_id)
            ranges = self.log.room_ranges(start, end, ingest_id=ingest_id)
            found, keyless = [pl.DataFrame(schema=LEAVES_SCHEMA)], dict[int, str]()
            for part in range(ranges):
                first = -(2**63) + part * (2**64 // ranges)
                in_range = pl.col("room_key").is_between(first, first + 2**64 // ranges - 1)
                with self.log.naming_damage():
                    events = rows.filter(in_range).collect() if ranges > 1 else rows.collect()
                keyed = recomputed(events)
                found.append(leaves_of(keyed))
                keyless |= _keyless(events, keyed)
            # A room whose stored key is wrong may lie in two ranges.
            return pl.concat(found).sort("app_id", "room_key"), keyless
        except (BillingError, OSError) as error:
            return str(error).splitlines()[0]

    def _apps(self, facts: AccountFacts) -> list[int]:
        app = tables.app.c
        return sorted(facts.conn.execute(select(app.id).where(app.account_id == facts.account_id)).scalars())


def _keyless(events: pl.DataFrame, keyed: pl.DataFrame) -> dict[int, str]:
    """By app a room with an event whose keys in the log are not those of its texts; older files have no keys."""
    if events.is_empty() or events["room_key"].null_count():
        return {}
    differ = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in _KEYS)
    beside = events.select("app_id", "room_id", *_KEYS).hstack(
        keyed.select(pl.col(name).alias(f"{name}_now") for name in _KEYS)
    )
    return dict(beside.filter(differ).select("app_id", "room_id").iter_rows())


def _ingests(facts: AccountFacts) -> dict[int, int]:
    run = tables.run.c
    rows = facts.conn.execute(select(run.id, run.ingest_id).where(run.account_id == facts.account_id))
    return {row.id: row.ingest_id for row in rows}


def archived_before(log: EventLog) -> date | None:
    """The UTC day before which events are archived, and not looked at."""
    archive = log.archive()
    return archive.before if archive else None


def starts_in_archive(day: DayFacts, before: date | None) -> bool:
    """Whether a day has events in the archive."""
    return before is not None and day_of(day.start * 1000) < before


def _event(
    facts: AccountFacts,
    day: date,
    expected: str,
    found: str,
    detail: str,
    app_id: int | None = None,
    room_id: str | None = None,
) -> Mismatch:
    values: dict[str, Any] = {"app_id": app_id, "room_id": room_id}
    return Mismatch(
        check="event", account=facts.account_id, day=day, expected=expected, found=found, detail=detail, **values
    )
