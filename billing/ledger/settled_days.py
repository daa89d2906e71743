"""Settled days: written once, in one transaction for each account and day, and read back for every report.

A day holds what it was billed from (usage by window), what paid for it (deductions), what it costs (charges), what was
interpreted (findings) and the stays that go on the next day (state). Days follow each other without a gap: every day up
to the last settled one is settled. What corrections posted later is in `billing.ledger.corrections`; charges and
balances are read here with their corrections.

All periods here are in local days, both ends included. `upto` is a run: what was known when it had ended.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    cast,
    delete,
    func,
    insert,
    null,
    select,
)

from billing.catalog.catalog import Catalog
from billing.catalog.items import ITEM_RANK
from billing.catalog.packages import free_minutes_id, valid_days
from billing.catalog.policies import Policy, policy_from_source, policy_source
from billing.errors import BillingError
from billing.ledger import tables
from billing.ledger.database import writing
from billing.ledger.runs import Run, insert_run, run_of
from billing.money import from_scaled, to_scaled
from billing.periods import next_month, time_zone
from billing.rating.balances import PackageBalance
from billing.rating.charges import Charge, PostedCharge
from billing.rating.deductions import Deduction

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
DEDUCTIONS_SCHEMA = pl.Schema(
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
class DayBill:
    """Everything that settling one day of one account writes.

    `list_prices` are per minute, before the contract, by item. `free_grant` is the month's free minutes, given with its
    first settled day; None: given before. `lapses` are what payers whose last valid day this is have left.
    `catalog_change` is the last change of the catalog (its number) that the bill knows of.
    """

    account_id: str
    day: date
    run: Run
    policy: Policy
    catalog_change: int
    currency: str
    usage: pl.DataFrame
    deductions: Sequence[Deduction]
    charges: Sequence[Charge]
    list_prices: Mapping[str, Decimal]
    findings: pl.DataFrame
    state: pl.DataFrame
    free_grant: int | None = None
    lapses: Mapping[str, int] = field(default_factory=dict)


def settle(engine: Engine, bill: DayBill) -> int:
    """Writes the day and returns the id of its run; `AlreadyBilled` when it is settled, and then nothing is written."""
    with writing(engine) as conn:
        _check_turn(conn, bill)
        check_catalog_change(conn, bill.catalog_change)
        run_id = insert_run(conn, bill.run)
        insert_settled_day(conn, bill.account_id, bill.day, run_id, bill.policy)
        _insert_windows(conn, bill)
        insert_rows(conn, tables.charge, [_charge_row(bill, run_id, charge) for charge in bill.charges])
        _insert_payments(conn, bill, run_id)
        insert_state(conn, bill.account_id, bill.day, run_id, bill.state)
        provisional = tables.provisional_day.c
        past = (provisional.account_id == bill.account_id) & (provisional.day <= bill.day)
        conn.execute(delete(tables.provisional_day).where(past))
    return run_id


def last_settled_days(conn: Connection) -> dict[str, date]:
    """The last settled day of every account that has one."""
    settled = tables.settled_day.c
    return dict(conn.execute(select(settled.account_id, func.max(settled.day)).group_by(settled.account_id)).all())


def last_settled_day(conn: Connection, account_id: str) -> date | None:
    """The last settled day of an account."""
    settled = tables.settled_day.c
    return conn.execute(select(func.max(settled.day)).where(settled.account_id == account_id)).scalar()


def first_settled_day(conn: Connection, account_id: str) -> date | None:
    """The first settled day of an account."""
    settled = tables.settled_day.c
    return conn.execute(select(func.min(settled.day)).where(settled.account_id == account_id)).scalar()


def settled_days(
    conn: Connection, account_id: str, first: date, last: date, *, upto: int | None = None
) -> dict[date, Run]:
    """The settled days of a period in order, each with the run that settled it and the policy of that day."""
    settled, columns = tables.settled_day, tables.run.c
    of_day = {"settled_on": settled.c.day, "policy_id": settled.c.policy_id, "policy_hash": settled.c.policy_hash}
    query = select(
        *(column for column in columns if column.name not in of_day),
        *(column.label(name) for name, column in of_day.items()),
    ).join(tables.run, settled.c.run_id == columns.id)
    rows = conn.execute(query.where(_in_period(settled, account_id, first, last, upto)).order_by(settled.c.day))
    return {row["settled_on"]: run_of(row) for row in rows.mappings()}


def used_policy(conn: Connection, policy_hash: str) -> Policy | None:
    """A policy as it was when days were billed with it."""
    used = tables.used_policy.c
    source = conn.execute(select(used.source).where(used.hash == policy_hash)).scalar()
    return None if source is None else policy_from_source(source)


def used_units(conn: Connection, account_id: str, *, before: date = date.max) -> dict[str, int]:
    """The package units that the settled days before a day took, corrections included, by payer id."""
    burned = tables.burn_down.c
    return _units_by_payer(conn, tables.burn_down, (burned.account_id == account_id) & (burned.day < before))


def lapsed_units(conn: Connection, account_id: str, *, before: date = date.max) -> dict[str, int]:
    """The package units that lapsed with the settled days before a day, corrections included, by payer id."""
    lapsed = tables.lapse.c
    return _units_by_payer(conn, tables.lapse, (lapsed.account_id == account_id) & (lapsed.day < before))


def free_grants(conn: Connection, account_id: str, *, on: date = date.max, upto: int | None = None) -> dict[date, int]:
    """The free minutes given up to the end of `on`, by month (its first day)."""
    grants = tables.free_grant
    rows = select(grants.c.month, grants.c.minutes).where(_posted(grants, account_id, date.min, on, upto))
    return dict(conn.execute(rows).all())


def carried_state(conn: Connection, account_id: str, day: date, *, upto: int | None = None) -> pl.DataFrame | None:
    """The stays that were open at the end of `day`; None when that day is not settled."""
    state = tables.carried_state
    known = select(state.c.frame).where(_in_period(state, account_id, day, day, upto)).order_by(state.c.run_id.desc())
    frame = conn.execute(known.limit(1)).scalar()
    return None if frame is None else pl.read_ipc(BytesIO(frame))


def usage(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """Settled seconds: `day` and the columns of `USAGE_SCHEMA`, by day, app, window, item and reason."""
    return read_rows(conn, tables.usage, USAGE_SCHEMA, account_id, first, last, apps)


def deductions(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """Minutes that packages and free minutes paid: `day` and the fields of `Deduction`, by day, app, window, item."""
    return read_rows(conn, tables.deduction, DEDUCTIONS_SCHEMA, account_id, first, last, apps)


def findings(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """What was ignored or interpreted: `day` and the columns of `FINDINGS_SCHEMA`, in the order they were stored."""
    return read_rows(conn, tables.finding, FINDINGS_SCHEMA, account_id, first, last, apps)


def charges(
    conn: Connection, account_id: str, first: date, last: date, *, upto: int | None = None
) -> list[PostedCharge]:
    """The charges and corrections that stand in the books of a period, by day, app, item and run."""
    return _charges(conn, _posted(tables.charge, account_id, first, last, upto))


def charges_of_day(conn: Connection, account_id: str, day: date) -> list[PostedCharge]:
    """What was ever charged for the use of a day, corrections included."""
    return _charges(conn, _in_period(tables.charge, account_id, day, day, None))


def deducted_minutes(
    conn: Connection, account_id: str, first: date, last: date, *, upto: int | None = None
) -> dict[tuple[date, int, str, int | None], dict[str, int]]:
    """The minutes that each payer paid, by day, app, item and correcting run (None: as the day was settled).

    Of the days of a period, and of the corrections posted in it.
    """
    found: dict[tuple[date, int, str, int | None], dict[str, int]] = {}
    original, correction, run = tables.deduction.c, tables.deduction_correction.c, tables.run
    settled = _of_days(tables.deduction, account_id, first, last, upto)
    posted = (correction.account_id == account_id) & run.c.day.between(first, last)
    if upto is not None:
        posted &= correction.run_id <= upto
    for columns, run_id, where in (
        (original, null(), settled),
        (correction, correction.run_id, posted),
    ):
        keys = [columns.day, columns.app_id, columns.item, columns.payer_id]
        query = select(*keys, run_id.label("run_id"), cast(func.sum(columns.minutes), BigInteger).label("minutes"))
        if columns is correction:
            query = query.join_from(tables.deduction_correction, run, run.c.id == correction.run_id)
            keys.append(correction.run_id)
        for row in conn.execute(query.where(where).group_by(*keys)):
            if row.minutes:
                found.setdefault((row.day, row.app_id, row.item, row.run_id), {})[row.payer_id] = row.minutes
    return found


def lapses_of_day(conn: Connection, account_id: str, day: date) -> dict[str, int]:
    """What lapsed at the end of a day, corrections included, by payer id."""
    return _units_by_payer(conn, tables.lapse, _in_period(tables.lapse, account_id, day, day, None))


def package_balances(
    conn: Connection, catalog: Catalog, account_id: str, *, on: date | None = None, upto: int | None = None
) -> list[PackageBalance]:
    """Every month's free minutes by month, then every package by its first day and id.

    As of now, or of the end of `on`: then without what begins later.
    """
    last = on or date.max
    used, lapsed = (
        _units_by_payer(conn, table, _posted(table, account_id, date.min, last, upto))
        for table in (tables.burn_down, tables.lapse)
    )

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
        for month, minutes in sorted(free_grants(conn, account_id, on=last, upto=upto).items())
    ]
    zone = time_zone(catalog.account(account_id).timezone)
    bought = [
        balance(package.id, package.app, valid_from, valid_to, package.minutes)
        for package in catalog.packages.values()
        if package.account == account_id
        for valid_from, valid_to in [valid_days(package, zone)]
    ]
    bought.sort(key=lambda entry: (entry.valid_from, entry.id))
    return [entry for entry in (*free, *bought) if entry.valid_from <= last]


def remaining_units(conn: Connection, account_id: str) -> dict[str, int]:
    """What every payer of an account can still pay, whenever it is valid, by payer id."""
    package = tables.package.c
    bought = select(package.id, package.minutes).where(package.account_id == account_id)
    remaining: Counter[str] = Counter(dict(conn.execute(bought).all()))
    remaining.update({free_minutes_id(month): units for month, units in free_grants(conn, account_id).items()})
    for table in (tables.burn_down, tables.lapse):
        remaining.subtract(_units_by_payer(conn, table, table.c.account_id == account_id))
    return dict(remaining)


def _check_turn(conn: Connection, bill: DayBill) -> None:
    """Refuses a day that is settled. The writer's lock is held, so nobody settles it after this look."""
    last = last_settled_day(conn, bill.account_id)
    if last is None or bill.day == last + timedelta(days=1):
        return
    if bill.day <= last:
        raise AlreadyBilled(f'account "{bill.account_id}" is billed up to {last} already')
    raise ValueError(f"{bill.account_id} is settled up to {last}, and {bill.day} does not follow that day")


def check_catalog_change(conn: Connection, known: int) -> None:
    """Refuses what was computed with a catalog that is no longer the last one."""
    if conn.execute(select(func.coalesce(func.max(tables.catalog_change.c.id), 0))).scalar_one() != known:
        raise BillingError("the catalog was changed during this run: nothing was written, run the command again")


def insert_settled_day(conn: Connection, account_id: str, day: date, run_id: int, policy: Policy) -> None:
    """The guard against billing a day twice; and the policy is kept as it was."""
    used = tables.used_policy
    if conn.execute(select(used.c.hash).where(used.c.hash == policy.hash)).first() is None:
        conn.execute(insert(used).values(hash=policy.hash, source=policy_source(policy)))
    values = {"account_id": account_id, "day": day, "run_id": run_id, "policy_id": policy.id}
    conn.execute(insert(tables.settled_day).values({**values, "policy_hash": policy.hash}))


def insert_state(conn: Connection, account_id: str, day: date, run_id: int, state: pl.DataFrame) -> None:
    """The stays that are open at the end of a day, as this run knows them."""
    frame = state.write_ipc(None, compression="zstd").getvalue()
    values = {"account_id": account_id, "day": day, "run_id": run_id, "frame": frame}
    conn.execute(insert(tables.carried_state).values(values))


def insert_free_grant(conn: Connection, account_id: str, day: date, minutes: int, run_id: int, posted_on: date) -> None:
    """Gives the free minutes of the month that holds `day`."""
    values = {"account_id": account_id, "month": day.replace(day=1), "minutes": minutes, "run_id": run_id}
    conn.execute(insert(tables.free_grant).values({**values, "posted_on": posted_on}))


def _insert_windows(conn: Connection, bill: DayBill) -> None:
    key = {"account_id": bill.account_id, "day": bill.day}
    deducted = pl.DataFrame(bill.deductions, schema=DEDUCTIONS_SCHEMA, orient="row")
    insert_frame(conn, tables.usage, key, bill.usage.select(USAGE_SCHEMA.names()))
    insert_frame(conn, tables.deduction, key, deducted)
    insert_frame(
        conn, tables.finding, key, storable(bill.findings).select(FINDINGS_SCHEMA.names()).with_row_index("id", 1)
    )


def _insert_payments(conn: Connection, bill: DayBill, run_id: int) -> None:
    """What is left of every payer that paid or lapses; a day that takes more than there is must not be written."""
    if bill.free_grant is not None:
        insert_free_grant(conn, bill.account_id, bill.day, bill.free_grant, run_id, bill.day)
    before = remaining_units(conn, bill.account_id)
    paid: Counter[str] = Counter()
    for deduction in bill.deductions:
        paid[deduction.payer_id] += deduction.package_units
    for payer_id in paid.keys() | bill.lapses.keys():
        if before.get(payer_id, 0) < paid[payer_id] + bill.lapses.get(payer_id, 0):
            raise BillingError(
                f'{bill.day} of account "{bill.account_id}" takes more from "{payer_id}" than it has left: '
                "its packages were changed during this run; bill the day again"
            )
    key = {
        "account_id": bill.account_id,
        "day": bill.day,
        "run_id": run_id,
        "kind": "usage",
        "posted_on": bill.day,
    }
    burned = [
        {**key, "payer_id": payer_id, "package_units": units, "remaining": before[payer_id] - units}
        for payer_id, units in paid.items()
    ]
    lapses = [{**key, "payer_id": payer_id, "package_units": units} for payer_id, units in bill.lapses.items() if units]
    insert_rows(conn, tables.burn_down, burned)
    insert_rows(conn, tables.lapse, lapses)


def _charge_row(bill: DayBill, run_id: int, charge: Charge) -> dict[str, object]:
    return charge_row(
        bill.account_id,
        PostedCharge(
            day=bill.day,
            kind="usage",
            run_id=run_id,
            posted_on=bill.day,
            currency=bill.currency,
            list_price=bill.list_prices.get(charge.item),
            charge=charge,
        ),
    )


def charge_row(account_id: str, posted: PostedCharge) -> dict[str, object]:
    """A charge as a row of its table."""
    charge = posted.charge
    return {
        "account_id": account_id,
        "day": posted.day,
        "app_id": charge.app_id,
        "item": charge.item,
        "kind": posted.kind,
        "run_id": posted.run_id,
        "corrects_run_id": posted.corrects_run_id,
        "posted_on": posted.posted_on,
        "cause": posted.cause,
        "seconds": charge.seconds,
        "minutes": charge.minutes,
        "deducted_minutes": charge.deducted_minutes,
        "payable_minutes": charge.payable_minutes,
        "unit_price_scaled": to_scaled(charge.unit_price),
        "list_price_scaled": None if posted.list_price is None else to_scaled(posted.list_price),
        "amount_scaled": to_scaled(charge.amount),
        "currency": posted.currency,
    }


def _charges(conn: Connection, where: ColumnElement[bool]) -> list[PostedCharge]:
    posted = [_posted_charge(row) for row in conn.execute(select(tables.charge).where(where))]
    return sorted(
        posted, key=lambda entry: (entry.day, entry.charge.app_id, ITEM_RANK[entry.charge.item], entry.run_id)
    )


def _posted_charge(row: Row[tuple[object, ...]]) -> PostedCharge:
    return PostedCharge(
        day=row.day,
        kind=row.kind,
        run_id=row.run_id,
        corrects_run_id=row.corrects_run_id,
        posted_on=row.posted_on,
        cause=row.cause,
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


def _units_by_payer(conn: Connection, table: Table, where: ColumnElement[bool]) -> dict[str, int]:
    units = cast(func.sum(table.c.package_units), BigInteger)
    return dict(conn.execute(select(table.c.payer_id, units).where(where).group_by(table.c.payer_id)).all())


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """A few rows, as many columns as they name."""
    if rows:
        conn.execute(insert(table), rows)


def storable(findings: pl.DataFrame) -> pl.DataFrame:
    """Text of events may hold a NUL, which PostgreSQL cannot store."""
    return findings.with_columns(pl.col(pl.String).str.replace_all("\0", "\N{SYMBOL FOR NULL}", literal=True))


def insert_frame(conn: Connection, table: Table, key: Mapping[str, object], frame: pl.DataFrame) -> None:
    """Many rows at the speed of the driver, each with the columns of `key`: SQLAlchemy's own insert takes a dict for
    each row."""
    # A table in the order of its key is filled fastest in that order.
    ordered = frame.sort([column.name for column in table.primary_key if column.name in frame.columns])
    constants = [
        pl.lit(value.isoformat() if isinstance(value, date) else value).alias(name) for name, value in key.items()
    ]
    filled = ordered.select(*constants, pl.all())
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


def _in_period(table: Table, account_id: str, first: date, last: date, upto: int | None) -> ColumnElement[bool]:
    """Rows of these days, of the runs that were known."""
    return _known(table, (table.c.account_id == account_id) & table.c.day.between(first, last), upto)


def _posted(table: Table, account_id: str, first: date, last: date, upto: int | None) -> ColumnElement[bool]:
    """Rows that stand in the books of these days, of the runs that were known."""
    return _known(table, (table.c.account_id == account_id) & table.c.posted_on.between(first, last), upto)


def _known(table: Table, rows: ColumnElement[bool], upto: int | None) -> ColumnElement[bool]:
    return rows if upto is None else rows & (table.c.run_id <= upto)


def _of_days(table: Table, account_id: str, first: date, last: date, upto: int | None) -> ColumnElement[bool]:
    """Rows of these days; of a table that does not name the run: of the days that were settled."""
    rows = (table.c.account_id == account_id) & table.c.day.between(first, last)
    if upto is None:
        return rows
    settled = tables.settled_day.c
    return rows & table.c.day.in_(select(settled.day).where(settled.account_id == account_id, settled.run_id <= upto))


def read_rows(
    conn: Connection,
    table: Table,
    schema: pl.Schema,
    account_id: str,
    first: date,
    last: date,
    apps: Iterable[int] | None = None,
    runs: Iterable[int] | None = None,
) -> pl.DataFrame:
    """`day` and the columns of `schema`, in the order of the table's key."""
    columns: list[Column[object]] = [table.c[name] for name in ("day", *schema)]
    of_days = (table.c.account_id == account_id) & table.c.day.between(first, last)
    query = select(*columns).where(of_days).order_by(*table.primary_key)
    if apps is not None:
        query = query.where(table.c.app_id.in_(list(apps)))
    if runs is not None:
        query = query.where(table.c.run_id.in_(list(runs)))
    rows = conn.execute(query).all()
    return pl.DataFrame(rows, schema={"day": pl.Date, **schema}, orient="row")
