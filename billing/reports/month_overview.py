"""Overview of a month: what it costs so far, day by day, beside the month before.

What is posted on a day counts to it, corrections too: the days sum to what the month's invoice rests on. The month
before is compared up to the same day of the month. With the 1st to the 20th settled at 84.00, and 80.00 on the 1st to
the 20th of the month before, the change is +5 %. Provisional days stand beside, in no comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext

from billing import periods
from billing.catalog.catalog import Account
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.daily_sums import ChargeSum, LineSum, charge_sums, line_sums
from billing.ledger.database import Engine, reading
from billing.ledger.provisional_bills import provisional_bills
from billing.ledger.runs import last_settled_days
from billing.money import EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotal:
    """A day of the month: minutes and amount of its usage, and the amount of corrections posted on it."""

    day: date
    minutes: int = 0
    amount: Decimal = Decimal(0)
    corrected: Decimal = Decimal(0)
    is_provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthOverview:
    """A month of an account. `through`: the last settled day of the month; `before` and `before_minutes`: the month
    before up to the same day of the month."""

    account: Account
    month: date
    days: tuple[DayTotal, ...]
    through: date | None
    before: Decimal
    before_minutes: int

    @property
    def settled(self) -> Decimal:
        """What the settled days cost, with the corrections posted on them."""
        return _amount(each for each in self.days if not each.is_provisional)

    @property
    def corrected(self) -> Decimal:
        """The corrections that are in it."""
        with localcontext(EXACT):
            return sum((each.corrected for each in self.days), Decimal(0))

    @property
    def provisional(self) -> Decimal:
        """What the days cost so far that are not settled."""
        return _amount(each for each in self.days if each.is_provisional)

    @property
    def spend(self) -> Decimal:
        """Settled and provisional."""
        return _amount(self.days)

    @property
    def minutes(self) -> int:
        """The minutes of the settled days."""
        return sum(each.minutes for each in self.days if not each.is_provisional)

    @property
    def change(self) -> Decimal | None:
        """By what share the settled amount is above the month before; None: that was nothing."""
        return (self.settled - self.before) / self.before if self.before else None

    @property
    def provisional_share(self) -> Decimal | None:
        """Which share of the spend is provisional."""
        return self.provisional / self.spend if self.spend else None


def month_overviews(engine: Engine, accounts: Sequence[str], month: date | None = None) -> list[MonthOverview]:
    """A month of some accounts; None: the present month of each, where it is."""
    now = int(periods.now().timestamp())
    found = []
    with reading(engine) as conn:
        catalog, settled = load_catalog(conn), last_settled_days(conn)
        months = {
            each: month or periods.local_day(now, periods.time_zone(catalog.account(each).timezone)).replace(day=1)
            for each in accounts
        }
        for first in set(months.values()):
            of_month = [each for each in accounts if months[each] == first]
            before = (first - timedelta(days=1)).replace(day=1)
            sums = charge_sums(conn, of_month, before, periods.month_days(first)[-1])
            of_account: dict[str, list[ChargeSum]] = {}
            for row in sums:
                of_account.setdefault(row.account_id, []).append(row)
            for account_id in of_month:
                ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog)
                rows = of_account.get(account_id, [])
                found.append(_overview(ledger, first, rows, settled.get(account_id)))
    return sorted(found, key=lambda each: accounts.index(each.account.id))


def month_lines(engine: Engine, account_id: str, month: date) -> list[LineSum]:
    """What is posted in a month by app, item, kind and price."""
    with reading(engine) as conn:
        return line_sums(conn, account_id, month, periods.month_days(month)[-1])


def _overview(ledger: AccountLedger, month: date, sums: Sequence[ChargeSum], settled: date | None) -> MonthOverview:
    last = periods.month_days(month)[-1]
    through = min(settled, last) if settled and settled >= month else None
    totals = {day: DayTotal(day=day) for day in periods.days_between(month, through)} if through else {}
    for day in {row.day for row in sums if month <= row.day}:
        totals[day] = _total(day, [row for row in sums if row.day == day])
    for bill in provisional_bills(ledger) if settled is None or settled < last else []:
        if month <= bill.day <= last:
            totals[bill.day] = DayTotal(
                day=bill.day,
                minutes=sum(charge.minutes for charge in bill.billed.charges),
                amount=_sum(charge.amount for charge in bill.billed.charges),
                is_provisional=True,
            )
    until = through.day if through else 0
    earlier = [row for row in sums if row.day < month and row.day.day <= until]
    return MonthOverview(
        account=ledger.account,
        month=month,
        days=tuple(totals[day] for day in sorted(totals)),
        through=through,
        before=_sum(row.amount for row in earlier),
        before_minutes=sum(row.minutes for row in earlier),
    )


def _total(day: date, rows: Sequence[ChargeSum]) -> DayTotal:
    usage, corrections = ([row for row in rows if row.kind == kind] for kind in ("usage", "correction"))
    return DayTotal(
        day=day,
        minutes=sum(row.minutes for row in rows),
        amount=_sum(row.amount for row in usage),
        corrected=_sum(row.amount for row in corrections),
    )


def _amount(days: Iterable[DayTotal]) -> Decimal:
    return _sum(value for each in days for value in (each.amount, each.corrected))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
