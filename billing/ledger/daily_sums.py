"""Sums by day that the database adds up, for views of whole months: charges, seconds, package minutes.

A month of an account with a thousand apps has millions of rows by window; of their sums there are a few hundred.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select, union_all

from billing.catalog.items import ITEM_RANK
from billing.ledger import tables
from billing.money import from_scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeSum:
    """What is posted on a day of an account, of one kind."""

    account_id: str
    day: date
    kind: str
    minutes: int
    payable_minutes: int
    amount: Decimal


def charge_sums(conn: Connection, accounts: Collection[str], first: date, last: date) -> list[ChargeSum]:
    """The charges and corrections that are posted in a period, by account, day and kind."""
    charge = tables.charge.c
    keys = (charge.account_id, charge.posted_on, charge.kind)
    sums = [_sum(charge[name]) for name in ("minutes", "payable_minutes", "amount_scaled")]
    rows = conn.execute(
        select(*keys, *sums)
        .where(charge.account_id.in_(list(accounts)), charge.posted_on.between(first, last))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        ChargeSum(
            account_id=account_id,
            day=day,
            kind=kind,
            minutes=minutes,
            payable_minutes=payable_minutes,
            amount=from_scaled(amount),
        )
        for account_id, day, kind, minutes, payable_minutes, amount in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSum:
    """What is posted in a period of one app and item at one price, of one kind."""

    app_id: int
    item: str
    kind: str
    unit_price: Decimal
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    amount: Decimal


def line_sums(conn: Connection, account_id: str, first: date, last: date) -> list[LineSum]:
    """The charges and corrections that are posted in a period, by app, item, kind and price."""
    charge = tables.charge.c
    keys = (charge.app_id, charge.item, charge.kind, charge.unit_price_scaled)
    names = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount_scaled")
    rows = conn.execute(
        select(*keys, *(_sum(charge[name]) for name in names))
        .where(charge.account_id == account_id, charge.posted_on.between(first, last))
        .group_by(*keys)
    )
    found = [
        LineSum(
            app_id=app_id,
            item=item,
            kind=kind,
            unit_price=from_scaled(price),
            seconds=seconds,
            minutes=minutes,
            deducted_minutes=deducted,
            payable_minutes=payable,
            amount=from_scaled(amount),
        )
        for app_id, item, kind, price, seconds, minutes, deducted, payable, amount in rows
    ]
    return sorted(found, key=lambda row: (row.app_id, ITEM_RANK[row.item], row.kind != "usage", row.unit_price))


def window_seconds(conn: Connection, account_id: str, app_id: int, first: date, last: date) -> dict[int, int]:
    """The seconds of an app by window (its start as epoch second), corrections included."""
    rows = []
    for table in (tables.usage, tables.usage_correction):
        used = table.c
        mine = (used.account_id == account_id) & used.day.between(first, last) & (used.app_id == app_id)
        rows.append(select(used.window_start, used.seconds).where(mine))
    both = union_all(*rows).subquery()
    sums = select(both.c.window_start, _sum(both.c.seconds)).group_by(both.c.window_start)
    return dict(conn.execute(sums.order_by(both.c.window_start)).all())


def burn_by_day(conn: Connection, account_id: str, first: date, last: date) -> dict[tuple[str, date], int]:
    """The package minutes that were taken of each payer, by payer id and the day on which that is posted."""
    burn = tables.burn_down.c
    mine = (burn.account_id == account_id) & burn.posted_on.between(first, last)
    keys = (burn.payer_id, burn.posted_on)
    rows = conn.execute(select(*keys, _sum(burn.package_minutes)).where(mine).group_by(*keys))
    return {(payer_id, day): minutes for payer_id, day, minutes in rows}


def _sum(column: ColumnElement[Any]) -> Any:
    """The sum of an integer column, as an integer on every database."""
    return cast(func.sum(column), BigInteger)
