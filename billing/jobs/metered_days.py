"""Metered days: days of accounts with the same bounds are metered in one pass, and each gets its share.

If the pass fails, every account is metered on its own, so that what is wrong with one stops no other.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from billing.errors import BillingError, DatabaseError
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import Opening
from billing.metering.meter import Span
from billing.metering.schemas import Metered
from billing.metering.spans import Metering
from billing.metering.tiers import tier_rule

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an account's day failed; `is_of_database`: it was not the fault of the account."""

    reason: str
    is_of_database: bool = False


def guarded(what: str, work: Callable[[], _Result]) -> _Result | Failure:
    """The result of work on one account; whatever goes wrong with it, the others go on."""
    try:
        return work()
    except BillingError as error:
        return Failure(reason=str(error), is_of_database=isinstance(error, DatabaseError))
    # The broad except of nightly and refresh: a bug is logged with its traceback, and fails this account only.
    except Exception as error:
        _log.exception(what)
        return Failure(reason=f"{type(error).__name__}: {error}")


def meter_days(
    openings: Sequence[Opening], cutoff: Cutoff, metering: Metering
) -> Iterator[tuple[Opening, Metered | Failure]]:
    """Each day of one pair of bounds with what was metered of it, or why it could not be."""
    if not openings:
        return
    names = ", ".join(opening.account_day.account_id for opening in openings)
    day = openings[0].account_day.day
    together = guarded(f"metering {names}, {day}", lambda: _metered(openings, cutoff, metering))
    if not isinstance(together, Failure):
        for opening in openings:
            yield opening, together.of_apps(opening.account_day.apps)
    elif len(openings) == 1:
        yield openings[0], together
    else:
        for opening in openings:
            yield from meter_days([opening], cutoff, metering)


def _metered(openings: Sequence[Opening], cutoff: Cutoff, metering: Metering) -> Metered:
    rules = {app: tier_rule(opening.terms.version) for opening in openings for app in opening.account_day.apps}
    carried = pl.concat([opening.carried for opening in openings])
    start, end = openings[0].account_day.bounds
    return metering(cutoff.log, cutoff.ingest_id, carried, Span(start=start, end=end, rules=rules))
