"""Rooms of a day for reading: those with the most seconds first, with their seconds by item and their share of what
the app's day costs. A day of an app may have 100,000 rooms: only those that are shown get their shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

import polars as pl

from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import find_run
from billing.money import EXACT
from billing.reports.app_days import app_day
from billing.reports.explained_rooms import room_shares
from billing.reports.room_seconds import room_seconds
from billing.reports.window_payments import WindowPayment, window_payments


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSum:
    """A room's seconds by item, and its share of the amount."""

    room_id: str
    seconds: dict[str, int]
    share: Decimal

    @property
    def total(self) -> int:
        """All its seconds."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRooms:
    """The rooms that are shown, how many were found, and what all rooms of the day have and cost."""

    rooms: list[RoomSum]
    found: int
    seconds: int
    amount: Decimal


def day_rooms(
    home: Home,
    engine: Engine,
    app_id: int,
    day: date,
    *,
    wanted: str = "",
    skip: int = 0,
    limit: int = 50,
    run: int | None = None,
) -> DayRooms:
    """The rooms of a billed day whose name has `wanted` in it, the largest first: `limit` of them after `skip`. `run`:
    as it was known when that run had ended. A `UsageError` when the day is not billed."""
    with reading(engine) as conn:
        if run is not None:
            find_run(conn, run)
        catalog = load_catalog(conn)
        account_id = catalog.app(app_id).account
        ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog, as_of=run)
        of_day = app_day(ledger, EventLog(directory=home.events), app_id, day)
        windows, seconds = window_payments(of_day), room_seconds(home.room_seconds, of_day)
    order = (
        seconds.group_by("room_id").agg(pl.col("seconds").sum()).sort("seconds", "room_id", descending=[True, False])
    )
    found = order.filter(pl.col("room_id").str.to_lowercase().str.contains(wanted.lower(), literal=True))
    shown = found["room_id"].slice(skip, limit).to_list()
    amounts = _amounts(windows)
    return DayRooms(
        rooms=_sums(seconds, amounts, shown),
        found=found.height,
        seconds=int(seconds["seconds"].sum()),
        amount=_total(list(amounts.values())),
    )


def _amounts(windows: Sequence[WindowPayment]) -> dict[str, Decimal]:
    """What the day costs by item."""
    items = {each.item for each in windows}
    return {item: _total([each.amount for each in windows if each.item == item]) for item in items}


def _sums(seconds: pl.DataFrame, amounts: dict[str, Decimal], shown: Sequence[str]) -> list[RoomSum]:
    parts: dict[str, dict[str, int]] = {name: {} for name in shown}
    shares: dict[str, list[Decimal]] = {name: [] for name in shown}
    for each in room_shares(seconds, amounts, rooms=shown):
        of_room = parts[each.room_id]
        of_room[each.item] = of_room.get(each.item, 0) + each.seconds
        shares[each.room_id].append(each.share)
    return [RoomSum(room_id=name, seconds=parts[name], share=_total(shares[name])) for name in shown]


def _total(amounts: Sequence[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
