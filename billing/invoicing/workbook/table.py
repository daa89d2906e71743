"""Typed cells, tables and sheets: what a workbook shows, as values, before there is a file.

A sheet is some rows above a header (`head`), the rows of a table, which come one by one, and rows below it (`foot`). A
table that does not fit on one sheet goes on on a further one, "5-minute (2)", and its formulas cover them all.

A formula carries its result, so that a viewer which does not calculate shows it; a spreadsheet program calculates anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from openpyxl.utils import get_column_letter

EXCEL_ROWS = 1_048_576


def column_letter(place: int) -> str:
    """The name of a column, counted from 0: A, …, Z, AA."""
    return get_column_letter(place + 1)


class Kind(StrEnum):
    """What a cell holds: decides its number format and alignment."""

    TEXT = "text"
    CODE = "code"
    COUNT = "count"
    DAY = "day"
    PRICE = "price"
    AMOUNT = "amount"
    MONEY = "money"
    SHARE = "share"
    RESULT = "result"
    RUN = "run"
    # A price on the customer's page, all of them with the same number of digits.
    RATE = "rate"


class Role(StrEnum):
    """Where a cell stands: decides its font, fill and border."""

    BODY = "body"
    HEADER = "header"
    TOTAL = "total"
    GRAND = "grand"
    TITLE = "title"
    LABEL = "label"
    NOTE = "note"
    # On the customer's page.
    PAGE_TITLE = "page_title"
    PAGE_TEXT = "page_text"
    PAGE_NAME = "page_name"
    PAGE_LABEL = "page_label"
    PAGE_HEADER = "page_header"
    PAGE_LINE = "page_line"
    PAGE_SUM = "page_sum"
    PAGE_TOTAL = "page_total"
    DUE_LABEL = "due_label"
    DUE = "due"


PAGE_ROLES = tuple(role for role in Role if role.startswith(("page", "due")))


class Formula(NamedTuple):
    """A live formula, without its `=`, and the result that it must have."""

    text: str
    result: str | int | Decimal


Value = str | int | Decimal | date | Formula | None


class Cell(NamedTuple):
    """A cell that does not have the style of its column."""

    value: Value
    kind: Kind = Kind.TEXT
    role: Role = Role.BODY


Row = tuple[Value | Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; `width` in characters."""

    header: str
    width: float
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Stacked columns beside the table: a series for each column of `series` along the days of column `categories`
    (from 0), which are not those of one month alone where it `has_other_months`."""

    title: str
    value_title: str
    categories: int
    series: range
    has_other_months: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLook:
    """How the customer's page looks: its language, the decimals of its prices, and cells that are one."""

    language: str
    price_digits: int
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One sheet: `head`, the header row, `row_count` rows, `foot`.

    `detail`: with a frozen header and a filter. `look`: it is the customer's page.
    """

    name: str
    columns: tuple[Column, ...]
    head: tuple[Row, ...]
    rows: Callable[[], Iterator[Row]]
    row_count: int
    foot: tuple[Row, ...]
    detail: bool
    chart: Chart | None
    look: PageLook | None = None

    @property
    def header_row(self) -> int:
        """The row of the column headers, counted from 1."""
        return len(self.head) + 1

    @property
    def last_row(self) -> int:
        """The last row of the table, counted from 1."""
        return self.header_row + self.row_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`count` rows of one shape, on as many sheets of at most `row_limit` rows as they need.

    `rows(start, stop, row)` yields the rows `[start, stop)`, of which the first stands in sheet row `row`. `totals` are
    the results of the columns that are summed below. A table without rows shows one that says "none".

    `corrections` are the sums of what was corrected, by the header of a total; the rows are without it, or, where they
    are net, with it. Below stand originals, corrections and net.
    """

    name: str
    columns: tuple[Column, ...]
    count: int
    rows: Callable[[int, int, int], Iterator[Row]]
    totals: Mapping[str, int | Decimal] = field(default_factory=dict)
    corrections: Mapping[str, Formula] = field(default_factory=dict)
    is_net: bool = False
    head: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    detail: bool = True
    chart: Chart | None = None
    row_limit: int = EXCEL_ROWS
    # Rows kept free below the last row of every sheet: totals and notes.
    foot_rows: int = 8

    @property
    def first_row(self) -> int:
        """The sheet row of the first row of each part."""
        return len(self.head) + 2

    def parts(self) -> list[tuple[str, int, int]]:
        """Each sheet's name and its rows `[start, stop)`."""
        size = self.row_limit - self.first_row - self.foot_rows
        return [
            (self.name if number == 1 else f"{self.name} ({number})", start, min(start + size, self.count))
            for number, start in enumerate(range(0, max(self.count, 1), size), 1)
        ]

    def letter(self, header: str) -> str:
        """The letter of a column."""
        return column_letter([column.header for column in self.columns].index(header))

    def ranges(self, header: str) -> list[str]:
        """The cells of a column, one range for each sheet."""
        letter = self.letter(header)
        return [
            f"'{name}'!${letter}${self.first_row}:${letter}${self._below(start, stop) - 1}"
            for name, start, stop in self.parts()
        ]

    def foot_cell(self, header: str, place: int) -> str:
        """The cell of a column in row `place` of the foot, counted from 0."""
        name, start, stop = self.parts()[-1]
        return f"'{name}'!${self.letter(header)}${self._below(start, stop) + place}"

    def sum(self, header: str) -> str:
        """Formula: the sum of a column."""
        return f"SUM({','.join(self.ranges(header))})"

    def sum_where(self, header: str, cells: Mapping[str, str]) -> str:
        """Formula: the sum of a column over the rows whose columns equal the cells: `{"App": "$C5"}`."""
        keys = [(self.ranges(key), cell) for key, cell in cells.items()]
        return "+".join(
            f"SUMIFS({numbers},{','.join(f'{ranges[part]},{cell}' for ranges, cell in keys)})"
            for part, numbers in enumerate(self.ranges(header))
        )

    def sum_of(self, product: str, *headers: str) -> str:
        """Formula: the sum over all rows of a product, in which `{0}`, `{1}` … stand for the columns."""
        return "+".join(f"SUMPRODUCT({product.format(*part)})" for part in zip(*map(self.ranges, headers), strict=True))

    def sheets(self, *, foot: tuple[Row, ...] | None = None) -> Iterator[Sheet]:
        """The sheets; below the last one stands `foot`, if not given the totals and the notes."""
        if foot is None:
            foot = (*self._sum_rows(), *((Cell(text, role=Role.NOTE),) for text in self.notes))
        parts = self.parts()
        for part in parts:
            name, start, stop = part
            yield Sheet(
                name=name,
                columns=self.columns,
                head=self.head,
                rows=partial(self.rows, start, stop, self.first_row) if self.count else partial(iter, [("none",)]),
                row_count=max(stop - start, 1),
                foot=foot if part == parts[-1] else (),
                detail=self.detail,
                chart=self.chart,
            )

    def _below(self, start: int, stop: int) -> int:
        return self.first_row + max(stop - start, 1)

    def net(self, header: str) -> Formula:
        """The cell below that has a corrected column's sum net of corrections."""
        return Formula(self.foot_cell(header, 2), self._net(header))

    def _net(self, header: str) -> int | Decimal:
        total = self.totals[header]
        return total if self.is_net else total + Decimal(self.corrections[header].result)

    @property
    def sums(self) -> dict[str, Formula]:
        """The live sums of the columns, by header."""
        return {header: Formula(self.sum(header), total) for header, total in self.totals.items()}

    def sum_row(self, label: str, sums: Mapping[str, Formula]) -> Row:
        """A row of the foot: a label, and sums below their columns."""
        return (
            Cell(label, role=Role.TOTAL),
            *(
                Cell(sums.get(column.header), column.kind, Role.TOTAL)
                if column.header in sums
                else Cell(None, role=Role.TOTAL)
                for column in self.columns[1:]
            ),
        )

    def _sum_rows(self) -> tuple[Row, ...]:
        if not self.totals:
            return ()
        if not self.corrections:
            return (self.sum_row("Total", self.sums),)
        first, second = ("Before corrections", self._originals()) if self.is_net else ("Total", self.sums)
        net = self.sums if self.is_net else self._nets()
        corrected = self.sum_row("Corrections", self.corrections)
        return self.sum_row(first, second), corrected, self.sum_row("Net of corrections", net)

    def _originals(self) -> dict[str, Formula]:
        """Net less corrections, which stand in the rows below."""
        return {
            header: Formula(
                f"{self.foot_cell(header, 2)}-{self.foot_cell(header, 1)}",
                self.totals[header] - Decimal(corrected.result),
            )
            for header, corrected in self.corrections.items()
        }

    def _nets(self) -> dict[str, Formula]:
        """Originals and corrections, which stand in the rows above."""
        return {
            header: Formula(f"{self.foot_cell(header, 0)}+{self.foot_cell(header, 1)}", self._net(header))
            for header in self.corrections
        }
