"""Answers: a report as the JSON that its command prints, or as CSV."""

from io import StringIO

from litestar import Response
from litestar.exceptions import ClientException

from billing.reports.row_formats import Report, write_csv, write_json

_MEDIA_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


def report_answer(report: Report, output_format: str = "json") -> Response[bytes]:
    """The rows of a report, byte for byte as the command prints them."""
    if output_format not in _MEDIA_TYPES:
        raise ClientException(f"unknown format {output_format!r}: {' or '.join(_MEDIA_TYPES)} is possible here")
    text = StringIO()
    if output_format == "csv":
        write_csv(report, text)
    else:
        write_json(report, text)
    return Response(text.getvalue().encode(), media_type=_MEDIA_TYPES[output_format])
