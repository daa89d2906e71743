"""The books of an account's month, as the checks look at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from functools import cached_property
from hashlib import sha256

import polars as pl

from billing.ledger.account_ledger import AccountLedger
from billing.money import EXACT, round_half_up
from billing.periods import month_days
from billing.rating.charges import PostedCharge

WARN, HOLD = "warn", "hold"
WEEKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A finding. `amount`: the money that is in question, a share of charges by seconds; None: it cannot be told.

    Its id names the check, the account and the month. It ends in a hash of the subject and the value: an answer is for
    what was seen, and when the value changes, the finding waits again.
    """

    account: str
    month: date
    check: str
    severity: str
    subject: str
    value: int | Decimal
    bound: int | Decimal
    amount: Decimal | None
    detail: str

    @property
    def id(self) -> str:
        """Such as `alone-academy-2026-03-5d41402a`."""
        seen = sha256(f"{self.subject}\n{self.value}".encode()).hexdigest()
        return f"{self.check}-{self.account}-{self.month:%Y-%m}-{seen[:8]}"


@dataclass(frozen=True, kw_only=True)
class MonthBooks:
    """What is settled of a month, and of the weeks before it."""

    ledger: AccountLedger
    month: date

    @property
    def first(self) -> date:
        """The first day of the month."""
        return self.month

    @property
    def last(self) -> date:
        """Its last day."""
        return month_days(self.month)[-1]

    @cached_property
    def charges(self) -> list[PostedCharge]:
        """What is posted in the month and in the weeks before, by day."""
        return self.ledger.charges(self.first - timedelta(weeks=WEEKS), self.last)

    @cached_property
    def usage(self) -> pl.DataFrame:
        """The month's settled seconds: `day, app_id, window_start, item, reason, seconds`."""
        return self.ledger.usage(self.first, self.last)

    @cached_property
    def bounds(self) -> Mapping[date, tuple[int, int]]:
        """The settled days of the month, each `[start, end)` in epoch seconds."""
        return self.ledger.settled_bounds(self.first, self.last)

    @cached_property
    def seconds(self) -> Mapping[tuple[int, date], int]:
        """Seconds by app and day, corrections included, also of the weeks before."""
        found: dict[tuple[int, date], int] = {}
        for posted in self.charges:
            key = posted.charge.app_id, posted.day
            found[key] = found.get(key, 0) + posted.charge.seconds
        return found

    @property
    def amount(self) -> Decimal:
        """What the days of the month cost as they were settled."""
        with localcontext(EXACT):
            usage = (each for each in self.charges if each.kind == "usage" and each.day >= self.first)
            return sum((each.charge.amount for each in usage), Decimal(0))

    def share(self, app_id: int, day: date, seconds: int, item: str | None = None) -> Decimal:
        """The share that some of an app's seconds of a day have in its amount: of an item's, or of all."""
        of_day = [
            each.charge
            for each in self.charges
            if each.day == day and each.charge.app_id == app_id and item in (None, each.charge.item)
        ]
        amount, total = sum(each.amount for each in of_day), sum(each.seconds for each in of_day)
        return round_half_up(Decimal(amount) * seconds / total, 8) if total else Decimal(0)

    def found(
        self,
        check: str,
        severity: str,
        subject: str,
        value: int | Decimal,
        bound: int | Decimal,
        detail: str,
        amount: Decimal | None = None,
    ) -> Anomaly:
        """A finding in this month."""
        return Anomaly(
            account=self.ledger.account_id,
            month=self.month,
            check=check,
            severity=severity,
            subject=subject,
            value=value,
            bound=bound,
            amount=amount,
            detail=detail,
        )


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal:
    """A share with four decimals; of nothing it is 0."""
    return round_half_up(Decimal(part) / Decimal(whole), 4) if whole else Decimal(0)
