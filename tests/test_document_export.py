"""Documents of a real home as workbooks: what was issued, corrected, reissued and credited passes its own checks."""

from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from tests.commands import Commands
from tests.documents_home import apply, at, audio, catalog, home, ingest, ok, rows

TAXED = 'tax = "jp-10"'
PACKAGE = """
[[package]]
id = "pkg-1"
account = "acme"
minutes = 50
price = "20"
purchased_at = 2026-03-05T00:00:00+09:00
charge = "invoice"
"""


@pytest.fixture
def march(tmp_path: Path) -> Commands:
    """March: 100 minutes before and 40 after a package of 50, which is billed on the invoice."""
    events = [audio("2026-03-03", 100), audio("2026-03-10", 40)]
    run = home(tmp_path, catalog(TAXED, PACKAGE), events, now="2026-04-01T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    return run


def exported(run: Commands, folder: Path, number: str, *options: str) -> Workbook:
    path = folder / f"{number}.xlsx"
    ok(run, f"invoice export {number} -o {path} {' '.join(options)}")
    return load_workbook(path, data_only=True)


def sums(book: Workbook, sheet: str) -> dict[object, object]:
    """The last value of each row, by its first text."""
    found = {}
    for row in book[sheet].iter_rows(values_only=True):
        values = [value for value in row if value is not None]
        if len(values) > 1:
            found[values[0]] = values[-1]
    return found


def assert_passes(book: Workbook, run: Commands, number: str) -> None:
    """The checks pass, and page and lines have the total of the document."""
    assert book["Checks"]["C2"].value == "PASS"
    (shown,) = rows(run, f"invoice show {number}")
    sign = -1 if shown["kind"] == "credit_note" else 1
    totals = [value for label, value in sums(book, "Lines").items() if str(label).startswith("Total ")]
    assert totals == [pytest.approx(sign * float(shown["total"]))]
    page = sums(book, book.sheetnames[0])
    assert page["Total including tax USD"] == pytest.approx(float(shown["total"]))


def test_an_invoice_with_a_package_passes_its_checks(march: Commands, tmp_path: Path) -> None:
    book = exported(march, tmp_path, "R-2026-000001")
    assert_passes(book, march, "R-2026-000001")
    assert sums(book, "Lines")["Package pkg-1"] == 20
    assert sums(book, "Lines")["10 %"] == 12
    assert sums(book, "Lines")["Total USD"] == 132
    assert [row[4:] for row in book["5-minute"].iter_rows(values_only=True)][1][-1] == "R-2026-000001"
    saved = [cell.value for cell in book["Packages"][1]].index("Saved this month")
    assert [row[saved] for row in book["Packages"].iter_rows(min_row=2, max_row=2, values_only=True)] == [40]


def test_an_invoice_looks_the_same_after_late_events(march: Commands, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    exported(march, before, "R-2026-000001")
    late = at(march, "2026-04-03T09:00:00+09:00")
    ingest(late, tmp_path, audio("2026-03-20", 30, name="late"))
    ok(late, "nightly")
    exported(late, tmp_path, "R-2026-000001")
    assert (tmp_path / "R-2026-000001.xlsx").read_bytes() == (before / "R-2026-000001.xlsx").read_bytes()


def test_the_corrections_of_late_events_pass_the_checks_of_the_next_invoice(march: Commands, tmp_path: Path) -> None:
    late = at(march, "2026-05-01T09:00:00+09:00")
    ingest(late, tmp_path, audio("2026-03-20", 30, name="late"), audio("2026-04-10", 5))
    ok(late, "nightly")
    ok(late, "invoice finalize acme --month 2026-04")
    book = exported(late, tmp_path, "R-2026-000002")
    assert "Corrections" in book.sheetnames
    assert_passes(book, late, "R-2026-000002")


def test_a_reissued_invoice_passes_its_checks_and_its_credit_note_has_its_lines(
    march: Commands, tmp_path: Path
) -> None:
    apply(march, tmp_path, catalog(TAXED, PACKAGE).replace("Acme K.K.", "Acme Holdings"))
    ok(march, "invoice reissue R-2026-000001")
    book = exported(march, tmp_path, "R-2026-000002")
    assert_passes(book, march, "R-2026-000002")
    credit = exported(march, tmp_path, "RC-2026-000001")
    assert credit.sheetnames == ["Credit note", "Lines"]
    assert sums(credit, "Lines")["Total USD"] == 132


def test_detail_is_chosen_by_an_option(march: Commands, tmp_path: Path) -> None:
    daily = exported(march, tmp_path, "R-2026-000001", "--detail daily")
    assert "5-minute" not in daily.sheetnames
    assert_passes(daily, march, "R-2026-000001")
    assert exported(march, tmp_path, "R-2026-000001", "--detail none").sheetnames == ["Invoice"]
    assert exported(march, tmp_path, "R-2026-000001", "--detail none").worksheets[0]["A1"].value == "Invoice"
