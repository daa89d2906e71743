"""Charges: what a day costs, one line per app and item.

The seconds of a day become minutes per app and item, rounded up once: 59 s of audio and 61 s of video are 1 + 2
minutes. What neither free minutes nor packages pay is payable at the price of one minute; the amount is exact, never
rounded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.catalog.items import ITEM_RANK, WindowUsage
from billing.errors import BillingError
from billing.money import EXACT
from billing.rating.deductions import Deduction, deduct, minutes_by_window, whole_minutes
from billing.rating.payers import Payer


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A day's use of one item in one app. `minutes = deducted_minutes + payable_minutes`, all minutes of usage."""

    app_id: int
    item: str
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    unit_price: Decimal
    amount: Decimal

    def __post_init__(self) -> None:
        if self.minutes != self.deducted_minutes + self.payable_minutes:
            raise ValueError(f"{self} has minutes that neither a package nor the customer pays")
        if self.amount != EXACT.multiply(self.payable_minutes, self.unit_price):
            raise ValueError(f"{self} has an amount that is not payable minutes x unit price")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedCharge:
    """A charge as it stands in the books. `list_price` is per minute, before the contract; None: there is none.

    A correction is signed, stands in the month of `posted_on`, and says why (`cause`) and what it corrects
    (`corrects_run_id`; None: the day came before the first billed one).
    """

    day: date
    kind: str
    run_id: int
    corrects_run_id: int | None = None
    posted_on: date
    cause: str | None = None
    currency: str
    list_price: Decimal | None
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedDay:
    """A day in money: its charges by app and item, and which payer paid which minutes."""

    charges: list[Charge]
    deductions: list[Deduction]


def rate_day(usage: Sequence[WindowUsage], payers: Sequence[Payer], prices: Mapping[str, Decimal]) -> RatedDay:
    """The charges and deductions of one account's day.

    `usage` holds each (window, app, item) once, in any order; `payers` come in the order in which they pay; `prices`
    are per minute, 8 decimals. An item in use without a price is a `BillingError`.
    """
    deductions = deduct(minutes_by_window(usage), payers) if payers else []
    deducted: Counter[tuple[int, str]] = Counter()
    for _, app_id, item, _, minutes, _ in deductions:
        deducted[app_id, item] += minutes
    seconds: dict[tuple[int, str], int] = {}
    for _, app_id, item, used_seconds in usage:
        seconds[app_id, item] = seconds.get((app_id, item), 0) + used_seconds
    charges = [
        _charge(app_id, item, seconds[app_id, item], deducted[app_id, item], prices)
        for app_id, item in sorted(seconds, key=lambda key: (key[0], ITEM_RANK[key[1]]))
    ]
    return RatedDay(charges=charges, deductions=deductions)


def _charge(app_id: int, item: str, seconds: int, deducted_minutes: int, prices: Mapping[str, Decimal]) -> Charge:
    minutes = whole_minutes(seconds)
    if item not in prices:
        raise BillingError(
            f"app {app_id} used {minutes} minutes of {item}, which has no price in the account's currency: "
            f"add {item} to the prices of a contract that is valid on that day, then bill again"
        )
    payable_minutes = minutes - deducted_minutes
    return Charge(
        app_id=app_id,
        item=item,
        seconds=seconds,
        minutes=minutes,
        deducted_minutes=deducted_minutes,
        payable_minutes=payable_minutes,
        unit_price=prices[item],
        amount=EXACT.multiply(payable_minutes, prices[item]),
    )
