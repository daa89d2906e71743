"""Checks of an invoice: two live formulas over the sheets that must have one result, and the sheet that lists them.

A check passes when its sides differ by less than a millionth, so that a spreadsheet's binary fractions do not matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from itertools import islice

from billing.invoicing.invoice import Header
from billing.invoicing.workbook.columns import KEYS, MakeTable, keys
from billing.invoicing.workbook.table import Cell, Column, Formula, Kind, Role, Row, Table, Value
from billing.money import EXACT

PASS, FAIL = "PASS", "FAIL"
# Where the sheet Checks says whether all of them pass.
VERDICT_CELL = "'Checks'!$C$2"
# In a formula: the cells of a check's app and of its item or package; `#` stands for the check's own row.
APP, SUBJECT = "$C#", "$D#"
_TOLERANCE = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Two formulas that must have one result; `#` in them stands for the check's own row.

    `app_id` None: for all apps. `subject` is an item or a package.
    """

    what: str
    app_id: int | None = None
    subject: str | None = None
    left: Formula
    right: Formula
    kind: Kind = Kind.COUNT

    @property
    def difference(self) -> Decimal:
        """Left side minus right side."""
        with localcontext(EXACT):
            return Decimal(self.left.result) - Decimal(self.right.result)

    @property
    def result(self) -> str:
        """PASS or FAIL."""
        return PASS if abs(self.difference) < _TOLERANCE else FAIL

    def result_formula(self, difference_cell: str) -> Formula:
        """The result as a live formula over the cell that holds the difference."""
        return Formula(f'IF(ABS({difference_cell})<{_TOLERANCE},"{PASS}","{FAIL}")', self.result)


def verdict(checks: Iterable[Check]) -> str:
    """PASS when every check passes."""
    return PASS if all(check.result == PASS for check in checks) else FAIL


def check_table(header: Header, make: MakeTable, checks: Sequence[Check]) -> Table:
    """Each check with both sides, their difference and the result; on top, whether all pass."""

    def rows(start: int, stop: int, row: int) -> Iterator[Row]:
        for number, check in enumerate(islice(checks, start, stop), row):
            yield (
                *keys(header, check.app_id),
                check.subject,
                check.what,
                Cell(_in_row(check.left, number), check.kind),
                Cell(_in_row(check.right, number), check.kind),
                Cell(Formula(f"F{number}-G{number}", check.difference), check.kind),
                check.result_formula(f"H{number}"),
            )

    table = make(
        name="Checks",
        columns=(
            *KEYS,
            Column(header="Item or package", width=24),
            Column(header="Check", width=58),
            Column(header="Left side", width=18, kind=Kind.COUNT),
            Column(header="Right side", width=18, kind=Kind.COUNT),
            Column(header="Difference", width=14, kind=Kind.COUNT),
            Column(header="Result", width=10, kind=Kind.RESULT),
        ),
        count=len(checks),
        rows=rows,
        head=_check_head(PASS),
        notes=("Both sides are formulas over the other sheets; a difference below 0.000001 is binary noise.",),
    )
    results = table.ranges("Result")
    passed = "+".join(f'COUNTIF({cells},"{PASS}")' for cells in results)
    every = "+".join(f"ROWS({cells})" for cells in results)
    return replace(table, head=_check_head(Formula(f'IF({passed}={every},"{PASS}","{FAIL}")', verdict(checks))))


def _check_head(result: Value) -> tuple[Row, ...]:
    return (
        (Cell("Checks", role=Role.TITLE),),
        (Cell("All checks", role=Role.LABEL), None, Cell(result, Kind.RESULT)),
        (),
    )


def _in_row(formula: Formula, number: int) -> Formula:
    return formula._replace(text=formula.text.replace("#", str(number)))
