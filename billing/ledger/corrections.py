"""Corrections: what a rerating of settled days found different, posted beside what is settled, never in its place.

Everything is signed: after minus before. Settled rows and the corrections to them add up to what one clean run over all
events known by then gives. One rerating of one account is one run and one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext

import polars as pl
from sqlalchemy import Connection, Engine, select

from billing.errors import BillingError
from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.ledger import tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.bulk import insert_frame, insert_rows, storable
from billing.ledger.catalog_store import check_last_change
from billing.ledger.closed_months import posting_day
from billing.ledger.database import writing
from billing.ledger.day_seals import CORRECTION, SealedDay, seal_days, sealed_events
from billing.ledger.postings import Moment, recognise_packages
from billing.ledger.runs import Run, insert_run, last_run_of
from billing.ledger.settled_days import SettledDay, charge_row, insert_free_grant, insert_settled_days, insert_state
from billing.money import EXACT
from billing.rating.charges import PostedCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDifference:
    """What is different on one day.

    `usage`, `deductions`, `findings` have the columns of their tables, the last with a `count`. `charges` are complete
    but for the run. `burned` are package minutes and what is left at the end of the day, by payer. `state` is None when
    it is as it was. `settles` is set for a day that was not settled: one before the first billed day.
    """

    day: date
    usage: pl.DataFrame
    deductions: pl.DataFrame
    findings: pl.DataFrame
    charges: Sequence[PostedCharge]
    burned: Mapping[str, tuple[int, int]]
    lapses: Mapping[str, int]
    state: pl.DataFrame | None = None
    free_grant: int | None = None
    settles: SettledDay | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is different."""
        changed = (self.usage.height, self.deductions.height, self.findings.height, self.charges, self.lapses)
        return not any(changed) and self.state is None and self.free_grant is None and self.settles is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What one rerating posts. `last_run` and `last_day` are those of the account's ledger when it was read; `events`
    what each rerated day was metered from."""

    account_id: str
    posted_on: date
    run: Run
    catalog_change: int
    last_run: int
    last_day: date
    days: Sequence[DayDifference]
    events: Mapping[date, EventsRoot] = field(default_factory=dict)


def post(engine: Engine, correction: Correction) -> tuple[int, date]:
    """Writes all days of a rerating, and returns the run's number and the day on which it is posted: never one of a
    closed month. Nothing is written when the ledger has changed."""
    account_id = correction.account_id
    with writing(engine) as conn:
        ledger = AccountLedger(conn=conn, account_id=account_id)
        known = (last_run_of(conn, account_id), ledger.last_settled_day())
        if known != (correction.last_run, correction.last_day):
            raise BillingError(
                f'the books of account "{account_id}" were changed during this run: nothing was corrected, '
                "run the command again"
            )
        check_last_change(conn, correction.catalog_change)
        posted_on = posting_day(conn, account_id, correction.posted_on)
        run_id = insert_run(conn, replace(correction.run, day=posted_on))
        settles = [different.settles for different in correction.days if different.settles]
        insert_settled_days(conn, account_id, run_id, settles)
        posted = {each.day: _post_day(conn, account_id, each, run_id, posted_on) for each in correction.days}
        _seal(conn, correction, run_id, posted)
        currency = conn.execute(select(tables.account.c.currency).where(tables.account.c.id == account_id)).scalar_one()
        moment = Moment(day=posted_on, at_ms=correction.run.finished_at_ms)
        recognise_packages(conn, account_id, currency, moment)
        balances = ledger.balances()
        for payer_id in balances.payers:
            if balances.remaining(payer_id) < 0:
                raise AssertionError(f"{payer_id} of {account_id} would have {balances.remaining(payer_id)} left")
    return run_id, posted_on


def summary_of(lines: Iterable[PostedCharge]) -> str:
    """How many correction lines there are and what they come to: `2 lines, -0.003 USD`."""
    lines = list(lines)
    with localcontext(EXACT):
        amount = sum((line.charge.amount for line in lines), Decimal(0))
    currency = next((line.currency for line in lines), "")
    return f"{len(lines):,} lines, {amount.normalize():+f} {currency}".strip()


def _seal(conn: Connection, correction: Correction, run_id: int, posted: Mapping[date, SealedDay]) -> None:
    """Seals every day that has differences, or other events than those that it was sealed with."""
    known = sealed_events(conn, correction.account_id, min([*correction.events, *posted], default=date.max))
    sealed = [
        replace(posted.get(day, SealedDay(day=day)), events=correction.events.get(day, NO_EVENTS))
        for day in sorted({*correction.events, *posted})
        if day in posted or (day in known and known[day] != correction.events[day].root.hex())
    ]
    seal_days(conn, CORRECTION, run_id, correction.run, correction.catalog_change, sealed)


def _post_day(conn: Connection, account_id: str, different: DayDifference, run_id: int, posted_on: date) -> SealedDay:
    day = different.day
    if different.free_grant is not None:
        insert_free_grant(conn, account_id, day, different.free_grant, run_id, posted_on)
    key = {"account_id": account_id, "day": day, "run_id": run_id}
    insert_frame(conn, tables.usage_correction, key, different.usage)
    insert_frame(conn, tables.deduction_correction, key, different.deductions)
    insert_frame(conn, tables.finding_correction, key, storable(different.findings).with_row_index("id", offset=1))
    posting = {"run_id": run_id, "posted_on": posted_on}
    charges = [{**charge_row(account_id, line), **posting} for line in different.charges]
    insert_rows(conn, tables.charge, charges)
    posted = {**key, "kind": "correction", "posted_on": posted_on}
    burned = [
        {**posted, "payer_id": payer_id, "package_minutes": units, "remaining": remaining}
        for payer_id, (units, remaining) in different.burned.items()
    ]
    lapses = [
        {**posted, "payer_id": payer_id, "package_minutes": units} for payer_id, units in different.lapses.items()
    ]
    insert_rows(conn, tables.burn_down, burned)
    insert_rows(conn, tables.lapse, lapses)
    if different.state is not None:
        insert_state(conn, account_id, day, run_id, different.state)
    return SealedDay(
        day=day,
        usage=different.usage,
        deductions=different.deductions,
        charges=charges,
        state=different.state,
    )
