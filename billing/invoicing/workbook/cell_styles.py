"""How cells look: number format, font, fill, border and alignment for each kind of value in each role."""

from collections.abc import Mapping
from typing import Literal

from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.workbook.table import Kind, Role
from billing.money import minor_digits

INK, GREY = "1F2933", "5F6B7A"
_RULE, _BAND = "9AA5B1", "E8EDF3"

# The workbook's number of each style.
Styles = Mapping[tuple[Kind, Role], int]


def make_styles(frame: Worksheet, currency: str) -> Styles:
    """Every style, added to the workbook of a sheet."""
    return {(kind, role): _style(frame, kind, role, currency) for kind in Kind for role in Role}


def _style(frame: Worksheet, kind: Kind, role: Role, currency: str) -> int:
    """The workbook's number for the style of a kind of value in a role."""
    cell = WriteOnlyCell(frame)
    heading = role is Role.HEADER
    if not heading:
        cell.number_format = _number_format(kind, currency)
    if kind is Kind.TEXT:
        # Excel treats the cell as text even when somebody edits it.
        cell.quotePrefix = True
    cell.font = _FONTS[role]
    cell.border = _BORDERS.get(role, Border())
    if role in (Role.HEADER, Role.GRAND):
        cell.fill = PatternFill("solid", fgColor=_BAND)
    horizontal = _ALIGNMENTS.get(kind, "right")
    cell.alignment = Alignment(
        horizontal=horizontal,
        # Keeps a number off the text of the next column.
        indent=1 if horizontal == "right" else 0,
        vertical="center" if role in (Role.HEADER, Role.GRAND, Role.TITLE) else "bottom",
        wrap_text=heading,
    )
    return int(cell.style_id)


def _number_format(kind: Kind, currency: str) -> str:
    money = f"#,##0.{'0' * minor_digits(currency)}".rstrip(".")
    return {
        Kind.TEXT: "@",
        Kind.CODE: "0",
        Kind.COUNT: '#,##0;-#,##0;"-"',
        Kind.DAY: "yyyy-mm-dd",
        Kind.PRICE: "#,##0.00??????",
        Kind.AMOUNT: "#,##0.00??????",
        Kind.MONEY: money,
        Kind.SHARE: "0.0%",
        Kind.RESULT: "@",
        Kind.RUN: "0",
    }[kind]


_FONTS = {
    Role.BODY: Font(name="Calibri", size=10, color=INK),
    Role.HEADER: Font(name="Calibri", size=10, bold=True, color=INK),
    Role.TOTAL: Font(name="Calibri", size=10, bold=True, color=INK),
    Role.GRAND: Font(name="Calibri", size=12, bold=True, color=INK),
    Role.TITLE: Font(name="Calibri", size=18, bold=True, color=INK),
    Role.LABEL: Font(name="Calibri", size=10, bold=True, color=GREY),
    Role.NOTE: Font(name="Calibri", size=10, italic=True, color=GREY),
}
_ALIGNMENTS: dict[Kind, Literal["left", "center"]] = {
    Kind.TEXT: "left",
    Kind.CODE: "left",
    Kind.DAY: "left",
    Kind.RESULT: "center",
    Kind.RUN: "center",
}
_THIN = Side(style="thin", color=_RULE)
_BORDERS = {
    Role.HEADER: Border(bottom=_THIN),
    Role.TOTAL: Border(top=_THIN),
    Role.GRAND: Border(top=_THIN, bottom=Side(style="medium", color=_RULE)),
}
