"""Rebill: settled days of one account replayed on demand, and what is different posted as corrections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.jobs.cutoff import cutoff_now
from billing.jobs.metered_days import Task, meter_days
from billing.jobs.rerating import late_days, open_replay
from billing.ledger import corrections
from billing.ledger import settled_days as bills
from billing.ledger.database import Engine, reading
from billing.ledger.opening import terms_of
from billing.rating.charges import PostedCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebilled:
    """What a replay found. `run` is None when nothing was posted; `deducted_by`: minutes by payer, by day, app and
    item."""

    run: int | None
    lines: Sequence[PostedCharge]
    deducted_by: Mapping[tuple[date, int, str], Mapping[str, int]]
    summary: str


def run_rebill(
    home: Home, engine: Engine, account_id: str, first: date, *, reason: str, dry_run: bool = False
) -> Rebilled:
    """Replays an account's settled days from `first` on, or from its oldest late event if that is older, and posts the
    corrections in the month of the last settled day; `dry_run` only says what they would be.

    Raises `UsageError` when `first` is not billed yet or there is no reason.
    """
    if not reason.strip():
        raise UsageError("a correction needs a reason: give --reason")
    with home.lock("nightly"):
        with reading(engine) as conn:
            cutoff = cutoff_now(conn, home)
            cutoff.catalog.account(account_id)
            oldest, last = bills.first_settled_day(conn, account_id), bills.last_settled_day(conn, account_id)
            if oldest is None or last is None:
                raise BillingError(f'no day of account "{account_id}" is billed: run `billing nightly` first')
            if first > last:
                raise UsageError(f"{first} is not billed yet: the last billed day is {last}")
            late = late_days(conn, cutoff, {account_id: last}).get(account_id)
            begin = min(max(first, oldest), late.first if late else last)
            replay = open_replay(conn, account_id, begin, command="rebill", posted_on=last, cause=reason)
        for each in replay.days(cutoff):
            with reading(engine) as conn:
                terms = terms_of(conn, cutoff.catalog, each)
                for task, metered in meter_days(
                    [Task(each=each, terms=terms, carried=replay.carried(conn, each))], cutoff
                ):
                    replay.add(conn, task, metered)
        run = None if dry_run else corrections.post(engine, replay.correction(cutoff))
    lines = replay.lines()
    return Rebilled(run=run, lines=lines, deducted_by=replay.deducted_by(), summary=replay.summary())
