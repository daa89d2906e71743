"""The record of access over HTTP for reading: every write and every download, the newest first."""

from typing import Any

from billing import periods
from billing.ledger.database import Engine, reading
from billing.ledger.tokens import access_records, list_tokens


def access_rows(engine: Engine, *, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """Records: id, at (UTC), token, name of the token, account (None: the operator's, or a signature), method, path,
    status."""
    utc = periods.time_zone("UTC")
    with reading(engine) as conn:
        names = {row["id"]: row["name"] for row in list_tokens(conn)}
        found = access_records(conn, limit=limit, before=before)
    return [
        {
            "id": row["id"],
            "at": periods.local_iso_ms(row["at_ms"], utc),
            "token": row["token_id"],
            "name": names.get(row["token_id"], ""),
            "account": row["account_id"],
            "method": row["method"],
            "path": row["path"],
            "status": row["status"],
        }
        for row in found
    ]
