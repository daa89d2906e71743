"""Anomalies of single rooms and users: long room-days, somebody alone for hours, stays that nobody ended.

Days are metered again by room only where the books leave the possibility.
"""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import polars as pl

from billing.reports.anomalies.month_books import HOLD, WARN, Anomaly, MonthBooks, ratio

ROOM_SECONDS = 3_600_000
ALONE_SECONDS = 8 * 3600
ALL_DAY = 24 * 3600
STALE_AFTER = 86_400
_STALE = Decimal("0.01")

# The seconds of an app on a day by room, item and reason: `room_id, item, reason, seconds`.
ByRoom = Callable[[int, date], pl.DataFrame]


def room_anomalies(books: MonthBooks, by_room: ByRoom) -> Iterator[Anomaly]:
    """Rooms that were used for very long, and rooms in which somebody was alone for long."""
    alone = pl.col("seconds").filter(pl.col("reason") == "alone_in_room").sum()
    days = books.usage.group_by("app_id", "day").agg(alone.alias("alone"), pl.col("seconds").sum())
    suspected = days.filter((pl.col("alone") >= ALONE_SECONDS) | (pl.col("seconds") >= ROOM_SECONDS))
    for app_id, day, _, _ in suspected.sort("app_id", "day").iter_rows():
        rooms = by_room(app_id, day)
        yield from _long_rooms(books, app_id, day, rooms)
        yield from _alone(books, app_id, day, rooms)


def _long_rooms(books: MonthBooks, app_id: int, day: date, rooms: pl.DataFrame) -> Iterator[Anomaly]:
    for room, items in sorted(rooms.partition_by("room_id", as_dict=True).items()):
        seconds = int(items["seconds"].sum())
        if seconds >= ROOM_SECONDS:
            subject = f"app {app_id}, {day}, room {room[0]}"
            amount = _share(books, app_id, day, items)
            detail = "seconds of all users of one room"
            yield books.found("long_room", WARN, subject, seconds, ROOM_SECONDS, detail, amount)


def _alone(books: MonthBooks, app_id: int, day: date, rooms: pl.DataFrame) -> Iterator[Anomaly]:
    start, end = books.bounds[day]
    of_room = rooms.filter(pl.col("reason") == "alone_in_room").group_by("room_id").agg(pl.col("seconds").sum())
    for room, seconds in of_room.filter(pl.col("seconds") >= ALONE_SECONDS).sort("room_id").iter_rows():
        severity = HOLD if seconds >= min(ALL_DAY, end - start) else WARN
        subject = f"app {app_id}, {day}, room {room}"
        detail = "seconds in which one user was alone in the room"
        amount = books.share(app_id, day, seconds, "audio")
        yield books.found("alone", severity, subject, seconds, ALONE_SECONDS, detail, amount)


def _share(books: MonthBooks, app_id: int, day: date, items: pl.DataFrame) -> Decimal:
    sums = items.group_by("item").agg(pl.col("seconds").sum()).iter_rows()
    return sum((books.share(app_id, day, seconds, item) for item, seconds in sums), start=Decimal(0))


def stale_anomalies(books: MonthBooks, by_user: ByRoom) -> Iterator[Anomaly]:
    """What the last 24 hours of stays cost that ended because no event came for so long.

    The user was there in each of these seconds. Their items are those of the user's seconds in the room that day.
    """
    found = books.ledger.findings(books.first, books.last).filter(pl.col("finding") == "stale_stay")
    amount, seconds = Decimal(0), 0
    for (app_id, day), stays in sorted(_silent_seconds(books, found).items()):
        users = by_user(app_id, day)  # metered again: once for all stays of the day
        for room, user, silent in stays:
            of_user = users.filter(room_id=room, user_id=user)
            had = int(of_user["seconds"].sum())
            part = min(silent, had)
            seconds += part
            amount += _share(books, app_id, day, of_user) * part / had if had else 0
    by_money = books.amount > 0
    share = ratio(amount, books.amount) if by_money else ratio(seconds, int(books.usage["seconds"].sum()))
    if share > _STALE:
        detail = f"{seconds} seconds of {found.height} stays that ended for want of events"
        yield books.found("stale", WARN, "the account", share, _STALE, detail, amount.quantize(Decimal("1e-8")))


def _silent_seconds(books: MonthBooks, found: pl.DataFrame) -> dict[tuple[int, date], list[tuple[str, str, int]]]:
    """By app and day the room, the user, and how many of the last 24 hours of the stay lie in the day."""
    silent: dict[tuple[int, date], list[tuple[str, str, int]]] = {}
    for app_id, room, user, at in found.select("app_id", "room_id", "user_id", "at").iter_rows():
        ends = at // 1000
        for day, (start, end) in books.bounds.items():
            if (seconds := min(end, ends) - max(start, ends - STALE_AFTER)) > 0:
                silent.setdefault((app_id, day), []).append((room, user, seconds))
    return silent
