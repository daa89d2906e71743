"""Usage of a month by day and time of day: when an app is used.

A day has 48 half hours of local time. Where clocks go forward one pair is empty, where they go back one pair has the
seconds of both passes. Corrections are in it, provisional seconds are not.
"""

from dataclasses import dataclass
from datetime import date, datetime

from billing import periods
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.daily_sums import window_seconds
from billing.ledger.database import Engine, reading

HALF_HOURS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatDay:
    """The seconds of a day by half hours of local time."""

    day: date
    is_settled: bool
    seconds: tuple[int, ...]

    @property
    def total(self) -> int:
        """The seconds of the day."""
        return sum(self.seconds)


def usage_heat(engine: Engine, app_id: int, month: date) -> list[HeatDay]:
    """Every day of a month of an app."""
    days = periods.month_days(month)
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        ledger = AccountLedger(conn=conn, account_id=catalog.app(app_id).account, catalog=catalog)
        windows = window_seconds(conn, ledger.account_id, app_id, days[0], days[-1])
        bounds = ledger.settled_bounds(days[0], days[-1])
    found = {day: [0] * HALF_HOURS for day in days}
    for start, seconds in windows.items():
        local = datetime.fromtimestamp(start, ledger.zone)
        if local.date() in found:
            found[local.date()][local.hour * 2 + local.minute // 30] += seconds
    return [HeatDay(day=day, is_settled=day in bounds, seconds=tuple(found[day])) for day in days]
