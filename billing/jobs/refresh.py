"""Refresh: brings the unsettled days of every account up to the last whole window.

It is the nightly's metering with an earlier end, and nothing of it is a bill. It goes on from where the last refresh
stopped, so it costs what has arrived since. Rooms in which an event from before that point came or was retracted are
metered again from the start of their day: what they came to is taken away, and what they come to now is added. A quiet
day is left out, unless it is the last.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

import polars as pl

from billing import periods
from billing.home import Home
from billing.jobs.alerts import record_alerts
from billing.jobs.cutoff import Cutoff, cutoff_now, now_ms
from billing.jobs.due_days import Activity, unsettled_days
from billing.jobs.metered_days import Failure, guarded
from billing.jobs.standing import record_standing
from billing.ledger import provisional_days
from billing.ledger.database import Engine, reading, writing
from billing.ledger.difference import summed
from billing.ledger.opening import AccountDay, Opening, opening_of
from billing.ledger.provisional_days import ProvisionalDay
from billing.ledger.runs import FAILED, REFRESHED, insert_run
from billing.metering.meter import Span, meter
from billing.metering.schemas import USAGE_SCHEMA, Metered, state_in_order
from billing.metering.tiers import TierRule, tier_rule

_KEY = ["app_id", "window_start", "item", "reason"]
_ROOM = ["app_id", "room_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """A day of an account as of now; `through` is the instant up to which it is known (RFC 3339, local)."""

    account: str
    day: date
    through: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenDay:
    """An unsettled day to bring up to `end` (epoch second) from what is stored of it."""

    opening: Opening
    stored: ProvisionalDay
    end: int

    @property
    def rules(self) -> dict[int, TierRule]:
        """How video is classified, by app."""
        return dict.fromkeys(self.opening.account_day.apps, tier_rule(self.opening.terms.version))


def run_refresh(home: Home, engine: Engine) -> list[Refreshed]:
    """Refreshes every account's unsettled days, oldest first, and stores them."""
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            second = cutoff.started_at_ms // 1000
            today = {
                account.id: periods.local_day(second, periods.time_zone(account.timezone))
                for account in cutoff.catalog.accounts.values()
            }
            due = unsettled_days(conn, cutoff, today)
        refresh = _Refresh(
            engine=engine,
            cutoff=cutoff,
            activity=Activity.of(cutoff.log.activity()),
            end=periods.window_start(second),
            states={},
        )
        refreshed = list(refresh.bring_up(due))
        failed = sum(each.result == FAILED for each in refreshed)
        counts = {"accounts": len({each.account for each in refreshed}), "days": len(refreshed), "failed": failed}
        first_days = {account_day.account_id: account_day.day for account_day in reversed(due)}
        with writing(engine) as conn:
            # An account begins later if its oldest events were retracted.
            provisional_days.remove_before(conn, first_days)
            run = cutoff.run("refresh", account_id=None, day=None, result=REFRESHED, counts=counts)
            insert_run(conn, run)
        record_standing(home, engine)
        record_alerts(engine)
    return refreshed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refresh:
    """A refresh up to epoch second `end`; `states`: the open stays at the end of each account's last day so far."""

    engine: Engine
    cutoff: Cutoff
    activity: Activity
    end: int
    states: dict[str, pl.DataFrame]

    def bring_up(self, due: Sequence[AccountDay]) -> Iterator[Refreshed]:
        """Refreshes days in their order, those with the same bounds together."""
        started = [account_day for account_day in due if account_day.start < self.end]
        last = {account_day.account_id: account_day.day for account_day in started}
        failed: set[str] = set()
        for _, same_bounds in groupby(started, key=lambda account_day: account_day.bounds):
            group = [account_day for account_day in same_bounds if account_day.account_id not in failed]
            for outcome in self._refresh_group([day for day in group if not self._is_quiet(day, last)]):
                if outcome.result == FAILED:
                    failed.add(outcome.account)
                yield outcome

    def _is_quiet(self, account_day: AccountDay, last: Mapping[str, date]) -> bool:
        """Whether nothing happened on a day that is not the last: no event, and no open stay from the day before."""
        if account_day.day == last[account_day.account_id] or self.activity.may_hold_events(account_day):
            return False
        if account_day.account_id not in self.states:
            with reading(self.engine) as conn:
                ledger = self.cutoff.ledger(conn, account_day.account_id)
                self.states[account_day.account_id] = ledger.state_before(account_day.day)
        return self.states[account_day.account_id].is_empty()

    def _refresh_group(self, group: Sequence[AccountDay]) -> Iterator[Refreshed]:
        """Refreshes days with the same bounds; an account on its own where that fails together."""
        if not group:
            return
        names = ", ".join(account_day.account_id for account_day in group)
        done = guarded(f"refreshing {names}, {group[0].day}", lambda: self._stored(group))
        if not isinstance(done, Failure):
            for stored in done:
                self.states[stored.account_id] = stored.state
                yield self._outcome(
                    stored.account_id,
                    stored.day,
                    stored.cut_at,
                    REFRESHED,
                    f"{int(stored.usage['seconds'].sum()):,} seconds",
                )
        elif len(group) == 1:
            yield self._outcome(group[0].account_id, group[0].day, group[0].start, FAILED, done.reason)
        else:
            for account_day in group:
                yield from self._refresh_group([account_day])

    def _outcome(self, account_id: str, day: date, second: int, result: str, detail: str) -> Refreshed:
        zone = periods.time_zone(self.cutoff.catalog.accounts[account_id].timezone)
        through = periods.local_iso(second, zone)
        return Refreshed(account=account_id, day=day, through=through, result=result, detail=detail)

    def _stored(self, group: Sequence[AccountDay]) -> list[ProvisionalDay]:
        """The days as they are now, stored."""
        days = [self._with_late_rooms(self._open_day(account_day)) for account_day in group]
        done = list(self._brought_up(days))
        with writing(self.engine) as conn:
            for stored in done:
                provisional_days.put(conn, stored)
        return done

    def _open_day(self, account_day: AccountDay) -> _OpenDay:
        """The day as it was stored, if it still begins with the same stays and rules; else from its start."""
        account_id, end = account_day.account_id, min(account_day.end, self.end)
        with reading(self.engine) as conn:
            opening = opening_of(self.cutoff.ledger(conn, account_id), account_day, self.states.get(account_id))
            known = provisional_days.provisional_days(conn, account_id)
        basis = _basis(opening)
        for stored in known:
            is_usable = stored.basis == basis and stored.cut_at <= end and stored.ingest_id <= self.cutoff.ingest_id
            if stored.day == account_day.day and is_usable:
                return _OpenDay(opening=opening, stored=stored, end=end)
        stored = ProvisionalDay(
            account_id=account_id,
            day=account_day.day,
            cut_at=account_day.start,
            ingest_id=self.cutoff.ingest_id,
            basis=basis,
            usage=pl.DataFrame(schema=USAGE_SCHEMA),
            state=opening.carried,
            refreshed_at_ms=self.cutoff.started_at_ms,
        )
        return _OpenDay(opening=opening, stored=stored, end=end)

    def _with_late_rooms(self, day: _OpenDay) -> _OpenDay:
        """The day up to its cut, with the events from before the cut that came or were retracted since: their rooms are
        metered again, as they were known and as they are known now, and the difference is taken."""
        stored, account_day = day.stored, day.opening.account_day
        log, start, cut = self.cutoff.log, account_day.start, stored.cut_at
        changes = log.changes(start, cut, after=stored.ingest_id, upto=self.cutoff.ingest_id)
        with log.naming_damage():
            rooms = changes.filter(pl.col("app_id").is_in(account_day.apps)).select(_ROOM).unique().collect()
        if rooms.is_empty():
            return day
        carried = day.opening.carried.join(rooms, on=_ROOM, how="semi")

        def metered(ingest_id: int) -> Metered:
            known = log.scan(start, cut, ingest_id=ingest_id, apps=account_day.apps)
            of_rooms = known.join(rooms.lazy(), on=_ROOM, how="semi")
            return meter(of_rooms, carried, Span(start=start, end=cut, rules=day.rules))

        before, now = metered(stored.ingest_id), metered(self.cutoff.ingest_id)
        others = stored.state.join(rooms, on=_ROOM, how="anti")
        usage = _sum(stored.usage, now.usage, before.usage.with_columns(-pl.col("seconds")))
        state = state_in_order(pl.concat([others, now.state]))
        return replace(day, stored=replace(stored, usage=usage, state=state))

    def _brought_up(self, days: Sequence[_OpenDay]) -> Iterator[ProvisionalDay]:
        """The days up to their ends: those that stopped at one second go on together."""
        in_order = sorted(days, key=lambda day: day.stored.cut_at)
        for cut, stopped_there in groupby(in_order, key=lambda day: day.stored.cut_at):
            together = list(stopped_there)
            end = together[0].end
            metered = self._metered(together, cut, end) if cut < end else None
            for day in together:
                share = metered.of_apps(day.opening.account_day.apps) if metered else None
                yield replace(
                    day.stored,
                    cut_at=end,
                    ingest_id=self.cutoff.ingest_id,
                    usage=_sum(day.stored.usage, share.usage) if share else day.stored.usage,
                    state=share.state if share else day.stored.state,
                    refreshed_at_ms=now_ms(),
                )

    def _metered(self, days: Sequence[_OpenDay], cut: int, end: int) -> Metered:
        rules = {app: rule for day in days for app, rule in day.rules.items()}
        states = pl.concat([day.stored.state for day in days])
        events = self.cutoff.log.scan(cut, end, ingest_id=self.cutoff.ingest_id, apps=rules.keys())
        with self.cutoff.log.naming_damage():
            return meter(events, states, Span(start=cut, end=end, rules=rules))


def _basis(opening: Opening) -> str:
    """A hash of all that a day's seconds rest on besides its events."""
    start, end = opening.account_day.bounds
    text = f"{start} {end} {tier_rule(opening.terms.version)} {opening.carried.write_ndjson()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _sum(*usage: pl.DataFrame) -> pl.DataFrame:
    """Seconds of the same window, item and reason together, in order, without those that came to nothing."""
    return summed(pl.concat(usage), _KEY, ["seconds"])
