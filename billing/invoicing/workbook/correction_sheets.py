"""The sheets of what was corrected: the corrections, what they change in each window, and for each package.

A correction belongs to one run, day, app and item; the three sheets name all of them, so that a filter on these leads
from a line to its windows and to its payers. All numbers are signed: what a day was billed with at first and all its
corrections add up to what is right.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from itertools import islice
from typing import NamedTuple

from billing.catalog.items import ITEM_RANK
from billing.invoicing.annex import Annex
from billing.invoicing.workbook.columns import (
    AMOUNT,
    DAY,
    ITEM,
    KEYS,
    LIST_PRICE,
    PAYMENT,
    QUANTITIES,
    UNIT_PRICE,
    WINDOW,
    MakeTable,
    keys,
    list_price_cell,
    quantities,
    quantity_totals,
    zone_of,
)
from billing.invoicing.workbook.table import Column, Formula, Kind, Row, Table
from billing.money import EXACT
from billing.periods import local_iso

_RUN = Column(header="Run", width=9, kind=Kind.RUN)


class CorrectionTables(NamedTuple):
    """The tables of the corrections, in the order of their sheets."""

    lines: Table
    by_window: Table
    by_package: Table


def correction_tables(annex: Annex, make: MakeTable) -> CorrectionTables:
    """The tables of an annex in which something was corrected."""
    return CorrectionTables(_lines(annex, make), _by_window(annex, make), _by_package(annex, make))


def corrected_by_item(annex: Annex, table: Table, header: str, results: Mapping[str, int]) -> dict[str, Formula]:
    """The sums of a column of one of the tables, by item and in all."""
    by_item = {
        item: Formula(table.sum_where(header, {"Item": f'"{item}"'}), results.get(item, 0)) for item in annex.items
    }
    return by_item | {"Total": Formula(table.sum(header), sum(results.values()))}


def _lines(annex: Annex, make: MakeTable) -> Table:
    header = annex.invoice.header
    corrections = sorted(
        annex.month.corrections,
        key=lambda row: (row.charge.app_id, row.day, ITEM_RANK[row.charge.item], row.run_id),
    )

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for row in islice(corrections, start, stop):
            yield (
                *keys(header, row.charge.app_id),
                row.day,
                row.charge.item,
                *quantities(row.charge),
                list_price_cell(annex.month.list_price(row)),
                row.charge.unit_price,
                row.charge.amount,
                row.run_id,
                "none" if row.corrects_run_id is None else row.corrects_run_id,
                row.posted_on,
                row.cause or "",
            )

    with localcontext(EXACT):
        amount = sum((row.charge.amount for row in corrections), Decimal(0))
    return make(
        name="Corrections",
        columns=(
            *KEYS,
            DAY,
            ITEM,
            *QUANTITIES,
            LIST_PRICE,
            UNIT_PRICE,
            AMOUNT,
            _RUN,
            Column(header="Corrects run", width=12, kind=Kind.RUN),
            Column(header="Posted on", width=11, kind=Kind.DAY),
            Column(header="Cause", width=50),
        ),
        count=len(corrections),
        rows=rows,
        totals={**quantity_totals([row.charge for row in corrections]), "Amount": amount},
        notes=(
            "Day is the day corrected. All numbers are differences: more than billed before, or less (-).",
            "Where all are a dash, only the windows or the packages that pay have changed: see the next two sheets.",
            "Corrects run: the run that billed the day; none, if no run had.",
        ),
    )


def _by_window(annex: Annex, make: MakeTable) -> Table:
    windows = sorted(
        ((detail, row) for detail in annex.corrected for row in detail.usage),
        key=lambda pair: (pair[1].app_id, pair[1].window_start, ITEM_RANK[pair[1].item], pair[0].run_id),
    )
    header, zone = annex.invoice.header, zone_of(annex.invoice.header)

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for detail, row in islice(windows, start, stop):
            start_of_window = local_iso(row.window_start, zone)
            yield *keys(header, row.app_id), detail.day, start_of_window, row.item, row.seconds, detail.run_id

    return make(
        name="Corrections by window",
        columns=(*KEYS, DAY, WINDOW, ITEM, Column(header="Seconds", width=13, kind=Kind.COUNT), _RUN),
        count=len(windows),
        rows=rows,
        totals={"Seconds": sum(row.seconds for _, row in windows)},
    )


def _by_package(annex: Annex, make: MakeTable) -> Table:
    payments = sorted(
        annex.corrected_deductions(),
        key=lambda row: (row.app_id, row.day, ITEM_RANK[row.item], row.run_id, row.payer_id),
    )

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for app_id, day, item, run_id, payer_id, minutes, package_minutes in islice(payments, start, stop):
            yield *keys(annex.invoice.header, app_id), day, item, minutes, package_minutes, payer_id, run_id

    return make(
        name="Corrections by package",
        columns=(*KEYS, DAY, ITEM, *PAYMENT, _RUN),
        count=len(payments),
        rows=rows,
        totals={
            "Minutes": sum(row.minutes for row in payments),
            "Package minutes": sum(row.package_minutes for row in payments),
        },
    )
