"""An explanation as a workbook, read back cell by cell and calculated again."""

from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from tests.commands import Commands
from tests.sample_home import APP, rows
from tests.test_excel_file import needs_libreoffice, recalculated

pytestmark = pytest.mark.thorough

QUESTIONS = {
    "--month 2026-03": ["Question", "Lines", "Charges", "Checks"],
    f"--app {APP} --day 2026-03-10": ["Question", "Lines", "Charges", "Windows", "Payers", "Rooms", "Checks"],
    "--day 2026-03-10 --room math": [
        *("Question", "Lines", "Charges", "Windows", "Payers", "Rooms", "Stretches", "Checks"),
    ],
    "--day 2026-03-10 --user anna --at 10:07:30 --item 2k": [
        *("Question", "Lines", "Charges", "Windows", "Payers", "Rooms", "Stretches", "Checks"),
    ],
}


def written(run: Commands, question: str, folder: Path) -> Path:
    path = folder / "why.xlsx"
    done = run(f"explain academy {question} --format xlsx -o {path}")
    assert done.exit_code == 0, done.output
    return path


def column(book: Workbook, sheet: str, header: str) -> list[object]:
    """The cells below a header, without those below the table."""
    frame = book[sheet]
    headers = [cell.value for cell in frame[1]]
    return [row[headers.index(header)].value for row in frame.iter_rows(min_row=2) if row[0].value != "Total"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_workbook_has_the_links_that_the_question_reaches(question: str, billed: Commands, tmp_path: Path) -> None:
    book = load_workbook(written(billed, question, tmp_path), data_only=True)
    assert book.sheetnames == QUESTIONS[question]
    assert set(column(book, "Checks", "Result")) == {"PASS"}
    (found,) = rows(billed, f"explain academy {question}")
    assert [Decimal(str(value)) for value in column(book, "Lines", "Amount")] == [
        Decimal(line["amount"]) for line in found["lines"]
    ]
    if found["windows"] is not None:
        names = {"Seconds": "seconds", "Seconds so far": "seconds_so_far", "Minutes": "minutes"}
        for header, name in names.items():
            assert column(book, "Windows", header) == [window[name] for window in found["windows"]]
    if found["intervals"] is not None:
        assert column(book, "Stretches", "From") == [each["start"] for each in found["intervals"]]
        assert column(book, "Stretches", "Area") == [each["area"] or None for each in found["intervals"]]


def test_products_and_sums_are_live(billed: Commands, tmp_path: Path) -> None:
    book = load_workbook(written(billed, "--day 2026-03-10 --room math --user anna --at 10:07:30", tmp_path))
    assert column(book, "Lines", "Amount")[0] == "=L2*H2"
    assert column(book, "Charges", "Payable")[0] == "=H2-I2"
    assert column(book, "Windows", "Minutes")[0] == "=ROUNDUP(E2/60,0)-ROUNDUP((E2-D2)/60,0)"
    assert column(book, "Stretches", "Area") == ["=640*360+1920*1080"]
    assert str(book["Lines"].cell(book["Lines"].max_row, 13).value).startswith("=SUM(")


@needs_libreoffice
def test_the_formulas_recalculate_to_the_results_that_are_stored(billed: Commands, tmp_path: Path) -> None:
    path = written(billed, "--day 2026-03-10 --room math", tmp_path)
    stored, computed = load_workbook(path, data_only=True), recalculated(path, tmp_path)
    compared = 0
    for frame in stored:
        for row in frame.iter_rows():
            for cell in row:
                found = computed[frame.title][cell.coordinate].value
                expected = pytest.approx(cell.value, abs=1e-9) if isinstance(cell.value, float) else cell.value
                assert found == expected, (frame.title, cell.coordinate)
                compared += 1
    assert compared > 300


@needs_libreoffice
def test_a_changed_second_shows_in_the_checks(billed: Commands, tmp_path: Path) -> None:
    path = written(billed, "--day 2026-03-10 --room math", tmp_path)
    computed = recalculated(path, tmp_path, changed=("Stretches", "E2", 7))
    assert column(computed, "Checks", "Result").count("FAIL") == 1
