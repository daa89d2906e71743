"""The nightly: bills every account's last finished local day, earlier unbilled days first and in order.

    catalog -> late days -> unbilled days -> for each day: meter once -> for each account: correct, or rate and settle

A day's bill is a pure function of its events, the stays carried into it, the policy, the prices and the packages.
Accounts whose days have the same bounds are metered in one pass; their money then commits account by account, each day
in one transaction. A run of quiet days, without events and open stays, commits at once. Events that came after their
day was settled are found first: the account's days from then on are rerated, and what is different is posted in one
transaction before anything further is billed. What fails stays undone, with every later day of its account, and the
next nightly tries it again. So does a day that is held because a feed is silent; nothing is written of it.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby

import polars as pl

from billing import periods
from billing.catalog.catalog import Catalog
from billing.errors import BillingError, UsageError
from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.home import Home
from billing.jobs.alerts import announce_silence, record_alerts
from billing.jobs.compact import compact_settled_days
from billing.jobs.cutoff import Cutoff, cutoff_now
from billing.jobs.due_days import Activity, in_order, unsettled_days
from billing.jobs.event_roots import DayRoots
from billing.jobs.metered_days import Failure, guarded, meter_days
from billing.jobs.rerating import Posting, Rerating, late_days, open_rerating
from billing.jobs.silent_feeds import Feeds
from billing.jobs.standing import record_standing
from billing.jobs.suspended_entries import suspended_entries
from billing.ledger import corrections, settled_days
from billing.ledger.catalog_store import check_rows, missing_accounts
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.opening import AccountDay, Opening, opening_of, zone_changed
from billing.ledger.runs import BILLED, CORRECTED, FAILED, insert_run, last_settled_days
from billing.ledger.settled_days import AlreadyBilled, DayBill, SettledDay, SpanBill
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, Metered, open_stays, window_usage
from billing.metering.spans import Metering, meter_with_leaves
from billing.rating.span import DayUsage, bill_span

ALREADY_BILLED, HELD = "already_billed", "held"
_COMMAND = "nightly"
_NO_STAYS = pl.DataFrame(schema=STATE_SCHEMA)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the nightly did about one day of one account. `run`: the run that billed it, now or before, or corrected.
    `silence`: the apps that were silent at the day's end; they are in the detail too."""

    account: str
    day: date
    result: str
    run: int | None = None
    detail: str = ""
    silence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a night is to bill: up to which day (None: the last finished one), which accounts (none: all), and whether
    also days that silence holds."""

    day: date | None = None
    accounts: Collection[str] = ()
    despite_silence: bool = False


_EVERYTHING = Scope()


def run_nightly(
    home: Home, engine: Engine, scope: Scope = _EVERYTHING, *, metering: Metering = meter_with_leaves
) -> Iterator[Outcome]:
    """Bills what is due, one outcome at a time.

    Raises `UsageError` if the day is not over in the time zone of some account, or an account does not exist, before
    anything is billed.
    """
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            targets = _targets(cutoff.catalog, scope)
            done = [] if scope.accounts else list(_missing_accounts(conn, cutoff.catalog))
            for account_id, why in _damaged(conn, cutoff.catalog, targets).items():
                done.append(Outcome(account=account_id, day=targets.pop(account_id), result=FAILED, detail=why))
            settled = {account: day for account, day in last_settled_days(conn).items() if account in targets}
            accounts = _due_accounts(conn, cutoff, targets, settled)
            done += _already_billed(conn, cutoff, targets, settled)
        yield from done
        night = _Night(
            engine=engine,
            cutoff=cutoff,
            activity=Activity.of(cutoff.log.activity()),
            metering=metering,
            feeds=Feeds(cutoff=cutoff),
            despite_silence=scope.despite_silence,
        )
        yield from night.bill(accounts)
        if night.database_failed:
            # What an account owes is not known: it must not be reminded for what a day may have given back.
            _log.warning("arrears and alerts are left to the next nightly: the database failed on the way")
            return
        record_standing(home, engine)
        record_alerts(engine)
    compact_settled_days(home, engine)


@dataclass(slots=True, kw_only=True)
class _Account:
    """An account with days due. `carries_state`: out of its last billed day; `quiet`: days kept back, to be
    settled at once with those that follow; `is_stopped`: a day failed or is held, so that none after it is billed."""

    id: str
    days: Sequence[AccountDay]
    rerating: Rerating | None
    carries_state: bool
    quiet: list[AccountDay] = field(default_factory=list)
    is_stopped: bool = False

    def rerating_of(self, account_day: AccountDay) -> Rerating | None:
        """The rerating that a day belongs to, if it is not a day to bill."""
        return self.rerating if self.rerating and account_day.day <= self.rerating.last else None

    def is_quiet(self, account_day: AccountDay) -> bool:
        """Whether nothing but the log can have anything of the next day."""
        rerating = self.rerating_of(account_day)
        return rerating.is_quiet(account_day) if rerating else not self.carries_state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """A day to bill and what was metered of it, from which events; None: it is quiet."""

    opening: Opening
    metered: Metered | None
    events: EventsRoot = NO_EVENTS

    @property
    def day(self) -> date:
        """The local day."""
        return self.opening.account_day.day

    @property
    def settled(self) -> SettledDay:
        """The day as it is settled."""
        start, end = self.opening.account_day.bounds
        return SettledDay(day=self.day, start=start, end=end, policy=self.opening.terms.policy)

    @property
    def usage(self) -> DayUsage:
        """The day as it is rated."""
        usage = window_usage(self.metered.usage) if self.metered else ()
        return DayUsage(terms=self.opening.terms, usage=usage)


def _targets(catalog: Catalog, scope: Scope) -> dict[str, date]:
    """The day up to which each account is to be billed."""
    moment, day = periods.now(), scope.day
    targets = {}
    for account in [*map(catalog.account, dict.fromkeys(scope.accounts))] or catalog.accounts.values():
        finished = periods.last_finished_day(moment, periods.time_zone(account.timezone))
        if day and day > finished:
            raise UsageError(
                f"{day} is not over yet in {account.timezone} (account {account.id}): "
                f"the last finished day is {finished}"
            )
        targets[account.id] = day or finished
    return targets


def _missing_accounts(conn: Connection, catalog: Catalog) -> Iterator[Outcome]:
    """Accounts whose rows were removed fail; their day is said in UTC."""
    day = periods.last_finished_day(periods.now(), periods.time_zone("UTC"))
    for account_id, why in missing_accounts(conn, catalog).items():
        yield Outcome(account=account_id, day=day, result=FAILED, detail=why)


def _damaged(conn: Connection, catalog: Catalog, accounts: Iterable[str]) -> dict[str, str]:
    """The accounts of which rows of the catalog are missing, and which."""
    damaged = {}
    for account_id in accounts:
        try:
            check_rows(conn, catalog, account_id)
        except BillingError as error:
            damaged[account_id] = str(error)
    return damaged


def _due_accounts(
    conn: Connection, cutoff: Cutoff, targets: Mapping[str, date], settled: Mapping[str, date]
) -> list[_Account]:
    """The accounts with late or unbilled days."""
    late = late_days(conn, cutoff, settled)
    by_account: dict[str, list[AccountDay]] = {}
    for account_day in unsettled_days(conn, cutoff, targets):
        by_account.setdefault(account_day.account_id, []).append(account_day)
    accounts = []
    for account_id in by_account.keys() | late.keys():
        ledger = cutoff.ledger(conn, account_id)
        rerating = None
        if account_id in late:
            posting = Posting(command=_COMMAND, posted_on=targets[account_id], cause=late[account_id].cause)
            rerating = open_rerating(ledger, late[account_id].first, posting)
        carries = account_id in settled and ledger.state_after(settled[account_id]).height > 0
        days = [*(rerating.days if rerating else ()), *by_account.get(account_id, ())]
        accounts.append(_Account(id=account_id, days=days, rerating=rerating, carries_state=carries))
    return accounts


def _already_billed(
    conn: Connection, cutoff: Cutoff, targets: Mapping[str, date], settled: Mapping[str, date]
) -> Iterator[Outcome]:
    for account_id, target in targets.items():
        if settled.get(account_id, date.min) >= target:
            runs = cutoff.ledger(conn, account_id).settled_days(target, target)
            run = runs[target].id if target in runs else None
            yield Outcome(account=account_id, day=target, result=ALREADY_BILLED, run=run)


@dataclass(slots=True, kw_only=True)
class _Night:
    """What bills the days that are due. `database_failed`: for one of them at least."""

    engine: Engine
    cutoff: Cutoff
    activity: Activity
    metering: Metering
    feeds: Feeds
    despite_silence: bool
    database_failed: bool = False

    def bill(self, accounts: Sequence[_Account]) -> Iterator[Outcome]:
        """Bills or corrects day after day, all accounts whose days have the same bounds together."""
        by_id = {account.id: account for account in accounts}
        due = in_order(account_day for account in accounts for account_day in account.days)
        for _, same_bounds in groupby(due, key=lambda account_day: account_day.bounds):
            busy = []
            for account_day in same_bounds:
                account = by_id[account_day.account_id]
                if account.is_stopped:
                    continue
                if account.is_quiet(account_day) and not self.activity.may_hold_events(account_day):
                    account.quiet.append(account_day)
                    if account_day.day == account.days[-1].day or self._ends_rerating(account, account_day):
                        yield from self._settle_quiet(account)
                else:
                    yield from self._settle_quiet(account)
                    busy.append(account_day)
            yield from self._bill_busy([day for day in busy if not by_id[day.account_id].is_stopped], by_id)

    def _ends_rerating(self, account: _Account, account_day: AccountDay) -> bool:
        rerating = account.rerating_of(account_day)
        return rerating is not None and account_day.day == rerating.last

    def _bill_busy(self, days: Sequence[AccountDay], by_id: Mapping[str, _Account]) -> Iterator[Outcome]:
        """Meters the days of one pair of bounds together, then bills or corrects account by account."""
        openings: list[Opening] = []
        for account_day in days:
            account = by_id[account_day.account_id]
            opening = guarded(f"account {account.id}, {account_day.day}", lambda: self._opening(account, account_day))  # noqa: B023 - called here
            if isinstance(opening, Failure):
                yield self._failed(account, account_day, opening)
            else:
                openings.append(opening)
        if not openings:
            return
        roots = DayRoots(cutoff=self.cutoff, days=[opening.account_day for opening in openings])
        for opening, metered in meter_days(openings, self.cutoff, self.metering):
            yield from self._bill_account(by_id[opening.account_day.account_id], opening, metered, roots)

    def _opening(self, account: _Account, account_day: AccountDay) -> Opening:
        with reading(self.engine) as conn:
            ledger = self.cutoff.ledger(conn, account.id)
            rerating = account.rerating_of(account_day)
            return rerating.opening(ledger, account_day) if rerating else opening_of(ledger, account_day)

    def _bill_account(
        self, account: _Account, opening: Opening, metered: Metered | Failure, roots: DayRoots
    ) -> Iterator[Outcome]:
        """What became of a metered day; nothing while a rerating goes on."""
        account_day = opening.account_day
        if isinstance(metered, Failure):
            yield self._failed(account, account_day, metered, opening)
            return
        rerating = account.rerating_of(account_day)

        def work() -> Outcome | None:
            if rerating:
                return self._rerate(account, rerating, opening, metered, roots)
            found = pl.concat([metered.findings, zone_changed(account_day), self._suspended_entries(account_day)])
            return self._settle_or_hold(account, opening, replace(metered, findings=found), roots)

        outcome = guarded(f"account {account.id}, {account_day.day}", work)
        if isinstance(outcome, Failure):
            yield self._failed(account, account_day, outcome, opening)
        elif outcome:
            yield outcome

    def _suspended_entries(self, account_day: AccountDay) -> pl.DataFrame:
        if self.cutoff.catalog.accounts[account_day.account_id].overdue_policy is None:
            return pl.DataFrame(schema=FINDINGS_SCHEMA)
        with reading(self.engine) as conn:
            return suspended_entries(self.cutoff.ledger(conn, account_day.account_id), self.cutoff, account_day)

    def _settle_or_hold(self, account: _Account, opening: Opening, metered: Metered, roots: DayRoots) -> Outcome:
        silence = self.feeds.silence_of(opening.account_day, metered)
        if silence.apps:
            with writing(self.engine) as conn:
                announce_silence(conn, silence, at_ms=self.cutoff.started_at_ms)
        named = str(silence)
        if silence.holds and not self.despite_silence:
            account.is_stopped = True
            return Outcome(account=account.id, day=opening.account_day.day, result=HELD, detail=named, silence=named)
        events = roots.of(opening.account_day, metered)
        outcome = self._settle(account, [_Day(opening=opening, metered=metered, events=events)])
        detail = "; ".join(filter(None, (outcome.detail, named)))
        return replace(outcome, detail=detail, silence=named)

    def _rerate(
        self, account: _Account, rerating: Rerating, opening: Opening, metered: Metered, roots: DayRoots
    ) -> Outcome | None:
        with reading(self.engine) as conn:
            events = roots.of(opening.account_day, metered)
            rerating.add(self.cutoff.ledger(conn, account.id), opening, metered, events)
        return self._posted(account, rerating) if opening.account_day.day == rerating.last else None

    def _posted(self, account: _Account, rerating: Rerating) -> Outcome:
        account.carries_state = rerating.state.height > 0
        correction = rerating.correction(self.cutoff)
        run, day = corrections.post(self.engine, correction)
        detail = correction.run.detail
        return Outcome(account=account.id, day=day, result=CORRECTED, run=run, detail=detail)

    def _settle_quiet(self, account: _Account) -> Iterator[Outcome]:
        """Settles the days that are kept back, or adds them to the rerating."""
        if not account.quiet:
            return
        quiet, account.quiet = account.quiet, []
        rerating = account.rerating_of(quiet[-1])

        def work() -> Outcome | None:
            if not rerating:
                return self._settle(account, self._quiet_days(account, quiet))
            with reading(self.engine) as conn:
                rerating.add_quiet(self.cutoff.ledger(conn, account.id), quiet)
            return self._posted(account, rerating) if quiet[-1].day == rerating.last else None

        outcome = guarded(f"account {account.id}, {quiet[0].day}", work)
        if isinstance(outcome, Failure):
            yield self._failed(account, quiet[0], outcome)
        elif outcome:
            yield outcome

    def _quiet_days(self, account: _Account, quiet: Sequence[AccountDay]) -> list[_Day]:
        with reading(self.engine) as conn:
            terms_of_days = self.cutoff.ledger(conn, account.id).terms_on(*(account_day.day for account_day in quiet))
        return [
            _Day(opening=Opening(account_day=account_day, terms=terms, carried=_NO_STAYS), metered=None)
            for account_day, terms in zip(quiet, terms_of_days, strict=True)
        ]

    def _settle(self, account: _Account, days: Sequence[_Day]) -> Outcome:
        """Bills days and settles them in one transaction."""
        last = days[-1]
        try:
            bill = self._bill_of(account, days)
            run = settled_days.settle(self.engine, bill)
        except AlreadyBilled:
            return Outcome(account=account.id, day=last.day, result=ALREADY_BILLED, detail="by another process")
        account.carries_state = last.metered is not None and last.metered.state.height > 0
        return Outcome(account=account.id, day=last.day, result=BILLED, run=run, detail=bill.run.detail)

    def _bill_of(self, account: _Account, days: Sequence[_Day]) -> SpanBill:
        with reading(self.engine) as conn:
            balances = self.cutoff.ledger(conn, account.id).balances()
        bills = [
            DayBill(
                settled=day.settled,
                list_prices=day.opening.terms.list_prices,
                billed=billed,
                metered=day.metered,
                events=day.events,
            )
            for day, billed in zip(days, bill_span((day.usage for day in days), balances), strict=True)
        ]
        first, last = days[0], days[-1]
        run = self.cutoff.run(
            _COMMAND,
            last.opening.terms,
            account_id=account.id,
            day=last.day,
            from_day=first.day if len(days) > 1 else None,
            result=BILLED,
            detail=_detail(bills),
            counts=_counts(bills),
        )
        return SpanBill(
            account_id=account.id,
            currency=self.cutoff.catalog.accounts[account.id].currency,
            run=run,
            catalog_change=self.cutoff.catalog_change,
            days=bills,
        )

    def _failed(
        self, account: _Account, account_day: AccountDay, failure: Failure, opening: Opening | None = None
    ) -> Outcome:
        """Records that an account's day failed, if the database can still be written to."""
        account.is_stopped = True
        self.database_failed |= failure.is_of_database
        run = self.cutoff.run(
            _COMMAND,
            opening.terms if opening else None,
            account_id=account.id,
            day=account_day.day,
            result=FAILED,
            detail=failure.reason,
        )
        run_id = None
        try:
            with writing(self.engine) as conn:
                run_id = insert_run(conn, run)
        except BillingError:
            _log.warning("the failure of account %s on %s could not be recorded", account.id, account_day.day)
        return Outcome(account=account.id, day=account_day.day, result=FAILED, run=run_id, detail=failure.reason)


def _detail(bills: Sequence[DayBill]) -> str:
    minutes = sum(charge.minutes for bill in bills for charge in bill.billed.charges)
    findings = sum(bill.metered.findings.height for bill in bills if bill.metered)
    days = f", {len(bills):,} days without usage from {bills[0].day}" if len(bills) > 1 else ""
    return f"{minutes:,} minutes" + (f", {findings:,} finding{'s'[findings == 1 :]}" if findings else "") + days


def _counts(bills: Sequence[DayBill]) -> dict[str, int]:
    metered = [bill.metered for bill in bills if bill.metered]
    return {
        "seconds": sum(int(each.usage["seconds"].sum()) for each in metered),
        "usage_rows": sum(each.usage.height for each in metered),
        "deductions": sum(len(bill.billed.deductions) for bill in bills),
        "findings": sum(each.findings.height for each in metered),
        "open_stays": open_stays(metered[-1].state).height if metered else 0,
    }
