"""Runs: what was done to the books, when, with what, and from which events. A run is written once, at its end.

Runs are numbered in the order in which they were written, one writer at a time. So *what was known then* is what the
runs up to a number wrote.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, RowMapping, func, insert, select

from billing.errors import UnknownNameError
from billing.events.commits import Commit
from billing.ledger import tables

BILLED, CORRECTED, REFRESHED, FAILED = "billed", "corrected", "refreshed", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run over one day of one account, or (`refreshed`) over all. `id` is None until it is stored.

    `ingest_id` is the cut-off: the run read this ingest and those before, and no later one; `ingest_commit` identifies
    its commit in the event log. A run that `corrected` went
    through every day from `from_day` to the last one settled before it, because of `cause`, and posted on `day`.
    """

    id: int | None = None
    command: str
    account_id: str | None
    day: date | None
    from_day: date | None = None
    started_at_ms: int
    finished_at_ms: int
    engine_version: str
    policy_id: str | None
    policy_hash: str | None
    price_hash: str | None
    ingest_id: int
    log_version: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    result: str = BILLED
    detail: str = ""
    cause: str | None = None
    ingest_commit: str | None = None


def insert_run(conn: Connection, run: Run) -> int:
    """Writes a run and returns its number.

    No run ends before the one before it, also where the clock went back: what was known at an instant are then the
    runs up to a number.
    """
    columns = {column.name: getattr(run, column.name) for column in tables.run.c if column.name != "id"}
    newest = select(tables.run.c.finished_at_ms).order_by(tables.run.c.id.desc()).limit(1)
    columns["finished_at_ms"] = max(run.finished_at_ms, conn.execute(newest).scalar() or 0)
    columns["counts"] = json.dumps(dict(run.counts), sort_keys=True)
    run_id: int = conn.execute(insert(tables.run).values(columns).returning(tables.run.c.id)).scalar_one()
    return run_id


def run_of(row: RowMapping) -> Run:
    """A row of the table as a run; other columns are left out."""
    columns = {column.name: row[column.name] for column in tables.run.c}
    return Run(**{**columns, "counts": json.loads(row["counts"])})


def find_run(conn: Connection, run_id: int) -> Run:
    """A `UsageError` when there is no such run."""
    row = conn.execute(select(tables.run).where(tables.run.c.id == run_id)).mappings().first()
    if row is None:
        raise UnknownNameError(f"there is no run {run_id}: see `billing runs`")
    return run_of(row)


def latest_runs(conn: Connection, limit: int) -> list[Run]:
    """The last runs, the newest first."""
    newest = select(tables.run).order_by(tables.run.c.id.desc()).limit(limit)
    return [run_of(row) for row in conn.execute(newest).mappings()]


def runs_of_account(conn: Connection, account_id: str, limit: int) -> list[Run]:
    """The last runs that wrote into the books of an account, the newest first."""
    run = tables.run.c
    written = (run.account_id == account_id) & run.result.in_([BILLED, CORRECTED])
    newest = select(tables.run).where(written).order_by(run.id.desc()).limit(limit)
    return [run_of(row) for row in conn.execute(newest).mappings()]


def last_run(conn: Connection) -> int:
    """The number of the last run; 0 when there is none."""
    last: int = conn.execute(select(func.coalesce(func.max(tables.run.c.id), 0))).scalar_one()
    return last


def last_run_at(conn: Connection, at_ms: int) -> int:
    """The number of the last run that had ended at an instant; 0 when there was none."""
    last: int | None = conn.execute(
        select(func.max(tables.run.c.id)).where(tables.run.c.finished_at_ms <= at_ms)
    ).scalar()
    return last or 0


def read_through(conn: Connection) -> dict[str, int]:
    """The ingest up to which each account's books take in all events: those of later ones may be late."""
    run = tables.run.c
    done = select(run.account_id, func.max(run.ingest_id)).where(run.result.in_([BILLED, CORRECTED]))
    return dict(conn.execute(done.group_by(run.account_id)).all())


def last_read(conn: Connection) -> Commit | None:
    """The last ingest of the event log that a bill or a correction rests on; no identity where the run kept none."""
    run = tables.run.c
    done = select(run.ingest_id, run.ingest_commit).where(run.result.in_([BILLED, CORRECTED]))
    newest = conn.execute(done.order_by(run.ingest_id.desc(), run.id.desc()).limit(1)).first()
    return Commit(ingest_id=newest.ingest_id, identity=newest.ingest_commit or "") if newest else None


def last_run_of(conn: Connection, account_id: str) -> int:
    """The last run that wrote into the books of an account; 0 when none did."""
    run = tables.run.c
    written = (run.account_id == account_id) & run.result.in_([BILLED, CORRECTED])
    last: int = conn.execute(select(func.coalesce(func.max(run.id), 0)).where(written)).scalar_one()
    return last


def failed_runs(conn: Connection) -> dict[str, Run]:
    """The last run of every account of which it failed."""
    run = tables.run.c
    last = select(func.max(run.id)).where(run.account_id.is_not(None)).group_by(run.account_id)
    failed = select(tables.run).where(run.id.in_(last), run.result == FAILED)
    return {row["account_id"]: run_of(row) for row in conn.execute(failed).mappings()}


def last_settled_days(conn: Connection) -> dict[str, date]:
    """The last settled day of every account that has one."""
    settled = tables.settled_day.c
    rows = select(settled.account_id, func.max(settled.day)).group_by(settled.account_id)
    return dict(conn.execute(rows).all())
