"""Refunds of packages, by the published example and its neighbours."""

from decimal import Decimal

import pytest

from billing.catalog.policies import builtin_policies
from billing.rating.refunds import refund, used_price

VERSION = builtin_policies()["trtc-intl"].versions[-1]
OFFERS = VERSION.package_prices["USD"]
AUDIO = VERSION.prices["USD"]["audio"] / 1000


@pytest.mark.parametrize(
    ("paid", "used", "unit_price", "refunded"),
    [
        ("227", 30_000, "0.00096", "198.20"),
        ("24", 24_000, "0.00099", "0.24"),
        ("227", 245_000, "0.00096", "0"),
        ("227", 250_000, "0.000908", "0"),
        ("24", 0, "0.00099", "24"),
        ("856", 25_000, "0.00096", "832"),
    ],
)
def test_a_refund_is_what_was_paid_less_the_used_minutes_at_the_price_of_their_own_size(
    paid: str, used: int, unit_price: str, refunded: str
) -> None:
    price = used_price(OFFERS, AUDIO, used)
    assert price == Decimal(unit_price)
    assert refund(Decimal(paid), used, price, "USD") == Decimal(refunded)
