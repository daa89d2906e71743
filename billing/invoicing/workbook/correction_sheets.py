"""The sheets of what was corrected: the corrections, what they change in each window, and for each package.

A correction belongs to one run, day, app and item; the three sheets name all of them, so that a filter on these leads
from a line to its windows and to its payers. All numbers are signed: what a day was billed with at first and all its
corrections add up to what is right.
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext
from itertools import islice
from typing import NamedTuple

from billing.invoicing.invoice import Invoice
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
    list_price,
    quantities,
    quantity_totals,
    zone_of,
)
from billing.invoicing.workbook.table import Column, Kind, Row, Table
from billing.money import EXACT
from billing.periods import local_iso

_RUN = Column(header="Run", width=9, kind=Kind.RUN)


class CorrectionTables(NamedTuple):
    """The tables of the corrections, in the order of their sheets."""

    lines: Table
    by_window: Table
    by_package: Table


def correction_tables(invoice: Invoice, make: MakeTable) -> CorrectionTables:
    """The tables of an invoice on which something was corrected."""
    return CorrectionTables(_lines(invoice, make), _by_window(invoice, make), _by_package(invoice, make))


def _lines(invoice: Invoice, make: MakeTable) -> Table:
    order = {item: place for place, item in enumerate(invoice.facts.item_order)}
    corrections = sorted(invoice.facts.corrections, key=lambda row: (row.app_id, row.day, order[row.item], row.run))

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for row in islice(corrections, start, stop):
            yield (
                *keys(invoice, row.app_id),
                row.day,
                row.item,
                *quantities(row),
                list_price(row),
                row.unit_price,
                row.amount,
                row.run,
                "none" if row.corrects_run is None else row.corrects_run,
                row.posted_on,
                row.cause,
            )

    with localcontext(EXACT):
        amount = sum((row.amount for row in corrections), Decimal(0))
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
        totals={**quantity_totals(corrections), "Amount": amount},
        notes=(
            "Day is the day corrected. All numbers are differences: more than billed before, or less (-).",
            "Where all are a dash, only the windows or the packages that pay have changed: see the next two sheets.",
            "Corrects run: the run that billed the day; none, if no run had.",
        ),
    )


def _by_window(invoice: Invoice, make: MakeTable) -> Table:
    order = {item: place for place, item in enumerate(invoice.facts.item_order)}
    windows = sorted(
        invoice.facts.correction_windows, key=lambda row: (row.app_id, row.window_start, order[row.item], row.run)
    )
    zone = zone_of(invoice)

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for run, app_id, window_start, day, item, seconds in islice(windows, start, stop):
            yield *keys(invoice, app_id), day, local_iso(window_start, zone), item, seconds, run

    return make(
        name="Corrections by window",
        columns=(*KEYS, DAY, WINDOW, ITEM, Column(header="Seconds", width=13, kind=Kind.COUNT), _RUN),
        count=len(windows),
        rows=rows,
        totals={"Seconds": sum(row.seconds for row in windows)},
    )


def _by_package(invoice: Invoice, make: MakeTable) -> Table:
    order = {item: place for place, item in enumerate(invoice.facts.item_order)}
    payments = sorted(
        ((row, deduction) for row in invoice.facts.corrections for deduction in row.deducted),
        key=lambda pair: (pair[0].app_id, pair[0].day, order[pair[0].item], pair[0].run, pair[1].payer_id),
    )

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for row, deduction in islice(payments, start, stop):
            yield (
                *keys(invoice, row.app_id),
                row.day,
                row.item,
                deduction.minutes,
                deduction.package_units,
                deduction.payer_id,
                row.run,
            )

    return make(
        name="Corrections by package",
        columns=(*KEYS, DAY, ITEM, *PAYMENT, _RUN),
        count=len(payments),
        rows=rows,
        totals={
            "Minutes": sum(deduction.minutes for _, deduction in payments),
            "Package minutes": sum(deduction.package_units for _, deduction in payments),
        },
    )
