"""Settling: days are written once, whole, in one transaction with the run that billed them.

Days follow each other without a gap: every day up to the last settled one is settled. What later runs find different
is posted by `billing.ledger.corrections`; `billing.ledger.account_ledger` reads both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
from sqlalchemy import Connection, Engine, delete, insert, select

from billing.catalog.packages import free_minutes_id
from billing.catalog.policies import Policy, policy_source
from billing.errors import BillingError
from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.ledger import tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.bulk import insert_frame, insert_rows, packed, schema_of, storable
from billing.ledger.catalog_store import check_last_change
from billing.ledger.database import writing
from billing.ledger.day_seals import USAGE, SealedDay, seal_days
from billing.ledger.postings import Moment, recognise_packages
from billing.ledger.runs import Run, insert_run
from billing.metering.schemas import FINDINGS_SCHEMA, USAGE_SCHEMA, Metered, stored_state
from billing.money import to_scaled
from billing.rating.balances import Balances
from billing.rating.charges import Charge, PostedCharge
from billing.rating.day import BilledDay
from billing.rating.deductions import Deduction


class AlreadyBilled(BillingError):  # noqa: N818 - an answer more than an error: the day is done
    """The account and day are settled, perhaps by a process that was quicker; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledDay:
    """A day to settle, `[start, end)` in epoch seconds, and the policy that it is billed with."""

    day: date
    start: int
    end: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBill:
    """Everything that settling one day of one account writes, but for its run.

    `list_prices` are per minute, before the contract, by item. `metered`: what was metered of the day; None: nothing
    happened on it, and no stay was open. `events`: what it was metered from.
    """

    settled: SettledDay
    list_prices: Mapping[str, Decimal]
    billed: BilledDay
    metered: Metered | None = None
    events: EventsRoot = NO_EVENTS

    @property
    def day(self) -> date:
        """The local day."""
        return self.settled.day


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanBill:
    """Days of one account that one run settles, in their order.

    `catalog_change` is the last change of the catalog (its number) that the bill knows of.
    """

    account_id: str
    currency: str
    run: Run
    catalog_change: int
    days: Sequence[DayBill]


def settle(engine: Engine, bill: SpanBill) -> int:
    """Writes the days and returns their run's number; `AlreadyBilled`, and nothing is written, when one is settled."""
    with writing(engine) as conn:
        _check_order(conn, bill)
        check_last_change(conn, bill.catalog_change)
        run_id = insert_run(conn, bill.run)
        insert_settled_days(conn, bill.account_id, run_id, [day.settled for day in bill.days])
        balances = AccountLedger(conn=conn, account_id=bill.account_id).balances()
        _refuse_overdrawn(bill.account_id, balances)
        sealed = []
        for day in bill.days:
            sealed.append(_insert_metered(conn, bill, day, day.metered, run_id))
            balances = _insert_payments(conn, bill.account_id, day, run_id, balances)
        settled = Moment(day=bill.days[-1].day, at_ms=bill.run.finished_at_ms)
        recognise_packages(conn, bill.account_id, bill.currency, settled)
        provisional = tables.provisional_day.c
        past = (provisional.account_id == bill.account_id) & (provisional.day <= bill.days[-1].day)
        conn.execute(delete(tables.provisional_day).where(past))
        seal_days(conn, USAGE, run_id, bill.run, bill.catalog_change, sealed)
    return run_id


def insert_settled_days(conn: Connection, account_id: str, run_id: int, days: Sequence[SettledDay]) -> None:
    """The guard against billing a day twice; and the policies are kept as they are."""
    used = tables.used_policy
    for policy in {day.policy.hash: day.policy for day in days}.values():
        if conn.execute(select(used.c.hash).where(used.c.hash == policy.hash)).first() is None:
            conn.execute(insert(used).values(hash=policy.hash, source=policy_source(policy)))
    rows = [
        {
            "account_id": account_id,
            "day": day.day,
            "run_id": run_id,
            "policy_id": day.policy.id,
            "policy_hash": day.policy.hash,
            "starts_at": day.start,
            "ends_at": day.end,
        }
        for day in days
    ]
    insert_rows(conn, tables.settled_day, rows)


def insert_state(conn: Connection, account_id: str, day: date, run_id: int, state: pl.DataFrame) -> None:
    """The stays that are open at the end of a day, as this run knows them."""
    values = {"account_id": account_id, "day": day, "run_id": run_id, "frame": packed(stored_state(state))}
    conn.execute(insert(tables.carried_state).values(values))


def insert_free_grant(conn: Connection, account_id: str, day: date, minutes: int, run_id: int, posted_on: date) -> None:
    """Grants the free minutes of the month that holds `day`."""
    values = {"account_id": account_id, "month": day.replace(day=1), "minutes": minutes, "run_id": run_id}
    conn.execute(insert(tables.free_grant).values({**values, "posted_on": posted_on}))


def deduction_frame(deductions: Sequence[Deduction]) -> pl.DataFrame:
    """Deductions in the columns of their table, but for the day."""
    types = schema_of(tables.deduction, "day")
    return pl.DataFrame(deductions, schema={name: types[name] for name in Deduction._fields}, orient="row")


def charge_row(account_id: str, posted: PostedCharge) -> dict[str, object]:
    """A charge as a row of its table."""
    charge = posted.charge
    return {
        "account_id": account_id,
        "day": posted.day,
        "app_id": charge.app_id,
        "item": charge.item,
        "slab": charge.slab,
        "kind": posted.kind,
        "run_id": posted.run_id,
        "corrects_run_id": posted.corrects_run_id,
        "posted_on": posted.posted_on,
        "cause": posted.cause,
        "seconds": charge.seconds,
        "minutes": charge.minutes,
        "deducted_minutes": charge.deducted_minutes,
        "payable_minutes": charge.payable_minutes,
        "unit_price_scaled": to_scaled(charge.unit_price),
        "list_price_scaled": None if posted.list_price is None else to_scaled(posted.list_price),
        "amount_scaled": to_scaled(charge.amount),
        "currency": posted.currency,
    }


def _check_order(conn: Connection, bill: SpanBill) -> None:
    """Refuses a day that is settled. The writer's lock is held, so nobody settles it after this look."""
    last = AccountLedger(conn=conn, account_id=bill.account_id).last_settled_day()
    for day in bill.days:
        if last is not None and day.day <= last:
            raise AlreadyBilled(f'account "{bill.account_id}" is billed up to {last} already')
        if last is not None and day.day != last + timedelta(days=1):
            raise ValueError(f"{bill.account_id} is settled up to {last}, and {day.day} does not follow that day")
        last = day.day


def _refuse_overdrawn(account_id: str, balances: Balances) -> None:
    """What settled days took from packages must still be there."""
    for payer_id in sorted(balances.payers):
        if balances.remaining(payer_id) < 0:
            raise BillingError(
                f'account "{account_id}": package "{payer_id}" has {balances.remaining(payer_id):,} package minutes '
                "left, because it was changed in the database after days were billed with it: restore its minutes"
            )


def _insert_metered(conn: Connection, bill: SpanBill, day: DayBill, metered: Metered | None, run_id: int) -> SealedDay:
    """Writes what was metered and charged, and says what is to be sealed of it."""
    charges = [_charge_row(bill, day, run_id, charge) for charge in day.billed.charges]
    insert_rows(conn, tables.charge, charges)
    if metered is None:
        return SealedDay(day=day.day, events=day.events, charges=charges)
    key = {"account_id": bill.account_id, "day": day.day}
    findings = storable(metered.findings.select(*FINDINGS_SCHEMA)).with_row_index("id", 1)
    usage, deductions = metered.usage.select(*USAGE_SCHEMA), deduction_frame(day.billed.deductions)
    insert_frame(conn, tables.usage, key, usage)
    insert_frame(conn, tables.deduction, key, deductions)
    insert_frame(conn, tables.finding, key, findings)
    if metered.state.height:
        insert_state(conn, bill.account_id, day.day, run_id, metered.state)
    return SealedDay(
        day=day.day,
        events=day.events,
        usage=usage,
        deductions=deductions,
        charges=charges,
        state=metered.state,
    )


def _insert_payments(conn: Connection, account_id: str, day: DayBill, run_id: int, before: Balances) -> Balances:
    """What is left of every payer that paid or lapses; a day that takes more than there is must not be written."""
    billed = day.billed
    granted = {} if billed.free_grant is None else {free_minutes_id(day.day): billed.free_grant}
    after = before.after(granted=granted, deductions=billed.deductions)
    if billed.free_grant is not None:
        insert_free_grant(conn, account_id, day.day, billed.free_grant, run_id, day.day)
    key = {"account_id": account_id, "day": day.day, "run_id": run_id, "kind": "usage", "posted_on": day.day}
    burned = [
        {
            **key,
            "payer_id": payer_id,
            "package_minutes": after.deducted[payer_id] - before.deducted.get(payer_id, 0),
            "remaining": after.remaining(payer_id),
        }
        for payer_id in dict.fromkeys(deduction.payer_id for deduction in billed.deductions)
        # Free minutes may pay one item more and another less.
        if after.deducted[payer_id] != before.deducted.get(payer_id, 0)
    ]
    lapses = [{**key, "payer_id": payer_id, "package_minutes": left} for payer_id, left in billed.lapses.items()]
    after = after.after(lapsed=billed.lapses)
    for payer_id in {row["payer_id"] for row in (*burned, *lapses)}:
        if after.remaining(str(payer_id)) < 0:
            raise BillingError(
                f'{day.day} of account "{account_id}" takes more from "{payer_id}" than it has left: '
                "its packages were changed during this run; bill the day again"
            )
    insert_rows(conn, tables.burn_down, burned)
    insert_rows(conn, tables.lapse, lapses)
    return after


def _charge_row(bill: SpanBill, day: DayBill, run_id: int, charge: Charge) -> dict[str, object]:
    posted = PostedCharge(
        day=day.day,
        kind="usage",
        run_id=run_id,
        posted_on=day.day,
        currency=bill.currency,
        list_price=day.list_prices.get(charge.item),
        charge=charge,
    )
    return charge_row(bill.account_id, posted)
