"""Packages: minutes paid for in advance.

A package pays for usage at a ratio by item: at ratio 4 one HD minute takes 4 package minutes (*package minutes*). It is
valid on whole billing days of the account: from the day of its purchase, as the account's time zone dates it,

- for a year: to the end of the same month next year (bought on 2020-05-01: valid to 2021-05-31);
- for a month: to the day before the same day next month (bought on 2026-03-01: to 2026-03-31); where the next month
  lacks that day its last day stands for it (bought on 2026-01-31: to 2026-02-27).

A package bought at 18:00 pays for the whole of that day, and never for the day before.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from billing.periods import local_day, next_month

_FREE = "free-"
_FREE_MINUTES_ID = re.compile(_FREE + "([0-9]{4}-[0-9]{2})(?::([0-9]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Prepaid minutes of an account (`app` None) or of one of its apps. `purchased_at` is aware.

    `charge` says how the price is billed: `invoice`, on the invoice of the month of purchase; `prepaid`, on an invoice
    of its own at purchase; `external`, elsewhere. None only in a file: see `Catalog.resolved`.
    """

    id: str
    account: str
    app: int | None = None
    minutes: int
    purchased_at: datetime
    price: Decimal | None = None
    term: Literal["year", "month"] = "year"
    charge: Literal["invoice", "prepaid", "external"] | None = None

    def __post_init__(self) -> None:
        if self.purchased_at.tzinfo is None:
            raise ValueError(f"package {self.id}: the time of purchase has no offset")


def valid_days(package: Package, zone: ZoneInfo) -> tuple[date, date]:
    """The first and the last billing day on which the package pays, both included."""
    first = local_day(int(package.purchased_at.timestamp()), zone)
    if package.term == "year":
        return first, next_month(first.replace(year=first.year + 1, day=1)) - timedelta(days=1)
    start_of_next = next_month(first)
    last_of_next = next_month(start_of_next) - timedelta(days=1)
    return first, last_of_next.replace(day=min(first.day, last_of_next.day)) - timedelta(days=1)


def free_minutes_id(day: date, app: int | None = None) -> str:
    """The payer id of the free minutes of the month that holds `day`: `free-2026-03`; of one app's own,
    `free-2026-03:1400000001`."""
    return f"{_FREE}{day:%Y-%m}" + ("" if app is None else f":{app}")


def free_minutes_app(payer_id: str) -> tuple[date, int] | None:
    """The month (its first day) and app of free minutes that are those of an app."""
    found = _FREE_MINUTES_ID.fullmatch(payer_id)
    return (date.fromisoformat(f"{found[1]}-01"), int(found[2])) if found and found[2] else None


def is_free_minutes(payer_id: str) -> bool:
    """Whether a payer is the free minutes of a month; a package may be called `free-trial`, but not `free-2026-03`."""
    return _FREE_MINUTES_ID.fullmatch(payer_id) is not None
