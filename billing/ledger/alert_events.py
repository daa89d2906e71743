"""Alerts on record: when which threshold fired, and when it was armed again."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, insert, select

from billing.ledger.document_tables import alert_event
from billing.money import plain
from billing.receivables.thresholds import FIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertHistory:
    """What is on record of an alert in one period: events as (amount, event, instant), in their order."""

    events: tuple[tuple[Decimal, str, int], ...]

    @property
    def last_events(self) -> dict[Decimal, str]:
        """The last event of each amount."""
        return {amount: event for amount, event, _ in self.events}

    def times_fired(self, amount: Decimal) -> int:
        """How often a threshold has fired."""
        return sum(event == FIRED and amount == each for each, event, _ in self.events)

    def fired_at_ms(self, amount: Decimal) -> int | None:
        """When a threshold fired last."""
        return max((at_ms for each, event, at_ms in self.events if event == FIRED and each == amount), default=None)


def alert_history(conn: Connection, alert_id: str, subject: str, period: str) -> AlertHistory:
    """What is on record of an alert about a subject, in one period."""
    table = alert_event.c
    query = select(table.threshold, table.event, table.at_ms).where(
        table.alert_id == alert_id, table.subject == subject, table.period == period
    )
    rows = conn.execute(query.order_by(table.id))
    return AlertHistory(events=tuple((Decimal(amount), event, at_ms) for amount, event, at_ms in rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """A threshold of an alert that fires or is armed, at a value of its subject."""

    alert_id: str
    subject: str
    period: str
    amount: Decimal
    event: str
    value: Decimal


def record_event(conn: Connection, fired: AlertEvent, *, at_ms: int) -> None:
    """Writes an event, in the caller's transaction."""
    conn.execute(
        insert(alert_event).values(
            alert_id=fired.alert_id,
            subject=fired.subject,
            threshold=plain(fired.amount),
            period=fired.period,
            event=fired.event,
            value=plain(fired.value),
            at_ms=at_ms,
        )
    )
