"""The sheets of an invoice's workbook, from the invoice itself down to every 5-minute window and every deduction.

Every row of a table carries account, month and app, so that it can be matched to the invoice. Usage is in seconds, one
column for each item; a zero is shown as a dash. Instants are RFC 3339 text with the account's offset, because a
spreadsheet's own times have no offset and one hour of the day on which clocks go back exists twice; days are dates.

Where something was corrected there are sheets of the corrections. The sheets of usage show what the days were settled
with, and below their total the corrections and the net; only the sheet Minutes and its chart are net, day by day.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from shlex import quote
from typing import Literal

from billing.catalog.items import ITEM_RANK
from billing.invoicing.annex import Annex
from billing.invoicing.documents import Document
from billing.invoicing.workbook.checks import VERDICT_CELL, Check, check_table, verdict
from billing.invoicing.workbook.columns import DAY, ITEM, KEYS, PAYMENT, WINDOW, MakeTable, keys, zone_of
from billing.invoicing.workbook.correction_sheets import CorrectionTables, correction_tables
from billing.invoicing.workbook.cross_checks import Tables, make_checks
from billing.invoicing.workbook.document_annex import (
    WINDOW_SHEETS,
    document_checks,
    document_tables,
    numbered,
    paid_windows,
    without_windows,
)
from billing.invoicing.workbook.document_foot import as_month, beside_usage, document_foot, room_for
from billing.invoicing.workbook.front_sheet import front_sheets, kind_rows, line_table
from billing.invoicing.workbook.table import EXCEL_ROWS, Column, Formula, Kind, Row, Sheet, Table
from billing.invoicing.workbook.usage_sheets import daily_table, minutes_table, window_table
from billing.money import round_half_up
from billing.periods import day_start, local_iso
from billing.rating.balances import PackageBalance

REASONS = {
    "disconnect_grace": "Connection lost: the server keeps the place for 90 seconds, and that wait is billed as audio.",
    "alone_in_room": "Nobody else was in the room: billed as audio, whatever the user was sending.",
    "no_video_received": "Others were in the room, but no video arrived: cameras off, not subscribed or not delivered.",
    "camera": "Video of other users' cameras was received, and no screen share.",
    "screen_share": "Video was received, and a screen share was part of it.",
}

_REFUNDED = "Refunded"
_BALANCES = ("Granted", "Deducted", "Lapsed", _REFUNDED, "Remaining", "Deducted this month")


def sheets(
    annex: Annex,
    document: Document | None = None,
    *,
    detail: Literal["daily", "full"] = "full",
    row_limit: int = EXCEL_ROWS,
) -> list[Sheet]:
    """The sheets of the workbook in their order, none of more than `row_limit` rows (which must be more than 40).

    The annex of a `document` has its number, tax and total, and money down to the windows; without one it is a draft's.
    A draft's first sheet is Invoice; a document's page is before it, and it is called Lines.
    `daily` leaves out the sheets that have a row for each window, and the checks that need them.
    """
    if document is None:
        return _draft_sheets(annex, row_limit)
    return [
        numbered(sheet, document.number) if document.number else sheet
        for sheet in _document_sheets(annex, document, detail, row_limit)
    ]


def _draft_sheets(annex: Annex, row_limit: int) -> list[Sheet]:
    make = partial(Table, row_limit=row_limit)
    tables = _tables(annex, make, lines="Invoice")
    return _sheets(annex, make, tables, make_checks(annex, tables))


def _document_sheets(annex: Annex, document: Document, detail: str, row_limit: int) -> list[Sheet]:
    annex, document = replace(annex, number=document.number), as_month(document)
    make = partial(Table, row_limit=row_limit)
    paid = paid_windows(annex)
    tables = document_tables(annex, _tables(annex, make, lines="Lines"), paid)
    tables = replace(tables, lines=room_for(document, tables.lines))
    foot = document_foot(document, tables.lines, further=beside_usage(document), rows_before=kind_rows(tables.lines))
    checks = make_checks(annex, tables, [*document_checks(annex, tables, paid), *foot.checks])
    if detail == "full":
        return _sheets(annex, make, tables, checks, foot.rows)
    daily = _sheets(annex, make, tables, without_windows(checks), foot.rows)
    return [sheet for sheet in daily if sheet.name.partition(" (")[0] not in WINDOW_SHEETS]


def _tables(annex: Annex, make: MakeTable, *, lines: str) -> Tables:
    """The tables of a draft; `lines` is the name of the sheet of the invoice's lines."""
    corrections = correction_tables(annex, make) if annex.has_corrections else None
    return Tables(
        lines=line_table(annex.invoice, make, with_kind=annex.has_corrections, name=lines),
        minutes=minutes_table(annex, make, corrections),
        daily=daily_table(annex, make, corrections),
        windows=window_table(annex, make, corrections),
        deductions=_deductions(annex, make, corrections),
        packages=_packages(annex, make),
        reasons=_reasons_by_day(annex, make, corrections),
        corrections=corrections,
    )


def _sheets(
    annex: Annex, make: MakeTable, tables: Tables, checks: Sequence[Check], totals: tuple[Row, ...] | None = None
) -> list[Sheet]:
    """The sheets of the tables; `totals` are the rows below the subtotal of a document's lines."""
    return [
        *front_sheets(annex.invoice, tables.lines, Formula(VERDICT_CELL, verdict(checks)), annex.number, totals),
        *tables.minutes.sheets(),
        *tables.daily.sheets(),
        *tables.windows.sheets(),
        *tables.deductions.sheets(),
        *chain.from_iterable(table.sheets() for table in tables.corrections or ()),
        *tables.packages.sheets(),
        *_reasons(annex, make, tables.reasons).sheets(),
        *tables.reasons.sheets(),
        *_prices(annex, make).sheets(),
        *check_table(annex.invoice.header, make, checks).sheets(),
    ]


def _deductions(annex: Annex, make: MakeTable, corrections: CorrectionTables | None) -> Table:
    """What each payer paid in each window, in the order in which items are paid."""
    headers = ("Minutes", "Package minutes")
    deductions = sorted(
        ((detail.day, row) for detail in annex.settled for row in detail.deductions),
        key=lambda pair: (pair[1].window_start, pair[1].app_id, ITEM_RANK[pair[1].item], pair[1].payer_id),
    )
    header, zone = annex.invoice.header, zone_of(annex.invoice.header)

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for day, (window_start, app_id, item, payer_id, minutes, package_minutes) in islice(deductions, start, stop):
            yield *keys(header, app_id), day, local_iso(window_start, zone), item, minutes, package_minutes, payer_id

    return make(
        name="Deductions",
        columns=(
            *KEYS,
            DAY,
            WINDOW,
            ITEM,
            *PAYMENT,
        ),
        count=len(deductions),
        rows=rows,
        totals={
            "Minutes": sum(row.minutes for _, row in deductions),
            "Package minutes": sum(row.package_minutes for _, row in deductions),
        },
        corrections={header: corrections.by_package.sums[header] for header in headers} if corrections else {},
    )


def _packages(annex: Annex, make: MakeTable) -> Table:
    """Each package's balance; what was refunded has a column where anything was."""
    packages = sorted(annex.packages, key=lambda package: (package.valid_from, package.valid_to, package.id))
    header, zone = annex.invoice.header, zone_of(annex.invoice.header)
    headers = [each for each in _BALANCES if each != _REFUNDED or any(package.refunded for package in packages)]

    def balances(package: PackageBalance) -> list[int]:
        values = (package.granted, package.deducted, package.lapsed, package.refunded, package.remaining)
        named = dict(zip(_BALANCES, (*values, annex.deducted.get(package.id, 0)), strict=True))
        return [named[each] for each in headers]

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for package in packages[start:stop]:
            yield (
                *keys(header, package.app_id),
                package.id,
                local_iso(day_start(package.valid_from, zone), zone),
                local_iso(day_start(package.valid_to + timedelta(days=1), zone), zone),
                *balances(package),
            )

    elsewhere = f"Billed elsewhere: {', '.join(annex.elsewhere)}." if annex.number and annex.elsewhere else None
    return make(
        name="Packages",
        columns=(
            *KEYS,
            Column(header="Package", width=24),
            Column(header="Valid from", width=27),
            Column(header="Expires at", width=27),
            *(Column(header=header, width=13, kind=Kind.COUNT) for header in headers),
        ),
        count=len(packages),
        rows=rows,
        totals={each: sum(balances(package)[place] for package in packages) for place, each in enumerate(headers)},
        notes=(
            "Package minutes are an item's minutes times its ratio (sheet Prices).",
            f"Deducted, lapsed and remaining are as of the end of {header.billed_through}."
            if header.billed_through
            else "Nothing is billed yet.",
            *([elsewhere] if elsewhere else []),
        ),
    )


def _reasons_by_day(annex: Annex, make: MakeTable, corrections: CorrectionTables | None) -> Table:
    reasons = sorted(
        ((detail.day, row) for detail in annex.settled for row in detail.reasons),
        key=lambda pair: (pair[1].app_id, pair[0], ITEM_RANK[pair[1].item], pair[1].reason),
    )

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for day, (app_id, item, reason, seconds) in islice(reasons, start, stop):
            yield *keys(annex.invoice.header, app_id), day, item, reason, seconds

    return make(
        name="Reasons by day",
        columns=(
            *KEYS,
            DAY,
            ITEM,
            Column(header="Reason", width=22),
            Column(header="Seconds", width=15, kind=Kind.COUNT),
        ),
        count=len(reasons),
        rows=rows,
        totals={"Seconds": sum(row.seconds for _, row in reasons)},
        corrections={"Seconds": corrections.lines.sums["Seconds"]} if corrections else {},
    )


def _reasons(annex: Annex, make: MakeTable, by_day: Table) -> Table:
    """Why seconds were audio or video: the month by app, item and reason, with each reason in words."""
    seconds: Counter[tuple[int, str, str]] = Counter()
    of_app: Counter[int] = Counter()
    for row in chain.from_iterable(detail.reasons for detail in annex.settled):
        seconds[row.app_id, row.item, row.reason] += row.seconds
        of_app[row.app_id] += row.seconds
    reasons = sorted(seconds, key=lambda key: (key[0], ITEM_RANK[key[1]], key[2]))

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for number, (app_id, item, reason) in enumerate(islice(reasons, start, stop), row):
            own = {"App": f"$C{number}", "Item": f"$D{number}", "Reason": f"$E{number}"}
            in_app = by_day.sum_where("Seconds", {"App": own["App"]})
            share = Decimal(seconds[app_id, item, reason]) / of_app[app_id]
            yield (
                *keys(annex.invoice.header, app_id),
                item,
                reason,
                Formula(by_day.sum_where("Seconds", own), seconds[app_id, item, reason]),
                Formula(f"F{number}/({in_app})", round_half_up(share, 15)),
                REASONS.get(reason, ""),
            )

    return make(
        name="Reasons",
        columns=(
            *KEYS,
            ITEM,
            Column(header="Reason", width=22),
            Column(header="Seconds", width=15, kind=Kind.COUNT),
            Column(header="Share of app", width=14, kind=Kind.SHARE),
            Column(header="What it means", width=84),
        ),
        count=len(reasons),
        rows=rows,
        totals={"Seconds": seconds.total()},
        corrections=by_day.corrections,
        notes=(
            "Why is there audio on a video call? A user is billed by what it receives: a second in which it receives",
            "video is a video second; every other second in the room is an audio second, for one of these reasons.",
            *_advice(annex),
            *annex.assumptions,
        ),
        foot_rows=8 + len(annex.assumptions),
    )


def _advice(annex: Annex) -> tuple[str, ...]:
    """On a draft the command that explains the month; what is issued stays the same in every cell."""
    header = annex.invoice.header
    if annex.number is not None:
        return ()
    command = f"billing explain {quote(header.account_id)} --month {header.month:%Y-%m}"
    return (f"How to find out why, down to rooms, users and events: {command}",)


def _prices(annex: Annex, make: MakeTable) -> Table:
    """The price list and the package ratios of every policy version that priced a day of the month; of services, those
    that were used."""
    header = annex.invoice.header
    prices = [
        (policy, version, item)
        for policy, version in annex.month.policies
        for item in (*version.items, *(item for item in version.service_items if item in annex.items))
    ]

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for policy, version, item in prices[start:stop]:
            yield (
                *keys(header, None),
                policy.id,
                policy.name,
                version.valid_from,
                item,
                version.top_area(item),
                version.list_prices(header.currency).get(item),
                header.currency,
                version.ratios.get(item),
                version.all_free_ratios.get(item),
                policy.hash,
            )

    return make(
        name="Prices",
        columns=(
            *KEYS,
            Column(header="Policy", width=18),
            Column(header="Name", width=34),
            Column(header="Valid from", width=12, kind=Kind.DAY),
            ITEM,
            Column(header="Up to pixels", width=13, kind=Kind.COUNT),
            Column(header="List price per 1,000 minutes", width=14, kind=Kind.PRICE),
            Column(header="Currency", width=10),
            Column(header="Package ratio", width=10, kind=Kind.COUNT),
            Column(header="Free ratio", width=10, kind=Kind.COUNT),
            Column(header="Policy hash", width=68),
        ),
        count=len(prices),
        rows=rows,
        notes=(
            "Video is billed by the pixels received, up to and including the figure given; a blank has no upper bound.",
            *(f"Contract: {text}" for text in header.contract[:5]),
        ),
    )
