"""Metered days: local days of accounts, each with its terms; those with the same bounds are metered in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from billing.catalog.terms import DayTerms
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import AccountDay
from billing.metering.meter import Metered
from billing.metering.spans import Metering, meter_log, of_apps
from billing.metering.tiers import tier_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A day to meter, from the stays carried into it, under its terms."""

    each: AccountDay
    terms: DayTerms
    carried: pl.DataFrame


def meter_days(tasks: Sequence[Task], cutoff: Cutoff, metering: Metering = meter_log) -> Iterator[tuple[Task, Metered]]:
    """Meters days of one pair of bounds in one pass, and gives each its share."""
    if not tasks:
        return
    rules = {app: tier_rule(task.terms.version) for task in tasks for app in task.each.apps}
    start, end = tasks[0].each.start, tasks[0].each.end
    carried = pl.concat([task.carried for task in tasks])
    metered = metering(cutoff.log, cutoff.ingest_id, carried, start, end, rules)
    for task in tasks:
        yield task, of_apps(metered, task.each.apps)
