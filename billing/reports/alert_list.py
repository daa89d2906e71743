"""The alerts of accounts, with their present values and the thresholds that have fired."""

from collections.abc import Iterator, Sequence
from typing import Any

from billing import periods
from billing.catalog.alerts import Alert
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.alert_events import alert_history
from billing.ledger.alert_values import AccountValues
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.receivables.thresholds import ARMED, amount_of, present_period, subject_of


def alert_rows(engine: Engine, accounts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each threshold of the alerts of some accounts, of all if none is named, in its present period."""
    rows: list[dict[str, Any]] = []
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        named = {catalog.account(each).id for each in accounts} or catalog.accounts.keys()
        for account_id in sorted(named):
            own = [alert for alert in catalog.alerts.values() if alert.account == account_id]
            if own:
                ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog)
                today = periods.local_day(int(periods.now().timestamp()), ledger.zone)
                values = AccountValues.of(ledger, today)
                for alert in sorted(own, key=lambda alert: alert.id):
                    rows += _rows(values, alert)
    return rows


def _rows(values: AccountValues, alert: Alert) -> Iterator[dict[str, Any]]:
    period = present_period(alert, values.today)
    history = alert_history(values.ledger.conn, alert.id, subject_of(alert), period.key)
    value, last_events = values.value(alert, period), history.last_events
    for threshold in alert.thresholds:
        amount = amount_of(alert, threshold)
        fired_ms = history.fired_at_ms(amount)
        yield {
            "id": alert.id,
            "account": alert.account,
            "metric": alert.metric,
            "period": period.key,
            "threshold": threshold,
            "limit": alert.limit,
            "value": value,
            "fired_at": None if fired_ms is None else periods.local_iso_ms(fired_ms, values.ledger.zone),
            "state": last_events.get(amount, ARMED),
        }
