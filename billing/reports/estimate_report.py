"""The estimate as it is asked and printed: whose prices hold, and the month as one row."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime

from billing.catalog.catalog import Catalog
from billing.errors import UsageError
from billing.reports.estimate import Tariff, estimate_of, tariff_of_account, tariff_of_policy
from billing.reports.estimate_scenario import Scenario
from billing.reports.planned_rooms import PlannedRooms
from billing.reports.row_formats import Report


def asked_tariff(catalog: Callable[[], Catalog], *, policy: str | None, account: str | None, at: datetime) -> Tariff:
    """The prices of a built-in policy or of an account, whose catalog is read only then."""
    match policy, account:
        case str(), None:
            return tariff_of_policy(policy, at)
        case None, str():
            return tariff_of_account(catalog(), account, at)
    raise UsageError("give either --policy or --account")


def scenario_tariff(catalog: Callable[[], Catalog], scenario: Scenario, at: datetime) -> Tariff:
    """The prices of a scenario, with free minutes of its own if it has some."""
    tariff = asked_tariff(catalog, policy=scenario.policy, account=scenario.account, at=at)
    if scenario.free_minutes is None:
        return tariff
    return replace(tariff, terms=replace(tariff.terms, free_minutes=scenario.free_minutes))


def estimate_report(planned: Sequence[PlannedRooms], tariff: Tariff) -> Report:
    """A month of all these rooms, as one row with its items and packages as tables."""
    row = asdict(estimate_of(planned, tariff))
    return Report(fields=tuple(row), rows=[row])
