"""The rows of a workbook as XML, put into the sheets that openpyxl writes without rows.

openpyxl cannot store a formula together with its result, writes a decimal as a binary float of 16 digits, and takes
18 µs for a cell. Here numbers keep every digit, text stays text (also when it begins with `=`, `+`, `-` or `@`), and
the same sheets give the same file, byte by byte.

This rests on how openpyxl saves: sheet by sheet in their order, each with `ZipFile.write`, with an empty `<sheetData>`
and the dimension of one cell. Where that is not so, `RowsArchive` raises an error instead of writing a broken file.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, BinaryIO
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook, __version__
from openpyxl.writer.excel import ExcelWriter

from billing.errors import BillingError
from billing.invoicing.workbook.cell_styles import Styles
from billing.invoicing.workbook.table import Cell, Formula, Role, Row, Sheet, Value, column_letter
from billing.money import plain

Progress = Callable[[int], object]

_LONGEST_TEXT = 32_767
_FIRST_DAY_OF_EXCEL = date(1900, 3, 1)
_DAY_ZERO_OF_EXCEL = date(1899, 12, 30)
_PROGRESS_ROWS = 1000
_NO_ROWS = re.compile("<sheetData ?/>|<sheetData></sheetData>")
_ONE_CELL = '<dimension ref="A1:A1"'


def save(book: Workbook, file: BinaryIO, pages: Sequence[Sheet], rows: Callable[[Sheet], Iterator[str]]) -> None:
    """Write the workbook, whose sheets are without rows, with the rows of its pages; a `BillingError` when openpyxl
    does not write the sheets as expected."""
    with RowsArchive(file, pages, rows, book.properties.modified) as archive:
        ExcelWriter(book, archive).save()
    if archive.missing:
        raise _unexpected(f"the sheet {archive.missing[0].name} was not written")


class RowsArchive(ZipFile):
    """The zip file that openpyxl fills: the rows join their sheets on the way in; all entries have one time stamp."""

    def __init__(
        self, file: BinaryIO, pages: Sequence[Sheet], rows: Callable[[Sheet], Iterator[str]], made_at: datetime
    ) -> None:
        super().__init__(file, "w", ZIP_DEFLATED, compresslevel=4)
        self.missing = list(pages)
        self._rows = rows
        self._stamp = made_at.timetuple()[:6]

    def open(self, name: str | ZipInfo, mode: Any = "r", *args: Any, **options: Any) -> IO[bytes]:
        if isinstance(name, ZipInfo):
            name.date_time = self._stamp
        return super().open(name, mode, *args, **options)

    def write(self, filename: Any, arcname: Any = None, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Add a sheet."""
        if not self.missing:
            raise _unexpected(f"{arcname} is no sheet of the workbook")
        page = self.missing.pop(0)
        head, tail = _cut(Path(filename).read_text(encoding="utf-8"), page)
        info = ZipInfo(arcname)
        info.compress_type = ZIP_DEFLATED
        with TextIOWrapper(self.open(info, "w", force_zip64=True), encoding="utf-8", newline="\n") as entry:
            entry.write(f"{head}<sheetData>")
            entry.writelines(self._rows(page))
            entry.write(f"</sheetData>{tail}")


def _cut(xml: str, page: Sheet) -> tuple[str, str]:
    """What stands before and after the rows of a sheet."""
    parts = _NO_ROWS.split(xml)
    if len(parts) != 2 or xml.count(_ONE_CELL) != 1 or _ONE_CELL not in parts[0]:
        raise _unexpected(f"the sheet {page.name} is not one empty table")
    last_cell = f"{column_letter(len(page.columns) - 1)}{page.last_row + len(page.foot)}"
    return parts[0].replace(_ONE_CELL, f'<dimension ref="A1:{last_cell}"'), parts[1]


def _unexpected(what: str) -> BillingError:
    return BillingError(
        f"openpyxl {__version__} does not write workbooks as expected ({what}): install another version, such as 3.1.5"
    )


def rows_xml(page: Sheet, styles: Styles, progress: Progress) -> Iterator[str]:
    """The rows of a sheet, from the first of the head to the last of the foot."""
    columns = [(column_letter(place), styles[column.kind, Role.BODY]) for place, column in enumerate(page.columns)]
    for number, row in enumerate(page.head, 1):
        yield _row(number, row, columns, styles)
    role = Role.PAGE_HEADER if page.look else Role.HEADER
    header = tuple(Cell(column.header, column.kind, role) for column in page.columns)
    yield _row(page.header_row, header, columns, styles)
    unreported = 0
    for number, row in enumerate(page.rows(), page.header_row + 1):
        yield _row(number, row, columns, styles)
        unreported += 1
        if unreported == _PROGRESS_ROWS:
            progress(unreported)
            unreported = 0
    progress(unreported)
    for number, row in enumerate(page.foot, page.last_row + 1):
        yield _row(number, row, columns, styles)


def _row(number: int, row: Row, columns: Sequence[tuple[str, int]], styles: Styles) -> str:
    """A row of at most as many cells as the sheet has columns."""
    if len(row) > len(columns):
        raise ValueError(f"row {number} has {len(row)} cells for {len(columns)} columns: {row}")
    height = ""
    cells = []
    for (letter, style), value in zip(columns, row, strict=False):
        if isinstance(value, Cell):
            height = _HEIGHTS.get(value.role, height)
            cells.append(_cell(f"{letter}{number}", styles[value.kind, value.role], value.value))
        elif value is not None:
            cells.append(_cell(f"{letter}{number}", style, value))
    return f'<row r="{number}"{height}>{"".join(cells)}</row>'


_HEIGHTS = {
    role: f' ht="{points}" customHeight="1"'
    for role, points in (
        *((Role.TITLE, 26), (Role.HEADER, 30), (Role.GRAND, 22)),
        *((Role.PAGE_TITLE, 46), (Role.PAGE_HEADER, 32), (Role.PAGE_LINE, 19), (Role.PAGE_SUM, 18)),
        *((Role.PAGE_TEXT, 15), (Role.PAGE_NAME, 15), (Role.PAGE_LABEL, 15), (Role.PAGE_TOTAL, 24)),
    )
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
    return f'<t xml:space="preserve">{escape(xml_text(text))}</t>'


_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


def xml_text(text: str) -> str:
    """Text that XML can hold: control characters as their pictures (`␇`); `_x0041_` so that Excel does not read A."""
    text = text.replace("\r\n", "\n").translate(_CONTROLS)
    text = _ESCAPE.sub("_x005F_", _NOT_XML.sub("\ufffd", text))
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
