"""Notify: delivers the messages of the outbox to the webhooks that are told of them.

Every attempt is a row, written after it: a process that is killed in between sends the message once more, with the same
id. A webhook is told of the messages since it was added. One that answers 410 gets nothing more until the catalog
changes it. One that gives no answer three times in a row waits for the next run with its other messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from billing.catalog.catalog import Catalog
from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.jobs.issuing import now_ms
from billing.jobs.webhook_delivery import Answer, Sender, trusted_authorities
from billing.ledger.catalog_history import entry_dates
from billing.ledger.catalog_store import last_change, load_catalog
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.deliveries import (
    DELIVERED,
    FAILED,
    GIVEN_UP,
    GONE,
    REPLAYED,
    Attempt,
    Message,
    attempts_ms,
    find_message,
    gone_since,
    is_told,
    pending_messages,
    record_attempt,
)
from billing.receivables.retries import is_too_old, next_attempt_ms

_MOST_SILENT = 3
_HTTP_GONE = 410
# What is older is not even named, where nobody has run `notify` for so long.
_NAMED_MS = 30 * 24 * 3_600_000
_TOO_LATE = Answer(status=None, detail="not delivered within three days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """What became of a message for a webhook; `attempt` counts from 1, `next_ms` None: there is no further attempt."""

    message: Message
    webhook: str
    attempt: int
    result: str
    status: int | None
    detail: str
    next_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The attempts of a run; the webhooks that are gone; why others could not be used at all."""

    notified: list[Notified]
    gone: list[str]
    errors: list[str]


def run_notify(home: Home, engine: Engine, replay: str | None = None) -> Notification:
    """Delivers what is due; or one message, again, to every webhook that is told of such messages.

    A `UsageError` when there is no such message, or no webhook is told of it.
    """
    with home.lock("notify"):
        found, trusted = Notification(notified=[], gone=[], errors=[]), trusted_authorities()
        with reading(engine) as conn:
            catalog, dates = load_catalog(conn), entry_dates(conn, "webhook")
            gone, change = gone_since(conn), last_change(conn)
            message = None if replay is None else _message(conn, replay, catalog)
        for webhook in sorted(catalog.webhooks.values(), key=lambda webhook: webhook.id):
            known = dates[webhook.id]
            if message and not is_told(webhook, message):
                continue
            if gone.get(webhook.id, 0) >= known.changed_by:
                found.gone.append(webhook.id)
                continue
            try:
                sender = Sender.of(webhook, home.directory, trusted)
            except BillingError as error:
                found.errors.append(str(error))
                continue
            route = _Route(engine=engine, sender=sender, since_ms=known.added_ms, catalog_change=change)
            found.notified.extend(route.replay(message) if message else route.deliver())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """The way to one webhook; `since_ms`: when it was added."""

    engine: Engine
    sender: Sender
    since_ms: int
    catalog_change: int

    def deliver(self) -> Iterator[Notified]:
        """Sends what is due, in the order in which it was written, and gives up what is too old."""
        started_ms, silent = now_ms(), 0
        for message, attempted in self._pending(max(self.since_ms, started_ms - _NAMED_MS)):
            due_ms = next_attempt_ms(message.created_at_ms, attempted)
            if due_ms is None or is_too_old(message.created_at_ms, started_ms):
                yield self._record(message, _TOO_LATE, GIVEN_UP, attempt=len(attempted), at_ms=started_ms)
            elif due_ms <= started_ms and silent < _MOST_SILENT:
                notified = self._send(message, attempted)
                yield notified
                if notified.result == GONE:
                    return
                silent = 0 if notified.status else silent + 1

    def replay(self, message: Message) -> Iterator[Notified]:
        """Sends a message once more."""
        with reading(self.engine) as conn:
            attempt = len(attempts_ms(conn, message, self.sender.webhook)) + 1
        at_ms, answer = now_ms(), self.sender.send(message.message_id, message.payload)
        result = _result(answer)
        yield self._record(message, answer, REPLAYED if result == DELIVERED else result, attempt=attempt, at_ms=at_ms)

    def _pending(self, since_ms: int) -> list[tuple[Message, list[int]]]:
        webhook = self.sender.webhook
        with reading(self.engine) as conn:
            return [
                (message, attempts_ms(conn, message, webhook)) for message in pending_messages(conn, webhook, since_ms)
            ]

    def _send(self, message: Message, attempted: list[int]) -> Notified:
        at_ms, answer = now_ms(), self.sender.send(message.message_id, message.payload)
        result, next_ms = _result(answer), None
        if result == FAILED:
            next_ms = next_attempt_ms(message.created_at_ms, [*attempted, at_ms])
            result = FAILED if next_ms else GIVEN_UP
        return self._record(message, answer, result, attempt=len(attempted) + 1, at_ms=at_ms, next_ms=next_ms)

    def _record(
        self, message: Message, answer: Answer, result: str, *, attempt: int, at_ms: int, next_ms: int | None = None
    ) -> Notified:
        webhook = self.sender.webhook.id
        with writing(self.engine) as conn:
            record_attempt(
                conn,
                Attempt(
                    message=message,
                    webhook_id=webhook,
                    catalog_change=self.catalog_change,
                    result=result,
                    status=answer.status,
                    detail=answer.detail,
                    at_ms=at_ms,
                ),
            )
        return Notified(
            message=message,
            webhook=webhook,
            attempt=attempt,
            result=result,
            status=answer.status,
            detail=answer.detail,
            next_ms=next_ms,
        )


def _result(answer: Answer) -> str:
    if answer.status is not None and 200 <= answer.status < 300:
        return DELIVERED
    return GONE if answer.status == _HTTP_GONE else FAILED


def _message(conn: Connection, message_id: str, catalog: Catalog) -> Message:
    message = find_message(conn, message_id)
    if message is None:
        raise UsageError(f"unknown message {message_id!r}: give the id that the receiver saw as webhook-id")
    if not any(is_told(webhook, message) for webhook in catalog.webhooks.values()):
        raise UsageError(f"no webhook of the catalog is told of {message.event} of account {message.account_id}")
    return message
