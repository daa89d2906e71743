"""Money once more: seconds to minutes, minutes to payers, the rest to amounts, in whole numbers and fractions.

Money is a whole number of 10^-8 of the currency unit. Worked: 30, 20 and 40 s of audio in three windows are 1, 0 and 1
minutes; with 1 package minute left the package pays the first, and 1 x 0.00099 = 99,000 x 10^-8 is charged.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, NamedTuple

SCALE = 10**8
ITEMS = ("audio", "sd", "hd", "fhd", "2k", "4k")
# Seconds of a day: by window (its start), app and item.
Windows = Mapping[tuple[int, int, str], int]


class PaymentSource(NamedTuple):
    """A payer on a day: package minutes that it has left, what a minute of each item takes, and its app (None: all)."""

    payer_id: str
    app_id: int | None
    remaining: int
    ratios: Mapping[str, int]


class DayCharge(NamedTuple):
    """A day's use of an item in an app."""

    seconds: int
    minutes: int
    deducted: int
    payable: int
    unit_price: int
    amount: int


def version_on(policy: Mapping[str, Any], day: date) -> Mapping[str, Any]:
    """The version of a policy on a day: the last that began; the first for the days before it."""
    versions: list[Mapping[str, Any]] = sorted(policy["version"], key=lambda each: str(each["valid_from"]))
    begun = [each for each in versions if str(each["valid_from"]) <= day.isoformat()]
    return begun[-1] if begun else versions[0]


def prices_on(
    version: Mapping[str, Any], currency: str, contracts: Iterable[Mapping[str, Any]], day: date
) -> dict[str, int]:
    """The price of one minute by item under the contract that began last."""
    begun = [each for each in contracts if each["valid_from"] <= day.isoformat()]
    contract = max(begun, key=lambda each: str(each["valid_from"]), default={})
    discount = Fraction(contract.get("discount") or 1)
    found = {item: Fraction(price) * discount for item, price in version.get("prices", {}).get(currency, {}).items()}
    found |= {item: Fraction(price) for item, price in (contract.get("prices") or {}).items()}
    return {item: rounded(price / 1000 * SCALE) for item, price in found.items()}


def list_prices_on(version: Mapping[str, Any], currency: str) -> dict[str, int]:
    """The price of one minute by item without a contract."""
    return prices_on(version, currency, (), date.min)


def validity(package: Mapping[str, Any], zone: tzinfo | None) -> tuple[date, date]:
    """The first and the last day on which a package pays; `zone` None: it is bought at a time of the account's zone."""
    bought = datetime.fromisoformat(str(package["purchased_at"]))
    first = (bought.astimezone(zone) if zone else bought).date()
    if package.get("term", "year") == "year":
        return first, _month_start(first, 13) - timedelta(days=1)
    last_of_next = _month_start(first, 2) - timedelta(days=1)
    return first, last_of_next.replace(day=min(first.day, last_of_next.day)) - timedelta(days=1)


def _month_start(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def sources_on(
    day: date,
    version: Mapping[str, Any],
    packages: Iterable[Mapping[str, Any]],
    zone: tzinfo | None,
    remaining: Mapping[str, int],
) -> list[PaymentSource]:
    """What can pay on a day, in its order: free minutes, packages of an app, packages of the account."""
    free = version.get("free_ratios") or version["ratios"]
    valid = []
    for package in packages:
        first, last = validity(package, zone)
        if first <= day <= last:
            bought = datetime.fromisoformat(str(package["purchased_at"]))
            valid.append(((package.get("app") is None, last, bought, package["id"]), package))
    found = [PaymentSource(f"free-{day:%Y-%m}", None, remaining.get(f"free-{day:%Y-%m}", 0), free)]
    for _, package in sorted(valid, key=lambda each: each[0]):
        name = package["id"]
        found.append(PaymentSource(name, package.get("app"), remaining.get(name, 0), version["ratios"]))
    return [each for each in found if each.remaining > 0]


def paid_minutes(
    windows: Windows, sources: Sequence[PaymentSource]
) -> dict[tuple[int, int, str, str], tuple[int, int]]:
    """By window, app, item and payer: minutes, and the package minutes that they take."""
    left = {each.payer_id: each.remaining for each in sources}
    seconds: dict[tuple[int, str], int] = {}
    found: dict[tuple[int, int, str, str], tuple[int, int]] = {}
    if not sources:
        return found
    for window, app_id, item in sorted(windows, key=lambda key: (key[0], key[1], ITEMS.index(key[2]))):
        before = seconds.get((app_id, item), 0)
        after = seconds[app_id, item] = before + windows[window, app_id, item]
        minutes = minutes_of(after) - minutes_of(before)
        for source in sources:
            if source.app_id not in (None, app_id):
                continue
            paid = min(minutes, left[source.payer_id] // source.ratios[item])
            if paid:
                minutes -= paid
                left[source.payer_id] -= paid * source.ratios[item]
                found[window, app_id, item, source.payer_id] = (paid, paid * source.ratios[item])
    return found


def day_charges(
    windows: Windows, paid: Mapping[tuple[int, int, str, str], tuple[int, int]], prices: Mapping[str, int]
) -> dict[tuple[int, str], DayCharge]:
    """What each app and item costs."""
    seconds: dict[tuple[int, str], int] = {}
    deducted: dict[tuple[int, str], int] = {}
    for (_, app_id, item), count in windows.items():
        seconds[app_id, item] = seconds.get((app_id, item), 0) + count
    for (_, app_id, item, _), (minutes, _) in paid.items():
        deducted[app_id, item] = deducted.get((app_id, item), 0) + minutes
    found = {}
    for (app_id, item), count in seconds.items():
        minutes, taken, price = minutes_of(count), deducted.get((app_id, item), 0), prices.get(item, 0)
        found[app_id, item] = DayCharge(count, minutes, taken, minutes - taken, price, (minutes - taken) * price)
    return found


def minutes_of(seconds: int) -> int:
    """Started minutes."""
    return -(-seconds // 60)


def rounded(value: Fraction) -> int:
    """Half up, away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return -whole if value < 0 else whole
