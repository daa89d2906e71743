"""The values that alerts watch, settled and provisional together, as of the last refresh.

`minutes` and `spend` are those of the days of a period; corrections count on the day on which they are posted, as on
the invoice. `package_remaining` is what packages have left that have begun; free minutes do not count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from sqlalchemy import func, select

from billing.catalog.alerts import Alert
from billing.catalog.packages import Package, valid_days
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.balances import account_balance
from billing.ledger.catalog_store import check_rows
from billing.ledger.provisional_bills import ProvisionalBill, provisional_bills
from billing.ledger.tables import charge
from billing.money import EXACT, from_scaled
from billing.rating.balances import Balances
from billing.receivables.thresholds import WatchedPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountValues:
    """An account as its alerts see it; `today` is its local date."""

    ledger: AccountLedger
    today: date
    open_days: Sequence[ProvisionalBill]

    @classmethod
    def of(cls, ledger: AccountLedger, today: date) -> "AccountValues":
        """As of now; a `BillingError` when a row of the account is missing."""
        check_rows(ledger.conn, ledger.catalog, ledger.account_id)
        return cls(ledger=ledger, today=today, open_days=provisional_bills(ledger))

    def value(self, alert: Alert, period: WatchedPeriod) -> Decimal | None:
        """The value of an alert's metric in a period; None: there is none, because no package has begun."""
        match alert.metric:
            case "balance":
                return account_balance(self.ledger).balance
            case "package_remaining":
                left = [left for package, left in self.packages() if _is_of(package, alert)]
                return Decimal(sum(left)) if left else None
            case "minutes":
                return Decimal(self._used(alert, period)[0])
            case "spend":
                return self._used(alert, period)[1]

    def packages(self) -> Iterator[tuple[Package, int]]:
        """The packages that have begun, by id, each with the package minutes that it has left."""
        balances = self._balances()
        for package in sorted(self.ledger.catalog.packages.values(), key=lambda package: package.id):
            if package.account == self.ledger.account_id and valid_days(package, self.ledger.zone)[0] <= self.today:
                yield package, balances.remaining(package.id)

    def _balances(self) -> Balances:
        return self.open_days[-1].billed.balances if self.open_days else self.ledger.balances()

    def _used(self, alert: Alert, period: WatchedPeriod) -> tuple[int, Decimal]:
        """The minutes used in a period, and what they cost."""
        minutes, amount = self._posted(alert, period)
        with localcontext(EXACT):
            for bill in self.open_days:
                if period.first <= bill.day <= period.last:
                    for each in bill.billed.charges:
                        if alert.app in (None, each.app_id):
                            minutes, amount = minutes + each.minutes, amount + each.amount
        return minutes, amount

    def _posted(self, alert: Alert, period: WatchedPeriod) -> tuple[int, Decimal]:
        sums = (func.coalesce(func.sum(column), 0) for column in (charge.c.minutes, charge.c.amount_scaled))
        query = select(*sums).where(
            charge.c.account_id == self.ledger.account_id, charge.c.posted_on.between(period.first, period.last)
        )
        if alert.app is not None:
            query = query.where(charge.c.app_id == alert.app)
        minutes, scaled = self.ledger.conn.execute(query).one()
        return int(minutes), from_scaled(int(scaled))


def _is_of(package: Package, alert: Alert) -> bool:
    return alert.package in (None, package.id) and alert.app in (None, package.app)
