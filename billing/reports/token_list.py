"""Tokens, as commands and the console show them."""

from billing import periods
from billing.ledger.database import Engine, reading
from billing.ledger.tokens import list_tokens
from billing.reports.row_formats import Report

FIELDS = ("id", "scope", "account", "name", "created_at", "revoked_at")


def tokens_report(engine: Engine) -> Report:
    """All tokens, the oldest first."""
    return Report(fields=FIELDS, rows=token_rows(engine), empty="no tokens yet")


def token_rows(engine: Engine) -> list[dict[str, object]]:
    """All tokens, the oldest first: id, scope, account, name, and when they were made and revoked, in UTC."""
    utc = periods.time_zone("UTC")
    with reading(engine) as conn:
        found = list_tokens(conn)
    return [
        {
            "id": row["id"],
            "scope": row["scope"],
            "account": row["account"],
            "name": row["name"],
            "created_at": periods.local_iso_ms(row["created_at_ms"], utc),
            "revoked_at": row["revoked_at_ms"] and periods.local_iso_ms(row["revoked_at_ms"], utc),
        }
        for row in found
    ]
