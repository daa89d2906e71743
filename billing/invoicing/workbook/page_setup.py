"""How a sheet is set up: widths, frozen header, filter, print set-up, colours of the results, and its chart."""

from collections.abc import Iterator

from openpyxl.chart import BarChart, Reference
from openpyxl.chart.axis import ChartLines
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.drawing.line import LineProperties
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.header_footer import HeaderFooterItem, _HeaderFooterPart
from openpyxl.worksheet.page import PageMargins
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.workbook.cell_styles import GREY
from billing.invoicing.workbook.checks import FAIL, PASS
from billing.invoicing.workbook.table import Cell, Chart, Kind, Sheet, column_letter

_A4 = 9
# So many rows of the customer's page stay legible on one sheet of paper, shrunk to two thirds.
_ROWS_ON_ONE_PAGE = 62
# From pale to dark with the price of the item; audio is grey.
_SERIES_COLOURS = {
    "audio": "B8C0CA",
    "sd": "CFE3F5",
    "hd": "8FBCE6",
    "fhd": "4A8FCB",
    "2k": "1F5F9E",
    "4k": "0B3157",
}


def set_up(
    frame: Worksheet, page: Sheet, footer: str, *, paging: str = "Page &P of &N", first_page: int | None = None
) -> None:
    """Set up one sheet; `footer` is printed at the bottom left, `paging` at the right.

    Pages go on being counted from sheet to sheet, but for one that has a `first_page`.
    """
    for place, column in enumerate(page.columns):
        frame.column_dimensions[column_letter(place)].width = column.width
    frame.sheet_view.showGridLines = page.detail
    if page.detail:
        frame.freeze_panes = f"A{page.header_row + 1}"
        frame.auto_filter.ref = f"A{page.header_row}:{column_letter(len(page.columns) - 1)}{page.last_row}"
    _set_up_print(frame, page)
    _set_up_footer(frame, footer, paging)
    if first_page is not None:
        frame.page_setup.useFirstPageNumber, frame.page_setup.firstPageNumber = True, first_page
    for cells in page.look.merged if page.look else ():
        frame.merged_cells.add(cells)  # `merge_cells` would add rows
    for cells in _result_cells(page):
        _colour_result(frame, cells)
    if page.chart:
        frame.add_chart(_bar_chart(frame, page, page.chart), f"{column_letter(len(page.columns) + 1)}2")


def _set_up_print(frame: Worksheet, page: Sheet) -> None:
    frame.page_setup.paperSize = _A4
    frame.page_setup.orientation = "portrait" if page.look else "landscape"
    fits_on_one = page.look is not None and page.last_row + len(page.foot) <= _ROWS_ON_ONE_PAGE
    frame.page_setup.fitToWidth, frame.page_setup.fitToHeight = 1, int(fits_on_one)
    frame.print_options.horizontalCentered = page.look is not None
    frame.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    frame.print_title_rows = f"{page.header_row}:{page.header_row}"
    side = 0.7 if page.look else 0.4
    frame.page_margins = PageMargins(left=side, right=side, top=side + 0.1, bottom=side + 0.3, header=0.3, footer=0.3)


def _set_up_footer(frame: Worksheet, footer: str, paging: str) -> None:
    # An ampersand begins a code.
    frame.HeaderFooter.oddFooter = HeaderFooterItem(
        left=_HeaderFooterPart(text=footer.replace("&", "&&")), right=_HeaderFooterPart(text=paging)
    )


def _result_cells(page: Sheet) -> Iterator[str]:
    """The cells and columns in which results of checks stand."""
    for number, row in enumerate(page.head, 1):
        for place, value in enumerate(row):
            if isinstance(value, Cell) and value.kind is Kind.RESULT:
                yield f"{column_letter(place)}{number}"
    for place, column in enumerate(page.columns):
        if column.kind is Kind.RESULT:
            letter = column_letter(place)
            yield f"{letter}{page.header_row + 1}:{letter}{page.last_row}"


def _colour_result(frame: Worksheet, cells: str) -> None:
    """PASS in green and FAIL in red."""
    for result, ink, fill in ((PASS, "1E6B34", "DDF0E1"), (FAIL, "9B1C1C", "F9D7D7")):
        rule = CellIsRule(  # type: ignore[no-untyped-call]
            operator="equal",
            formula=[f'"{result}"'],
            font=Font(color=ink, bold=True),
            fill=PatternFill(bgColor=fill, fill_type="solid"),
        )
        frame.conditional_formatting.add(cells, rule)


def _bar_chart(frame: Worksheet, page: Sheet, chart: Chart) -> BarChart:
    bars = BarChart()
    bars.type, bars.grouping, bars.overlap, bars.gapWidth = "col", "stacked", 100, 40
    bars.title, bars.y_axis.title = chart.title, chart.value_title
    bars.width, bars.height = 22, 13
    for column in chart.series:
        bars.add_data(
            Reference(frame, min_col=column + 1, min_row=page.header_row, max_row=page.last_row), titles_from_data=True
        )
        bars.series[-1].graphicalProperties.solidFill = _SERIES_COLOURS.get(page.columns[column].header, GREY)
    bars.set_categories(
        Reference(frame, min_col=chart.categories + 1, min_row=page.header_row + 1, max_row=page.last_row)
    )
    bars.x_axis.number_format, bars.y_axis.number_format = "mm-dd" if chart.has_other_months else "d", "#,##0"
    bars.y_axis.majorGridlines = ChartLines(GraphicalProperties(ln=LineProperties(solidFill="DDE2E8")))
    bars.x_axis.delete = bars.y_axis.delete = False
    bars.legend.position = "b"
    return bars
