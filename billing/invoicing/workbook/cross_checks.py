"""What must be equal on the sheets of an invoice.

5-minute seconds = daily seconds = invoice seconds = seconds by reason; daily seconds / 60, rounded up day by day,
= invoice minutes = deducted + payable; what the windows deduct = what the packages gave; payable minutes x unit price
= amounts, and amounts + rounding = total. Of the corrections, seconds = those by window, deducted minutes = those by
package, and all numbers = those of the invoice's lines of that kind. What a sheet states net of corrections = what the
invoice states.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import partial
from itertools import chain, product

from billing.catalog.quantities import DAILY
from billing.invoicing.annex import Annex
from billing.invoicing.invoice import Invoice, Line
from billing.invoicing.workbook.checks import APP, SUBJECT, Check
from billing.invoicing.workbook.columns import CORRECTION, QUANTITIES, USAGE, quantities
from billing.invoicing.workbook.correction_sheets import CorrectionTables
from billing.invoicing.workbook.front_sheet import rounding_cell, total_cell
from billing.invoicing.workbook.table import Formula, Kind, Table
from billing.money import EXACT, HALF_UP, largest_rounding
from billing.rating.charges import Charge

_QUANTITIES = [column.header for column in QUANTITIES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables that the checks add up."""

    lines: Table
    minutes: Table
    daily: Table
    windows: Table
    deductions: Table
    packages: Table
    reasons: Table
    # None where nothing was corrected.
    corrections: CorrectionTables | None

    def lines_of(self, kind: str) -> dict[str, str]:
        """The condition for the invoice's lines of a kind, which only corrections tell apart."""
        return {"Kind": f'"{kind}"'} if self.corrections else {}


def make_checks(annex: Annex, tables: Tables, further: Sequence[Check] | None = None) -> list[Check]:
    """All checks of the invoice, those of one kind together; `further` are those of a document's money and total,
    instead of a draft's total."""
    return [
        *_usage_checks(annex, tables),
        *_day_checks(annex, tables),
        *(_correction_checks(annex, tables.lines, tables.corrections) if tables.corrections else ()),
        *_package_checks(annex, tables),
        *_amount_checks(annex, tables),
        *(_correction_amount_checks(annex, tables.lines, tables.corrections) if tables.corrections else ()),
        *(_net_checks(annex, tables) if tables.corrections else ()),
        _list_check(annex.invoice, tables.lines),
        *(_total_checks(annex.invoice, tables.lines, annex.month.rounding) if further is None else further),
    ]


@dataclass(frozen=True, slots=True)
class _Measure:
    """A quantity by app and item: its formula for an item, and its results."""

    name: str
    formula: Callable[[str], str]
    results: Counter[tuple[int, str]]


def _measure(name: str, formula: Callable[[str], str], results: Iterable[tuple[int, str, int]]) -> _Measure:
    sums: Counter[tuple[int, str]] = Counter()
    for app_id, item, number in results:
        sums[app_id, item] += number
    return _Measure(name, formula, sums)


def _quantities_of(
    rows: Sequence[Charge] | Sequence[Line], table: Table, cells: Mapping[str, str], name: str
) -> dict[str, _Measure]:
    """Each quantity of charges or invoice lines by its header, as a table sums it over the rows with these cells."""
    return {
        header: _measure(
            name.format(header.lower()),
            partial(_sum_where, table, header, cells),
            ((row.app_id, row.item, quantities(row)[place]) for row in rows),
        )
        for place, header in enumerate(_QUANTITIES)
    }


def _usage_checks(annex: Annex, tables: Tables) -> Iterator[Check]:
    """Seconds and minutes of each app and item on the sheets that show them."""
    lines = [line for line in annex.invoice.lines if line.kind == "usage"]
    charges = [posted.charge for posted in annex.month.usage]
    in_app, of_item = {"App": APP}, {"App": APP, "Item": SUBJECT}
    of_line = of_item | tables.lines_of(USAGE)
    window_seconds = _measure(
        "5-minute seconds",
        lambda item: tables.windows.sum_where(item, in_app),
        ((row.app_id, row.item, row.seconds) for detail in annex.settled for row in detail.usage),
    )
    daily_seconds = _measure(
        "daily seconds",
        lambda item: tables.daily.sum_where(item, in_app),
        ((row.app_id, row.item, row.seconds) for row in charges),
    )
    invoiced = _quantities_of(lines, tables.lines, of_line, "invoice {}")
    reason_seconds = _measure(
        "seconds by reason",
        lambda _: tables.reasons.sum_where("Seconds", of_item),
        ((row.app_id, row.item, row.seconds) for detail in annex.settled for row in detail.reasons),
    )
    rounded_minutes = _measure(
        "daily seconds / 60, each day rounded up",
        lambda item: tables.daily.sum_of(f"({{0}}={APP})*ROUNDUP({{1}}/60,0)", "App", item),
        ((row.app_id, row.item, -(-row.seconds // 60)) for row in charges),
    )
    paid_minutes = _measure(
        "deducted + payable minutes",
        lambda _: f"{tables.lines.sum_where('Deducted', of_line)}+{tables.lines.sum_where('Payable', of_line)}",
        ((line.app_id, line.item, line.deducted_minutes + line.payable_minutes) for line in lines),
    )
    window_deductions = _measure(
        "minutes of the deductions",
        lambda _: tables.deductions.sum_where("Minutes", of_item),
        ((row.app_id, row.item, row.minutes) for detail in annex.settled for row in detail.deductions),
    )
    quantities = [version.quantity for _, version in annex.month.policies]
    # Where all apps are counted together, usage has apps and charges have none; a month is not rounded day by day.
    of_apps = () if any(each.is_over_apps for each in quantities) else ((window_seconds, daily_seconds),)
    by_day = () if any(each != DAILY for each in quantities) else ((rounded_minutes, invoiced["Minutes"]),)
    pairs = (
        *of_apps,
        (daily_seconds, invoiced["Seconds"]),
        (reason_seconds, window_seconds),
        *by_day,
        (paid_minutes, invoiced["Minutes"]),
        (window_deductions, replace(invoiced["Deducted"], name="invoice deducted minutes")),
    )
    yield from _equal(annex, pairs)


def _equal(annex: Annex, pairs: Sequence[tuple[_Measure, _Measure]]) -> Iterator[Check]:
    """Each pair of measures for each app and item that either of them has."""
    used = set().union(*(measure.results for pair in pairs for measure in pair))
    for left, right in pairs:
        for app_id, item in product(sorted(annex.month.apps), annex.items):
            if (app_id, item) in used:
                yield Check(
                    what=f"{left.name} = {right.name}",
                    app_id=app_id,
                    subject=item,
                    left=Formula(left.formula(item), left.results[app_id, item]),
                    right=Formula(right.formula(item), right.results[app_id, item]),
                )


def _day_checks(annex: Annex, tables: Tables) -> Iterator[Check]:
    """The minutes behind the chart, which are net of corrections, as the invoice is."""
    charges = [posted.charge for posted in annex.month.charges]
    for item in annex.items:
        yield Check(
            what=f"minutes of the days{', net of corrections,' if tables.corrections else ''} = invoice minutes",
            subject=item,
            left=Formula(tables.minutes.sum(item), sum(charge.minutes for charge in charges if charge.item == item)),
            right=Formula(
                tables.lines.sum_where("Minutes", {"Item": SUBJECT}),
                sum(line.minutes for line in annex.invoice.lines if line.item == item),
            ),
        )


def _net_checks(annex: Annex, tables: Tables) -> Iterator[Check]:
    """What sheets of originals state net of corrections is what the invoice states."""
    lines = annex.invoice.lines
    for item in annex.items:
        seconds = sum(line.seconds for line in lines if line.item == item)
        for name, table in (("daily", tables.daily), ("5-minute", tables.windows)):
            yield Check(
                what=f"{name} seconds, net of corrections, = invoice seconds",
                subject=item,
                left=table.net(item),
                right=Formula(tables.lines.sum_where("Seconds", {"Item": SUBJECT}), seconds),
            )
    yield Check(
        what="minutes before corrections + corrections = net",
        left=Formula(
            f"{tables.minutes.sum('Before corrections')}+{tables.minutes.sum('Corrections')}",
            int(tables.minutes.totals["Before corrections"] + tables.minutes.totals["Corrections"]),
        ),
        right=tables.minutes.net("Total"),
    )
    for what, net, header in (
        (
            "minutes of the deductions, net of corrections, = invoice deducted",
            tables.deductions.net("Minutes"),
            "Deducted",
        ),
        ("seconds by reason, net of corrections, = invoice seconds", tables.reasons.net("Seconds"), "Seconds"),
    ):
        yield Check(what=what, left=net, right=tables.lines.sums[header])


def _correction_checks(annex: Annex, lines: Table, tables: CorrectionTables) -> Iterator[Check]:
    """Seconds and minutes of the corrections of each app and item on the sheets that show them."""
    corrections = [posted.charge for posted in annex.month.corrections]
    lines_of = [line for line in annex.invoice.lines if line.kind == "correction"]
    of_item = {"App": APP, "Item": SUBJECT}
    of_line = of_item | {"Kind": f'"{CORRECTION}"'}
    stated = _quantities_of(corrections, tables.lines, of_item, "{} of the corrections")
    invoiced = _quantities_of(lines_of, lines, of_line, "{} of the invoice's corrections")
    window_seconds = _measure(
        "seconds of the corrections by window",
        partial(_sum_where, tables.by_window, "Seconds", of_item),
        ((row.app_id, row.item, row.seconds) for detail in annex.corrected for row in detail.usage),
    )
    package_minutes = _measure(
        "minutes of the corrections by package",
        partial(_sum_where, tables.by_package, "Minutes", of_item),
        ((row.app_id, row.item, row.minutes) for row in annex.corrected_deductions()),
    )
    paid_minutes = _measure(
        "deducted + payable of the corrections",
        lambda _: f"{tables.lines.sum_where('Deducted', of_item)}+{tables.lines.sum_where('Payable', of_item)}",
        ((row.app_id, row.item, row.deducted_minutes + row.payable_minutes) for row in corrections),
    )
    yield from _equal(
        annex,
        [
            (window_seconds, stated["Seconds"]),
            (package_minutes, stated["Deducted"]),
            (paid_minutes, stated["Minutes"]),
            *((stated[header], invoiced[header]) for header in _QUANTITIES),
        ],
    )


def _sum_where(table: Table, header: str, cells: Mapping[str, str], _: str) -> str:
    return table.sum_where(header, cells)


def _package_checks(annex: Annex, tables: Tables) -> Iterator[Check]:
    """What the windows took is what the packages gave, package by package and in all."""
    packages, deducted = tables.packages, annex.deducted
    shown = [column.header for column in packages.columns]
    gone = [each for each in ("Deducted", "Lapsed", "Refunded", "Remaining") if each in shown]
    given, and_corrections = [tables.deductions], ""
    if tables.corrections:
        given, and_corrections = [tables.deductions, tables.corrections.by_package], " and corrections"
    units: Counter[str] = Counter()
    for row in chain.from_iterable(detail.deductions for detail in annex.settled):
        units[row.payer_id] += row.package_minutes
    for corrected in annex.corrected_deductions():
        units[corrected.payer_id] += corrected.package_minutes
    for package in annex.packages:
        yield Check(
            what=f"package minutes of the deductions{and_corrections} = deducted this month",
            app_id=package.app_id,
            subject=package.id,
            left=Formula("+".join(_of_package(table, "Package minutes") for table in given), units[package.id]),
            right=Formula(_of_package(packages, "Deducted this month"), deducted.get(package.id, 0)),
        )
    for package in annex.packages:
        yield Check(
            what=f"{' + '.join(gone).lower()} = granted package minutes",
            app_id=package.app_id,
            subject=package.id,
            left=Formula(
                "+".join(_of_package(packages, header) for header in gone),
                package.deducted + package.lapsed + package.refunded + package.remaining,
            ),
            right=Formula(_of_package(packages, "Granted"), package.granted),
        )
    yield Check(
        what=f"package minutes of all deductions{and_corrections} = of all packages",
        left=Formula("+".join(table.sum("Package minutes") for table in given), units.total()),
        right=Formula(
            packages.sum("Deducted this month"), sum(deducted.get(package.id, 0) for package in annex.packages)
        ),
    )


def _of_package(table: Table, header: str) -> str:
    """Formula: the sum of a column over the rows of one package."""
    # SUMIFS would take an id such as "a*" or ">1" for a condition, and "A" for "a".
    return table.sum_of(f"EXACT({{0}},{SUBJECT})*{{1}}", "Package", header)


def _amount_checks(annex: Annex, tables: Tables) -> Iterator[Check]:
    """Unit prices and amounts of each app."""
    for app_id in sorted({line.app_id for line in annex.invoice.lines}):
        lines = [line for line in annex.invoice.lines if line.app_id == app_id]
        with localcontext(EXACT):
            priced = sum((line.payable_minutes * line.unit_price for line in lines), Decimal(0))
            amount = sum((line.amount for line in lines), Decimal(0))
        yield Check(
            what="payable minutes x unit price = amounts",
            app_id=app_id,
            left=Formula(
                tables.lines.sum_of(f"({{0}}={APP})*{{1}}*{{2}}", "App", "Payable", "Unit price per minute"), priced
            ),
            right=Formula(tables.lines.sum_where("Amount", {"App": APP}), amount),
            kind=Kind.AMOUNT,
        )


def _correction_amount_checks(annex: Annex, lines: Table, tables: CorrectionTables) -> Iterator[Check]:
    """Unit prices and amounts of the corrections of each app, and their amounts on the invoice."""
    corrections = [posted.charge for posted in annex.month.corrections]
    for app_id in sorted({row.app_id for row in corrections}):
        rows = [row for row in corrections if row.app_id == app_id]
        with localcontext(EXACT):
            priced = sum((row.payable_minutes * row.unit_price for row in rows), Decimal(0))
            amount = sum((row.amount for row in rows), Decimal(0))
            invoiced = sum(
                (line.amount for line in annex.invoice.lines if line.kind == "correction" and line.app_id == app_id),
                Decimal(0),
            )
        stated = Formula(tables.lines.sum_where("Amount", {"App": APP}), amount)
        yield Check(
            what="payable minutes x unit price = amounts of the corrections",
            app_id=app_id,
            left=Formula(
                tables.lines.sum_of(f"({{0}}={APP})*{{1}}*{{2}}", "App", "Payable", "Unit price per minute"), priced
            ),
            right=stated,
            kind=Kind.AMOUNT,
        )
        yield Check(
            what="amounts of the corrections = of the invoice's corrections",
            app_id=app_id,
            left=stated,
            right=Formula(lines.sum_where("Amount", {"App": APP, "Kind": f'"{CORRECTION}"'}), invoiced),
            kind=Kind.AMOUNT,
        )


def _list_check(invoice: Invoice, lines: Table) -> Check:
    """What a contract took off is the difference to the list prices."""
    totals = invoice.totals
    return Check(
        what="list amount + contract discount = subtotal",
        left=Formula(
            f"{lines.sum('List amount')}+{lines.sum('Contract discount')}", totals.list_amount + totals.discount
        ),
        right=Formula(lines.sum("Amount"), totals.subtotal),
        kind=Kind.AMOUNT,
    )


def _total_checks(invoice: Invoice, lines: Table, mode: str) -> Iterator[Check]:
    """From the subtotal to the total, and the total of the sheet to the total that was computed."""
    totals = invoice.totals
    rounding, total = rounding_cell(lines), total_cell(lines)
    most = largest_rounding(invoice.header.currency, mode)
    yield Check(
        what="subtotal + rounding = total",
        left=Formula(f"{lines.sum('Amount')}+{rounding}", totals.subtotal + totals.rounding),
        right=Formula(total, totals.total),
        kind=Kind.AMOUNT,
    )
    yield Check(
        what=f"the rounding is at most {'half a' if mode == HALF_UP else 'a'} minor unit",
        left=Formula(f"ABS({rounding})", abs(totals.rounding)),
        right=Formula(f"MIN(ABS({rounding}),{most:f})", min(abs(totals.rounding), most)),
        kind=Kind.AMOUNT,
    )
    yield Check(
        what="total = total as billed",
        left=Formula(total, totals.total),
        right=Formula(f"{totals.total:f}", totals.total),
        kind=Kind.AMOUNT,
    )
