"""Provisional days: the seconds of days that are not settled, as the last refresh left them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
from sqlalchemy import Connection, delete, func, insert, select

from billing.ledger import tables
from billing.ledger.bulk import packed, unpacked
from billing.metering.schemas import as_state


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionalDay:
    """An unsettled day up to epoch second `cut_at`, from the events of the ingests up to `ingest_id`.

    `usage`: seconds per app, window, item and reason; `state`: the stays that are open at the cut. `basis` tells what
    the day began with: the stays carried into it, and the rules.
    """

    account_id: str
    day: date
    cut_at: int
    ingest_id: int
    basis: str
    usage: pl.DataFrame
    state: pl.DataFrame
    refreshed_at_ms: int


def provisional_days(conn: Connection, account_id: str) -> list[ProvisionalDay]:
    """The provisional days of an account in order."""
    table = tables.provisional_day
    rows = conn.execute(select(table).where(table.c.account_id == account_id).order_by(table.c.day))
    return [
        ProvisionalDay(
            account_id=row.account_id,
            day=row.day,
            cut_at=row.cut_at,
            ingest_id=row.ingest_id,
            basis=row.basis,
            usage=unpacked(row.usage),
            state=as_state(unpacked(row.state)),
            refreshed_at_ms=row.refreshed_at_ms,
        )
        for row in rows
    ]


def put(conn: Connection, day: ProvisionalDay) -> None:
    """Replaces what was provisional of an account's day."""
    table = tables.provisional_day
    conn.execute(delete(table).where(table.c.account_id == day.account_id, table.c.day == day.day))
    values = {column.name: getattr(day, column.name) for column in table.c}
    for name in ("usage", "state"):
        values[name] = packed(values[name])
    conn.execute(insert(table).values(values))


def remove_before(conn: Connection, first_days: Mapping[str, date]) -> None:
    """Removes what is provisional before the first unsettled day of each account; an account not named has none."""
    table = tables.provisional_day
    oldest = conn.execute(select(table.c.account_id, func.min(table.c.day)).group_by(table.c.account_id)).all()
    for account_id, day in oldest:
        first_day = first_days.get(account_id, date.max)
        if day < first_day:
            conn.execute(delete(table).where(table.c.account_id == account_id, table.c.day < first_day))
