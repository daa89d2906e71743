"""The record of access over HTTP: every write and every download, as the service and the console show it."""

from billing import periods
from billing.ledger.database import Engine, reading
from billing.ledger.tokens import access_records
from billing.reports.row_formats import Report

FIELDS = ("id", "at", "token", "account", "method", "path", "status")


def access_report(engine: Engine, *, limit: int, before: int | None = None) -> Report:
    """The last records, the newest first, times in UTC; `before`: only those with a smaller id."""
    utc = periods.time_zone("UTC")
    with reading(engine) as conn:
        found = access_records(conn, limit=limit, before=before)
    rows = [
        {
            "id": record["id"],
            "at": periods.local_iso_ms(record["at_ms"], utc),
            "token": record["token_id"],
            "account": record["account_id"],
            "method": record["method"],
            "path": record["path"],
            "status": record["status"],
        }
        for record in found
    ]
    return Report(fields=FIELDS, rows=rows, empty="nothing on record yet")
