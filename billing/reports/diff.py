"""Diff: why a month of an account costs more than another, or more than the same month seen otherwise.

A side is a month (`2026-03`), as the ledger was when a run had ended (`2026-03@run:2`) or at an instant
(`2026-03@as-of:2026-04-02T00:00:00Z`), or what it would cost under another policy (`2026-03@policy:trtc-intl-2021`).

What belongs to one side only is set apart first: corrections, each where it is posted and by the run that posted it;
apps that only one side has; packages bought in the month, but for those charged elsewhere. The rest is split by app and
item into volume, mix, rounding to minutes, coverage and price (`billing.rating.causes`). The price of a minute is the
side's amount / payable minutes; where nothing was payable, the last unit price; an item that is absent takes the price
of the other side. Slabs of a graduated price are part of the price, also where minutes only move from one into
another. Amounts are the exact sums, before an invoice rounds them, and the causes sum to their difference.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

from billing.catalog.catalog import known_policies
from billing.catalog.items import FEES, ITEM_RANK
from billing.catalog.quantities import ALL_APPS
from billing.errors import UsageError
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger, ChargeRow
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.runs import find_run
from billing.money import SCALE, from_scaled, to_scaled
from billing.periods import local_day, month_days, parse_instant, parse_month
from billing.rating.causes import PRICE, ItemMonth, shown, split
from billing.reports.what_if import Question, answer

APP_NEW, APP_GONE, CORRECTION, PACKAGE, FEE = "app_new", "app_gone", "correction", "package", "fee"
MINUTE = 60  # seconds
_VIEWS = "2026-03, 2026-03@run:2, 2026-03@as-of:2026-04-02T00:00:00Z or 2026-03@policy:trtc-intl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A part of the difference: of an app and item, of an app, or of a run's corrections. `exact` is the fraction that
    `amount` shows with 8 decimals."""

    cause: str
    app_id: int | None = None
    item: str | None = None
    run: int | None = None
    amount: Decimal
    exact: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Two sides, by their names, and why they differ: the amounts of all `causes` sum to `difference` (b - a)."""

    account: str
    a: str
    b: str
    currency: str
    amount_a: Decimal
    amount_b: Decimal
    difference: Decimal
    causes: tuple[Cause, ...]

    def row(self) -> dict[str, Any]:
        """The fields that the command prints; `causes` is a list of such rows."""
        causes = [{**asdict(each), "exact": str(each.exact)} for each in self.causes]
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "causes": causes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A month (its first day), and how it is seen: at most one of `run`, `as_of` and `policy`."""

    name: str
    month: date
    run: int | None = None
    as_of: datetime | None = None
    policy: str | None = None


@dataclass(slots=True, kw_only=True)
class _ItemSum:
    """A month of one item of an app; units are summed as the seconds that they stand for, and money is in 10^-8.
    `last_price` is that of its last day, of a unit of so many seconds."""

    seconds: int = 0
    counted: int = 0
    deducted: int = 0
    payable: int = 0
    amount: int = 0
    last_price: tuple[date, int, int] = (date.min, 0, MINUTE)

    def add(self, row: ChargeRow, unit_seconds: int) -> None:
        """One more day."""
        self.seconds += row.seconds
        self.counted += row.minutes * unit_seconds
        self.deducted += row.deducted_minutes * unit_seconds
        self.payable += row.payable_minutes * unit_seconds
        self.amount += row.amount_scaled
        self.last_price = max(self.last_price, (row.day, row.unit_price_scaled, unit_seconds))

    @property
    def price(self) -> Fraction:
        """Of a payable minute, in the currency's unit."""
        if self.payable:
            return Fraction(self.amount * MINUTE, self.payable * SCALE)
        _, unit_price, unit_seconds = self.last_price
        return Fraction(unit_price * MINUTE, unit_seconds * SCALE)

    @property
    def unpriced(self) -> Fraction:
        """What it costs though nothing is payable: minutes changed their slab."""
        return Fraction(0) if self.payable else Fraction(self.amount, SCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What a side costs, in 10^-8: usage by app and item, corrections by run, packages by app, and fees."""

    currency: str
    usage: Mapping[int, Mapping[str, _ItemSum]]
    corrections: Mapping[int, int] = field(default_factory=dict)
    packages: Mapping[int | None, int] = field(default_factory=dict)
    fees: int = 0

    @property
    def amount(self) -> int:
        """All together."""
        items = chain.from_iterable(of_app.values() for of_app in self.usage.values())
        others = sum(self.corrections.values()) + sum(self.packages.values()) + self.fees
        return sum(each.amount for each in items) + others

    def of_app(self, app_id: int) -> int:
        """The usage of an app."""
        return sum(each.amount for each in self.usage.get(app_id, {}).values())


def parse_side(text: str) -> Side:
    """A side as it is written; a `UsageError` that shows how."""
    month, at, view = text.partition("@")
    kind, _, value = view.partition(":")
    if not at:
        return Side(name=text, month=parse_month(month))
    match kind:
        case "run" if value.isascii() and value.isdigit() and len(value) < 19:
            return Side(name=text, month=parse_month(month), run=int(value))
        case "as-of":
            return Side(name=text, month=parse_month(month), as_of=parse_instant(value))
        case "policy" if value:
            return Side(name=text, month=parse_month(month), policy=value)
    raise UsageError(f"{text!r} is not a month of a bill such as {_VIEWS}")


def diff(home: Home, engine: Engine, account_id: str, a: Side, b: Side) -> Diff:
    """Why `b` costs more than `a`; a `UsageError` when nothing of a side is billed, or currencies differ."""
    with reading(engine) as conn:
        figures_a, figures_b = (_figures(conn, home, account_id, side) for side in (a, b))
    if figures_a.currency != figures_b.currency:
        raise UsageError(f"{a.name} is in {figures_a.currency}, and {b.name} in {figures_b.currency}: no difference")
    return Diff(
        account=account_id,
        a=a.name,
        b=b.name,
        currency=figures_a.currency,
        amount_a=from_scaled(figures_a.amount),
        amount_b=from_scaled(figures_b.amount),
        difference=from_scaled(figures_b.amount - figures_a.amount),
        causes=tuple(cause for cause in _causes(figures_a, figures_b) if cause.exact),
    )


def _causes(a: _Figures, b: _Figures) -> Iterator[Cause]:
    for run in sorted(a.corrections.keys() | b.corrections.keys()):
        yield _whole(CORRECTION, b.corrections.get(run, 0) - a.corrections.get(run, 0), run=run)
    for app_id in sorted(a.usage.keys() ^ b.usage.keys()):
        yield _whole(APP_NEW if app_id in b.usage else APP_GONE, b.of_app(app_id) - a.of_app(app_id), app_id=app_id)
    for scope in sorted(a.packages.keys() | b.packages.keys(), key=lambda scope: scope or 0):
        yield _whole(PACKAGE, b.packages.get(scope, 0) - a.packages.get(scope, 0), app_id=scope)
    yield _whole(FEE, b.fees - a.fees)
    for app_id in sorted(a.usage.keys() & b.usage.keys()):
        yield from _causes_of_app(app_id, a.usage[app_id], b.usage[app_id])


def _whole(cause: str, scaled: int, *, app_id: int | None = None, run: int | None = None) -> Cause:
    return Cause(cause=cause, app_id=app_id or None, run=run, amount=from_scaled(scaled), exact=Fraction(scaled, SCALE))


def _causes_of_app(app_id: int, a: Mapping[str, _ItemSum], b: Mapping[str, _ItemSum]) -> Iterator[Cause]:
    seconds_a, seconds_b = (sum(each.seconds for each in side.values()) for side in (a, b))
    for item in sorted(a.keys() | b.keys(), key=ITEM_RANK.__getitem__):
        of_a, of_b = a.get(item), b.get(item)
        price_a, price_b = (of_a or of_b or _ItemSum()).price, (of_b or of_a or _ItemSum()).price
        exact = split(_item_month(of_a, seconds_a, price_a), _item_month(of_b, seconds_b, price_b))
        exact[PRICE] += (of_b or _ItemSum()).unpriced - (of_a or _ItemSum()).unpriced
        units = shown(exact)
        for cause, value in exact.items():
            yield Cause(cause=cause, app_id=app_id or None, item=item, amount=from_scaled(units[cause]), exact=value)


def _item_month(of_side: _ItemSum | None, app_seconds: int, price: Fraction) -> ItemMonth:
    used = of_side or _ItemSum()
    return ItemMonth(
        app_seconds=app_seconds,
        seconds=used.seconds,
        minutes=Fraction(used.counted, MINUTE),
        deducted_minutes=Fraction(used.deducted, MINUTE),
        price=price,
    )


def _figures(conn: Connection, home: Home, account_id: str, side: Side) -> _Figures:
    ledger = _ledger(conn, account_id, side)
    if side.policy is not None:
        return _assumed_figures(ledger, home, side)
    last = month_days(side.month)[-1]
    rows = ledger.charge_rows(side.month, last, by="posted_on")
    if not rows and not ledger.settled_days(side.month, last):
        raise UsageError(f'{side.name}: no day of {side.month:%Y-%m} is billed for account "{account_id}"')
    corrections: Counter[int] = Counter()
    for row in rows:
        if row.kind == "correction":
            corrections[row.run_id] += row.amount_scaled
    return _Figures(
        currency=ledger.account.currency,
        usage=_usage((row for row in rows if row.kind == "usage"), _unit_seconds(ledger, side.month)),
        corrections=corrections,
        packages=_packages(ledger, side.month),
        fees=sum(row.amount_scaled for row in rows if row.kind == "usage" and row.item in FEES),
    )


def _ledger(conn: Connection, account_id: str, side: Side) -> AccountLedger:
    if side.run is None:
        return AccountLedger.at(conn, account_id, side.as_of)
    run = find_run(conn, side.run)
    catalog = load_catalog(conn, as_of_ms=run.finished_at_ms)
    catalog.account(account_id)
    return AccountLedger(conn=conn, account_id=account_id, catalog=catalog, as_of=run.id)


def _assumed_figures(ledger: AccountLedger, home: Home, side: Side) -> _Figures:
    """Of the month billed anew, with everything that corrections have found in its days."""
    question = Question(account=ledger.account_id, months=[side.month], policy=side.policy)
    found = answer(ledger, EventLog(directory=home.events), question)
    policy = known_policies(ledger.catalog)[found.policy]
    names = (*("day", "app_id", "item", "kind", "seconds"), *("minutes", "deducted_minutes", "payable_minutes"))
    rows = [
        ChargeRow._make(
            (
                values[0],
                values[1] or ALL_APPS,
                *values[2:4],
                0,
                *values[4:8],
                to_scaled(values[8]),
                to_scaled(values[9]),
            )
        )
        for values in found.charges.select(*names, "unit_price", "amount").iter_rows()
    ]
    return _Figures(
        currency=found.currency,
        usage=_usage(rows, {day: policy.version_on(day).quantity.unit_seconds for day in {row.day for row in rows}}),
        packages=_packages(ledger, side.month),
        fees=sum(row.amount_scaled for row in rows if row.item in FEES),
    )


def _usage(rows: Iterable[ChargeRow], unit_seconds: Mapping[date, int]) -> dict[int, dict[str, _ItemSum]]:
    usage: dict[int, dict[str, _ItemSum]] = {}
    for row in rows:
        if row.item not in FEES:
            usage.setdefault(row.app_id, {}).setdefault(row.item, _ItemSum()).add(row, unit_seconds[row.day])
    return usage


def _unit_seconds(ledger: AccountLedger, month: date) -> dict[date, int]:
    """The seconds of a unit on each settled day of a month."""
    runs = ledger.settled_days(month, month_days(month)[-1])
    of_hash = {run.policy_hash: run for run in runs.values()}
    policies = {policy_hash: ledger.policy_of(run) for policy_hash, run in of_hash.items()}
    return {day: policies[run.policy_hash].version_on(day).quantity.unit_seconds for day, run in runs.items()}


def _packages(ledger: AccountLedger, month: date) -> Counter[int | None]:
    """The prices of the packages that were bought in a month and are billed here, by app."""
    prices: Counter[int | None] = Counter()
    for package in ledger.catalog.packages.values():
        bought = local_day(int(package.purchased_at.timestamp()), ledger.zone)
        is_billed_here = package.account == ledger.account_id and package.charge in ("invoice", "prepaid")
        if is_billed_here and bought.replace(day=1) == month:
            prices[package.app] += to_scaled(package.price or Decimal(0))
    return prices
