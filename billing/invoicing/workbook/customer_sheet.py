"""The first sheet of a document: the page that the customer reads and pays by, for one or two sheets of paper."""

import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest

from billing.invoicing.page import Page
from billing.invoicing.workbook.table import Cell, Column, Formula, Kind, Role, Row, Sheet, Value

# Characters of body text that fit beside each other on the page.
_WIDTH = 96
_TEXT_WIDTH = 46


def customer_sheet(page: Page) -> Sheet:
    """The sheet of a page."""
    text, minutes, deducted, price, amount = page.headers
    head = tuple(_head(page))
    return Sheet(
        name=page.title,
        columns=(
            Column(header=text, width=_TEXT_WIDTH),
            Column(header=minutes, width=11, kind=Kind.COUNT),
            Column(header=deducted, width=12, kind=Kind.COUNT),
            Column(header=price, width=13, kind=Kind.PRICE),
            Column(header=f"{amount} ({page.currency})", width=15, kind=Kind.MONEY),
        ),
        head=head,
        rows=lambda: _lines(page),
        row_count=max(len(page.lines), 1),
        foot=tuple(_foot(page, first=len(head) + 2)),
        detail=False,
        chart=None,
        portrait=True,
    )


def _head(page: Page) -> Iterator[Row]:
    """Title and draft mark; the parties at the left, the facts and the amount due at the right."""
    mark = Cell(page.draft_mark, role=Role.NOTE) if page.draft_mark else None
    yield (Cell(page.title, role=Role.TITLE), None, mark)
    yield ()
    left: list[tuple[Value | Cell, ...]] = [
        (Cell(page.seller_label, role=Role.LABEL),),
        *((line,) for line in _wrapped(page.seller, _TEXT_WIDTH)),
        (None,),
        (Cell(page.customer_label, role=Role.LABEL),),
        *((line,) for line in _wrapped(page.customer, _TEXT_WIDTH)),
    ]
    right: list[tuple[Value | Cell, ...]] = [
        *((Cell(fact.label, role=Role.LABEL), None, Cell(fact.value)) for fact in page.facts),
        (),
        (Cell(page.due.label, role=Role.GRAND), Cell(None, role=Role.GRAND), Cell(page.due.value, role=Role.GRAND)),
    ]
    for own, facts in zip_longest(left, right, fillvalue=()):
        yield (own[0] if own else None, None, *facts)
    yield ()
    yield ()


def _lines(page: Page) -> Iterator[Row]:
    for line in page.lines:
        yield line.text, line.minutes, line.deducted_minutes, line.price, line.amount
    if not page.lines:
        yield ("–",)  # noqa: RUF001 - nothing


def _foot(page: Page, *, first: int) -> Iterator[Row]:
    """Sums, live, then bank details and notes; `first` is the sheet row of the first line."""
    last = first + max(len(page.lines), 1) - 1
    below = last + 1
    added: list[int] = []
    for number, each in enumerate(page.sums):
        row = below + number
        if number == 0:
            value: Formula | Decimal = Formula(f"SUM(E{first}:E{last})", each.amount)
            added.append(row)
        elif each.is_total:
            value = Formula("+".join(f"E{place}" for place in added), each.amount)
        else:
            value = each.amount
            if each.is_added:
                added.append(row)
        role = Role.GRAND if each.is_total else Role.TOTAL if number == 0 else Role.BODY
        label = Cell(each.label, role=role)
        yield (None, label, Cell(None, role=role), Cell(None, role=role), Cell(value, Kind.MONEY, role))
    yield ()
    if page.bank:
        yield ()
        yield (Cell(page.bank_label, role=Role.LABEL),)
        yield from ((line,) for line in _wrapped(page.bank, _WIDTH))
    yield ()
    yield from ((Cell(line, role=Role.NOTE),) for line in _wrapped(page.notes, _WIDTH))


def _wrapped(lines: Sequence[str], width: int) -> Iterator[str]:
    """Lines cut where they are too wide for the page: at a space, or between characters of East Asia."""
    for line in lines:
        taken, used, space = "", 0, 0
        for character in line:
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if used + wide > width:
                cut = space or len(taken)
                yield taken[:cut].rstrip()
                taken = taken[cut:].lstrip()
                used = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in taken)
                space = 0
            taken += character
            used += wide
            if character == " ":
                space = len(taken)
        yield taken
