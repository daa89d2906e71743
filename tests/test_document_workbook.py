"""The workbook of a document: its first page, an annex with tax, number and money by window, and hashes of it."""

import hashlib
import re
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.annex import Annex
from billing.invoicing.documents import Document, DocumentLine
from billing.invoicing.page import Page, make_page
from billing.invoicing.workbook.annex_hashes import annex_hashes
from billing.invoicing.workbook.customer_sheet import customer_sheet, wrapped
from billing.invoicing.workbook.document_foot import room_for
from billing.invoicing.workbook.document_lines import line_sheets
from billing.invoicing.workbook.excel_file import Front, write_document
from billing.invoicing.workbook.front_sheet import line_table
from billing.invoicing.workbook.picture import picture_of
from billing.invoicing.workbook.sheets import sheets
from billing.invoicing.workbook.table import Column, Formula, Row, Sheet, Table
from billing.output_files import Output
from tests.document_facts import (
    CN_6,
    DE_19,
    JP_10,
    ROOMS_CN,
    ROOMS_JP,
    credit_of,
    document_of,
    month_of_three_apps,
)
from tests.invoice_facts import CORRECTIONS, LIST, Correcting, Month, corrected
from tests.test_excel_file import SOFFICE, assert_shows, busy_month, needs_libreoffice, recalculated
from tests.test_sheets import column, plain_rows

NUMBER = "EA-2026-000001"
DAY = date(2026, 3, 2)


def japanese(**other: Any) -> Document:
    return document_of(month_of_three_apps(), JP_10, language="ja", seller=ROOMS_JP, **other)


def chinese() -> tuple[Document, Annex]:
    annex = month_of_three_apps(currency="CNY")
    return document_of(annex, CN_6, language="zh", seller=ROOMS_CN), annex


def corrected_document() -> tuple[Document, Annex]:
    """Usage, corrections, a package of 227 and a refund of 28.80, with 19 % on all."""
    annex = corrected(busy_month(apps={1: "One", 2: "Two", 3: "Three"}), *CORRECTIONS)
    of_package: dict[str, Any] = {"package": "pkg-1", "tax": "de-19", "tax_from": date(2019, 10, 1), "line": 0}
    more = [
        DocumentLine(kind="package", list_amount=Decimal(227), amount=Decimal(227), **of_package),
        DocumentLine(kind="refund", list_amount=Decimal("-28.8"), amount=Decimal("-28.8"), **of_package),
    ]
    return document_of(annex, DE_19, more=more), annex


def credit_month() -> tuple[Document, Annex]:
    """A month whose corrections are more than its usage: the document is a credit note."""
    credit = Correcting(day=DAY, item="hd", app=1400000001, minutes=-125, unit_price=Decimal("0.001"))
    annex = corrected(Month(windows=[]).annex(), credit)
    return document_of(annex, DE_19, number="EAC-2026-000001"), annex


def written(document: Document, annex: Annex | None, directory: Path, **other: Any) -> Path:
    path = directory / "document.xlsx"
    limit = other.pop("row_limit", 1_048_576)
    write_document(
        Front(page=make_page(document), document=document, **other), annex, Output(path=path), row_limit=limit
    )
    return path


def sheet_of(pages: list[Sheet], name: str) -> Sheet:
    return next(page for page in pages if page.name == name)


def cells(frame: Worksheet) -> dict[object, list[object]]:
    """Each row of a sheet by its first value that is not empty, without the empty ones."""
    rows = ([value for value in row if value is not None] for row in frame.iter_rows(values_only=True))
    return {row[0]: row[1:] for row in rows if row}


def test_the_first_page_reads_back_cell_by_cell(tmp_path: Path) -> None:
    path = written(japanese(), month_of_three_apps(), tmp_path)
    frame = load_workbook(path, data_only=True).worksheets[0]
    assert frame.title == "適格請求書"
    read = cells(frame)
    assert read["請求書番号"] == [NUMBER, "ご請求金額"]
    assert read["発行日"] == ["2026年4月1日", "JPY 2,372"]
    assert read["内容"][-1] == "金額（JPY）"
    assert read["HDビデオ：Classroom"] == [1751, 0, 600, 1050]
    assert read["音声：Lobby"] == [4051, 3000, 150, 158]
    assert read["フルHDビデオ：Studio"] == [703, 0, 1350, 949]
    assert read["小計"] == [2157]
    assert read["消費税 10%（対象額 2,157）"] == [215]
    assert read["合計（税込） JPY"] == [2372]
    assert "普通 1234567 ルームズ(カ" in read


def test_the_first_page_is_upright_and_the_annex_across_each_with_its_own_page_numbers(tmp_path: Path) -> None:
    book = load_workbook(written(japanese(), month_of_three_apps(), tmp_path))
    page, annex, *rest = book.worksheets
    assert (page.page_setup.orientation, page.page_setup.paperSize) == ("portrait", 9)
    assert (page.page_setup.fitToWidth, page.page_setup.fitToHeight) == (1, 1)
    assert page.oddFooter.right.text == "&P 頁"
    assert (annex.page_setup.orientation, annex.oddFooter.right.text) == ("landscape", "Page &P")
    assert [frame.page_setup.firstPageNumber for frame in (page, annex)] == [1, 1]
    assert not any(frame.page_setup.useFirstPageNumber for frame in rest)
    assert book.active is page


@pytest.mark.parametrize(("language", "name"), [("en", "Invoice"), ("ja", "請求書"), ("zh", "账单")])
def test_the_page_is_named_in_its_language_and_takes_no_name_of_the_annex(
    tmp_path: Path, language: str, name: str
) -> None:
    annex = month_of_three_apps()
    book = load_workbook(written(document_of(annex, DE_19, language=language), annex, tmp_path))
    assert book.sheetnames[:2] == [name, "Lines"]


@pytest.mark.parametrize("make", [chinese, corrected_document, credit_month])
@pytest.mark.parametrize("row_limit", [1_048_576, 60])
def test_every_cell_of_a_document_reads_back_as_it_is(tmp_path: Path, make: Any, row_limit: int) -> None:
    document, annex = make()
    path = written(document, annex, tmp_path, row_limit=row_limit)
    pages = [customer_sheet(make_page(document)), *sheets(annex, document, row_limit=row_limit)]
    formulas, results = load_workbook(path), load_workbook(path, data_only=True)
    assert formulas.sheetnames == [page.name for page in pages]
    for page in pages[1:]:
        assert_shows(page, formulas[page.name], results=False)
        assert_shows(page, results[page.name], results=True)


@needs_libreoffice
@pytest.mark.parametrize(
    ("make", "total"),
    [
        pytest.param(lambda: (japanese(), month_of_three_apps()), "2372", id="exclusive"),
        pytest.param(chinese, "2157.30", id="inclusive"),
        pytest.param(corrected_document, None, id="corrections"),
        pytest.param(credit_month, "-0.15", id="credit"),
    ],
)
def test_the_formulas_of_a_document_recalculate_to_the_results_that_are_stored(
    tmp_path: Path, make: Any, total: str | None
) -> None:
    document, annex = make()
    path = written(document, annex, tmp_path)
    stored, computed = load_workbook(path, data_only=True), recalculated(path, tmp_path)
    assert computed["Checks"]["C2"].value == "PASS"
    for frame in stored:
        for row in frame.iter_rows():
            for cell in row:
                found = computed[frame.title][cell.coordinate].value
                expected = pytest.approx(cell.value, abs=1e-9) if isinstance(cell.value, float) else cell.value
                assert found == expected or (found, expected) == (None, ""), (frame.title, cell.coordinate)
    if total is not None:
        label = f"Total {document.terms.currency}{', a credit' if total.startswith('-') else ''}"
        assert Decimal(str(cells(computed["Lines"])[label][0])) == Decimal(total)


@needs_libreoffice
@pytest.mark.parametrize(("sheet", "header"), [("Packages", "Deducted this month"), ("5-minute", "Amount")])
def test_a_number_of_a_document_that_was_changed_fails_the_checks(tmp_path: Path, sheet: str, header: str) -> None:
    document, annex = corrected_document()
    page = sheet_of(sheets(annex, document), sheet)
    place = [each.header for each in page.columns].index(header)
    path = written(document, annex, tmp_path)
    computed = recalculated(path, tmp_path, changed=(sheet, f"{chr(ord('A') + place)}{page.header_row + 1}", 99_999))
    assert computed["Checks"]["C2"].value == "FAIL"


def test_a_package_and_a_refund_stand_between_the_usage_and_the_total(tmp_path: Path) -> None:
    document, annex = corrected_document()
    read = cells(load_workbook(written(document, annex, tmp_path), data_only=True)["Lines"])
    assert read["Package pkg-1"] == [227]
    assert read["Refund pkg-1"] == [-28.8]
    assert Decimal(str(read["Net"][0])) == document.net == document.taxes[0].base
    assert Decimal(str(read["VAT 19 %"][0])) == document.tax
    assert Decimal(str(read["Total USD"][0])) == document.total


@pytest.mark.parametrize("make", [corrected_document, chinese])
def test_there_is_room_below_the_lines_for_tax_and_total(make: Any) -> None:
    document, annex = make()
    lines = room_for(document, line_table(annex.invoice, Table, with_kind=annex.has_corrections, name="Lines"))
    assert len(sheet_of(sheets(annex, document), "Lines").foot) <= lines.foot_rows


def test_the_amount_of_a_line_is_a_formula_over_its_own_row() -> None:
    document, annex = corrected_document()
    for name in ("Lines", "Corrections"):
        page = sheet_of(sheets(annex, document), name)
        letters = {each.header: chr(ord("A") + place) for place, each in enumerate(page.columns)}
        amounts = [row[ord(letters["Amount"]) - ord("A")] for row in page.rows()]
        for row, amount in enumerate(amounts, page.header_row + 1):
            assert isinstance(amount, Formula)
            assert amount.text == f"{letters['Payable']}{row}*{letters['Unit price per minute']}{row}"


def test_a_window_states_the_minutes_that_it_adds_and_what_they_cost() -> None:
    """30 s, 20 s and 40 s: 1, 0 and 1 minutes, of which free minutes pay the first."""
    windows = [(1, DAY, start, "audio", seconds) for start, seconds in ((0, 30), (300, 20), (600, 40))]
    annex = Month(windows=[*windows, (1, DAY, 600, "hd", 61)], granted={"free": 1}, apps={1: "One"}).annex()
    page = sheet_of(sheets(annex, document_of(annex)), "5-minute")
    assert column(page, "Minutes") == [1, 0, 3]
    assert column(page, "Deducted") == [1, 0, 0]
    assert column(page, "Payable") == [0, 0, 3]
    assert column(page, "Amount") == [0, 0, Decimal("0.00099") + 2 * Decimal("0.00399")]
    assert column(page, "App name") == ["One"] * 3
    totals = dict(zip([each.header for each in page.columns], plain_rows(page.foot)[0], strict=False))
    assert (totals["Minutes"], totals["Amount"]) == (4, Decimal("0.00897"))


def test_a_package_saved_its_minutes_at_the_price_of_their_day() -> None:
    """10 audio and 5 HD minutes, and a correction by which it pays 3 HD minutes less."""
    annex = Month(
        windows=[(1, DAY, 0, "audio", 600), (1, DAY, 0, "hd", 300)], granted={"pkg": 1000}, apps={1: "One"}
    ).annex()
    annex = corrected(annex, Correcting(day=DAY, item="hd", minutes=-3, paid={"pkg": -3}, windows=[(0, -180)]))
    page = sheet_of(sheets(annex, document_of(annex)), "Packages")
    saved = (10 * Decimal(LIST["audio"]) + 2 * Decimal(LIST["hd"])) / 1000
    assert column(page, "Saved this month") == [saved]


def test_every_row_of_the_annex_carries_the_number_and_a_draft_none() -> None:
    document, annex = corrected_document()
    for page in sheets(annex, document):
        assert page.columns[-1].header == "Invoice"
        assert set(column(page, "Invoice")) == {NUMBER}, page.name
    draft = replace(document, number=None, issued_on=None, due_on=None)
    assert all(page.columns[-1].header != "Invoice" for page in sheets(annex, draft))


def test_without_a_document_the_annex_has_none_of_its_columns() -> None:
    for page in sheets(month_of_three_apps()):
        headers = {each.header for each in page.columns}
        assert "Saved this month" not in headers
        assert page.columns[-1].header != "Invoice"
    assert not any(isinstance(cell, Formula) for row in sheets(month_of_three_apps())[0].rows() for cell in row)


def test_the_sheet_of_the_lines_has_the_number_in_its_title(tmp_path: Path) -> None:
    book = load_workbook(written(japanese(), month_of_three_apps(), tmp_path))
    assert book["Lines"]["A1"].value == f"Invoice 2026-03, {NUMBER}"


def test_without_detail_there_is_the_page_alone(tmp_path: Path) -> None:
    assert load_workbook(written(japanese(), month_of_three_apps(), tmp_path, detail="none")).sheetnames == [
        "適格請求書"
    ]
    assert len(load_workbook(written(credit_of(japanese()), None, tmp_path, detail="none")).sheetnames) == 1


def test_daily_detail_names_no_sheet_that_is_not_there(tmp_path: Path) -> None:
    document, annex = corrected_document()
    full = load_workbook(written(document, annex, tmp_path)).sheetnames
    book = load_workbook(written(document, annex, tmp_path, detail="daily"))
    assert book.sheetnames == [name for name in full if name not in ("5-minute", "Deductions")]
    named = {
        name
        for frame in book
        for row in frame.iter_rows(values_only=True)
        for value in row
        if isinstance(value, str) and value.startswith("=")
        for name in re.findall(r"'([^']+)'!", value)
    }
    assert "Corrections by window" in named
    assert named <= set(book.sheetnames)


@needs_libreoffice
def test_daily_detail_passes_its_checks(tmp_path: Path) -> None:
    document, annex = corrected_document()
    assert recalculated(written(document, annex, tmp_path, detail="daily"), tmp_path)["Checks"]["C2"].value == "PASS"


def test_a_document_without_annex_has_its_exact_lines(tmp_path: Path) -> None:
    document = credit_of(japanese(), 2)
    book = load_workbook(written(document, None, tmp_path), data_only=True)
    assert book.sheetnames == ["適格返還請求書", "Lines"]
    (page,) = line_sheets(document)
    assert_shows(page, book["Lines"], results=True)
    assert column(page, "Amount") == [Decimal("157.65"), Decimal("0.35")]
    assert column(page, "Credits line") == [2, None]
    read = cells(book["Lines"])
    assert (read["Net"], read["消費税 10%"], read["Total JPY"]) == ([158], [15], [173])


@needs_libreoffice
def test_the_exact_lines_recalculate(tmp_path: Path) -> None:
    read = cells(recalculated(written(credit_of(japanese()), None, tmp_path), tmp_path)["Lines"])
    assert (read["Sum"], read["Total JPY"]) == ([2157], [2372])


def pages_printed(path: Path, directory: Path) -> int:
    assert SOFFICE
    profile = f"-env:UserInstallation={(directory / 'profile').as_uri()}"
    command = [SOFFICE, profile, "--headless", "--convert-to", "pdf", "--outdir", str(directory), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    return len(re.findall(rb"/Type\s*/Page\b", path.with_suffix(".pdf").read_bytes()))


@needs_libreoffice
@pytest.mark.parametrize("apps", [3, 40])
def test_the_page_of_three_apps_prints_on_one_sheet_of_paper_and_of_many_on_no_more(tmp_path: Path, apps: int) -> None:
    names = {number: f"App {number} of a customer with a rather long name of its own" for number in range(1, apps + 1)}
    windows = [(app, DAY, 0, item, 6000) for app in names for item in ("audio", "hd", "fhd")]
    document = document_of(Month(windows=windows, apps=names).annex(), DE_19)
    assert pages_printed(written(document, None, tmp_path, detail="none"), tmp_path) == 1


def test_text_that_is_too_long_for_its_place_goes_on_in_the_next_row() -> None:
    name = "A room whose name is so long that no column of the page would ever hold all of it"
    page = make_page(document_of(month_of_three_apps(apps={1400000001: name, 1400000002: "L", 1400000003: "S"}), DE_19))
    rows = plain_rows(list(customer_sheet(page).rows()))
    assert (rows[0][0], len(rows[0])) == ("HD video, A room whose name is so long that", 1)
    assert rows[1][0] == "no column of the page would ever hold all of"
    assert (rows[2][0], rows[2][-1]) == ("it", 1050)


@given(text=st.text(st.sampled_from("ab 、。分数"), max_size=60), width=st.integers(2, 20))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(text: str, width: int) -> None:
    rows = wrapped(text, width)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert all(sum(2 if character in "、。分数" else 1 for character in row) <= width for row in rows)


def test_a_row_begins_with_no_closing_mark() -> None:
    assert wrapped("お支払いください。次の", 16) == ["お支払いくださ", "い。次の"]


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = (b"\0" + b"\x1f\x5f\x9e" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# The beginning of a JPEG of 300 x 100: a comment, then the frame with its size.
JPEG = (
    b"\xff\xd8" + b"\xff\xfe\x00\x06note" + b"\xff\xc0\x00\x11\x08\x00\x64\x01\x2c" + b"\x03" + bytes(9) + b"\xff\xd9"
)


@pytest.mark.parametrize(
    ("content", "size"),
    [(png(200, 56), (180, 50)), (png(20, 10), (20, 10)), (png(10, 1000), (1, 56)), (JPEG, (168, 56))],
)
def test_a_logo_keeps_its_shape_in_its_place(content: bytes, size: tuple[int, int]) -> None:
    picture = picture_of(content)
    assert picture is not None
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("content", [b"<svg/>", b"\x89PNG\r\n\x1a\n", JPEG[:14], b"\xff\xd8\xff", b"", png(0, 5)])
def test_a_logo_that_a_workbook_cannot_show_is_left_out(tmp_path: Path, content: bytes) -> None:
    assert picture_of(content) is None
    with zipfile.ZipFile(written(japanese(), None, tmp_path, logo=content)) as archive:
        assert not [name for name in archive.namelist() if "media" in name]


def test_the_logo_is_in_the_file_as_it_was_given(tmp_path: Path) -> None:
    logo = png(200, 60)
    with zipfile.ZipFile(written(japanese(), month_of_three_apps(), tmp_path, logo=logo)) as archive:
        assert archive.read("xl/media/image1.png") == logo
        assert "xl/drawings/drawing1.xml" in archive.namelist()


def test_the_same_document_gives_the_same_file(tmp_path: Path) -> None:
    first = written(japanese(), month_of_three_apps(), tmp_path, logo=png(20, 20)).read_bytes()
    assert written(japanese(), month_of_three_apps(), tmp_path, logo=png(20, 20)).read_bytes() == first


def test_hashes_do_not_depend_on_how_many_sheets_a_table_takes() -> None:
    document, annex = corrected_document()
    in_one = annex_hashes(sheets(annex, document))
    assert annex_hashes(sheets(annex, document, row_limit=60)) == in_one
    assert {name for name, _ in in_one} == {page.name for page in sheets(annex, document)} - {"Checks"}
    assert ("5-minute", "Payable") in in_one


def test_a_value_that_changed_changes_the_hash_of_its_column_alone() -> None:
    document, annex = corrected_document()
    renamed = replace(annex, month=replace(annex.month, apps={**annex.month.apps, 2: "Two rooms"}))
    before, after = annex_hashes(sheets(annex, document)), annex_hashes(sheets(renamed, document))
    assert {key for key in before if before[key] != after[key]} == {("5-minute", "App name")}


def make_sheet(*rows: Row, headers: tuple[str, ...] = ("A", "B"), name: str = "Daily") -> Sheet:
    columns = tuple(Column(header=header, width=9) for header in headers)

    def of_rows() -> Iterator[Row]:
        return iter(rows)

    return Sheet(
        name=name, columns=columns, head=(), rows=of_rows, row_count=len(rows), foot=(), detail=True, chart=None
    )


def test_a_hash_is_of_values_by_their_type_and_a_formula_counts_as_its_result() -> None:
    hashes = annex_hashes([make_sheet(("x", Formula("A1*2", Decimal("1.50"))), (date(2026, 3, 1), 7))])
    assert hashes == {
        ("Daily", "A"): hashlib.sha256(b"s1:xd10:2026-03-01").hexdigest(),
        ("Daily", "B"): hashlib.sha256(b"n3:1.5n1:7").hexdigest(),
    }
    moved = annex_hashes([make_sheet(("new", "x", Formula("B1*2", Decimal("1.5"))), headers=("New", "A", "B"))])
    assert moved["Daily", "B"] == annex_hashes([make_sheet(("x", Decimal("1.5")))])["Daily", "B"]


@pytest.mark.parametrize(
    ("one", "other"),
    [((("1",),), ((1,),)), ((("",),), ((None,),)), ((("ab",), ("c",)), (("a",), ("bc",))), (((1,), (2,)), ((12,),))],
)
def test_different_columns_have_different_hashes(one: tuple[Row, ...], other: tuple[Row, ...]) -> None:
    hashes = [annex_hashes([make_sheet(*rows, headers=("A",))]) for rows in (one, other)]
    assert hashes[0] != hashes[1]


def test_subtotal_and_total_of_the_page_are_formulas_over_what_is_printed() -> None:
    page = make_page(japanese())
    sheet = customer_sheet(page)
    first = sheet.header_row + 1
    formulas = [cell.value for row in sheet.foot for cell in row if cell and isinstance(cell.value, Formula)]  # type: ignore[union-attr]
    assert formulas == [
        Formula(f"SUM(F{first}:F{first + 2})", Decimal(2157)),
        Formula(f"F{first + 3}+F{first + 4}", Decimal(2372)),
    ]


def test_prices_are_printed_with_all_their_digits_and_align() -> None:
    """0.0034063 and 0.6 a minute are 3.4063 and 600.0000 per 1,000."""
    page = make_page(japanese())
    lines = (replace(page.lines[0], price=Decimal("3.4063")), *page.lines[1:])
    looks = [customer_sheet(each).look for each in (page, replace(page, lines=lines))]
    assert [look and look.price_digits for look in looks] == [0, 4]


def test_a_page_without_lines_is_still_a_page() -> None:
    page: Page = replace(make_page(japanese()), lines=())
    assert len(list(customer_sheet(page).rows())) == customer_sheet(page).row_count == 1
