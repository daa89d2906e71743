"""Answers: the rows of a report as the JSON that its command prints, byte for byte, or as CSV; and files."""

from io import StringIO
from urllib.parse import quote

from litestar import Response

from billing.reports.row_formats import Report, write_csv, write_json
from billing.web.media_types import MEDIA_TYPES

# Whoever keeps an answer asks again before using it; it is for one caller only, in the form that was asked for.
CACHING = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}


def formatted(report: Report, form: str) -> bytes:
    """The rows as JSON or as CSV."""
    text = StringIO()
    (write_csv if form == "csv" else write_json)(report, text)
    return text.getvalue().encode()


def rows_answer(body: bytes, form: str, headers: dict[str, str]) -> Response[bytes]:
    """Rows that are formatted."""
    return Response(body, media_type=MEDIA_TYPES[form], headers=headers)


def file_answer(content: bytes, form: str, name: str, headers: dict[str, str]) -> Response[bytes]:
    """A file to be kept under a name; that it is answered goes on record."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, media_type=MEDIA_TYPES[form], headers={**headers, "Content-Disposition": disposition})
