"""Pages: `limit` rows at a time, and a cursor that leads to the next ones.

All pages of a chain are of one state of the books: a cursor says where it goes on and which state that was, and when
the rows have changed since, it is refused (409) rather than that a row is left out or comes twice.

    100.0f3a5c7e9b1d    from row 100 on (counted from 0), of the state 0f3a5c7e9b1d
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from litestar.exceptions import ClientException, HTTPException

from billing.reports.row_formats import Row

_CURSOR = re.compile(r"(\d{1,12})\.([0-9a-f]{12})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and the cursor of those that follow; None: these are the last ones."""

    rows: Sequence[Row]
    next_cursor: str | None


def page_of(rows: Sequence[Row], state: str, *, limit: int | None, cursor: str | None) -> Page:
    """The page that begins at a cursor; without a limit it goes to the end."""
    start = 0 if cursor is None else _place(cursor, state[:12])
    end = len(rows) if limit is None else start + limit
    return Page(rows=rows[start:end], next_cursor=f"{end}.{state[:12]}" if end < len(rows) else None)


def rows_up_to(limit: int | None, cursor: str | None) -> int | None:
    """How many rows from the first on tell everything about a page; None: all."""
    found = _CURSOR.fullmatch(cursor or "0.000000000000")
    return None if limit is None or found is None else int(found[1]) + limit + 1


def _place(cursor: str, state: str) -> int:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ClientException(f"cursor: {cursor!r} is none that a Link of this service has")
    if found[2] != state:
        raise HTTPException(
            "cursor: the rows have changed since it was given: read again from the first page", status_code=409
        )
    return int(found[1])
