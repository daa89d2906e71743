"""Rebill: settled days of one account rerated on demand, and what is different posted as corrections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.jobs.cutoff import Cutoff, cutoff_now
from billing.jobs.due_days import Activity
from billing.jobs.event_roots import DayRoots
from billing.jobs.metered_days import Failure, meter_days
from billing.jobs.rerating import Posting, Rerating, late_days, open_rerating
from billing.ledger import corrections
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import Engine, reading
from billing.ledger.opening import AccountDay
from billing.metering.spans import meter_with_leaves
from billing.rating.charges import PostedCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebilled:
    """What a rerating found. `run` is None when nothing was posted; `deducted_by`: minutes by payer, by day, app and
    item."""

    run: int | None
    lines: Sequence[PostedCharge]
    deducted_by: Mapping[tuple[date, int, str], Mapping[str, int]]
    summary: str


def run_rebill(
    home: Home, engine: Engine, account_id: str, first: date, *, reason: str, dry_run: bool = False
) -> Rebilled:
    """Rerates an account's settled days from `first` on, or from its oldest late event if that is older, and posts the
    corrections in the month of the last settled day; `dry_run` only says what they would be.

    Raises `UsageError` when `first` is not billed yet or there is no reason.
    """
    if not reason.strip():
        raise UsageError("a correction needs a reason: give --reason")
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            cutoff.catalog.account(account_id)
            rerating = _opened(cutoff.ledger(conn, account_id), cutoff, first, reason)
        activity = Activity.of(cutoff.log.activity())
        for account_day in rerating.days:
            with reading(engine) as conn:
                _rerate(rerating, cutoff.ledger(conn, account_id), cutoff, activity, account_day)
        run = None if dry_run else corrections.post(engine, rerating.correction(cutoff))[0]
    return Rebilled(run=run, lines=rerating.lines(), deducted_by=rerating.deducted_by(), summary=rerating.summary())


def _opened(ledger: AccountLedger, cutoff: Cutoff, first: date, reason: str) -> Rerating:
    oldest, last = ledger.first_settled_day(), ledger.last_settled_day()
    if oldest is None or last is None:
        raise BillingError(f'no day of account "{ledger.account_id}" is billed: run `billing nightly` first')
    if first > last:
        raise UsageError(f"{first} is not billed yet: the last billed day is {last}")
    late = late_days(ledger.conn, cutoff, {ledger.account_id: last}).get(ledger.account_id)
    begin = min(max(first, oldest), late.first if late else last)
    return open_rerating(ledger, begin, Posting(command="rebill", posted_on=last, cause=reason))


def _rerate(
    rerating: Rerating, ledger: AccountLedger, cutoff: Cutoff, activity: Activity, account_day: AccountDay
) -> None:
    if rerating.is_quiet(account_day) and not activity.may_hold_events(account_day):
        rerating.add_quiet(ledger, [account_day])
        return
    opening = rerating.opening(ledger, account_day)
    roots = DayRoots(cutoff=cutoff, days=[account_day])
    for _, metered in meter_days([opening], cutoff, meter_with_leaves):
        if isinstance(metered, Failure):
            raise BillingError(f'account "{ledger.account_id}", {account_day.day}: {metered.reason}')
        rerating.add(ledger, opening, metered, roots.of(account_day, metered))
