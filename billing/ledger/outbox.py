"""The outbox: messages to the outside, each written in the transaction of its cause and delivered later.

The id of a message follows from what it is about, so that a rerun after a crash writes the same one.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from billing.ledger.document_tables import outbox


def put(
    conn: Connection, event: str, account_id: str | None, about: str, facts: Mapping[str, Any], *, at_ms: int
) -> None:
    """Writes a message; `about` names its cause (a number, a payment's id), `facts` are plain values."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    payload = {"type": event, "timestamp": at, "data": {"account": account_id, **facts}}
    conn.execute(
        insert(outbox).values(
            message_id=_message_id(event, about),
            event=event,
            account_id=account_id,
            payload=json.dumps(payload, sort_keys=True, ensure_ascii=True),
            created_at_ms=at_ms,
        )
    )


def is_put(conn: Connection, event: str, about: str) -> bool:
    """Whether the message about a cause was written before."""
    query = select(outbox.c.id).where(outbox.c.message_id == _message_id(event, about))
    return conn.execute(query).first() is not None


def _message_id(event: str, about: str) -> str:
    return f"msg_{hashlib.sha256(f'{event} {about}'.encode()).hexdigest()[:32]}"
