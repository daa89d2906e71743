"""Refunds of packages: what was paid, less what the used minutes would have cost by themselves (TRTC billing).

The used package minutes cost the price of the size that they reach on the list of packages, for the whole quantity;
below the smallest size, the list price of an audio minute. Of 227 USD paid for 250,000 minutes of which 30,000 are
used, 30,000 x 24 / 25,000 = 28.80 are kept and 198.20 refunded. Of 24 USD with 24,000 used: 24 - 24,000 x 0.00099 =
0.24. With 245,000 used of 227 USD: 235.20 is more than was paid, so nothing.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from billing.money import EXACT, SCALE_DIGITS, round_by, round_to_minor_unit


def used_price(offers: Sequence[tuple[int, Decimal]], audio_price: Decimal, used: int) -> Decimal:
    """The price of one used package minute, 8 decimals: that of the largest offered size that `used` reaches.

    `offers` are (minutes, price); `audio_price` is the list price of an audio minute.
    """
    reached = [offer for offer in offers if offer[0] <= used]
    if not reached:
        return audio_price
    minutes, price = max(reached)
    return round_by("half_up", price, Decimal(minutes), SCALE_DIGITS)


def refund(paid: Decimal, used: int, unit_price: Decimal, currency: str) -> Decimal:
    """What is refunded, rounded half up to minor units; never below 0."""
    with localcontext(EXACT):
        return max(Decimal(0), round_to_minor_unit(paid - used * unit_price, currency))
