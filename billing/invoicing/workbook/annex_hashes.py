"""Hashes of an annex by sheet and column: what was issued is compared in a year with what is made again then.

A hash covers the values of a column from the first row to the last, whatever sheets the table is spread over: days and
numbers as canonical text, a formula by its result. So a later version of the program may add columns, which moves the
cells that formulas name, but must not change a value. The sheet Checks is left out: it states nothing that the others
do not, and may be given further checks.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import islice

from billing.invoicing.workbook.table import Cell, Formula, Row, Sheet, Value
from billing.money import plain

_DERIVED = "Checks"
_PART = re.compile(r" \(\d+\)$")
_ROWS_AT_ONCE = 1000


def annex_hashes(sheets: Iterable[Sheet]) -> dict[tuple[str, str], str]:
    """SHA-256 by sheet (without the number of its part) and column header; the customer's page has none."""
    hashers: dict[tuple[str, str], hashlib._Hash] = {}
    for sheet in sheets:
        name = _PART.sub("", sheet.name)
        if name != _DERIVED and not sheet.look:
            _add(hashers, name, sheet)
    return {key: hasher.hexdigest() for key, hasher in hashers.items()}


def _add(hashers: dict[tuple[str, str], "hashlib._Hash"], name: str, sheet: Sheet) -> None:
    of_columns = [hashers.setdefault((name, column.header), hashlib.sha256()) for column in sheet.columns]
    rows = sheet.rows()
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        for place, hasher in enumerate(of_columns):
            hasher.update("".join([_canonical(row, place) for row in batch]).encode())


def _canonical(row: Row, place: int) -> str:
    """A cell as text that no other value has: its type, its length, itself."""
    value = row[place] if place < len(row) else None
    if isinstance(value, Cell):
        value = value.value
    if isinstance(value, Formula):
        value = value.result
    kind, text = _text(value)
    return f"{kind}{len(text)}:{text}"


def _text(value: Value) -> tuple[str, str]:
    if isinstance(value, str):
        return "s", value.encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return "n", str(value)
    if isinstance(value, Decimal):
        return "n", plain(value)
    return ("d", value.isoformat()) if isinstance(value, date) else ("", "")
