"""The first sheet of a document: the page that the customer reads, pays by and files, upright on A4.

From top to bottom: title and logo, the parties beside each other, the facts beside the amount due, the lines, the sums,
the bank, the notes. Subtotal and total are live formulas over the printed figures, which add up (`billing.invoicing.
page`). Text that is too long for its place goes on in the row below, so nothing is cut off in print.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest

from billing.invoicing.page import Page, PageLine
from billing.invoicing.workbook.table import Cell, Column, Formula, Kind, PageLook, Role, Row, Sheet, Value
from billing.money import plain

# The widths of the columns, of which the text of a line takes two.
_WIDTHS = (17, 24, 11, 15, 15, 17)
_KINDS = (Kind.TEXT, Kind.TEXT, Kind.COUNT, Kind.COUNT, Kind.RATE, Kind.MONEY)
# Characters that fit where text stands: a line's text, a party, a fact, the label of a sum, the bank, a note.
_LINE, _LEFT, _RIGHT, _FACT, _SUM, _BANK, _NOTE = 44, 44, 60, 38, 44, 106, 118
# What does not begin a row.
_CLOSING = frozenset("。、）」』】：；？！〉》，")  # noqa: RUF001 - the marks of East Asia
_FIRST_SUM_COLUMN = 2


def customer_sheet(page: Page) -> Sheet:
    """The sheet of a page."""
    head, lines = tuple(_head(page)), tuple(_lines(page))
    due = next(number for number, row in enumerate(head, 1) for cell in row if _is_due(cell))
    text, *headers = page.headers
    return Sheet(
        name=page.title,
        columns=tuple(
            Column(header=header, width=width, kind=kind)
            for header, width, kind in zip((text, "", *headers), _WIDTHS, _KINDS, strict=True)
        ),
        head=head,
        rows=lambda: iter(lines),
        row_count=len(lines),
        foot=tuple(_foot(page, first=len(head) + 2, count=len(lines))),
        detail=False,
        chart=None,
        look=PageLook(language=page.language, price_digits=_price_digits(page), merged=(f"D{due}:F{due + 1}",)),
    )


def _head(page: Page) -> Iterator[Row]:
    yield (Cell(page.title, role=Role.PAGE_TITLE),)
    yield (Cell(page.draft_mark, role=Role.PAGE_NAME),) if page.draft_mark else ()
    yield ()
    customer = _party(page.customer_label, page.customer, _LEFT)
    seller = _party(page.seller_label, page.seller, _RIGHT)
    for cell, beside in zip_longest(customer, seller):
        yield cell, None, beside
    yield ()
    yield ()
    facts = [row for fact in page.facts for row in _fact(fact.label, fact.value)]
    due = Cell(page.due.value, role=Role.DUE)
    blank = Cell(None, role=Role.DUE)
    right: list[Row] = [(None, None, Cell(page.due.label, role=Role.DUE_LABEL)), (due, blank, blank), (blank,) * 3]
    for row, cells in zip_longest(facts, right, fillvalue=(None, None)):
        yield *row, None, *cells
    yield ()
    yield ()


def _is_due(cell: object) -> bool:
    return isinstance(cell, Cell) and cell.role is Role.DUE


def _party(label: str, lines: Sequence[str], width: int) -> Iterator[Cell]:
    yield Cell(label, role=Role.PAGE_LABEL)
    for place, line in enumerate(lines):
        for part in wrapped(line, width):
            yield Cell(part, role=Role.PAGE_TEXT if place else Role.PAGE_NAME)


def _fact(label: str, value: str) -> Iterator[tuple[Cell | None, Cell]]:
    for place, part in enumerate(wrapped(value, _FACT)):
        yield None if place else Cell(label, role=Role.PAGE_LABEL), Cell(part, role=Role.PAGE_TEXT)


def _lines(page: Page) -> Iterator[Row]:
    """The lines; one whose text is too long takes several rows, of which the last has its numbers."""
    for line in page.lines:
        *before, last = wrapped(line.text, _LINE)
        for part in before:
            yield (Cell(part, role=Role.PAGE_TEXT),)
        yield _cells((last, None, *_numbers(line)))
    if not page.lines:
        yield _cells((None,) * len(_WIDTHS))


def _numbers(line: PageLine) -> tuple[Value, ...]:
    return line.minutes, line.deducted_minutes, line.price, line.amount


def _cells(values: Sequence[Value]) -> Row:
    return tuple(Cell(value, kind, Role.PAGE_LINE) for value, kind in zip(values, _KINDS, strict=True))


def _price_digits(page: Page) -> int:
    """The decimals of the price that has most, at least the currency's, so that prices align."""
    prices = (plain(line.price) for line in page.lines if line.price is not None)
    return max((page.digits, *(len(price.partition(".")[2]) for price in prices)))


def _foot(page: Page, *, first: int, count: int) -> Iterator[Row]:
    """Sums, then bank details and notes; `first` is the sheet row of the first line, `count` the number of rows."""
    rows: list[Row] = []
    added: list[int] = []
    lines = f"SUM(F{first}:F{first + count - 1})"
    for each in page.sums:
        role = Role.PAGE_TOTAL if each.is_total else Role.PAGE_SUM
        *before, label = wrapped(each.label, _SUM)
        rows += [_sum_row(role, part, None) for part in before]
        value: Formula | Decimal = each.amount
        if each.is_total:
            value = Formula("+".join(f"F{row}" for row in added) if added else lines, each.amount)
        elif each.is_added and not added:
            value = Formula(lines, each.amount)
        rows.append(_sum_row(role, label, value))
        if each.is_added:
            added.append(first + count + len(rows) - 1)
    yield from rows
    yield ()
    yield ()
    if page.bank:
        yield (Cell(page.bank_label, role=Role.PAGE_LABEL),)
        yield from ((Cell(part, role=Role.PAGE_TEXT),) for line in page.bank for part in wrapped(line, _BANK))
        yield ()
    for note in page.notes:
        yield from ((Cell(part, role=Role.PAGE_LABEL),) for part in wrapped(note, _NOTE))


def _sum_row(role: Role, label: str, value: Formula | Decimal | None) -> Row:
    blank = (None,) * _FIRST_SUM_COLUMN
    return (*blank, Cell(label, role=role), Cell(None, role=role), Cell(None, role=role), Cell(value, Kind.MONEY, role))


def wrapped(text: str, width: int) -> list[str]:
    """Text in rows of at most `width` narrow characters, cut at a space or between characters of East Asia, of which
    one is two wide; a word that is longer is cut where the row ends."""
    rows: list[str] = []
    while _width(text) > width:
        end = _end(text, width)
        rows.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*rows, text]


def _end(text: str, width: int) -> int:
    """Where the first row ends."""
    fits = next(place for place in range(1, len(text) + 1) if _width(text[: place + 1]) > width)
    for place in range(fits, 0, -1):
        after, before = text[place], text[place - 1]
        if " " in (after, before) or (_is_wide(after) and _is_wide(before) and after not in _CLOSING):
            return place
    return fits


def _width(text: str) -> int:
    return sum(1 + _is_wide(character) for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
