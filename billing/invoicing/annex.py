"""The annex of an invoice: the month's facts behind its lines, day by day, from which the sheets are made.

An annex is not stored. It is read from the ledger whenever a workbook is written, and its checks compare it with the
invoice.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from billing.catalog.items import ITEMS, WindowUsage
from billing.invoicing.invoice import BilledMonth, Invoice
from billing.rating.balances import PackageBalance
from billing.rating.deductions import Deduction


class ReasonSeconds(NamedTuple):
    """Seconds of one app and item that were billed as this item for one reason."""

    app_id: int
    item: str
    reason: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDetail:
    """What run `run_id` settled a day with; or, signed, what it corrected of a day that was settled before.

    `usage` has each window, app and item once. `reasons` are those of a settled day.
    """

    day: date
    run_id: int
    usage: Sequence[WindowUsage] = ()
    reasons: Sequence[ReasonSeconds] = ()
    deductions: Sequence[Deduction] = ()


class CorrectedDeduction(NamedTuple):
    """Signed: minutes of a run's day, app and item that a payer pays more or less, and its package minutes."""

    app_id: int
    day: date
    item: str
    run_id: int
    payer_id: str
    minutes: int
    package_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Annex:
    """The facts behind an invoice; rows in any order.

    `assumptions` are sentences on what was assumed for the apps billed. `number` is the document's; None: a draft.

    `corrected` has what was posted in the month, whatever day it corrects. `packages` are the balances as of the end of
    the last settled day, and `deducted` the package minutes that each payer gave in the month, corrections included.
    """

    invoice: Invoice
    month: BilledMonth
    settled: Sequence[DayDetail]
    corrected: Sequence[DayDetail] = ()
    packages: Sequence[PackageBalance]
    deducted: Mapping[str, int]
    assumptions: Sequence[str] = ()
    number: str | None = None
    # The packages that are billed elsewhere.
    elsewhere: Sequence[str] = ()
    # The items of the policies and any other that was used or corrected, in their order.
    items: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        items = {item for _, version in self.month.policies for item in version.items}
        items |= {posted.charge.item for posted in self.month.charges}
        items |= {row.item for detail in (*self.settled, *self.corrected) for row in detail.usage}
        object.__setattr__(self, "items", tuple(item for item in ITEMS if item in items))
        self._check_payers()

    @property
    def has_corrections(self) -> bool:
        """Whether anything was corrected in the month, be it only in which window seconds were used."""
        return bool(self.month.corrections) or any(detail.usage for detail in self.corrected)

    def corrected_deductions(self) -> Iterator[CorrectedDeduction]:
        """What each payer pays more or less, for each run, day, app and item."""
        for detail in self.corrected:
            minutes: Counter[tuple[int, str, str]] = Counter()
            package_minutes: Counter[tuple[int, str, str]] = Counter()
            for row in detail.deductions:
                key = row.app_id, row.item, row.payer_id
                minutes[key] += row.minutes
                package_minutes[key] += row.package_minutes
            for (app_id, item, payer_id), number in minutes.items():
                if number:
                    given = package_minutes[app_id, item, payer_id]
                    yield CorrectedDeduction(app_id, detail.day, item, detail.run_id, payer_id, number, given)

    def _check_payers(self) -> None:
        """The deducted minutes of a correction are those of its payers."""
        paid: Counter[tuple[int, date, int, str]] = Counter()
        for row in self.corrected_deductions():
            paid[row.run_id, row.day, row.app_id, row.item] += row.minutes
        for posted in self.month.corrections:
            charge = posted.charge
            if charge.deducted_minutes != paid[posted.run_id, posted.day, charge.app_id, charge.item]:
                raise ValueError(f"{posted} has deducted minutes that are not those of its payers")
