"""Fees: what a month costs besides its use, charged with its last day.

The base is charged always; where use and base together come to less than the minimum, the rest. With a base of 49 and a
minimum of 100, a month of 12.50 has fees of 49 and 38.50. Each is a line of one unit over all apps. When late events
change a month, its last day is corrected.
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext

from billing.catalog.items import BASE_FEE, MINIMUM_FEE
from billing.catalog.quantities import ALL_APPS, Fee
from billing.money import EXACT
from billing.rating.charges import Charge


def fee_charges(fee: Fee, amount: Decimal) -> Iterator[Charge]:
    """The fees of a month whose use costs `amount`."""
    if fee.base:
        yield fee_charge(BASE_FEE, fee.base)
    with localcontext(EXACT):
        missing = fee.minimum - fee.base - amount
    if missing > 0:
        yield fee_charge(MINIMUM_FEE, missing)


def fee_charge(item: str, amount: Decimal) -> Charge:
    """A fee, or what changes of it: one unit more or less."""
    sign = -1 if amount < 0 else 1
    return Charge(
        app_id=ALL_APPS,
        item=item,
        seconds=0,
        minutes=sign,
        deducted_minutes=0,
        payable_minutes=sign,
        unit_price=abs(amount),
        amount=amount,
    )
