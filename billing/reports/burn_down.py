"""Burn-down: how packages are used up, day by day, when they will run out, and in which order they pay.

The pace is the mean of the last 7 settled days. A package with 3,000 package minutes left that gave 500 a day runs out
in 6 days, if nobody else pays first. What is left on the last valid day lapses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing import periods
from billing.catalog.packages import Package, is_free_minutes
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.daily_sums import burn_by_day
from billing.ledger.database import Engine, reading
from billing.rating.balances import PackageBalance

PACE_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnDown:
    """A package, or a month's free minutes. `place`: when it pays, from 1; None: it does not pay now.

    `points`: what was left at the end of each day, from the day before its first use of the last year or so to the last
    settled day. `pace`: package minutes a day. `runs_out_on`: the day on which it would be used up at this pace, if
    that comes before it ends.
    """

    balance: PackageBalance
    package: Package | None
    place: int | None
    points: tuple[tuple[date, int], ...]
    pace: int
    runs_out_on: date | None


def burn_downs(engine: Engine, account_id: str) -> list[BurnDown]:
    """Every package of an account and every month's free minutes: those that pay first, in their order."""
    with reading(engine) as conn:
        ledger = AccountLedger.at(conn, account_id)
        balances, settled = ledger.package_balances(), ledger.last_settled_day()
        burnt = burn_by_day(conn, account_id, date.min, date.max)
        packages = {each.id: each for each in ledger.catalog.packages.values() if each.account == account_id}
    today = settled or periods.local_day(int(periods.now().timestamp()), ledger.zone)
    order = {each.id: place for place, each in enumerate(paying_order(balances, packages, today), 1)}
    found = [_burn_down(each, packages.get(each.id), order.get(each.id), burnt, today) for each in balances]
    return sorted(found, key=lambda each: (each.place is None, each.place or 0, -each.balance.valid_to.toordinal()))


def paying_order(
    balances: Sequence[PackageBalance], packages: Mapping[str, Package], day: date
) -> list[PackageBalance]:
    """Those that can pay on the day after `day`, in the order of `payers_on`: the month's free minutes, packages of an
    app, packages of the account; of these the earliest end, the earliest purchase, the id."""
    tomorrow = day + timedelta(days=1)
    able = [each for each in balances if each.valid_from <= tomorrow <= each.valid_to and each.remaining > 0]

    def place(balance: PackageBalance) -> tuple[bool, bool, date, float, str]:
        package = packages.get(balance.id)
        bought = package.purchased_at.timestamp() if package else 0.0
        return not is_free_minutes(balance.id), balance.app_id is None, balance.valid_to, bought, balance.id

    return sorted(able, key=place)


def _burn_down(
    balance: PackageBalance,
    package: Package | None,
    place: int | None,
    burnt: Mapping[tuple[str, date], int],
    today: date,
) -> BurnDown:
    used = {day: minutes for (payer_id, day), minutes in burnt.items() if payer_id == balance.id}
    last = max([min(today, balance.valid_to), *used])
    left, points = balance.granted - balance.refunded, [(balance.valid_from - timedelta(days=1), balance.granted)]
    for day in periods.days_between(balance.valid_from, last):
        left -= used.get(day, 0)
        points.append((day, left))
    recent = sum(used.get(today - timedelta(days=n), 0) for n in range(PACE_DAYS))
    pace = -(-recent // PACE_DAYS)
    return BurnDown(
        balance=balance,
        package=package,
        place=place,
        points=tuple(points),
        pace=pace,
        runs_out_on=_runs_out_on(balance, pace, today) if place else None,
    )


def _runs_out_on(balance: PackageBalance, pace: int, today: date) -> date | None:
    if pace <= 0 or balance.remaining <= 0:
        return None
    days = -(-balance.remaining // pace)
    return today + timedelta(days=days) if days <= (balance.valid_to - today).days else None
