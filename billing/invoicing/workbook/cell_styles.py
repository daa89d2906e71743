"""How cells look: number format, font, fill, border and alignment for each kind of value in each role.

The customer's page has one accent colour and the font of its language.
"""

from collections.abc import Mapping
from typing import Literal

from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.workbook.table import PAGE_ROLES, Kind, PageLook, Role
from billing.money import minor_digits

INK, GREY = "1F2933", "5F6B7A"
_RULE, _BAND, _HAIR, _ACCENT = "9AA5B1", "E8EDF3", "D5DBE2", "1F5F9E"

# The workbook's number of each style.
Styles = Mapping[tuple[Kind, Role], int]


def make_styles(frame: Worksheet, currency: str, look: PageLook | None = None) -> Styles:
    """Every style, added to the workbook of a sheet; those of the customer's page where there is one."""
    roles = [role for role in Role if look or role not in PAGE_ROLES]
    kinds = [kind for kind in Kind if look or kind is not Kind.RATE]
    fonts = _FONTS | _page_fonts(_FONT_NAMES.get(look.language if look else "", "Calibri"))
    formats = _number_formats(currency, look.price_digits if look else 0)
    return {(kind, role): _style(frame, kind, role, formats[kind], fonts[role]) for kind in kinds for role in roles}


def _style(frame: Worksheet, kind: Kind, role: Role, number_format: str, font: Font) -> int:
    """The workbook's number for the style of a kind of value in a role."""
    cell = WriteOnlyCell(frame)
    heading = role in (Role.HEADER, Role.PAGE_HEADER)
    if not heading:
        cell.number_format = number_format
    if kind is Kind.TEXT:
        # Excel treats the cell as text even when somebody edits it.
        cell.quotePrefix = True
    cell.font = font
    cell.border = _BORDERS.get(role, Border())
    if role in (Role.HEADER, Role.GRAND):
        cell.fill = PatternFill("solid", fgColor=_BAND)
    horizontal = "right" if role in _RIGHT else _ALIGNMENTS.get(kind, "right")
    cell.alignment = Alignment(
        horizontal=horizontal,
        # Keeps a number off the text of the next column.
        indent=1 if horizontal == "right" and role not in PAGE_ROLES else 0,
        vertical="center" if role in _CENTRED else "bottom",
        wrap_text=heading,
    )
    return int(cell.style_id)


def _number_formats(currency: str, price_digits: int) -> dict[Kind, str]:
    money, rate = (f"#,##0.{'0' * digits}".rstrip(".") for digits in (minor_digits(currency), price_digits))
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
        Kind.RATE: rate,
    }


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
_FONT_NAMES = {"ja": "Yu Gothic", "zh": "Microsoft YaHei"}
_CENTRED = frozenset(
    {Role.HEADER, Role.GRAND, Role.TITLE, Role.PAGE_TITLE, Role.PAGE_LINE, Role.PAGE_SUM, Role.PAGE_TOTAL, Role.DUE}
)
_RIGHT = frozenset({Role.DUE_LABEL, Role.DUE})


def _page_fonts(name: str) -> dict[Role, Font]:
    return {
        Role.PAGE_TITLE: Font(name=name, size=24, bold=True, color=INK),
        Role.PAGE_TEXT: Font(name=name, size=10, color=INK),
        Role.PAGE_NAME: Font(name=name, size=10, bold=True, color=INK),
        Role.PAGE_LABEL: Font(name=name, size=9, color=GREY),
        Role.PAGE_HEADER: Font(name=name, size=9, bold=True, color=GREY),
        Role.PAGE_LINE: Font(name=name, size=10, color=INK),
        Role.PAGE_SUM: Font(name=name, size=10, color=INK),
        Role.PAGE_TOTAL: Font(name=name, size=11, bold=True, color=INK),
        Role.DUE_LABEL: Font(name=name, size=9, color=GREY),
        Role.DUE: Font(name=name, size=20, bold=True, color=_ACCENT),
    }


_THIN = Side(style="thin", color=_RULE)
_BORDERS = {
    Role.HEADER: Border(bottom=_THIN),
    Role.TOTAL: Border(top=_THIN),
    Role.GRAND: Border(top=_THIN, bottom=Side(style="medium", color=_RULE)),
    Role.PAGE_HEADER: Border(bottom=Side(style="medium", color=_ACCENT)),
    Role.PAGE_LINE: Border(bottom=Side(style="thin", color=_HAIR)),
    Role.PAGE_TOTAL: Border(top=_THIN, bottom=Side(style="medium", color=_ACCENT)),
}
