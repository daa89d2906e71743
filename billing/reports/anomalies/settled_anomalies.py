"""Anomalies that the books show: jumps, gaps, waits, prices, corrections."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median_low

import polars as pl

from billing.catalog.items import FEES
from billing.ledger.catalog_store import terms_history
from billing.periods import WINDOW_SECONDS
from billing.rating.charges import PostedCharge
from billing.reports.anomalies.month_books import HOLD, WARN, WEEKS, Anomaly, MonthBooks, ratio

_FEWEST_WEEKS = 4
_FEWEST_SECONDS = 36_000  # below, no app jumps
GAP_WINDOWS = 3
_FEWEST_DAYS = 5  # with use, with which a day is compared
_FEWEST_WEEKDAYS = 3  # that tell that a day without any use should have had some
_BUSY = 0.95
_GRACE = Decimal("0.1")
_CORRECTIONS = Decimal("0.05")
_PRICE = Decimal("0.2")


def settled_anomalies(books: MonthBooks) -> Iterator[Anomaly]:
    """All that the books of a month show."""
    yield from jumps(books)
    yield from gaps(books)
    yield from grace(books)
    yield from prices(books)
    yield from corrections(books)


def jumps(books: MonthBooks) -> Iterator[Anomaly]:
    """Days on which an app was used much more than on the same weekday of the weeks before."""
    began: dict[int, date] = {}
    for app_id, day in sorted(books.seconds):
        began.setdefault(app_id, day)
    for (app_id, day), used in sorted(books.seconds.items()):
        before = [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
        known = [books.seconds.get((app_id, each), 0) for each in before if each >= began[app_id]]
        if day < books.first or len(known) < _FEWEST_WEEKS:
            continue
        usual = median_low(known)
        if not usual:  # nothing is usual on this weekday
            continue
        bound = max(2 * usual, usual + 9 * median_low(abs(each - usual) for each in known), _FEWEST_SECONDS)
        if used > bound:
            yield books.found(
                "jump",
                HOLD if used >= 2 * bound else WARN,
                f"app {app_id}, {day}",
                used,
                bound,
                f"seconds of the day; the median of {len(known)} same weekdays is {usual}",
                books.share(app_id, day, used - usual),
            )


def gaps(books: MonthBooks) -> Iterator[Anomaly]:
    """Windows in a row in which an app was not used, though it always is at that time of the day."""
    for app_id, busy in sorted(_busy_windows(books).items()):
        for day, windows in busy.items():
            for first, count in _in_a_row(sorted(_always_busy(busy, day) - windows)):
                if count >= GAP_WINDOWS:
                    at = f"{first * WINDOW_SECONDS // 3600:02}:{first * WINDOW_SECONDS % 3600 // 60:02}"
                    detail = f"windows without use from {at} on, which are busy on other days"
                    yield books.found("gap", WARN, f"app {app_id}, {day} {at}", count, GAP_WINDOWS, detail)


def _always_busy(busy: Mapping[date, set[int]], day: date) -> set[int]:
    """The windows that should be busy on a day: they are on all its other weekdays, and on nearly all days with use."""
    others = [windows for each, windows in busy.items() if each != day and windows]
    weekdays = [windows for each, windows in busy.items() if each != day and each.weekday() == day.weekday()]
    if len(others) < _FEWEST_DAYS or (len(weekdays) < _FEWEST_WEEKDAYS and not busy[day]):
        return set()
    days = Counter(window for windows in others for window in windows)
    usual = {window for window, count in days.items() if count >= _BUSY * len(others)}
    return usual.intersection(*weekdays)


def _busy_windows(books: MonthBooks) -> Mapping[int, Mapping[date, set[int]]]:
    """By app and settled day the windows with use, counted from the start of the day."""
    found: dict[int, dict[date, set[int]]] = {}
    windows = books.usage.select("app_id", "day", "window_start").unique()
    for app_id in windows["app_id"].unique():
        found[app_id] = {day: set() for day in books.bounds}
    for app_id, day, start in windows.iter_rows():
        found[app_id][day].add((start - books.bounds[day][0]) // WINDOW_SECONDS)
    return found


def _in_a_row(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The first of numbers that follow each other, and how many they are."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield numbers[start], at - start
            start = at


def grace(books: MonthBooks) -> Iterator[Anomaly]:
    """Apps whose users lost their connections often."""
    waited = pl.col("seconds").filter(pl.col("reason") == "disconnect_grace").sum()
    sums = books.usage.group_by("app_id").agg(waited.alias("waited"), pl.col("seconds").sum())
    for app_id, seconds, total in sums.sort("app_id").iter_rows():
        if (share := ratio(seconds, total)) > _GRACE:
            amount = sum(
                (books.share(app_id, day, part, "audio") for day, part in _waits(books, app_id)), start=Decimal(0)
            )
            detail = f"{seconds} of {total} seconds are the wait after a lost connection"
            yield books.found("grace", WARN, f"app {app_id}", share, _GRACE, detail, amount)


def _waits(books: MonthBooks, app_id: int) -> Iterator[tuple[date, int]]:
    of_app = (pl.col("app_id") == app_id) & (pl.col("reason") == "disconnect_grace")
    yield from books.usage.filter(of_app).group_by("day").agg(pl.col("seconds").sum()).sort("day").iter_rows()


def prices(books: MonthBooks) -> Iterator[Anomaly]:
    """Unit prices, of the same part of a graduated price, that changed by more than a fifth while no terms of the
    account began. (A fee is what it is, and has no price.)"""
    by_item: dict[tuple[int, str, int], list[PostedCharge]] = defaultdict(list)
    for posted in books.charges:
        if posted.kind == "usage" and posted.charge.item not in FEES:
            by_item[posted.charge.app_id, posted.charge.item, posted.charge.slab].append(posted)
    begun = _terms_begin(books)
    for (app_id, item, _), posted_charges in sorted(by_item.items()):
        for old, new in pairwise(posted_charges):
            change = ratio(new.charge.unit_price - old.charge.unit_price, old.charge.unit_price)
            is_explained = old.day == new.day or any(old.day < day <= new.day for day in begun)
            if new.day < books.first or abs(change) <= _PRICE or is_explained:
                continue
            detail = (
                f"{old.charge.unit_price} a minute on {old.day}, {new.charge.unit_price} on {new.day}; "
                "no terms of the account began in between"
            )
            amount = new.charge.amount
            yield books.found("price", HOLD, f"app {app_id}, {item}, {new.day}", change, _PRICE, detail, amount)


def _terms_begin(books: MonthBooks) -> set[date]:
    """The days on which terms of the account begin: a policy, a version of it, a contract."""
    ledger = books.ledger
    begun = {terms.valid_from for terms in terms_history(ledger.conn, ledger.account_id)}
    begun |= {each.valid_from for each in ledger.catalog.contracts.values() if each.account == ledger.account_id}
    for run in {run.policy_hash: run for run in ledger.settled_days(books.first, books.last).values()}.values():
        begun |= {version.valid_from for version in ledger.policy_of(run).versions}
    return begun


def corrections(books: MonthBooks) -> Iterator[Anomaly]:
    """Much of the month is a correction of what was billed before."""
    posted = [each for each in books.charges if each.kind == "correction" and each.posted_on >= books.first]
    amount = sum((abs(each.charge.amount) for each in posted), start=Decimal(0))
    if (share := ratio(amount, books.amount)) > _CORRECTIONS:
        detail = f"{len(posted)} corrections beside usage of {books.amount}"
        yield books.found("corrections", WARN, "the account", share, _CORRECTIONS, detail, amount)
