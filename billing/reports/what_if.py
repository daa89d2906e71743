"""What-if: the real history of settled months, billed anew under other terms.

The seconds are those that were billed, with everything that corrections have found; the loop is the one that settles
(`billing.rating.span`). So what an account's own terms give is its bill, to the last digit. Balances begin as the day
before the first month has left them; assumed packages begin full. A month has its settled days. Nothing is written.

Example: a month cost 458.19 USD. With one package of 250,000 for 227 USD, and what it does not pay, 198.65, the total
is 425.65, and the difference -32.54.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, Literal

import polars as pl

from billing.catalog.contracts import Contract
from billing.catalog.items import ITEM_RANK
from billing.catalog.packages import Package
from billing.errors import UsageError
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import Engine, reading
from billing.money import EXACT
from billing.periods import month_days, next_month
from billing.reports.account import CHARGES_SCHEMA, bills_frame
from billing.reports.assumed_packages import BoughtPackages, HistorySpan, cheapest_packages, counted, with_prices
from billing.reports.assumed_terms import Assumption, assume
from billing.reports.settled_usage import SettledUsage

# A package that is bought on the first day pays to the end of the same month of the next year.
MOST_MONTHS_OF_BEST = 12

PackageChoice = Literal["own", "none", "best"]

WHAT_IF_CHARGES = pl.Schema({"month": pl.String(), **CHARGES_SCHEMA})


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Settled months under other terms; amounts are exact.

    `charges` has the columns of `charges` and before them `month`. `packages` are those that are assumed: `minutes`,
    the `price` of one and their `count`, at `packages_price` together. `total` = `amount` + `packages_price`. `billed`
    is what the days were billed, corrections included; `difference` = `total` - `billed`, None in another currency.
    """

    account: str
    months: tuple[str, ...]
    policy: str
    currency: str
    charges: pl.DataFrame
    amount: Decimal
    packages: tuple[BoughtPackages, ...]
    packages_price: Decimal
    total: Decimal
    billed: Decimal
    difference: Decimal | None
    metered_again: bool

    def row(self) -> dict[str, Any]:
        """The fields that the command prints; in `charges`, `deducted_by` is an object from payer to minutes."""
        charges = self.charges.to_dicts()
        for row in charges:
            row["deducted_by"] = {payer["payer_id"]: payer["minutes"] for payer in row["deducted_by"]}
        packages = [asdict(each) for each in self.packages]
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "charges": charges,
            "packages": packages,
        }

    def by_item(self) -> list[dict[str, Any]]:
        """The charges summed by item, in the order of the items."""
        counts = ("minutes", "deducted_minutes", "payable_minutes", "amount")
        sums = self.charges.group_by("item").agg(pl.col(name).sum() for name in counts)
        return sorted(sums.to_dicts(), key=lambda row: ITEM_RANK[row["item"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which months of an account (their first days) are billed anew, and what is assumed.

    `packages`: the account's `own`, `none`, the `best` of the policy's list, or these instead of its own.
    """

    account: str
    months: Sequence[date]
    policy: str | None = None
    contracts: Sequence[Contract] | None = None
    packages: PackageChoice | Sequence[Package] = "own"

    def __post_init__(self) -> None:
        months = sorted(set(self.months))
        if not months:
            raise UsageError("give at least one --month")
        for month, following in pairwise(months):
            if following != next_month(month):
                raise UsageError(f"{month:%Y-%m} and {following:%Y-%m}: give months that follow each other")

    @property
    def first(self) -> date:
        """The first day of all."""
        return min(self.months)

    @property
    def last(self) -> date:
        """The last day of all."""
        return month_days(max(self.months))[-1]


def what_if(home: Home, engine: Engine, question: Question) -> WhatIf:
    """The answer; a `UsageError` when a month has no settled day, or there is no such account or policy."""
    with reading(engine) as conn:
        return answer(AccountLedger.at(conn, question.account), EventLog(directory=home.events), question)


def answer(ledger: AccountLedger, log: EventLog, question: Question) -> WhatIf:
    """The answer from a ledger as it is now."""
    own = ledger.terms_on(*_settled_days(ledger, question))
    assumption = Assumption(policy=question.policy, contracts=question.contracts)
    assumed = assume(own, ledger.catalog, ledger.account, assumption)
    settled = SettledUsage.of(ledger, log, own)
    days, metered_again = settled.under(assumed.days)
    span = HistorySpan(days=days, balances=ledger.balances(before=own[0].day))
    packages = _packages(span, question, assumed.currency)
    if packages is not None:
        span = span.with_packages(packages)
    rows, amount = _billed_anew(span, assumed.currency)
    packages_price = _sum_of(package.price or Decimal(0) for package in packages or ())
    with localcontext(EXACT):
        total = amount + packages_price
        difference = total - settled.billed if assumed.currency == ledger.account.currency else None
    return WhatIf(
        account=ledger.account_id,
        months=tuple(f"{month:%Y-%m}" for month in sorted(set(question.months))),
        policy=assumed.days[-1].policy.id,
        currency=assumed.currency,
        charges=rows.select(pl.col("day").dt.strftime("%Y-%m").alias("month"), *CHARGES_SCHEMA),
        amount=amount,
        packages=counted(packages or ()),
        packages_price=packages_price,
        total=total,
        billed=settled.billed,
        difference=difference,
        metered_again=metered_again,
    )


def _settled_days(ledger: AccountLedger, question: Question) -> list[date]:
    days = list(ledger.settled_days(question.first, question.last))
    for month in question.months:
        if not any(day.replace(day=1) == month for day in days):
            raise UsageError(f'no day of {month:%Y-%m} is billed for account "{ledger.account_id}"')
    return days


def _packages(span: HistorySpan, question: Question, currency: str) -> Sequence[Package] | None:
    """The packages that pay instead of the account's own; None: its own pay."""
    match question.packages:
        case "own":
            return None
        case "none":
            return ()
        case "best":
            if len(set(question.months)) > MOST_MONTHS_OF_BEST:
                raise UsageError(f"the best packages are found for up to {MOST_MONTHS_OF_BEST} months: give fewer")
            return cheapest_packages(span, currency, question.account, question.first)
        case packages:
            return with_prices(packages, span.days[0].terms, currency)


def _billed_anew(span: HistorySpan, currency: str) -> tuple[pl.DataFrame, Decimal]:
    bills = [(day.terms, billed) for day, billed in zip(span.days, span.bills(), strict=True)]
    return bills_frame(bills, currency), _sum_of(charge.amount for _, billed in bills for charge in billed.charges)


def _sum_of(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
