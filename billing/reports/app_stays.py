"""The stays of one app as they are known now: metered again from the event log, day by day.

A settled day is read as the last run knew it that billed or corrected it, an unsettled one as far as the last refresh
went. A stay over midnight is one stay: it is followed back to where it began and on to where it ended, in its room
only. Example: entered at 23:50, left at 00:10: one stay of 1,200 s, on both days.

Within each second only its outcome counts: who enters and leaves in one second has no stay.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.opening import account_days
from billing.ledger.provisional_days import ProvisionalDay, provisional_days
from billing.metering.schemas import open_stays
from billing.metering.tiers import TierRule, tier_rule
from billing.periods import days_between
from billing.reports.app_days import app_day

# Epoch seconds. `is_open`: whether it still went on where the knowledge ends.
STAYS = pl.Schema(
    {
        "room_id": pl.String(),
        "user_id": pl.String(),
        "start": pl.Int64(),
        "end": pl.Int64(),
        "is_open": pl.Boolean(),
    }
)
_PARTS = pl.Schema({**STAYS, "begins": pl.Boolean()})

Rooms = Collection[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDay:
    """A day `[start, end)` in epoch seconds, with what it is metered from; an unsettled one may end early."""

    day: date
    start: int
    end: int
    ingest_id: int
    rule: TierRule
    carried: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDays:
    """The days of an app that are known."""

    ledger: AccountLedger
    log: EventLog
    app_id: int
    settled: Collection[date]
    provisional: Mapping[date, ProvisionalDay]

    @classmethod
    def of(cls, ledger: AccountLedger, log: EventLog, app_id: int) -> "AppDays":
        """The days of an app of the ledger's account."""
        settled = set(ledger.settled_days())
        return cls(
            ledger=ledger,
            log=log,
            app_id=app_id,
            settled=settled,
            provisional={
                each.day: each for each in provisional_days(ledger.conn, ledger.account_id) if each.day not in settled
            },
        )

    def on(self, day: date) -> KnownDay | None:
        """A day; None where nothing of it is known."""
        if day in self.settled:
            return self._settled(day)
        stored = self.provisional.get(day)
        return self._provisional(stored) if stored else None

    def in_span(self, start: int, end: int) -> list[KnownDay]:
        """The known days that have seconds of a span."""
        days = days_between(self.ledger.day_of(start), self.ledger.day_of(end - 1))
        return [known for day in days if (known := self.on(day))]

    def _settled(self, day: date) -> KnownDay:
        known = app_day(self.ledger, self.log, self.app_id, day)
        return KnownDay(
            day=day,
            start=known.start,
            end=known.end,
            ingest_id=known.run.ingest_id,
            rule=known.rule,
            carried=known.carried(),
        )

    def _provisional(self, stored: ProvisionalDay) -> KnownDay:
        before = self.provisional.get(stored.day - timedelta(days=1))
        return KnownDay(
            day=stored.day,
            start=account_days(self.ledger, stored.day, stored.day)[0].start,
            end=stored.cut_at,
            ingest_id=stored.ingest_id,
            rule=tier_rule(self.ledger.terms_on(stored.day)[0].version),
            carried=self._of_app(before.state if before else self.ledger.state_before(stored.day)),
        )

    def _of_app(self, state: pl.DataFrame) -> pl.DataFrame:
        return state.filter(pl.col("app_id") == self.app_id)


def stays_on(days: AppDays, known: KnownDay) -> pl.DataFrame:
    """The stays of one day, as far as they are on it, in `STAYS`."""
    return _with_seconds(_parts(days, known))


def whole_stays(days: AppDays, start: int, end: int, rooms: Rooms = None) -> pl.DataFrame:
    """The stays of the days that have seconds of a span, from where they began to where they ended, in `STAYS`."""
    parts = {known.day: _parts(days, known, rooms) for known in days.in_span(start, end)}
    if not parts:
        return pl.DataFrame(schema=STAYS)
    first, last = min(parts), max(parts)
    before, after = _before(days, first, parts[first]), _after(days, last, parts[last])
    return _with_seconds(_joined(pl.concat([*parts.values(), *before, *after])))


def _before(days: AppDays, day: date, parts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The days before, of the rooms in which stays were carried into `day`."""
    while rooms := set(parts.filter(~pl.col("begins"))["room_id"]):
        day -= timedelta(days=1)
        known = days.on(day)
        if known is None:
            return
        parts = _parts(days, known, rooms)
        yield parts


def _after(days: AppDays, day: date, parts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The days after, of the rooms in which stays are carried on."""
    while rooms := set(parts.filter("is_open")["room_id"]):
        day += timedelta(days=1)
        known = days.on(day)
        if known is None:
            return
        parts = _parts(days, known, rooms)
        yield parts


def _parts(days: AppDays, known: KnownDay, rooms: Rooms = None) -> pl.DataFrame:
    """The parts of stays that are on one day, in `_PARTS`."""
    # What is compiled is loaded only here.
    from billing.metering.meter import Span, meter_rooms

    events = days.log.scan(known.start, known.end, ingest_id=known.ingest_id, apps=[days.app_id])
    carried = known.carried
    if rooms is not None:
        of_rooms = pl.col("room_id").is_in(sorted(rooms))
        events, carried = events.filter(of_rooms), carried.filter(of_rooms)
    with days.log.naming_damage():
        span = Span(start=known.start, end=known.end, rules={days.app_id: known.rule})
        metered, stays = meter_rooms(events, carried, span)
    still_open = open_stays(metered.state).select("room_id", "user_id", is_open=pl.lit(value=True))
    placed = stays.with_columns(
        start=pl.col("second").cast(pl.Int64) + known.start, end=pl.col("stay_end").cast(pl.Int64) + known.start
    )
    reaching = placed.join(still_open, on=["room_id", "user_id"], how="left")
    is_open = pl.col("is_open").fill_null(value=False) & (pl.col("end") == known.end)
    return reaching.with_columns(is_open=is_open).select(*_PARTS)


def _joined(parts: pl.DataFrame) -> pl.DataFrame:
    """The parts of each stay together, in `STAYS`."""
    who = ["room_id", "user_id"]
    ordered = parts.sort(*who, "start", "begins", "end")
    is_first = pl.struct(who).ne_missing(pl.struct(who).shift(1))
    return (
        ordered.with_columns(stay=(pl.col("begins") | is_first).cum_sum())
        .group_by("stay", *who)
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col("is_open").last())
        .select(*STAYS)
    )


def _with_seconds(stays: pl.DataFrame) -> pl.DataFrame:
    return stays.filter(pl.col("end") > pl.col("start")).select(*STAYS).sort("room_id", "start", "user_id", "end")
