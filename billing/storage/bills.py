"""Settled days: written once, in one transaction for each account and day, and read back for every report.

A day holds what it was billed from (usage by window), what paid for it (deductions), what it costs (charges), what was
interpreted (findings) and the stays that go on the next day (state). Days follow each other without a gap: every day up
to the last settled one is settled. All periods here are in local days, both ends included.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Engine, Row, Table, cast, func, insert, select

from billing.errors import BillingError
from billing.money import from_scaled, to_scaled
from billing.periods import next_month
from billing.rating.charges import Charge
from billing.rating.deductions import Deduction
from billing.rating.items import ITEM_RANK
from billing.rating.packages import free_minutes_id
from billing.storage import tables
from billing.storage.database import writing

# What `settle` is given; reports read the same columns after `day`.
USAGE_SCHEMA = pl.Schema(
    {"app_id": pl.Int64, "window_start": pl.Int64, "item": pl.String, "reason": pl.String, "seconds": pl.Int64}
)
FINDINGS_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "at": pl.Int64,
        "finding": pl.String,
        "detail": pl.String,
    }
)
_DEDUCTIONS_SCHEMA = pl.Schema(
    {
        "window_start": pl.Int64,
        "app_id": pl.Int64,
        "item": pl.String,
        "payer_id": pl.String,
        "minutes": pl.Int64,
        "package_units": pl.Int64,
    }
)
_ROWS_AT_ONCE = 100_000


class AlreadyBilled(BillingError):  # noqa: N818 - an answer more than an error: the day is done
    """The account and day are settled, perhaps by a process that was quicker; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What billed a day, with what, and from which events (`ingest_id` and before). `id` is None until it is stored."""

    id: int | None = None
    command: str
    account_id: str
    day: date
    started_at_ms: int
    finished_at_ms: int
    engine_version: str
    policy_id: str
    policy_hash: str
    price_hash: str
    ingest_id: int
    log_version: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    result: str = "billed"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBill:
    """Everything that settling one day of one account writes.

    `list_prices` are per minute, before the contract, by item. `free_grant` is the month's free minutes, given with its
    first settled day; None: given before. `lapses` are what payers whose last valid day this is have left.
    """

    run: Run
    currency: str
    usage: pl.DataFrame
    deductions: Sequence[Deduction]
    charges: Sequence[Charge]
    list_prices: Mapping[str, Decimal]
    findings: pl.DataFrame
    state: pl.DataFrame
    free_grant: int | None = None
    lapses: Mapping[str, int] = field(default_factory=dict)

    @property
    def account_id(self) -> str:
        """Whose day it is."""
        return self.run.account_id

    @property
    def day(self) -> date:
        """The local day that is billed."""
        return self.run.day


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedCharge:
    """A charge as it stands in the books. `list_price` is per minute, before the contract; None: there is none."""

    day: date
    kind: str
    run_id: int
    currency: str
    list_price: Decimal | None
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBalance:
    """A package or a month's free minutes, in package units; valid on both `valid_from` and `valid_to`."""

    id: str
    app_id: int | None
    valid_from: date
    valid_to: date
    granted: int
    deducted: int
    lapsed: int

    @property
    def remaining(self) -> int:
        """What can still pay."""
        return self.granted - self.deducted - self.lapsed


def settle(engine: Engine, bill: DayBill) -> int:
    """Writes the day and returns the id of its run; `AlreadyBilled` when it is settled, and then nothing is written."""
    with writing(engine) as conn:
        _check_turn(conn, bill)
        run_id = _insert_run(conn, bill.run)
        conn.execute(
            insert(tables.settled_day).values(
                account_id=bill.account_id,
                day=bill.day,
                run_id=run_id,
                policy_id=bill.run.policy_id,
                policy_hash=bill.run.policy_hash,
            )
        )
        _insert_windows(conn, bill)
        _insert_rows(conn, tables.charge, bill, [_charge_row(bill, run_id, charge) for charge in bill.charges])
        _insert_payments(conn, bill)
        frame = bill.state.write_ipc(None, compression="zstd").getvalue()
        _insert_rows(conn, tables.carried_state, bill, [{"frame": frame}])
    return run_id


def last_settled_days(conn: Connection) -> dict[str, date]:
    """The last settled day of every account that has one."""
    settled = tables.settled_day.c
    return dict(conn.execute(select(settled.account_id, func.max(settled.day)).group_by(settled.account_id)).all())


def last_settled_day(conn: Connection, account_id: str) -> date | None:
    """The last settled day of an account."""
    settled = tables.settled_day.c
    return conn.execute(select(func.max(settled.day)).where(settled.account_id == account_id)).scalar()


def settled_days(conn: Connection, account_id: str, first: date, last: date) -> dict[date, Run]:
    """The settled days of a period in order, each with the run that settled it."""
    settled = tables.settled_day
    query = select(tables.run).join(settled, settled.c.run_id == tables.run.c.id).order_by(settled.c.day)
    rows = conn.execute(query.where(_in_period(settled, account_id, first, last)))
    return {row.day: _run(row) for row in rows}


def used_units(conn: Connection, account_id: str) -> dict[str, int]:
    """The package units that the settled days took, by payer id."""
    return _units_by_payer(conn, tables.burn_down, account_id, date.max)


def free_grants(conn: Connection, account_id: str) -> dict[date, int]:
    """The free minutes given so far, by month (its first day)."""
    grants = tables.free_grant.c
    return dict(conn.execute(select(grants.month, grants.minutes).where(grants.account_id == account_id)).all())


def carried_state(conn: Connection, account_id: str, day: date) -> pl.DataFrame | None:
    """The stays that were open at the end of `day`; None when that day is not settled."""
    state = tables.carried_state.c
    frame = conn.execute(select(state.frame).where(state.account_id == account_id, state.day == day)).scalar()
    return None if frame is None else pl.read_ipc(BytesIO(frame))


def usage(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """Settled seconds: `day` and the columns of `USAGE_SCHEMA`, by day, app, window, item and reason."""
    return _read(conn, tables.usage, USAGE_SCHEMA, account_id, first, last, apps)


def deductions(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """Minutes that packages and free minutes paid: `day` and the fields of `Deduction`, by day, app, window, item."""
    return _read(conn, tables.deduction, _DEDUCTIONS_SCHEMA, account_id, first, last, apps)


def findings(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """What was ignored or interpreted: `day` and the columns of `FINDINGS_SCHEMA`, in the order they were stored."""
    return _read(conn, tables.finding, FINDINGS_SCHEMA, account_id, first, last, apps)


def charges(conn: Connection, account_id: str, first: date, last: date) -> list[PostedCharge]:
    """The charges of a period by day, app, item and run."""
    rows = conn.execute(select(tables.charge).where(_in_period(tables.charge, account_id, first, last)))
    posted = [_posted_charge(row) for row in rows]
    return sorted(
        posted, key=lambda entry: (entry.day, entry.charge.app_id, ITEM_RANK[entry.charge.item], entry.run_id)
    )


def package_balances(conn: Connection, account_id: str, on: date | None = None) -> list[PackageBalance]:
    """Every month's free minutes by month, then every package by its first day and id.

    As of the last settled day, or of the end of `on`: then without what begins later.
    """
    upto = on or date.max
    used = _units_by_payer(conn, tables.burn_down, account_id, upto)
    lapsed = _units_by_payer(conn, tables.lapse, account_id, upto)

    def balance(payer_id: str, app_id: int | None, valid_from: date, valid_to: date, granted: int) -> PackageBalance:
        return PackageBalance(
            id=payer_id,
            app_id=app_id,
            valid_from=valid_from,
            valid_to=valid_to,
            granted=granted,
            deducted=used.get(payer_id, 0),
            lapsed=lapsed.get(payer_id, 0),
        )

    free = [
        balance(free_minutes_id(month), None, month, next_month(month) - timedelta(days=1), minutes)
        for month, minutes in sorted(free_grants(conn, account_id).items())
    ]
    package = tables.package.c
    bought = select(package.id, package.app_id, package.valid_from, package.valid_to, package.minutes)
    rows = conn.execute(bought.where(package.account_id == account_id).order_by(package.valid_from, package.id))
    return [entry for entry in (*free, *(balance(*row) for row in rows)) if entry.valid_from <= upto]


def _check_turn(conn: Connection, bill: DayBill) -> None:
    """Refuses a day that is settled. The writer's lock is held, so nobody settles it after this look."""
    last = last_settled_day(conn, bill.account_id)
    if last is None or bill.day == last + timedelta(days=1):
        return
    if bill.day <= last:
        raise AlreadyBilled(f'account "{bill.account_id}" is billed up to {last} already')
    raise ValueError(f"{bill.account_id} is settled up to {last}, and {bill.day} does not follow that day")


def _insert_run(conn: Connection, run: Run) -> int:
    columns = {column.name: getattr(run, column.name) for column in tables.run.c if column.name != "id"}
    columns["counts"] = json.dumps(dict(run.counts), sort_keys=True)
    run_id: int = conn.execute(insert(tables.run).values(columns).returning(tables.run.c.id)).scalar_one()
    return run_id


def _insert_windows(conn: Connection, bill: DayBill) -> None:
    deducted = pl.DataFrame(bill.deductions, schema=_DEDUCTIONS_SCHEMA, orient="row")
    # Text of events may hold a NUL, which PostgreSQL cannot store.
    found = bill.findings.with_columns(pl.col(pl.String).str.replace_all("\0", "\N{SYMBOL FOR NULL}", literal=True))
    _insert_frame(conn, tables.usage, bill, bill.usage.select(USAGE_SCHEMA.names()))
    _insert_frame(conn, tables.deduction, bill, deducted)
    _insert_frame(conn, tables.finding, bill, found.select(FINDINGS_SCHEMA.names()).with_row_index("id", offset=1))


def _insert_payments(conn: Connection, bill: DayBill) -> None:
    """What is left of every payer that paid or lapses; a day that takes more than there is must not be written."""
    if bill.free_grant is not None:
        month = bill.day.replace(day=1)
        values = {"account_id": bill.account_id, "month": month, "minutes": bill.free_grant}
        conn.execute(insert(tables.free_grant).values(values))
    before = {balance.id: balance.remaining for balance in package_balances(conn, bill.account_id)}
    paid: Counter[str] = Counter()
    for deduction in bill.deductions:
        paid[deduction.payer_id] += deduction.package_units
    for payer_id in paid.keys() | bill.lapses.keys():
        if before.get(payer_id, 0) < paid[payer_id] + bill.lapses.get(payer_id, 0):
            raise BillingError(
                f'{bill.day} of account "{bill.account_id}" takes more from "{payer_id}" than it has left: '
                "its packages were changed during this run; bill the day again"
            )
    burned = [
        {"payer_id": payer_id, "package_units": units, "remaining": before[payer_id] - units}
        for payer_id, units in paid.items()
    ]
    lapses = [{"payer_id": payer_id, "package_units": units} for payer_id, units in bill.lapses.items() if units]
    _insert_rows(conn, tables.burn_down, bill, burned)
    _insert_rows(conn, tables.lapse, bill, lapses)


def _charge_row(bill: DayBill, run_id: int, charge: Charge) -> dict[str, object]:
    list_price = bill.list_prices.get(charge.item)
    return {
        "app_id": charge.app_id,
        "item": charge.item,
        "kind": "usage",
        "run_id": run_id,
        "seconds": charge.seconds,
        "minutes": charge.minutes,
        "deducted_minutes": charge.deducted_minutes,
        "payable_minutes": charge.payable_minutes,
        "unit_price_scaled": to_scaled(charge.unit_price),
        "list_price_scaled": None if list_price is None else to_scaled(list_price),
        "amount_scaled": to_scaled(charge.amount),
        "currency": bill.currency,
    }


def _posted_charge(row: Row[tuple[object, ...]]) -> PostedCharge:
    return PostedCharge(
        day=row.day,
        kind=row.kind,
        run_id=row.run_id,
        currency=row.currency,
        list_price=None if row.list_price_scaled is None else from_scaled(row.list_price_scaled),
        charge=Charge(
            app_id=row.app_id,
            item=row.item,
            seconds=row.seconds,
            minutes=row.minutes,
            deducted_minutes=row.deducted_minutes,
            payable_minutes=row.payable_minutes,
            unit_price=from_scaled(row.unit_price_scaled),
            amount=from_scaled(row.amount_scaled),
        ),
    )


def _run(row: Row[tuple[object, ...]]) -> Run:
    return Run(**{**row._mapping, "counts": json.loads(row.counts)})


def _units_by_payer(conn: Connection, table: Table, account_id: str, upto: date) -> dict[str, int]:
    units = cast(func.sum(table.c.package_units), BigInteger)
    query = select(table.c.payer_id, units).where(table.c.account_id == account_id, table.c.day <= upto)
    return dict(conn.execute(query.group_by(table.c.payer_id)).all())


def _insert_rows(conn: Connection, table: Table, bill: DayBill, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        conn.execute(insert(table), [{"account_id": bill.account_id, "day": bill.day, **row} for row in rows])


def _insert_frame(conn: Connection, table: Table, bill: DayBill, frame: pl.DataFrame) -> None:
    """Many rows at the speed of the driver: SQLAlchemy's own insert takes a dict for each row."""
    # A table in the order of its key is filled fastest in that order.
    ordered = frame.sort([column.name for column in table.primary_key if column.name in frame.columns])
    day = pl.lit(bill.day.isoformat()).alias("day")
    filled = ordered.select(pl.lit(bill.account_id).alias("account_id"), day, pl.all())
    columns = ", ".join(f'"{name}"' for name in filled.columns)
    for part in filled.iter_slices(_ROWS_AT_ONCE):
        if conn.dialect.name == "postgresql":
            _copy(conn, f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT csv)', part)
        else:
            marks = ", ".join("?" * len(part.columns))
            conn.exec_driver_sql(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', part.rows())  # noqa: S608 - our own names


def _copy(conn: Connection, statement: str, rows: pl.DataFrame) -> None:
    # `cursor.copy` is psycopg's own, beyond what every driver has.
    cursor: Any = conn.connection.cursor()
    with cursor, cursor.copy(statement) as copy:
        copy.write(rows.write_csv(include_header=False, quote_style="non_numeric"))


def _in_period(table: Table, account_id: str, first: date, last: date) -> ColumnElement[bool]:
    return (table.c.account_id == account_id) & table.c.day.between(first, last)


def _read(
    conn: Connection,
    table: Table,
    schema: pl.Schema,
    account_id: str,
    first: date,
    last: date,
    apps: Iterable[int] | None,
) -> pl.DataFrame:
    """`day` and the columns of `schema`, in the order of the table's key."""
    columns: list[Column[object]] = [table.c[name] for name in ("day", *schema)]
    query = select(*columns).where(_in_period(table, account_id, first, last)).order_by(*table.primary_key)
    if apps is not None:
        query = query.where(table.c.app_id.in_(list(apps)))
    rows = conn.execute(query).all()
    return pl.DataFrame(rows, schema={"day": pl.Date, **schema}, orient="row")
