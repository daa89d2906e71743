"""An invoice's sheets as an Excel file.

openpyxl makes everything but the rows: styles, charts, filters, print set-up, the package. The rows are put into its
sheets as text on their way into the archive, because openpyxl cannot store a formula together with its result, writes a
decimal as a binary float of 16 digits, and takes 18 µs for a cell. Here numbers keep every digit, text stays text (also
when it begins with `=`, `+`, `-` or `@`), and the same invoice gives the same file, byte by byte.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from io import TextIOWrapper
from pathlib import Path
from string import ascii_uppercase
from typing import IO, Any, Literal
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.chart import BarChart, Reference
from openpyxl.chart.axis import ChartLines
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.drawing.line import LineProperties
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.header_footer import HeaderFooterItem, _HeaderFooterPart
from openpyxl.worksheet.page import PageMargins
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from billing.errors import BillingError
from billing.invoicing.invoice import Invoice
from billing.invoicing.workbook.checks import FAIL, PASS
from billing.invoicing.workbook.sheets import sheets
from billing.invoicing.workbook.table import EXCEL_ROWS, Cell, Chart, Formula, Kind, Role, Row, Sheet, Value
from billing.money import minor_digits, plain
from billing.periods import next_month

Progress = Callable[[int], object]

_LONGEST_TEXT = 32_767
_FIRST_DAY_OF_EXCEL = date(1900, 3, 1)
_DAY_ZERO_OF_EXCEL = date(1899, 12, 30)
_PROGRESS_ROWS = 1000
_A4 = 9

_INK, _GREY, _RULE, _BAND = "1F2933", "5F6B7A", "9AA5B1", "E8EDF3"
# From pale to dark with the price of the item; audio is grey.
_SERIES_COLOURS = {
    "audio": "B8C0CA",
    "sd": "CFE3F5",
    "hd": "8FBCE6",
    "fhd": "4A8FCB",
    "2k": "1F5F9E",
    "4k": "0B3157",
}


def write_workbook(
    invoice: Invoice, path: Path, *, progress: Progress | None = None, row_limit: int = EXCEL_ROWS
) -> None:
    """Write the workbook of an invoice to `path`, whole or not at all; a file that is there is replaced.

    `progress` is called with the number of rows written since it was called last. Raises `BillingError` when the file
    cannot be written.
    """
    if not os.path.isdir(path.parent):
        raise BillingError(f"cannot write {path}: the directory {path.parent} does not exist; create it first")
    if os.path.isdir(path):
        raise BillingError(f"cannot write {path}: it is a directory; give the name of a file such as invoice.xlsx")
    try:
        with _replacing(path) as file:
            _write(invoice, sheets(invoice, row_limit=row_limit), file, progress or _no_progress)
    except OSError as error:
        raise BillingError(f"cannot write {path}: {error.strerror}; choose another file with -o") from error


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place once it is complete.

    Whoever writes the same workbook at the same time waits; a process that is killed leaves the file to the next one.
    """
    part = path.with_name(f".{path.name}.part")
    with _locked(part) as file:
        try:
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink()
            raise


def _locked(part: Path) -> IO[bytes]:
    """The file, open for writing, and this process's alone until it is closed."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return file
        file.close()  # while this process waited, the file took the place of the workbook, or was removed


def _no_progress(_: int) -> None:
    pass


def _write(invoice: Invoice, pages: Sequence[Sheet], file: IO[bytes], progress: Progress) -> None:
    book = Workbook()
    book.remove(book.worksheets[0])
    frames: list[Worksheet] = [book.create_sheet(page.name) for page in pages]
    styles = _styles(frames[0], invoice.facts.account.currency)
    for page, frame in zip(pages, frames, strict=True):
        _set_up(frame, page, invoice)
    book.active = frames[0]
    made_at = datetime.combine(next_month(invoice.facts.month), datetime.min.time())
    book.properties.title = _text(f"Invoice {invoice.facts.month:%Y-%m} {invoice.facts.account.name}")
    book.properties.creator = _text(invoice.facts.seller.name) if invoice.facts.seller else "billing"
    book.properties.created = book.properties.modified = made_at
    with _Archive(file, pages, partial(_rows, styles=styles, progress=progress), made_at) as archive:
        ExcelWriter(book, archive).save()


_NO_ROWS = re.compile("<sheetData ?/>|<sheetData></sheetData>")


class _Archive(ZipFile):
    """The zip file that openpyxl fills: the rows join their sheets on the way in; all entries have one time stamp."""

    def __init__(
        self, file: IO[bytes], pages: Sequence[Sheet], rows: Callable[[Sheet], Iterator[str]], made_at: datetime
    ) -> None:
        super().__init__(file, "w", ZIP_DEFLATED, compresslevel=4)
        self._pages = iter(pages)
        self._rows = rows
        self._stamp = made_at.timetuple()[:6]

    def open(self, name: str | ZipInfo, mode: Any = "r", *args: Any, **options: Any) -> IO[bytes]:
        if isinstance(name, ZipInfo):
            name.date_time = self._stamp
        return super().open(name, mode, *args, **options)

    def write(self, filename: Any, arcname: Any = None, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Add a sheet: openpyxl comes here with its sheets alone, in their order, and all of them are without rows."""
        page = next(self._pages)
        head, tail = _NO_ROWS.split(Path(filename).read_text(encoding="utf-8"))
        head = head.replace('<dimension ref="A1:A1"', f'<dimension ref="A1:{_last_cell(page)}"')
        info = ZipInfo(arcname)
        info.compress_type = ZIP_DEFLATED
        with TextIOWrapper(self.open(info, "w", force_zip64=True), encoding="utf-8", newline="\n") as entry:
            entry.write(f"{head}<sheetData>")
            entry.writelines(self._rows(page))
            entry.write(f"</sheetData>{tail}")


def _last_cell(page: Sheet) -> str:
    return f"{ascii_uppercase[len(page.columns) - 1]}{page.last_row + len(page.foot)}"


# Rows ----------------------------------------------------------------------------------------------------------------

_Styles = Mapping[tuple[Kind, Role], int]


def _rows(page: Sheet, *, styles: _Styles, progress: Progress) -> Iterator[str]:
    """The rows of a sheet as XML, from the first of the head to the last of the foot."""
    body = [styles[column.kind, Role.BODY] for column in page.columns]
    for number, row in enumerate(page.head, 1):
        yield _row(number, row, body, styles)
    header = tuple(Cell(column.header, column.kind, Role.HEADER) for column in page.columns)
    yield _row(page.header_row, header, body, styles)
    unreported = 0
    for number, row in enumerate(page.rows(), page.header_row + 1):
        yield _row(number, row, body, styles)
        unreported += 1
        if unreported == _PROGRESS_ROWS:
            progress(unreported)
            unreported = 0
    progress(unreported)
    for number, row in enumerate(page.foot, page.last_row + 1):
        yield _row(number, row, body, styles)


def _row(number: int, row: Row, column_styles: Sequence[int], styles: _Styles) -> str:
    height = ""
    cells = []
    for letter, value, style in zip(ascii_uppercase, row, column_styles, strict=False):
        if isinstance(value, Cell):
            style = styles[value.kind, value.role]
            height = _HEIGHTS.get(value.role, height)
            cells.append(_cell(f"{letter}{number}", style, value.value))
        elif value is not None:
            cells.append(_cell(f"{letter}{number}", style, value))
    return f'<row r="{number}"{height}>{"".join(cells)}</row>'


_HEIGHTS = {
    role: f' ht="{points}" customHeight="1"' for role, points in ((Role.TITLE, 26), (Role.HEADER, 30), (Role.GRAND, 22))
}


def _cell(reference: str, style: int, value: Value) -> str:
    start = f'<c r="{reference}" s="{style}"'
    match value:
        case int():
            return f"{start}><v>{value}</v></c>"
        case str():
            return f'{start} t="inlineStr"><is>{_text_xml(value)}</is></c>'
        case None:
            return f"{start}/>"
        case Formula(text, result):
            kind = ' t="str"' if isinstance(result, str) else ""
            return f"{start}{kind}><f>{escape(text)}</f><v>{_content(result)}</v></c>"
        case date() if value < _FIRST_DAY_OF_EXCEL:
            return _cell(reference, style, value.isoformat())
    return f"{start}><v>{_content(value)}</v></c>"


def _content(value: str | int | Decimal | date) -> str:
    """A number as its exact decimal text, a day as the days since 1899-12-30."""
    if isinstance(value, date):
        return str((value - _DAY_ZERO_OF_EXCEL).days)
    return plain(value) if isinstance(value, Decimal) else escape(str(value))


@lru_cache(maxsize=4096)
def _text_xml(text: str) -> str:
    return f'<t xml:space="preserve">{escape(_text(text))}</t>'


_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


def _text(text: str) -> str:
    """Text that XML can hold: control characters as their pictures (`␇`); `_x0041_` so that Excel does not read A."""
    text = text.replace("\r\n", "\n").translate(_CONTROLS)
    text = _ESCAPE.sub("_x005F_", _NOT_XML.sub("\ufffd", text))
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


# Styles --------------------------------------------------------------------------------------------------------------


def _styles(frame: Worksheet, currency: str) -> _Styles:
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
    Role.BODY: Font(name="Calibri", size=10, color=_INK),
    Role.HEADER: Font(name="Calibri", size=10, bold=True, color=_INK),
    Role.TOTAL: Font(name="Calibri", size=10, bold=True, color=_INK),
    Role.GRAND: Font(name="Calibri", size=12, bold=True, color=_INK),
    Role.TITLE: Font(name="Calibri", size=18, bold=True, color=_INK),
    Role.LABEL: Font(name="Calibri", size=10, bold=True, color=_GREY),
    Role.NOTE: Font(name="Calibri", size=10, italic=True, color=_GREY),
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


# Set-up --------------------------------------------------------------------------------------------------------------


def _set_up(frame: Worksheet, page: Sheet, invoice: Invoice) -> None:
    """Widths, frozen header, filter, print set-up, colours of the results and the chart of one sheet."""
    last_column = ascii_uppercase[len(page.columns) - 1]
    for letter, column in zip(ascii_uppercase, page.columns, strict=False):
        frame.column_dimensions[letter].width = column.width
    frame.sheet_view.showGridLines = page.detail
    if page.detail:
        frame.freeze_panes = f"A{page.header_row + 1}"
        frame.auto_filter.ref = f"A{page.header_row}:{last_column}{page.last_row}"
    frame.page_setup.paperSize = _A4
    frame.page_setup.orientation = "landscape"
    frame.page_setup.fitToWidth, frame.page_setup.fitToHeight = 1, 0
    frame.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    frame.print_title_rows = f"{page.header_row}:{page.header_row}"
    frame.page_margins = PageMargins(left=0.4, right=0.4, top=0.5, bottom=0.7, header=0.3, footer=0.3)
    facts = invoice.facts
    # Excel takes 255 characters, in which an ampersand begins a code.
    account_month_sheet = f"{_text(facts.account.id)[:80]} · {facts.month:%Y-%m} · {page.name}".replace("&", "&&")
    frame.HeaderFooter.oddFooter = HeaderFooterItem(
        left=_HeaderFooterPart(text=account_month_sheet), right=_HeaderFooterPart(text="Page &P of &N")
    )
    _colour_results(frame, page)
    if page.chart:
        frame.add_chart(_bar_chart(frame, page, page.chart), f"{ascii_uppercase[len(page.columns) + 1]}2")


def _colour_results(frame: Worksheet, page: Sheet) -> None:
    """PASS in green and FAIL in red, wherever a result stands."""
    places = [
        f"{letter}{number}"
        for number, row in enumerate(page.head, 1)
        for letter, value in zip(ascii_uppercase, row, strict=False)
        if isinstance(value, Cell) and value.kind is Kind.RESULT
    ]
    places += [
        f"{letter}{page.header_row + 1}:{letter}{page.last_row}"
        for letter, column in zip(ascii_uppercase, page.columns, strict=False)
        if column.kind is Kind.RESULT
    ]
    for result, ink, fill in ((PASS, "1E6B34", "DDF0E1"), (FAIL, "9B1C1C", "F9D7D7")):
        for place in places:
            rule = CellIsRule(  # type: ignore[no-untyped-call]
                operator="equal",
                formula=[f'"{result}"'],
                font=Font(color=ink, bold=True),
                fill=PatternFill(bgColor=fill, fill_type="solid"),
            )
            frame.conditional_formatting.add(place, rule)


def _bar_chart(frame: Worksheet, page: Sheet, chart: Chart) -> BarChart:
    bars = BarChart()
    bars.type, bars.grouping, bars.overlap, bars.gapWidth = "col", "stacked", 100, 40
    bars.title, bars.y_axis.title = chart.title, chart.value_title
    bars.width, bars.height = 22, 13
    for column in chart.series:
        bars.add_data(
            Reference(frame, min_col=column + 1, min_row=page.header_row, max_row=page.last_row), titles_from_data=True
        )
        bars.series[-1].graphicalProperties.solidFill = _SERIES_COLOURS.get(page.columns[column].header, _GREY)
    bars.set_categories(
        Reference(frame, min_col=chart.categories + 1, min_row=page.header_row + 1, max_row=page.last_row)
    )
    bars.x_axis.number_format, bars.y_axis.number_format = "d", "#,##0"
    bars.y_axis.majorGridlines = ChartLines(GraphicalProperties(ln=LineProperties(solidFill="DDE2E8")))
    bars.x_axis.delete = bars.y_axis.delete = False
    bars.legend.position = "b"
    return bars
