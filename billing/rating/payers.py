"""Payers: who pays for the minutes of a day, and in which order.

The month's free minutes pay first, then packages of one app before those of the whole account, then the earliest
expiry, then the earliest purchase, then the id (TRTC billing). It is a total order: there are no ties.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from billing.catalog.packages import Package, free_minutes_id, valid_days
from billing.catalog.terms import DayTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A package, or a month's free minutes, at the start of a day: `remaining` package minutes, taken at `ratios`. It
    does not pay items without a ratio."""

    id: str
    app: int | None = None
    remaining: int
    ratios: Mapping[str, int]


def payers_on(
    terms: DayTerms, remaining: Mapping[str, int], free: Mapping[int | None, int] | None = None
) -> list[Payer]:
    """Everything that can pay on the day of `terms`, in the order in which it pays.

    `remaining`: package minutes by package id before the day; `free`: what is left of the month's free minutes, by app
    (None: of all); absent: they are of all, and among `remaining`. What has nothing left is left out.
    """
    last_days = {}
    for package in terms.packages:
        first, last = valid_days(package, terms.zone)
        if first <= terms.day <= last:
            last_days[package.id] = last

    def place(package: Package) -> tuple[bool, date, datetime, str]:
        return package.app is None, last_days[package.id], package.purchased_at, package.id

    version, free_ratios = terms.version, terms.version.all_free_ratios
    if free is None:
        free = {None: remaining.get(free_minutes_id(terms.day), 0)}
    payers = [
        Payer(id=free_minutes_id(terms.day, app), app=app, remaining=left, ratios=free_ratios)
        for app, left in free.items()
    ]
    payers += [
        Payer(id=package.id, app=package.app, remaining=remaining.get(package.id, 0), ratios=version.ratios)
        for package in sorted((package for package in terms.packages if package.id in last_days), key=place)
    ]
    return [payer for payer in payers if payer.remaining > 0]
