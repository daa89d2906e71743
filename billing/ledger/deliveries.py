"""Deliveries: the attempts to deliver messages of the outbox to webhooks, each of which is a row."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, exists, func, insert, select

from billing.catalog.alerts import Webhook
from billing.ledger.document_tables import delivery, outbox

DELIVERED, REPLAYED, FAILED, GONE, GIVEN_UP = "delivered", "replayed", "failed", "gone", "given_up"
_DONE = (DELIVERED, REPLAYED, GIVEN_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the outbox; `id` is that of its row, `message_id` what receivers see."""

    id: int
    message_id: str
    event: str
    account_id: str | None
    payload: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to deliver a message to a webhook; `status` None: it got no answer.

    `catalog_change`: the last change of the catalog that it knew.
    """

    message: Message
    webhook_id: str
    catalog_change: int
    result: str
    status: int | None
    detail: str
    at_ms: int


def pending_messages(conn: Connection, webhook: Webhook, since_ms: int) -> list[Message]:
    """The messages from an instant on that a webhook is to be told, and that are not done with, in their order."""
    is_done = exists().where(
        delivery.c.outbox_id == outbox.c.id, delivery.c.webhook_id == webhook.id, delivery.c.result.in_(_DONE)
    )
    query = select(outbox).where(outbox.c.created_at_ms >= since_ms, ~is_done)
    if webhook.events:
        query = query.where(outbox.c.event.in_(webhook.events))
    if webhook.account is not None:
        query = query.where(outbox.c.account_id == webhook.account)
    return _messages(conn, query)


def find_message(conn: Connection, message_id: str) -> Message | None:
    """The message with an id."""
    return next(iter(_messages(conn, select(outbox).where(outbox.c.message_id == message_id))), None)


def is_told(webhook: Webhook, message: Message) -> bool:
    """Whether a webhook is told of such messages."""
    return webhook.account in (None, message.account_id) and (not webhook.events or message.event in webhook.events)


def attempts_ms(conn: Connection, message: Message, webhook: Webhook) -> list[int]:
    """When a message was sent to a webhook so far."""
    query = select(delivery.c.attempted_at_ms).where(
        delivery.c.outbox_id == message.id, delivery.c.webhook_id == webhook.id
    )
    return list(conn.execute(query.order_by(delivery.c.id)).scalars())


def gone_since(conn: Connection) -> dict[str, int]:
    """The last change of the catalog when each webhook answered last that it is gone for good."""
    query = select(delivery.c.webhook_id, func.max(delivery.c.catalog_change)).where(delivery.c.result == GONE)
    return dict(conn.execute(query.group_by(delivery.c.webhook_id)).all())


def record_attempt(conn: Connection, attempt: Attempt) -> None:
    """Writes an attempt."""
    conn.execute(
        insert(delivery).values(
            outbox_id=attempt.message.id,
            webhook_id=attempt.webhook_id,
            catalog_change=attempt.catalog_change,
            result=attempt.result,
            status=attempt.status,
            detail=attempt.detail,
            attempted_at_ms=attempt.at_ms,
        )
    )


def _messages(conn: Connection, query: Select[Any]) -> list[Message]:
    rows = conn.execute(query.order_by(outbox.c.id)).mappings()
    return [Message(**row) for row in rows]
