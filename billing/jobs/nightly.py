"""The nightly: bills every account's last finished local day, earlier unbilled days first and in order.

    catalog -> late days -> unbilled days -> for each day: meter once -> for each account: correct, or rate and settle

A day's bill is a pure function of its events, the stays carried into it, the policy, the prices and the packages.
Accounts whose days have the same bounds are metered in one pass; their money then commits account by account, each day
in one transaction. Events that came after their day was settled are found first: its days from then on are replayed,
and what is different is posted in one transaction before anything further is billed. What fails stays undone, with
every later day of its account, and the next nightly tries it again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from billing import periods
from billing.catalog.catalog import Catalog
from billing.catalog.terms import DayTerms
from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.jobs.cutoff import Cutoff, cutoff_now
from billing.jobs.metered_days import Task, meter_days
from billing.jobs.rerating import Replay, late_days, open_replay
from billing.ledger import corrections
from billing.ledger import settled_days as bills
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.opening import AccountDay, account_days, balances_before, carried_into, terms_of
from billing.ledger.runs import BILLED, CORRECTED, FAILED, insert_run
from billing.ledger.settled_days import AlreadyBilled, DayBill
from billing.metering.meter import Metered
from billing.metering.spans import Metering, meter_log
from billing.metering.windows import window_usage
from billing.rating.day import bill_day

ALREADY_BILLED = "already_billed"
_COMMAND = "nightly"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the nightly did about one day of one account. `run`: the run that billed it, now or before, or corrected."""

    account: str
    day: date
    result: str
    run: int | None = None
    detail: str = ""


def run_nightly(
    home: Home, engine: Engine, *, day: date | None = None, metering: Metering = meter_log
) -> Iterator[Outcome]:
    """Bills what is due, one outcome at a time; `day` stands for the last finished day and must be finished itself.

    Raises `UsageError` if `day` is not over in the time zone of some account, before anything is billed.
    """
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            targets = _targets(cutoff.catalog, day)
            settled = bills.last_settled_days(conn)
            replays = _replays(conn, cutoff, targets, settled)
            done = list(_already_billed(conn, targets, settled))
        yield from done
        due = [each for replay in replays.values() for each in replay.days(cutoff)]
        due += _unbilled_days(cutoff, targets, settled)
        failed: set[str] = set()
        for _, same_bounds in groupby(sorted(due, key=_turn), key=lambda each: (each.start, each.end)):
            group = [each for each in same_bounds if each.account.id not in failed]
            for outcome in _bill_group(group, engine, cutoff, replays, metering):
                if outcome.result == FAILED:
                    failed.add(outcome.account)
                yield outcome


def _turn(each: AccountDay) -> tuple[int, int, str]:
    return each.start, each.end, each.account.id


def _targets(catalog: Catalog, day: date | None) -> dict[str, date]:
    """The day up to which each account is to be billed."""
    moment = periods.now()
    targets = {}
    for account in catalog.accounts.values():
        finished = periods.last_finished_day(moment, periods.time_zone(account.timezone))
        if day and day > finished:
            raise UsageError(
                f"{day} is not over yet in {account.timezone} (account {account.id}): "
                f"the last finished day is {finished}"
            )
        targets[account.id] = day or finished
    return targets


def _replays(
    conn: Connection, cutoff: Cutoff, targets: Mapping[str, date], settled: Mapping[str, date]
) -> dict[str, Replay]:
    """A replay for every account with late events."""
    return {
        account_id: open_replay(
            conn, account_id, late.first, command=_COMMAND, posted_on=targets[account_id], cause=late.cause
        )
        for account_id, late in late_days(conn, cutoff, settled).items()
    }


def _already_billed(conn: Connection, targets: Mapping[str, date], settled: Mapping[str, date]) -> Iterator[Outcome]:
    for account_id, target in targets.items():
        if settled.get(account_id, date.min) >= target:
            runs = bills.settled_days(conn, account_id, target, target)
            run = runs[target].id if target in runs else None
            yield Outcome(account=account_id, day=target, result=ALREADY_BILLED, run=run)


def _unbilled_days(cutoff: Cutoff, targets: Mapping[str, date], settled: Mapping[str, date]) -> Iterator[AccountDay]:
    """Every day to bill. The first of a new account is the local day of its oldest event."""
    catalog = cutoff.catalog
    first_events = cutoff.log.first_event_at([app.id for app in catalog.apps.values() if app.account not in settled])
    oldest: dict[str, int] = {}
    for app_id, at_ms in first_events.items():
        account_id = catalog.apps[app_id].account
        oldest[account_id] = min(at_ms, oldest.get(account_id, at_ms))
    for account in catalog.accounts.values():
        if account.id in settled:
            first = settled[account.id] + timedelta(days=1)
        elif account.id in oldest:
            first = periods.local_day(oldest[account.id] // 1000, periods.time_zone(account.timezone))
        else:
            continue
        yield from account_days(catalog, account.id, first, targets[account.id])


def _bill_group(
    group: Sequence[AccountDay], engine: Engine, cutoff: Cutoff, replays: Mapping[str, Replay], metering: Metering
) -> Iterator[Outcome]:
    """Meters the days of one pair of bounds together, then bills or corrects account by account."""
    tasks, refused = [], []
    with reading(engine) as conn:
        for each in group:
            replay = _replay_of(each, replays)
            carried = replay.carried(conn, each) if replay else carried_into(conn, each)
            try:
                tasks.append(Task(each=each, terms=terms_of(conn, cutoff.catalog, each), carried=carried))
            except BillingError as error:
                refused.append((each, str(error)))
    for each, reason in refused:
        yield _failed(engine, cutoff, each, None, reason)
    for task, metered in meter_days(tasks, cutoff, metering):
        outcome = _bill_account(task, metered, engine, cutoff, _replay_of(task.each, replays))
        if outcome:
            yield outcome


def _replay_of(each: AccountDay, replays: Mapping[str, Replay]) -> Replay | None:
    """The replay that a day belongs to, if it is not a day to bill."""
    replay = replays.get(each.account.id)
    return replay if replay and each.day <= replay.last else None


def _bill_account(
    task: Task, metered: Metered, engine: Engine, cutoff: Cutoff, replay: Replay | None
) -> Outcome | None:
    """What became of a day; None while a replay goes on."""
    each = task.each
    try:
        if replay:
            return _replay_day(replay, task, metered, engine, cutoff)
        bill = _day_bill(task, metered, engine, cutoff)
        run = bills.settle(engine, bill)
    except AlreadyBilled:
        return Outcome(account=each.account.id, day=each.day, result=ALREADY_BILLED, detail="by another process")
    except BillingError as error:
        return _failed(engine, cutoff, each, task.terms, str(error))
    # The one broad except of the program: whatever is wrong with one account, the others are billed.
    except Exception as error:
        _log.exception("account %s, %s", each.account.id, each.day)
        return _failed(engine, cutoff, each, task.terms, f"{type(error).__name__}: {error}")
    return Outcome(account=each.account.id, day=each.day, result=BILLED, run=run, detail=bill.run.detail)


def _replay_day(replay: Replay, task: Task, metered: Metered, engine: Engine, cutoff: Cutoff) -> Outcome | None:
    with reading(engine) as conn:
        replay.add(conn, task, metered)
    if task.each.day < replay.last:
        return None
    correction = replay.correction(cutoff)
    run = corrections.post(engine, correction)
    return Outcome(
        account=replay.account_id, day=replay.posted_on, result=CORRECTED, run=run, detail=correction.run.detail
    )


def _failed(engine: Engine, cutoff: Cutoff, each: AccountDay, terms: DayTerms | None, detail: str) -> Outcome:
    """Records that an account's day failed, if the database can still be written to."""
    account_id = each.account.id
    run = cutoff.run(_COMMAND, account_id=account_id, day=each.day, terms=terms, result=FAILED, detail=detail)
    run_id = None
    try:
        with writing(engine) as conn:
            run_id = insert_run(conn, run)
    except BillingError:
        _log.warning("the failure of account %s on %s could not be recorded", account_id, each.day)
    return Outcome(account=account_id, day=each.day, result=FAILED, run=run_id, detail=detail)


def _day_bill(task: Task, metered: Metered, engine: Engine, cutoff: Cutoff) -> DayBill:
    each, terms = task.each, task.terms
    with reading(engine) as conn:
        balances = balances_before(conn, each.account.id)
    billed = bill_day(terms, window_usage(metered.usage), balances)
    minutes = sum(charge.minutes for charge in billed.charges)
    findings = f", {metered.findings.height:,} findings" if metered.findings.height else ""
    return DayBill(
        account_id=each.account.id,
        day=each.day,
        run=cutoff.run(
            _COMMAND,
            account_id=each.account.id,
            day=each.day,
            terms=terms,
            result=BILLED,
            detail=f"{minutes:,} minutes{findings}",
            counts={
                "seconds": int(metered.usage["seconds"].sum()),
                "usage_rows": metered.usage.height,
                "deductions": len(billed.deductions),
                "findings": metered.findings.height,
                "open_stays": metered.state.height,
            },
        ),
        policy=terms.policy,
        catalog_change=cutoff.catalog_change,
        currency=each.account.currency,
        usage=metered.usage,
        deductions=billed.deductions,
        charges=billed.charges,
        list_prices=terms.list_prices,
        findings=metered.findings,
        state=metered.state,
        free_grant=billed.free_grant,
        lapses=billed.lapses,
    )
