"""The workbook as a file: read back cell by cell, recalculated, and never half written."""

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from billing.errors import BillingError
from billing.invoicing.annex import Annex
from billing.invoicing.invoice import Invoice
from billing.invoicing.workbook.excel_file import about_invoice, write_sheets, write_workbook
from billing.invoicing.workbook.sheets import sheets
from billing.invoicing.workbook.table import Cell, Chart, Column, Formula, Kind, Row, Sheet, Table, column_letter
from billing.output_files import Output
from billing.rating.deductions import Deduction
from tests.invoice_facts import CORRECTIONS, Month, corrected, with_charges

DAY = date(2026, 3, 2)
SOFFICE = shutil.which("soffice") or shutil.which("libreoffice")
needs_libreoffice = pytest.mark.skipif(
    SOFFICE is None and os.environ.get("BILLING_REQUIRE_LIBREOFFICE") != "1",
    reason="LibreOffice recalculates the formulas: install it (apt-get install libreoffice-calc) with soffice on PATH",
)


def busy_month(**other: object) -> Annex:
    """Two apps with windows all over the month, free minutes and a package that run out."""
    draw = random.Random(11)
    windows = [
        (app, date(2026, 3, day), 300 * draw.randrange(276), item, draw.randrange(1, 20_000))
        for app in (1, 2)
        for day in draw.sample(range(1, 32), 12)
        for item in draw.sample(["audio", "hd", "fhd", "2k", "4k"], 3)
    ]
    fields = {
        "granted": {"free-2026-03": 3000, "pkg-1": 9000},
        "discount": Decimal("0.8537"),
        "apps": {1: "One", 2: "Two"},
    }
    return Month(windows=windows, **fields | other).annex()  # type: ignore[arg-type]


def corrected_month() -> Annex:
    return corrected(busy_month(apps={1: "One", 2: "Two", 3: "Three"}), *CORRECTIONS)


def written(annex: Annex, directory: Path, *, row_limit: int = 1_048_576) -> tuple[Invoice, Path]:
    path = directory / "invoice.xlsx"
    write_workbook(annex, Output(path=path), row_limit=row_limit)
    return annex.invoice, path


def assert_shows(page: Sheet, frame: Worksheet, *, results: bool) -> None:
    """Every cell of the sheet is in the file with its exact value, and the file has no others."""
    header = tuple(Cell(column.header) for column in page.columns)
    rows = [*page.head, header, *page.rows(), *page.foot]
    assert frame.max_row == len(rows)
    for expected, found in zip(rows, frame.iter_rows(), strict=True):
        for place, cell in enumerate(found):
            value = expected[place] if place < len(expected) else None
            value = value.value if isinstance(value, Cell) else value
            if isinstance(value, Formula):
                value = value.result if results else f"={value.text}"
            if isinstance(value, Decimal):
                assert Decimal(str(cell.value)) == value, cell
            elif isinstance(value, date):
                assert cell.value == datetime.combine(value, datetime.min.time()), cell
            else:
                assert cell.value == value, cell
                assert type(cell.value) is type(value), cell


def recalculated(path: Path, directory: Path, *, changed: tuple[str, str, int] | None = None) -> Workbook:
    """The workbook as LibreOffice computes it; `changed` is a sheet, a cell and a number that is put there first."""
    book = load_workbook(path)  # Saving it again drops the stored results, which LibreOffice would believe.
    if changed:
        name, reference, number = changed
        book[name][reference] = number
    book.save(directory / "bare.xlsx")
    out = directory / "recalculated"
    assert SOFFICE
    subprocess.run(
        [
            SOFFICE,
            f"-env:UserInstallation={(directory / 'profile').as_uri()}",
            "--headless",
            "--convert-to",
            "xlsx:Calc MS Excel 2007 XML",
            "--outdir",
            str(out),
            str(directory / "bare.xlsx"),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
    return load_workbook(out / "bare.xlsx", data_only=True)


@pytest.mark.parametrize("annex", [busy_month(), corrected_month()], ids=["usage", "corrections"])
@pytest.mark.parametrize("row_limit", [1_048_576, 60])
def test_every_cell_reads_back_as_it_is(tmp_path: Path, row_limit: int, annex: Annex) -> None:
    _, path = written(annex, tmp_path, row_limit=row_limit)
    pages = sheets(annex, row_limit=row_limit)
    formulas, results = load_workbook(path), load_workbook(path, data_only=True)
    assert formulas.sheetnames == [page.name for page in pages]
    for page in pages:
        assert_shows(page, formulas[page.name], results=False)
        assert_shows(page, results[page.name], results=True)


@needs_libreoffice
@pytest.mark.parametrize(
    ("annex", "amounts"),
    [
        pytest.param(busy_month(), 16, id="usage", marks=pytest.mark.thorough),
        pytest.param(corrected_month(), 17, id="corrections"),
    ],
)
@pytest.mark.parametrize("row_limit", [1_048_576, pytest.param(60, marks=pytest.mark.thorough)])
def test_the_formulas_recalculate_to_the_results_that_are_stored(
    tmp_path: Path, row_limit: int, annex: Annex, amounts: int
) -> None:
    """`amounts` is the last column of the front sheet, which corrections move by one."""
    invoice, path = written(annex, tmp_path, row_limit=row_limit)
    stored, computed = load_workbook(path, data_only=True), recalculated(path, tmp_path)
    front = computed["Invoice"]
    assert computed["Checks"]["C2"].value == "PASS"
    assert front.cell(1, amounts).value == "PASS"
    assert Decimal(str(front.cell(_row_of(front, "Total USD"), amounts).value)) == invoice.totals.total
    for frame in stored:
        for row in frame.iter_rows():
            for cell in row:
                found = computed[frame.title][cell.coordinate].value
                expected = pytest.approx(cell.value, abs=1e-9) if isinstance(cell.value, float) else cell.value
                assert found == expected, (frame.title, cell.coordinate)


@needs_libreoffice
@pytest.mark.parametrize(
    ("sheet", "cell"),
    [
        ("Minutes", "E2"),
        pytest.param("5-minute", "F2", marks=pytest.mark.thorough),
        pytest.param("Corrections by window", "G2", marks=pytest.mark.thorough),
        pytest.param("Corrections by package", "G2", marks=pytest.mark.thorough),
    ],
)
def test_a_number_that_was_changed_fails_the_checks(tmp_path: Path, sheet: str, cell: str) -> None:
    _, path = written(corrected_month(), tmp_path)
    computed = recalculated(path, tmp_path, changed=(sheet, cell, 1))
    assert computed["Checks"]["C2"].value == "FAIL"
    assert computed["Invoice"]["Q1"].value == "FAIL"


@needs_libreoffice
def test_a_credit_recalculates_to_the_total_that_is_stored(tmp_path: Path) -> None:
    """Half up: -0.125 is -0.13 for the spreadsheet as well."""
    credit = replace(CORRECTIONS[1], app=1400000001, minutes=-125, unit_price=Decimal("0.001"))
    invoice, path = written(corrected(Month(windows=[]).annex(), credit), tmp_path)
    computed = recalculated(path, tmp_path)
    assert computed["Checks"]["C2"].value == "PASS"
    total = computed["Invoice"].cell(_row_of(computed["Invoice"], "Total USD, a credit"), 17).value
    assert Decimal(str(total)) == invoice.totals.total == Decimal("-0.13")


@needs_libreoffice
def test_a_month_without_usage_recalculates_to_zero(tmp_path: Path) -> None:
    _, path = written(Month(windows=[]).annex(), tmp_path)
    computed = recalculated(path, tmp_path)
    assert computed["Checks"]["C2"].value == "PASS"
    assert computed["Invoice"].cell(_row_of(computed["Invoice"], "Total USD"), 16).value == 0


@needs_libreoffice
def test_package_ids_that_look_like_conditions_are_told_apart(tmp_path: Path) -> None:
    """Four packages, of which a condition `a*`, `A` or `>1` would match more than its own."""
    _, path = written(busy_month(granted={"a*": 500, "ab": 700, "AB": 900, ">1": 1100, "=ab": 1300}), tmp_path)
    assert recalculated(path, tmp_path)["Checks"]["C2"].value == "PASS"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(1)", "#REF!", "1", "  two  ", "<&>\"'"])
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    annex = busy_month(account_id=text, account_name=text, apps={1: text, 2: text}, granted={text: 5000})
    _, path = written(annex, tmp_path)
    book = load_workbook(path)
    front = book["Invoice"]
    line = _row_of(front, "Account", 2) + 1
    for cell in (front.cell(line, 1), front.cell(line, 4), book["5-minute"]["A2"], book["Packages"]["D2"]):
        assert (cell.data_type, cell.value, cell.quotePrefix) == ("s", text, True)


def test_the_cause_of_a_correction_stays_text(tmp_path: Path) -> None:
    _, path = written(corrected_month(), tmp_path)
    causes = [row[15] for row in load_workbook(path)["Corrections"].iter_rows(min_row=2, max_row=8)]
    assert {(cell.data_type, cell.quotePrefix) for cell in causes} == {("s", True)}
    assert {cell.value for cell in causes} == {"late events", "=agreed on the telephone"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x07c\x1f", "a␀b␇c␟"),
        ("two\r\nlines", "two\nlines"),
        ("\ud800 \uffff", "\ufffd \ufffd"),
        ("🙂 é", "🙂 é"),
        ("_x0041_", "_x005F_x0041_"),  # which Excel shows as _x0041_
        ("x" * 40_000, "x" * 32_766 + "…"),
    ],
)
def test_characters_that_a_workbook_cannot_hold_are_shown_as_others(tmp_path: Path, text: str, shown: str) -> None:
    _, path = written(busy_month(apps={1: text, 2: "Two"}), tmp_path)
    front = load_workbook(path)["Invoice"]
    assert front.cell(_row_of(front, "Account", 2) + 1, 4).value == shown


def test_the_same_invoice_gives_the_same_file(tmp_path: Path) -> None:
    _, path = written(busy_month(), tmp_path)
    first = path.read_bytes()
    write_workbook(busy_month(), Output(path=path))
    assert path.read_bytes() == first


def test_decimals_keep_all_their_digits(tmp_path: Path) -> None:
    """A unit price with 8 decimals, whose amount has 15 digits."""
    annex = busy_month()
    unit_price = Decimal("0.00000089")
    posted = annex.month.charges[0]
    charge = replace(
        posted.charge,
        minutes=12_345_678,
        deducted_minutes=0,
        payable_minutes=12_345_678,
        unit_price=unit_price,
        amount=12_345_678 * unit_price,
    )
    one = with_charges(annex, [replace(posted, list_price=None, charge=charge)])
    invoice, path = written(one, tmp_path)
    front = load_workbook(path)["Invoice"]
    line = _row_of(front, "Account", 2) + 1
    assert Decimal(str(front.cell(line, 13).value)) == unit_price
    assert Decimal(str(front.cell(line, 16).value)) == invoice.totals.subtotal == Decimal("10.98765342")


def test_the_workbook_is_set_up_for_reading_and_printing(tmp_path: Path) -> None:
    _, path = written(busy_month(), tmp_path, row_limit=60)
    book = load_workbook(path)
    assert book.active is not None
    assert book.active.title == "Invoice"
    for frame in book:
        assert (frame.page_setup.paperSize, frame.page_setup.orientation, frame.page_setup.fitToWidth) == (
            9,
            "landscape",
            1,
        )
        assert frame.sheet_properties.pageSetUpPr.fitToPage
        assert "Page &P of &N" in frame.oddFooter.right.text
        assert frame.print_title_rows
        assert all(frame.column_dimensions[letter].width > 5 for letter in "ABC")
    windows = book["5-minute (2)"]
    assert (windows.freeze_panes, windows.print_title_rows) == ("A2", "$1:$1")
    assert windows.auto_filter.ref == f"A1:K{windows.max_row - 1}"
    assert windows["F2"].number_format.startswith("#,##0")
    assert len(book["Minutes"]._charts) == 1


def wide_table(columns: int = 30) -> Table:
    """Three rows of a text, numbers, and their sum as a formula; the last columns are AA and more."""
    names = [f"number {place}" for place in range(1, columns - 1)]

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for number in range(row, row + stop - start):
            numbers = [number * 100 + place for place in range(len(names))]
            last = column_letter(columns - 2)
            yield f"row {number}", *numbers, Formula(f"SUM(B{number}:{last}{number})", sum(numbers))

    return Table(
        name="Wide",
        columns=tuple(Column(header=name, width=9, kind=Kind.COUNT) for name in ("name", *names, "sum")),
        count=3,
        rows=rows,
        totals={"sum": sum(100 * number * len(names) + sum(range(len(names))) for number in (2, 3, 4))},
        chart=Chart(title="Wide", value_title="", categories=0, series=range(1, columns - 1)),
    )


def test_columns_after_z_are_columns_like_others(tmp_path: Path) -> None:
    """30 columns: values, formulas, widths, filter, total and chart."""
    path, table = tmp_path / "wide.xlsx", wide_table()
    (page,) = table.sheets()
    with path.open("wb") as file:
        write_sheets([page], about_invoice(busy_month().invoice), file)
    frame = load_workbook(path)["Wide"]
    assert_shows(page, frame, results=False)
    assert_shows(page, load_workbook(path, data_only=True)["Wide"], results=True)
    assert (frame.max_column, frame["AD5"].value) == (30, "=SUM('Wide'!$AD$2:$AD$4)")
    assert frame["AD2"].value == "=SUM(B2:AC2)"
    assert frame.column_dimensions["AD"].width == 9
    assert frame.auto_filter.ref == "A1:AD4"
    (chart,) = frame._charts
    assert chart.anchor._from.col == 31
    assert chart.series[-1].val.numRef.f == "'Wide'!$AC$2:$AC$4"


def test_a_row_of_more_cells_than_the_sheet_has_columns_is_refused(tmp_path: Path) -> None:
    (page,) = replace(wide_table(), head=(("x",) * 31,)).sheets()
    with (tmp_path / "wide.xlsx").open("wb") as file, pytest.raises(ValueError, match="31 cells for 30 columns"):
        write_sheets([page], about_invoice(busy_month().invoice), file)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda xml: xml.replace("</sheetData>", "<row /></sheetData>"), "not one empty table"),
        (lambda xml: xml.replace('ref="A1:A1"', 'ref="A1"'), "not one empty table"),
        (None, "the sheet Invoice was not written"),
    ],
)
def test_another_openpyxl_that_writes_sheets_in_another_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str] | None, what: str
) -> None:
    """Rows in a sheet, another dimension, or sheets that do not go through `ZipFile.write`: no broken file."""
    if change is None:
        monkeypatch.setattr(ExcelWriter, "_write_worksheets", lambda _: None)
    else:
        read = Path.read_text
        monkeypatch.setattr(Path, "read_text", lambda path, **options: change(read(path, **options)))
    with pytest.raises(BillingError, match=rf"openpyxl .* does not write workbooks as expected \(.*{what}"):
        write_workbook(busy_month(), Output(path=tmp_path / "invoice.xlsx"))
    assert list(tmp_path.iterdir()) == []


def test_a_workbook_can_go_through_a_pipe(tmp_path: Path) -> None:
    _, path = written(busy_month(), tmp_path)
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_workbook(busy_month(), Output(path=pipe))
    reader.join(timeout=30)
    found, expected = load_workbook(BytesIO(read[0])), load_workbook(path)
    for frame in expected:
        assert list(found[frame.title].values) == list(frame.values)


def test_progress_counts_every_row_of_the_tables(tmp_path: Path) -> None:
    annex = busy_month()
    counted: list[int] = []
    write_workbook(annex, Output(path=tmp_path / "invoice.xlsx"), progress=counted.append)
    assert sum(counted) == sum(page.row_count for page in sheets(annex))


def test_a_workbook_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """The deduction's window is beyond what a calendar knows, which shows only while the rows are written."""
    annex = busy_month()
    path = tmp_path / "invoice.xlsx"
    path.write_text("the old one")
    beyond = replace(annex.settled[0], deductions=[Deduction(10**13, 1, "audio", "pkg-1", 1, 1)])
    with pytest.raises(ValueError, match="out of range"):
        write_workbook(replace(annex, settled=[beyond]), Output(path=path))
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def _row_of(frame: Worksheet, label: str, nth: int = 1) -> int:
    rows = [row for row in range(1, frame.max_row + 1) if frame.cell(row, 1).value == label]
    return rows[nth - 1]
