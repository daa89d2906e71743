"""What the annex of a document has beside that of a draft without tax: money down to the window.

- 5-minute: the minutes that a window adds to its day (TRTC billing), those that packages paid, those payable, and
  the amount. 30 s, 20 s and 40 s of audio in three windows add 1, 0 and 1 minutes.
- Packages: what each saved, its minutes at the unit price of their day.
- Amounts on lines are live formulas, payable x unit price.
- Every row ends with the number of the document.

Columns are added behind those there are, so that no formula and no hash of a column changes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext
from itertools import islice

from billing.catalog.items import WindowUsage
from billing.invoicing.annex import Annex
from billing.invoicing.workbook.checks import APP, Check
from billing.invoicing.workbook.columns import AMOUNT, KEYS, QUANTITIES, UNIT_PRICE, USAGE
from billing.invoicing.workbook.cross_checks import Tables
from billing.invoicing.workbook.table import Column, Formula, Kind, Row, Sheet, Table
from billing.money import EXACT
from billing.rating.deductions import Deduction, minutes_by_window

SAVED = Column(header="Saved this month", width=15, kind=Kind.AMOUNT)
NUMBER = Column(header="Invoice", width=18)
# The sheets that have a row for each window.
WINDOW_SHEETS = ("5-minute", "Deductions")
_APP_NAME = Column(header="App name", width=20)
_MINUTES = QUANTITIES[1:]

# Minutes, deducted minutes and amount.
_Paid = tuple[int, int, Decimal]
# By app and window.
PaidWindows = Mapping[tuple[int, int], _Paid]


def document_tables(annex: Annex, tables: Tables, paid: PaidWindows) -> Tables:
    """The tables of a draft with the columns of a document."""
    corrections = tables.corrections
    return replace(
        tables,
        lines=live_amounts(tables.lines),
        windows=_window_table(annex, tables, paid),
        packages=_saving_packages(annex, tables.packages),
        corrections=corrections and corrections._replace(lines=live_amounts(corrections.lines)),
    )


def live_amounts(table: Table) -> Table:
    """The table whose amounts are formulas over its columns of payable minutes and unit prices."""
    payable, price = table.letter("Payable"), table.letter("Unit price per minute")
    place, price_place = table.columns.index(AMOUNT), table.columns.index(UNIT_PRICE)

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for number, cells in enumerate(table.rows(start, stop, row), row):
            amount = cells[place]
            if isinstance(amount, Decimal) and cells[price_place] is not None:
                amount = Formula(f"{payable}{number}*{price}{number}", amount)
            yield *cells[:place], amount, *cells[place + 1 :]

    return replace(table, rows=rows)


def without_windows(checks: Iterable[Check]) -> list[Check]:
    """The checks that need no sheet that has a row for each window."""
    named = tuple(f"'{name}" for name in WINDOW_SHEETS)
    return [check for check in checks if not any(name in check.left.text + check.right.text for name in named)]


def numbered(sheet: Sheet, number: str) -> Sheet:
    """The sheet with the document's number on every row."""

    def rows() -> Iterator[Row]:
        blank = (None,) * len(sheet.columns)
        for cells in sheet.rows():
            yield *cells, *blank[len(cells) :], number

    return replace(sheet, columns=(*sheet.columns, NUMBER), rows=rows)


def _window_table(annex: Annex, tables: Tables, paid: PaidWindows) -> Table:
    """The sheet of the windows with minutes and money; corrections below are those of the sheet Corrections."""
    table, names = tables.windows, annex.month.apps
    windows = sorted({(row.app_id, row.window_start) for detail in annex.settled for row in detail.usage})

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for cells, window in zip(table.rows(start, stop, row), islice(windows, start, stop), strict=True):
            minutes, deducted, amount = paid.get(window, _NOTHING)
            yield *cells, minutes, deducted, minutes - deducted, amount, names[window[0]]

    totals = _totals(paid.values())
    corrected = tables.corrections.lines.sums if tables.corrections else {}
    return replace(
        table,
        columns=(*table.columns, *_MINUTES, AMOUNT, _APP_NAME),
        rows=rows,
        totals={**table.totals, **totals},
        corrections={**table.corrections, **{header: corrected[header] for header in totals if header in corrected}},
        notes=(
            "Items and their total are in seconds. Minutes are those that the window adds to the minutes of its day;",
            "a minute that was started in an earlier window is not paid again.",
        ),
    )


_NOTHING: _Paid = (0, 0, Decimal(0))


def _totals(paid: Iterable[_Paid]) -> dict[str, int | Decimal]:
    minutes, deducted, amount = _NOTHING
    with localcontext(EXACT):
        for each in paid:
            minutes, deducted, amount = minutes + each[0], deducted + each[1], amount + each[2]
    return {"Minutes": minutes, "Deducted": deducted, "Payable": minutes - deducted, "Amount": amount}


def paid_windows(annex: Annex) -> PaidWindows:
    """What the minutes of each app and window cost; windows that add no minute are left out."""
    prices = {(each.day, each.charge.app_id, each.charge.item): each.charge.unit_price for each in annex.month.usage}
    paid: dict[tuple[int, int], _Paid] = {}
    with localcontext(EXACT):
        for detail in annex.settled:
            for app_id, item, window, minutes, deducted in _window_minutes(detail.usage, detail.deductions):
                before = paid.get((app_id, window), _NOTHING)
                amount = (minutes - deducted) * prices.get((detail.day, app_id, item), Decimal(0))
                paid[app_id, window] = (before[0] + minutes, before[1] + deducted, before[2] + amount)
    return paid


def _window_minutes(
    usage: Iterable[WindowUsage], deductions: Iterable[Deduction]
) -> Iterator[tuple[int, str, int, int, int]]:
    """App, item, window, minutes and deducted minutes, where a day's window adds any."""
    deducted: Counter[tuple[int, int, str]] = Counter()
    for row in deductions:
        deducted[row.window_start, row.app_id, row.item] += row.minutes
    for window, app_id, item, minutes in minutes_by_window(usage):
        if minutes:
            yield app_id, item, window, minutes, deducted[window, app_id, item]


def _saving_packages(annex: Annex, table: Table) -> Table:
    """The balances of the packages, and what each saved in the month."""
    saved, place = _saved(annex), len(KEYS)

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for cells in table.rows(start, stop, row):
            yield *cells, saved[str(cells[place])]

    with localcontext(EXACT):
        total = sum((saved[package.id] for package in annex.packages), Decimal(0))
    return replace(
        table,
        columns=(*table.columns, SAVED),
        rows=rows,
        totals={**table.totals, SAVED.header: total},
        notes=(*table.notes, "Saved: the minutes paid this month, at the unit price of their day."),
    )


def _saved(annex: Annex) -> Mapping[str, Decimal]:
    """By payer: its minutes, corrections included, at the unit price of the charge they belong to."""
    prices: dict[tuple[date, int, str, int | None], Decimal] = {
        (each.day, each.charge.app_id, each.charge.item, each.run_id if each.kind == "correction" else None): (
            each.charge.unit_price
        )
        for each in annex.month.charges
    }
    saved: defaultdict[str, Decimal] = defaultdict(Decimal)
    with localcontext(EXACT):
        for detail in annex.settled:
            for row in detail.deductions:
                saved[row.payer_id] += row.minutes * prices.get((detail.day, row.app_id, row.item, None), Decimal(0))
        for corrected in annex.corrected_deductions():
            key = (corrected.day, corrected.app_id, corrected.item, corrected.run_id)
            saved[corrected.payer_id] += corrected.minutes * prices.get(key, Decimal(0))
    return saved


def document_checks(annex: Annex, tables: Tables, paid: PaidWindows) -> Iterator[Check]:
    """The windows add up to the lines in minutes and money, and packages saved what the deducted minutes would cost."""
    usage = [line for line in annex.invoice.lines if line.kind == "usage"]
    of_app: defaultdict[int, list[_Paid]] = defaultdict(list)
    for (app_id, _), each in paid.items():
        of_app[app_id].append(each)
    where = {"App": APP} | tables.lines_of(USAGE)
    for app_id in sorted({line.app_id for line in usage}):
        own = [line for line in usage if line.app_id == app_id]
        left = _totals(of_app[app_id])
        with localcontext(EXACT):
            right: dict[str, int | Decimal] = {
                "Minutes": sum(line.minutes for line in own),
                "Deducted": sum(line.deducted_minutes for line in own),
                "Payable": sum(line.payable_minutes for line in own),
                "Amount": sum((line.amount for line in own), Decimal(0)),
            }
        for header, result in right.items():
            yield Check(
                what=f"{header.lower()} of the windows = {header.lower()} of the lines",
                app_id=app_id,
                left=Formula(tables.windows.sum_where(header, {"App": APP}), left[header]),
                right=Formula(tables.lines.sum_where(header, where), result),
                kind=Kind.AMOUNT if header == "Amount" else Kind.COUNT,
            )
    with localcontext(EXACT):
        worth = sum((line.deducted_minutes * line.unit_price for line in annex.invoice.lines), Decimal(0))
    yield Check(
        what="saved by packages = deducted minutes x unit price",
        left=tables.packages.sums[SAVED.header],
        right=Formula(tables.lines.sum_of("{0}*{1}", "Deducted", "Unit price per minute"), worth),
        kind=Kind.AMOUNT,
    )
