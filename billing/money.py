"""Money: exact decimals, stored as whole numbers of 10^-8 of the currency unit.

A unit price is per minute and has 8 decimals; an amount is minutes x unit price and needs no more than those 8, so no
amount is ever rounded. Rounding happens once, at the total of an invoice, half up, to the currency's minor unit:
4.1364 USD is 4.14 USD, 0.0891 USD is 0.09 USD, 99.5 JPY is 100 JPY.
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext

from billing.errors import BillingError

SCALE_DIGITS = 8
SCALE = 10**SCALE_DIGITS
# Databases store the scaled number in 64 bits.
_SCALED_LIMIT = 2**63
# Wide enough for every sum of a month, and a lost digit is an error, not a rounding.
EXACT = Context(prec=60, traps=[Inexact])

HALF_UP = "half_up"

# Currencies whose minor unit is not a hundredth (ISO 4217).
_MINOR_DIGITS = {
    currency: digits
    for digits, currencies in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for currency in currencies.split()
}
_CURRENCY = re.compile(r"[A-Z]{3}")


def minor_digits(currency: str) -> int:
    """Decimals of the currency's minor unit: 2 for USD, 0 for JPY."""
    return _MINOR_DIGITS.get(currency, 2)


def check_currency(currency: str) -> str:
    """The currency code itself, or a `BillingError` when it is not three capital letters."""
    if not _CURRENCY.fullmatch(currency):
        raise BillingError(f"currency {currency!r} is not a three-letter ISO 4217 code such as USD")
    return currency


def round_half_up(value: Decimal, digits: int) -> Decimal:
    """`value` rounded half up (away from zero) to `digits` decimals."""
    with localcontext(Context(prec=60)):
        return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def round_by(mode: str, numerator: Decimal, denominator: Decimal, digits: int) -> Decimal:
    """A quotient rounded to `digits` decimals, `half_up`, `up` or `down`: symmetric about zero, `down` towards it.

    Whole numbers are divided, so that no digit is lost before the rounding: 57,500 x 20 / 100 = 11,500.
    """
    with localcontext(EXACT):
        scale = Decimal(10) ** digits
        quotient, rest = divmod(abs(numerator) * scale, denominator)
        if rest and (mode == "up" or (mode == "half_up" and 2 * rest >= denominator)):
            quotient += 1
        rounded = quotient.scaleb(-digits)
    return -rounded if numerator < 0 and rounded else rounded


def round_to_minor_unit(value: Decimal, currency: str, mode: str = HALF_UP) -> Decimal:
    """A total rounded to the currency's minor unit: the one rounding of an invoice. `down`: 0.637 CNY is 0.63."""
    return round_by(mode, value, Decimal(1), minor_digits(currency))


def largest_rounding(currency: str, mode: str = HALF_UP) -> Decimal:
    """What the rounding of a total adds or takes at most."""
    return Decimal(5 if mode == HALF_UP else 10).scaleb(-minor_digits(currency) - 1)


def to_scaled(value: Decimal) -> int:
    """`value` as a whole number of 10^-8 in 64 bits; raises `decimal.Inexact` when it has more decimals."""
    with localcontext(EXACT):
        scaled = int((value * SCALE).to_integral_exact())
    if not -_SCALED_LIMIT <= scaled < _SCALED_LIMIT:
        raise BillingError(
            f"{plain(value)} is more than can be stored (up to 92,233,720,368): "
            "agree on lower prices in a [[contract]], or bill in a currency with larger units"
        )
    return scaled


def from_scaled(scaled: int) -> Decimal:
    """The decimal that `scaled` whole numbers of 10^-8 stand for."""
    with localcontext(EXACT):
        return Decimal(scaled).scaleb(-SCALE_DIGITS)


def plain(value: Decimal) -> str:
    """The exact decimal text without exponent and without trailing zeros: `0.00399`, `4.1364`, `0`."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
