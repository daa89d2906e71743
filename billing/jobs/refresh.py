"""Refresh: brings the unsettled days of every account up to the last whole window.

It is the nightly's metering with an earlier end, and nothing of it is a bill. It goes on from where the last refresh
stopped, so it costs what has arrived since. Rooms with an event from before that point are metered again from the start
of their day: what they came to is taken away, and what they come to now is added.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby

import polars as pl

from billing import periods
from billing.catalog.terms import DayTerms
from billing.errors import BillingError
from billing.home import Home
from billing.jobs.cutoff import Cutoff, cutoff_now, now_ms
from billing.ledger import provisional_days as provisional
from billing.ledger import settled_days as bills
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.opening import AccountDay, account_days, carried_into, terms_of
from billing.ledger.provisional_days import ProvisionalDay
from billing.ledger.runs import FAILED, REFRESHED, insert_run
from billing.metering.meter import Metered, meter
from billing.metering.spans import of_apps
from billing.metering.tiers import tier_rule
from billing.metering.windows import USAGE_SCHEMA

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
    """An unsettled day to bring up to `end` (epoch second): from the stays carried into it, or from what is stored."""

    each: AccountDay
    terms: DayTerms
    carried: pl.DataFrame
    stored: ProvisionalDay
    end: int


def run_refresh(home: Home, engine: Engine) -> list[Refreshed]:
    """Refreshes every account's unsettled days, oldest first, and stores them."""
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            due = _unsettled_days(conn, cutoff)
        end = periods.window_start(cutoff.started_at_ms // 1000)
        states: dict[str, pl.DataFrame] = {}
        refreshed: list[Refreshed] = []
        failed: set[str] = set()
        for _, same_bounds in groupby(due, key=lambda each: (each.start, each.end)):
            group = [each for each in same_bounds if each.account.id not in failed]
            for outcome in _refresh_group(group, engine, cutoff, end, states):
                refreshed.append(outcome)
                if outcome.result == FAILED:
                    failed.add(outcome.account)
        counts = {"accounts": len({each.account for each in refreshed}), "days": len(refreshed), "failed": len(failed)}
        with writing(engine) as conn:
            insert_run(conn, cutoff.run("refresh", account_id=None, day=None, result=REFRESHED, counts=counts))
    return refreshed


def _unsettled_days(conn: Connection, cutoff: Cutoff) -> list[AccountDay]:
    """Every day from the first unsettled one to today, oldest first."""
    catalog, settled = cutoff.catalog, bills.last_settled_days(conn)
    first_events = cutoff.log.first_event_at([app.id for app in catalog.apps.values() if app.account not in settled])
    due = []
    for account in catalog.accounts.values():
        zone = periods.time_zone(account.timezone)
        seconds = [at // 1000 for app, at in first_events.items() if catalog.apps[app].account == account.id]
        if account.id in settled:
            first = settled[account.id] + timedelta(days=1)
        elif seconds:
            first = periods.local_day(min(seconds), zone)
        else:
            continue
        due += account_days(catalog, account.id, first, periods.local_day(cutoff.started_at_ms // 1000, zone))
    return sorted(due, key=lambda each: (each.start, each.end, each.account.id))


def _refresh_group(
    group: Sequence[AccountDay], engine: Engine, cutoff: Cutoff, end: int, states: dict[str, pl.DataFrame]
) -> Iterator[Refreshed]:
    """Refreshes days with the same bounds; `states` takes the stays that are open at the end of each account's day."""
    days = []
    for each in group:
        if each.start >= end:
            continue
        with reading(engine) as conn:
            try:
                days.append(_open_day(conn, cutoff, each, min(each.end, end), states.get(each.account.id)))
            except BillingError as error:
                yield Refreshed(
                    account=each.account.id,
                    day=each.day,
                    through=_through(each, each.start),
                    result=FAILED,
                    detail=str(error),
                )
    corrected = [_with_late_rooms(day, cutoff) for day in days]
    done = list(_brought_up(corrected, cutoff))
    with writing(engine) as conn:
        for stored in done:
            provisional.put(conn, stored)
    places = {day.each.account.id: day.each for day in days}
    for stored in done:
        states[stored.account_id] = stored.state
        yield Refreshed(
            account=stored.account_id,
            day=stored.day,
            through=_through(places[stored.account_id], stored.cut_at),
            result=REFRESHED,
            detail=f"{int(stored.usage['seconds'].sum()):,} seconds",
        )


def _through(each: AccountDay, second: int) -> str:
    return periods.local_iso(second, periods.time_zone(each.account.timezone))


def _open_day(conn: Connection, cutoff: Cutoff, each: AccountDay, end: int, state: pl.DataFrame | None) -> _OpenDay:
    """The day as it was stored, if it still begins with the same stays and rules; else from its start."""
    terms = terms_of(conn, cutoff.catalog, each)
    carried = carried_into(conn, each) if state is None else state
    basis = _basis(each, terms, carried)
    known = {stored.day: stored for stored in provisional.provisional_days(conn, each.account.id)}
    stored = known.get(each.day)
    if stored is None or stored.basis != basis or stored.cut_at > end or stored.ingest_id > cutoff.ingest_id:
        stored = ProvisionalDay(
            account_id=each.account.id,
            day=each.day,
            cut_at=each.start,
            ingest_id=cutoff.ingest_id,
            basis=basis,
            usage=pl.DataFrame(schema=USAGE_SCHEMA),
            state=carried,
            refreshed_at_ms=cutoff.started_at_ms,
        )
    return _OpenDay(each=each, terms=terms, carried=carried, stored=stored, end=end)


def _basis(each: AccountDay, terms: DayTerms, carried: pl.DataFrame) -> str:
    """A hash of all that a day's seconds rest on besides its events."""
    text = f"{each.start} {each.end} {tier_rule(terms.version)} {carried.write_ndjson()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _with_late_rooms(day: _OpenDay, cutoff: Cutoff) -> _OpenDay:
    """The day up to its cut, with the events that came since from before the cut: their rooms are metered again, as
    they were known and as they are known now, and the difference is taken."""
    stored, each = day.stored, day.each
    events = cutoff.log.scan(each.start, stored.cut_at, ingest_id=cutoff.ingest_id, apps=each.apps)
    rooms = events.filter(pl.col("ingest_id") > stored.ingest_id).select(_ROOM).unique().collect()
    if rooms.is_empty():
        return day
    rules = {app: tier_rule(day.terms.version) for app in each.apps}
    carried = day.carried.join(rooms, on=_ROOM, how="semi")

    def metered(ingest_id: int) -> Metered:
        known = events.filter(pl.col("ingest_id") <= ingest_id).join(rooms.lazy(), on=_ROOM, how="semi")
        return meter(known, carried, each.start, stored.cut_at, rules)

    before, now = metered(stored.ingest_id), metered(cutoff.ingest_id)
    others = stored.state.join(rooms, on=_ROOM, how="anti")
    return replace(
        day,
        stored=replace(
            stored,
            usage=_sum(stored.usage, now.usage, before.usage.with_columns(-pl.col("seconds"))),
            state=pl.concat([others, now.state]).sort("app_id", "room_id", "user_id"),
        ),
    )


def _brought_up(days: Sequence[_OpenDay], cutoff: Cutoff) -> Iterator[ProvisionalDay]:
    """The days up to their ends: those that stopped at one second go on together."""
    for cut, stopped_there in groupby(
        sorted(days, key=lambda day: day.stored.cut_at), key=lambda day: day.stored.cut_at
    ):
        together = list(stopped_there)
        end = together[0].end
        rules = {app: tier_rule(day.terms.version) for day in together for app in day.each.apps}
        states = pl.concat([day.stored.state for day in together])
        # (Nothing has passed since: the state stays as it is.)
        metered = None
        if cut < end:
            events = cutoff.log.scan(cut, end, ingest_id=cutoff.ingest_id, apps=rules.keys())
            metered = meter(events, states, cut, end, rules)
        for day in together:
            share = of_apps(metered, day.each.apps) if metered else None
            yield replace(
                day.stored,
                cut_at=end,
                ingest_id=cutoff.ingest_id,
                usage=_sum(day.stored.usage, share.usage) if share else day.stored.usage,
                state=share.state if share else day.stored.state,
                refreshed_at_ms=now_ms(),
            )


def _sum(*usage: pl.DataFrame) -> pl.DataFrame:
    """Seconds of the same window, item and reason together, in order, without those that came to nothing."""
    sums = pl.concat(usage).group_by(_KEY).agg(pl.col("seconds").sum()).filter(pl.col("seconds") != 0)
    return sums.select(*USAGE_SCHEMA).sort(_KEY)
