"""Own usage: the seconds that were settled, so that any span of them can be summed in any of several ways.

A `View` is one way to look at the same events: with all reasons or without some, shifted by a time zone, as it was
known at an earlier run, under the other method. It sums the seconds of an app and item between two instants, or those
of one room and day.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext
from functools import cached_property
from itertools import accumulate

import polars as pl

from billing import periods
from billing.catalog.items import ITEM_RANK
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.metering.schemas import USAGE_SCHEMA
from billing.metering.tiers import TierRule, tier_rule
from billing.money import EXACT
from billing.reports.foreign_usage import Place
from billing.reports.other_rules import metered_again
from billing.reports.usage import app_usage, settled_windows

# What the roles of users are called that servers run themselves.
_RECORDERS = ("egress", "record", "robot", "agent", "bot")

_Cells = Mapping[tuple[int, str], tuple[list[int], list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Seconds by app and item: the starts of windows, and the seconds before each; by room: those of a day, in the
    parts in which they may be rounded. `shift`: seconds that the clock of the other side is behind; `gaps`: spans of
    which it knows nothing."""

    windows: _Cells
    by_user: Callable[[], pl.DataFrame]
    shift: int = 0
    gaps: tuple[tuple[int, int], ...] = ()

    def between(self, app_id: int, item: str, start: int, end: int) -> int:
        """The seconds of an app and item in `[start, end)`."""
        lost = (
            self._seconds(app_id, item, max(start, first), min(end, last))
            for first, last in self.gaps
            if first < end and start < last
        )
        return self._seconds(app_id, item, start, end) - sum(lost)

    def _seconds(self, app_id: int, item: str, start: int, end: int) -> int:
        if (app_id, item) not in self.windows:
            return 0
        starts, before = self.windows[app_id, item]
        first, last = (bisect_left(starts, at + self.shift) for at in (start, end))
        return before[last] - before[first]

    def by_window(self, place: Place) -> list[int]:
        """The seconds of each window of a place."""
        step = periods.WINDOW_SECONDS
        return [self.between(place.app_id, place.item, at, at + step) for at in range(place.start, place.end, step)]

    def in_room(self, place: Place) -> int:
        """The seconds of a place that is a room and a day."""
        return sum(self.parts(place, ("room_id", "user_id")))

    def parts(self, place: Place, keys: tuple[str, ...]) -> list[int]:
        """The seconds of a place by room, or by room and user, on each of its days."""
        rows = self.by_user().filter(
            (pl.col("app_id") == place.app_id)
            & (pl.col("item") == place.item)
            & (pl.col("day_start") >= place.start)
            & (pl.col("day_start") < place.end)
        )
        if place.room_id is not None:
            rows = rows.filter(pl.col("room_id") == place.room_id)
        return rows.group_by("day_start", *keys).agg(pl.col("seconds").sum())["seconds"].to_list()


@dataclass(frozen=True, kw_only=True)
class OwnUsage:
    """What was settled of some apps on the days `first` to `last`; read once, metered again only when asked."""

    home: Home
    engine: Engine
    apps: tuple[int, ...]
    first: date
    last: date

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Settled windows and corrections of all apps."""
        ledgers = self._ledgers()
        return pl.concat(
            [settled_windows(ledger, self.home, app_id, self.first, self.last) for app_id, ledger in ledgers]
        )

    @cached_property
    def users(self) -> pl.DataFrame:
        """Seconds by day, room, user, item and reason, with `day_start` and whether the user is a `recorder`."""
        frames = []
        for app_id, ledger in self._ledgers():
            days = app_usage(self.home, self.engine, app_id, self.first, self.last, by="user")
            starts = {day: start for day, (start, _) in ledger.settled_bounds(self.first, self.last).items()}
            start_of = pl.col("day").replace_strict(starts, default=None, return_dtype=pl.Int64)
            frames.append(days.with_columns(day_start=start_of).join(self._recorders(app_id), how="left", on=_USER))
        return pl.concat(frames).with_columns(pl.col("recorder").fill_null(value=False))

    def view(
        self, *, without: Collection[str] = (), runs: int | None = None, recorders: bool = True, shift: int = 0
    ) -> View:
        """A way to look at what was settled: without some reasons, as known up to a run, without recorders."""
        kept = ~pl.col("reason").is_in(list(without))
        known = pl.lit(value=True) if runs is None else pl.col("run") <= runs

        def by_user() -> pl.DataFrame:
            rows = self.users.filter(kept & known)
            return rows if recorders else rows.filter(~pl.col("recorder"))

        if recorders:
            return View(windows=_cells(self.rows.filter(kept & known)), by_user=by_user, shift=shift)
        return View(windows={}, by_user=by_user)

    def other_method(self) -> View:
        """Each stream counted where the policy sums areas, and the other way round."""

        log = EventLog(directory=self.home.events)
        frames = [pl.DataFrame(schema=USAGE_SCHEMA)]
        for app_id, ledger in self._ledgers():
            days = ledger.terms_on(*ledger.settled_days(self.first, self.last))
            rules = {terms.day: _other_method(tier_rule(terms.version)) for terms in days}
            frames += [usage for _, usage in metered_again(ledger, log, [app_id], rules)]
        return View(windows=_cells(pl.concat(frames)), by_user=lambda: self.users.clear())

    @property
    def correcting_runs(self) -> list[int]:
        """The runs that corrected these days, ascending."""
        return sorted(self.rows.filter(pl.col("kind") == "correction")["run"].unique())

    @property
    def settling_run(self) -> int:
        """The last run that settled one of the days; 0: none."""
        return max(self.rows.filter(pl.col("kind") == "usage")["run"].to_list(), default=0)

    def charged(self) -> dict[tuple[int, date, str, str], Decimal]:
        """What was charged by app, day, item and currency, corrections included."""
        found: dict[tuple[int, date, str, str], Decimal] = {}
        for app_id, ledger in self._ledgers():
            for day in ledger.settled_days(self.first, self.last):
                for entry in ledger.charges_of_day(day):
                    if entry.charge.app_id == app_id:
                        key = app_id, day, entry.charge.item, entry.currency
                        with localcontext(EXACT):
                            found[key] = found.get(key, Decimal()) + entry.charge.amount
        return found

    def _ledgers(self) -> Iterator[tuple[int, AccountLedger]]:
        with reading(self.engine) as conn:
            catalog = load_catalog(conn)
            for app_id in self.apps:
                account_id = catalog.app(app_id).account
                yield app_id, AccountLedger(conn=conn, account_id=account_id, catalog=catalog)

    def _recorders(self, app_id: int) -> pl.DataFrame:
        """The users whose role says that a server runs them."""
        log = EventLog(directory=self.home.events)
        start, end = (periods.day_start(day, periods.time_zone("UTC")) for day in (self.first, self.last))
        events = log.scan(start - _ENTERED_BEFORE, end + 2 * periods.DAY_SECONDS, apps=[app_id])
        role = pl.col("role").str.to_lowercase()
        is_recorder = pl.any_horizontal(*(role.str.contains(word, literal=True) for word in _RECORDERS))
        with log.naming_damage():
            found = events.filter(is_recorder).select(_USER).unique().collect()
        return found.with_columns(recorder=pl.lit(value=True))


_ENTERED_BEFORE = 7 * periods.DAY_SECONDS
_USER = ["app_id", "room_id", "user_id"]


def _other_method(rule: TierRule) -> TierRule:
    return replace(rule, per_stream=not rule.per_stream)


def _cells(rows: pl.DataFrame) -> _Cells:
    sums = rows.group_by("app_id", "item", "window_start").agg(pl.col("seconds").sum()).sort("window_start")
    found = {}
    for (app_id, item), cell in sums.group_by("app_id", "item"):
        assert isinstance(app_id, int) and isinstance(item, str)  # noqa: S101, PT018 - of the schema
        if item in ITEM_RANK:
            found[app_id, item] = cell["window_start"].to_list(), [0, *accumulate(cell["seconds"].to_list())]
    return found
