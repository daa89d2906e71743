"""An explanation as a workbook: a sheet for each link, whose products and sums are live formulas.

    payable = minutes - deducted; amount = payable x unit price
    minutes of a window = ROUNDUP(seconds so far / 60) - ROUNDUP(seconds before / 60)
    area of a stretch = 640*360+1920*1080

The last sheet compares the sums of one link with those of the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from functools import partial
from itertools import islice
from typing import Any

from billing.invoicing.workbook.checks import FAIL, PASS
from billing.invoicing.workbook.columns import AMOUNT, DAY, ITEM, KIND, QUANTITIES, UNIT_PRICE, WINDOW, app_cell
from billing.invoicing.workbook.excel_file import About, write_sheets
from billing.invoicing.workbook.table import Column, Formula, Kind, Row, Table
from billing.invoicing.workbook.xml_rows import xml_text
from billing.money import EXACT
from billing.output_files import Output
from billing.periods import local_iso, next_month
from billing.reports.explain import Explanation, Line
from billing.reports.explained_rooms import ExplainedInterval, RoomShare
from billing.reports.explanation_rows import question_row
from billing.reports.explanation_tables import asked
from billing.reports.room_lanes import boundary_text
from billing.reports.row_formats import plain_value
from billing.reports.window_payments import WindowPayment

APP = Column(header="App", width=12, kind=Kind.CODE)
RUN = Column(header="Run", width=8, kind=Kind.RUN)
SECONDS, MINUTES, DEDUCTED, PAYABLE = QUANTITIES
UNITS = Column(header="Package minutes", width=17, kind=Kind.COUNT)
ROOM, USER = Column(header="Room", width=24), Column(header="User", width=20)
REASON = Column(header="Reason", width=22)
SHARE = Column(header="Share of the amount", width=15, kind=Kind.AMOUNT)
_MOST_PICTURES = 200  # in a formula

Totals = Mapping[str, int | Decimal]


def write_explanation(explanation: Explanation, output: Output) -> None:
    """Writes the workbook; a `BillingError` when the output cannot be written."""
    tables = _tables(explanation)
    every = (_question(explanation), *tables.values(), _checks(explanation, tables))
    pages = [sheet for table in every for sheet in table.sheets()]
    with output.open() as file:
        write_sheets(pages, _about(explanation), file)


def _about(explanation: Explanation) -> About:
    made_at = datetime.combine(next_month(explanation.scope.month), datetime.min.time())
    title = xml_text(asked(explanation))
    return About(title=title, creator="billing", made_at=made_at, currency=explanation.currency, footer=title[:80])


def _tables(explanation: Explanation) -> dict[str, Table]:
    """The links that the question reaches, by name."""
    found = [_lines(explanation), _charges(explanation)]
    if explanation.windows is not None:
        found += [_windows(explanation, explanation.windows), _payers(explanation, explanation.windows)]
    if explanation.rooms is not None:
        found.append(_rooms(explanation.rooms))
    if explanation.intervals is not None:
        found.append(_stretches(explanation, explanation.intervals))
    return {table.name: table for table in found}


def _table(
    name: str, columns: tuple[Column, ...], values: Sequence[Any], cells: Callable[[Any, int], Row], totals: Totals
) -> Table:
    """A table with a row for each value; `cells` gets the value and the number of its row in the sheet."""

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        return (cells(value, number) for number, value in enumerate(islice(values, start, stop), row))

    return Table(name=name, columns=columns, count=len(values), rows=rows, totals=totals)


def _question(explanation: Explanation) -> Table:
    row = {**question_row(explanation), "seconds": explanation.seconds, "amount": explanation.amount}
    values = [(name, value) for name, value in row.items() if value is not None]
    columns = (Column(header="Asked", width=14), Column(header="Answer", width=40))
    return _table("Question", columns, values, lambda pair, _: (pair[0], str(plain_value(pair[1]))), {})


def _lines(explanation: Explanation) -> Table:
    columns = (
        *(APP, ITEM, KIND, Column(header="Policy", width=14)),
        Column(header="Policy version", width=13, kind=Kind.DAY),
        Column(header="Contract since", width=13, kind=Kind.DAY),
        Column(header="List price per minute", width=12, kind=Kind.PRICE),
        *(UNIT_PRICE, *QUANTITIES, AMOUNT),
    )

    def cells(line: Line, row: int) -> Row:
        return (
            *(app_cell(line.app_id), line.item, line.kind, line.policy, line.policy_version, line.contract),
            *(line.list_price, line.unit_price, line.seconds, line.minutes, line.deducted_minutes),
            Formula(f"J{row}-K{row}", line.payable_minutes),
            Formula(f"L{row}*H{row}", line.amount),
        )

    return _table("Lines", columns, explanation.lines, cells, _totals(explanation.lines))


def _charges(explanation: Explanation) -> Table:
    charges = explanation.charges.to_dicts()
    columns = (DAY, APP, ITEM, KIND, RUN, UNIT_PRICE, *QUANTITIES, AMOUNT)

    def cells(charge: Mapping[str, Any], row: int) -> Row:
        return (
            *(charge["day"], app_cell(charge["app_id"]), charge["item"], charge["kind"], charge["run"]),
            *(charge["unit_price"], charge["seconds"], charge["minutes"], charge["deducted_minutes"]),
            Formula(f"H{row}-I{row}", charge["payable_minutes"]),
            Formula(f"J{row}*F{row}", charge["amount"]),
        )

    return _table("Charges", columns, charges, cells, _totals(charges))


def _totals(rows: Sequence[Any]) -> Totals:
    """The sums of `QUANTITIES` and amounts."""
    names = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount")
    headers = (column.header for column in (*QUANTITIES, AMOUNT))
    return {
        header: _sum(row[name] if isinstance(row, Mapping) else getattr(row, name) for row in rows)
        for header, name in zip(headers, names, strict=True)
    }


def _windows(explanation: Explanation, windows: Sequence[WindowPayment]) -> Table:
    prices = {row["item"]: row["unit_price"] for row in explanation.charges.to_dicts()}
    so_far = Column(header="Seconds so far", width=13, kind=Kind.COUNT)
    columns = (WINDOW, ITEM, UNIT_PRICE, SECONDS, so_far, MINUTES, DEDUCTED, PAYABLE, AMOUNT)
    payers = _payers(explanation, windows)

    def cells(window: WindowPayment, row: int) -> Row:
        paid = payers.sum_where("Minutes", {"Window start": f"$A{row}", "Item": f"$B{row}"})
        return (
            *(local_iso(window.start, explanation.zone), window.item, prices[window.item]),
            *(window.seconds, window.seconds_so_far),
            Formula(f"ROUNDUP(E{row}/60,0)-ROUNDUP((E{row}-D{row})/60,0)", window.minutes),
            Formula(paid, _paid(window)),
            Formula(f"F{row}-G{row}", window.payable_minutes),
            Formula(f"H{row}*C{row}", window.amount),
        )

    totals: dict[str, int | Decimal] = {
        "Seconds": _sum(each.seconds for each in windows),
        "Minutes": _sum(each.minutes for each in windows),
        "Deducted": _sum(map(_paid, windows)),
        "Payable": _sum(each.payable_minutes for each in windows),
        "Amount": _sum(each.amount for each in windows),
    }
    return _table("Windows", columns, windows, cells, totals)


def _paid(window: WindowPayment) -> int:
    return sum(each.minutes for each in window.paid)


def _payers(explanation: Explanation, windows: Sequence[WindowPayment]) -> Table:
    paid = [(window, payment) for window in windows for payment in window.paid]
    left = Column(header="Left", width=13, kind=Kind.COUNT)
    columns = (WINDOW, ITEM, Column(header="Payer", width=24), MINUTES, UNITS, left)
    totals = {
        "Minutes": sum(each.minutes for _, each in paid),
        "Package minutes": sum(each.units for _, each in paid),
    }

    def cells(pair: Any, _: int) -> Row:
        window, payment = pair
        start = local_iso(window.start, explanation.zone)
        return start, window.item, payment.payer, payment.minutes, payment.units, payment.left

    return _table("Payers", columns, paid, cells, totals)


def _rooms(rooms: Sequence[RoomShare]) -> Table:
    totals = {"Seconds": _sum(each.seconds for each in rooms), SHARE.header: _sum(each.share for each in rooms)}
    return _table(
        "Rooms",
        (ROOM, ITEM, REASON, SECONDS, SHARE),
        rooms,
        lambda room, _: (room.room_id, room.item, room.reason, room.seconds, room.share),
        totals,
    )


def _stretches(explanation: Explanation, intervals: Sequence[ExplainedInterval]) -> Table:
    times = (Column(header="From", width=26), Column(header="To", width=26))
    area = Column(header="Area", width=13, kind=Kind.COUNT)
    texts = tuple(Column(header=header, width=44) for header in ("Received", "Begins with", "Ends with"))
    return _table(
        "Stretches",
        (ROOM, USER, *times, SECONDS, ITEM, REASON, area, *texts),
        intervals,
        partial(_stretch, explanation),
        {"Seconds": _sum(each.seconds for each in intervals)},
    )


def _stretch(explanation: Explanation, interval: ExplainedInterval, _: int) -> Row:
    return (
        *(interval.room_id, interval.user_id),
        *(local_iso(second, explanation.zone) for second in (interval.start, interval.end)),
        *(interval.seconds, interval.item, interval.reason),
        _area(interval),
        " + ".join(f"{each.stream} {each.width}x{each.height}" for each in interval.streams) or None,
        *(boundary_text(interval.begins), boundary_text(interval.ends)),
    )


def _area(interval: ExplainedInterval) -> Formula | int | None:
    """The sum of the pictures' areas; what is too long for a formula stands as a number."""
    if not interval.streams:
        return None
    if len(interval.streams) > _MOST_PICTURES:
        return interval.area
    return Formula("+".join(f"{each.width}*{each.height}" for each in interval.streams), interval.area)


def _checks(explanation: Explanation, tables: Mapping[str, Table]) -> Table:
    """Pairs of sums that must be equal; a question about a part of a link says nothing about the whole."""
    scope, question = explanation.scope, explanation.scope.question
    is_instant, names_users = scope.at is not None, question.user_id is not None
    names_rooms = question.room_id is not None or names_users
    pairs = [
        (True, ("Lines", "Amount"), ("Charges", "Amount")),
        (True, ("Windows", "Deducted"), ("Payers", "Minutes")),
        (scope.window is None and not is_instant, ("Charges", "Seconds"), ("Windows", "Seconds")),
        (scope.window is None and not is_instant, ("Charges", "Amount"), ("Windows", "Amount")),
        (not names_rooms and not is_instant, ("Windows", "Seconds"), ("Rooms", "Seconds")),
        (not names_rooms and not is_instant, ("Windows", "Amount"), ("Rooms", SHARE.header)),
        (not names_users and not is_instant, ("Rooms", "Seconds"), ("Stretches", "Seconds")),
    ]
    known = [(left, right) for holds, left, right in pairs if holds and left[0] in tables and right[0] in tables]
    columns = (
        Column(header="What", width=40),
        Column(header="Left", width=15, kind=Kind.AMOUNT),
        Column(header="Right", width=15, kind=Kind.AMOUNT),
        Column(header="Result", width=10),
    )
    return _table("Checks", columns, known, partial(_check, tables), {})


def _check(tables: Mapping[str, Table], pair: tuple[tuple[str, str], tuple[str, str]], row: int) -> Row:
    what = " and ".join(f"{name} {header.lower()}" for name, header in pair)
    left, right = (Formula(tables[name].sum(header), tables[name].totals[header]) for name, header in pair)
    result = PASS if Decimal(left.result) == Decimal(right.result) else FAIL
    return what, left, right, Formula(f'IF(ABS(B{row}-C{row})<0.000001,"{PASS}","{FAIL}")', result)


def _sum(values: Any) -> Any:
    with localcontext(EXACT):
        return sum(values)
