"""The sheets of usage by item: minutes by day with the chart, seconds by day, seconds by 5-minute window."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain, islice

from billing.invoicing.annex import Annex
from billing.invoicing.workbook.columns import DAY, KEYS, WINDOW, MakeTable, keys, zone_of
from billing.invoicing.workbook.correction_sheets import CorrectionTables, corrected_by_item
from billing.invoicing.workbook.table import Chart, Column, Formula, Kind, Row, Table, column_letter
from billing.periods import local_iso

_BEFORE, _CORRECTED = "Before corrections", "Corrections"

# The labels of a row, and its numbers by item.
_ItemRow = tuple[Row, Mapping[str, int]]


def minutes_table(annex: Annex, make: MakeTable, corrections: CorrectionTables | None) -> Table:
    """Minutes by day and item over all apps, with the chart.

    Net of corrections: a day of an earlier month that was corrected in this one has a row too.
    """
    by_day: dict[date, Counter[str]] = {day: Counter() for day in annex.month.days}
    for posted in annex.month.charges:
        by_day.setdefault(posted.day, Counter())[posted.charge.item] += posted.charge.minutes
    apps = list(annex.month.apps)
    account_month_app = keys(annex.invoice.header, apps[0] if len(apps) == 1 else None)
    days: list[_ItemRow] = [((*account_month_app, day), by_day[day]) for day in sorted(by_day)]
    table = _item_table(annex, make, "Minutes", (*KEYS, DAY), days)
    if corrections:
        table = _net_table(annex, table, corrections.lines, [(day, by_day[day].total()) for day in sorted(by_day)])
    first = len(KEYS) + 1
    chart = Chart(
        title="Minutes by day and item" + (", net of corrections" if corrections else ""),
        value_title="Minutes",
        categories=first - 1,
        series=range(first, first + len(annex.items)),
        has_other_months=any(day < annex.invoice.header.month for day in by_day),
    )
    return replace(table, chart=chart if table.count and annex.items else None)


def _net_table(annex: Annex, table: Table, corrections: Table, net: Sequence[tuple[date, int]]) -> Table:
    """The table, whose rows are net, with what each day had before corrections and what was corrected."""
    by_day: Counter[date] = Counter()
    by_item: Counter[str] = Counter()
    for posted in annex.month.corrections:
        by_day[posted.day] += posted.charge.minutes
        by_item[posted.charge.item] += posted.charge.minutes

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for by_items, (day, minutes) in zip(table.rows(start, stop, row), net[start:stop], strict=True):
            yield *by_items, minutes - by_day[day], by_day[day]

    columns = [Column(header=header, width=14, kind=Kind.COUNT) for header in (_BEFORE, _CORRECTED)]
    corrected = by_item.total()
    return replace(
        table,
        columns=(*table.columns, *columns),
        rows=rows,
        totals={**table.totals, _BEFORE: table.totals["Total"] - corrected, _CORRECTED: corrected},
        corrections=corrected_by_item(annex, corrections, "Minutes", by_item),
        is_net=True,
    )


def daily_table(annex: Annex, make: MakeTable, corrections: CorrectionTables | None) -> Table:
    """Seconds by app and day."""
    by_day: dict[tuple[int, date], Counter[str]] = {}
    for posted in annex.month.usage:
        by_day.setdefault((posted.charge.app_id, posted.day), Counter())[posted.charge.item] += posted.charge.seconds
    header = annex.invoice.header
    days: list[_ItemRow] = [((*keys(header, app_id), day), by_day[app_id, day]) for app_id, day in sorted(by_day)]
    table = _item_table(annex, make, "Daily", (*KEYS, DAY), days)
    if corrections is None:
        return table
    corrected: Counter[str] = Counter()
    for posted in annex.month.corrections:
        corrected[posted.charge.item] += posted.charge.seconds
    return replace(table, corrections=corrected_by_item(annex, corrections.lines, "Seconds", corrected))


def window_table(annex: Annex, make: MakeTable, corrections: CorrectionTables | None) -> Table:
    """Seconds by app and 5-minute window."""
    by_window: dict[tuple[int, int, date], dict[str, int]] = {}
    for detail in annex.settled:
        for start, app_id, item, seconds in detail.usage:
            by_item = by_window.setdefault((app_id, start, detail.day), {})
            by_item[item] = by_item.get(item, 0) + seconds
    header, zone = annex.invoice.header, zone_of(annex.invoice.header)
    windows: list[_ItemRow] = [
        ((*keys(header, app_id), day, local_iso(start, zone)), by_window[app_id, start, day])
        for app_id, start, day in sorted(by_window)
    ]
    table = _item_table(annex, make, "5-minute", (*KEYS, DAY, WINDOW), windows)
    if corrections is None:
        return table
    corrected: Counter[str] = Counter()
    for row in chain.from_iterable(detail.usage for detail in annex.corrected):
        corrected[row.item] += row.seconds
    return replace(table, corrections=corrected_by_item(annex, corrections.by_window, "Seconds", corrected))


def _item_table(
    annex: Annex, make: MakeTable, name: str, columns: tuple[Column, ...], numbers: Sequence[_ItemRow]
) -> Table:
    """Rows of labels and numbers by item: a column for each item, and their sum as a live formula."""
    items = annex.items
    first, last = column_letter(len(columns)), column_letter(len(columns) + len(items) - 1)

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for number, (labels, by_item) in enumerate(islice(numbers, start, stop), row):
            values = [by_item.get(item, 0) for item in items]
            yield *labels, *values, Formula(f"SUM({first}{number}:{last}{number})", sum(values))

    totals = {item: sum(by_item.get(item, 0) for _, by_item in numbers) for item in items}
    return make(
        name=name,
        columns=(
            *columns,
            *(Column(header=item, width=13, kind=Kind.COUNT) for item in items),
            Column(header="Total", width=14, kind=Kind.COUNT),
        ),
        count=len(numbers),
        rows=rows,
        totals=totals | {"Total": sum(totals.values())},
    )
