"""The estimate as it is asked and printed: whose prices hold, and the month as one row."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from billing.catalog.catalog import Catalog
from billing.errors import UsageError
from billing.reports.estimate import Room, Tariff, estimate, tariff_of_account, tariff_of_policy
from billing.reports.row_formats import Report


def asked_tariff(catalog: Callable[[], Catalog], *, policy: str | None, account: str | None, at: datetime) -> Tariff:
    """The prices of a built-in policy or of an account, whose catalog is read only then."""
    match policy, account:
        case str(), None:
            return tariff_of_policy(policy, at)
        case None, str():
            return tariff_of_account(catalog(), account, at)
    raise UsageError("give either --policy or --account")


def estimate_report(room: Room, tariff: Tariff, *, rooms_per_day: int, minutes: int, days: int) -> Report:
    """A month of such rooms, as one row with its items and packages as tables."""
    row = asdict(estimate(room, tariff, rooms_per_day=rooms_per_day, minutes=minutes, days=days))
    return Report(fields=tuple(row), rows=[row])
