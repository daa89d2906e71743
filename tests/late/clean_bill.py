"""What an account's books come to when everything is known at once: the slow obvious ledger, written from the rules.

Days one after the other, metered by the slow obvious meter; every minute of a day paid on its own, in the order in
which it begins; nothing carried but stays and what is left of packages. Amounts are exact.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from tests import oracle
from tests.late.story import Account, Contract, Package, Row

ITEMS = ["audio", "sd", "hd", "fhd", "2k", "4k"]
_INTL = [("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)]
_OLD = [("sd", 307_200), ("hd", 921_600), ("fhd", None)]
_TIERS = {
    "trtc-intl": oracle.Policy(per_stream=False, tiers=_INTL),
    "trtc-intl-2021": oracle.Policy(per_stream=False, tiers=_OLD),
    "trtc-cn": oracle.Policy(per_stream=True, tiers=_OLD),
}
_RATIOS = {
    "trtc-intl": {"audio": 1, "hd": 4, "fhd": 9, "2k": 16, "4k": 36},
    "trtc-intl-2021": {"audio": 1, "sd": 2, "hd": 4, "fhd": 15},
    "trtc-cn": {"audio": 1, "sd": 2, "hd": 4, "fhd": 15},
}
_PRICES = {
    "trtc-intl": {"audio": "0.99", "hd": "3.99", "fhd": "8.99", "2k": "15.99", "4k": "35.99"},
    "trtc-intl-2021": {"audio": "0.99", "sd": "1.99", "hd": "3.99", "fhd": "14.99"},
    "trtc-cn": {"audio": "7", "sd": "14", "hd": "28", "fhd": "105"},
}
_FREE_AT_RATIOS_SINCE = date(2023, 1, 12)

Window = tuple[int, int, str]  # app, window start, item


@dataclass(kw_only=True)
class Charge:
    seconds: int = 0
    minutes: int = 0
    deducted_minutes: int = 0
    payable_minutes: int = 0
    amount: Decimal = Decimal(0)
    unit_price: Decimal = Decimal(0)
    deducted_by: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True)
class Balance:
    """Package minutes of one payer; `last_day` is the last on which it pays."""

    app: int | None
    first_day: date
    last_day: date
    granted: int
    deducted: int = 0
    lapsed: int = 0

    @property
    def remaining(self) -> int:
        return self.granted - self.deducted - self.lapsed


@dataclass(kw_only=True)
class Books:
    """Seconds by (app, window start, item, reason) and by (day, app, room, user, item, reason); minutes that a window
    adds; charges by (day, app, item); balances by payer; findings by (day, app, room, user, at ms, finding)."""

    usage: Counter[tuple[int, int, str, str]] = field(default_factory=Counter)
    users: Counter[tuple[date, int, str, str, str, str]] = field(default_factory=Counter)
    minutes: Counter[Window] = field(default_factory=Counter)
    charges: dict[tuple[date, int, str], Charge] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    findings: Counter[tuple[date, int, str, str, int, str]] = field(default_factory=Counter)


def clean_bill(
    account: Account, events: list[Row], packages: Iterable[Package], contracts: list[Contract], last_day: date
) -> Books:
    """The books of an account that was billed once, up to a day, with these events."""
    books = Books()
    bought = {
        package.id: (
            package,
            Balance(
                app=package.app,
                first_day=package.first_day,
                last_day=package.end_day - timedelta(days=1),
                granted=package.minutes,
            ),
        )
        for package in packages
    }
    books.balances = {name: balance for name, (_, balance) in bought.items()}
    order = {
        name: (balance.app is None, balance.last_day, package.purchased_at, name)
        for name, (package, balance) in bought.items()
    }
    stays: dict[tuple[int, str, str], oracle.User] = {}
    policies = dict.fromkeys(account.apps, _TIERS[account.policy])
    # Whoever dismisses a room needs no name, and who counts no events gives them no number.
    whole = [{"user_id": None, "seq": 0, **event} for event in events]
    day = min((account.day(event["at"] // 1000) for event in events), default=date.max)
    while day <= last_day:
        following = day + timedelta(days=1)
        metered = oracle.meter(whole, stays, account.begin(day), account.begin(following), policies)
        stays = metered.state
        free = f"free-{day:%Y-%m}"
        if free not in books.balances and account.free_minutes:
            first = day.replace(day=1)
            last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
            books.balances[free] = Balance(app=None, first_day=first, last_day=last, granted=account.free_minutes)
        valid = [name for name, each in books.balances.items() if each.first_day <= day <= each.last_day]
        payers = sorted(
            valid, key=lambda name: order.get(name, ())
        )  # free minutes are not in the order: they are first
        _bill_day(books, account, day, metered, payers, contracts)
        for balance in books.balances.values():
            if balance.last_day <= day:
                balance.lapsed = balance.granted - balance.deducted
        day = following
    return books


def _bill_day(
    books: Books, account: Account, day: date, metered: oracle.Metered, payers: list[str], contracts: list[Contract]
) -> None:
    windows: Counter[Window] = Counter()
    for (app, room, user, window, item, reason), seconds in metered.seconds.items():
        books.usage[app, window, item, reason] += seconds
        books.users[day, app, room, user, item, reason] += seconds
        windows[app, window, item] += seconds
    for (app, room, user, at, finding), count in metered.findings.items():
        books.findings[day, app, room, user, at, finding] += count
    for app, window, item in sorted(windows, key=lambda key: (key[1], key[0], ITEMS.index(key[2]))):
        charge = books.charges.setdefault((day, app, item), Charge())
        charge.unit_price = _unit_price(account, day, item, contracts)
        charge.seconds += windows[app, window, item]
        begun = -(-charge.seconds // 60) - charge.minutes
        books.minutes[app, window, item] += begun
        for _ in range(begun):
            charge.minutes += 1
            _pay_minute(books, account, day, app, item, payers, charge)


def _pay_minute(
    books: Books, account: Account, day: date, app: int, item: str, payers: list[str], charge: Charge
) -> None:
    for payer in payers:
        balance = books.balances[payer]
        one_for_one = payer.startswith("free-") and day < _FREE_AT_RATIOS_SINCE
        units = 1 if one_for_one and account.policy == "trtc-intl" else _RATIOS[account.policy][item]
        if balance.app in (None, app) and balance.remaining >= units:
            balance.deducted += units
            charge.deducted_minutes += 1
            charge.deducted_by[payer] += 1
            return
    charge.payable_minutes += 1
    charge.amount += charge.unit_price


def _unit_price(account: Account, day: date, item: str, contracts: list[Contract]) -> Decimal:
    """Of one minute, after the contract that began last."""
    price, discount = Decimal(_PRICES[account.policy][item]), Decimal(1)
    begun = [contract for contract in contracts if contract.valid_from <= day]
    if begun:
        contract = max(begun, key=lambda contract: contract.valid_from)
        discount = contract.discount
        if item in contract.prices:
            price, discount = contract.prices[item], Decimal(1)
    return (price / 1000 * discount).quantize(Decimal("1e-8"), rounding=ROUND_HALF_UP)
