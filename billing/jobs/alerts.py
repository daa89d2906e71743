"""Alerts: what crossed a threshold, what soon expires and what fell silent becomes a message in the outbox.

Each is written in one transaction with the record that it happened, so that it is told once: a threshold once in its
period (or until it is armed again), a package once for its last day, a silence once for its last event.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing.catalog.alerts import Alert
from billing.catalog.catalog import Account, Catalog
from billing.catalog.packages import Package, valid_days
from billing.errors import BillingError
from billing.jobs.issuing import now_ms
from billing.jobs.silent_feeds import Silence
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.alert_events import AlertEvent, alert_history, record_event
from billing.ledger.alert_values import AccountValues
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.outbox import is_put, put
from billing.money import plain
from billing.periods import DAY_SECONDS, local_day, local_iso, time_zone
from billing.receivables.thresholds import FIRED, WATCHED_DAYS, crossings, subject_of, watched_periods

EXPIRING_DAYS = 30
_FIRED, _EXPIRING, _SILENT = "alert.fired", "package.expiring", "feed.silent"

_log = logging.getLogger(__name__)


def record_alerts(engine: Engine) -> None:
    """Records what is due of all alerts as of now; nothing is written while nothing is due.

    To be called under the lock `nightly`, after what changes values.
    """
    at_ms = now_ms()
    with reading(engine) as conn:
        is_due = next(_notices(conn, load_catalog(conn), at_ms), None) is not None
    if is_due:
        with writing(engine) as conn:
            check_alerts(conn, load_catalog(conn), at_ms)


def check_alerts(conn: Connection, catalog: Catalog, at_ms: int) -> None:
    """Records every threshold that is crossed and every package that soon expires, in the caller's transaction."""
    for notice in list(_notices(conn, catalog, at_ms)):
        notice.record(conn, at_ms)


def announce_silence(conn: Connection, silence: Silence, *, at_ms: int) -> None:
    """Writes which apps were silent at the end of a day that is over for at most three days, once for each silence."""
    if at_ms // 1000 - silence.end > WATCHED_DAYS * DAY_SECONDS:
        return
    account = silence.account
    for app in silence.apps:
        about = f"{app.app_id} {app.last_at}"
        if not is_put(conn, _SILENT, about):
            since = local_iso(app.last_at // 1000, time_zone(account.timezone))
            facts = {"app_id": app.app_id, "silent_since": since, "open_stays": app.stays}
            put(conn, _SILENT, account.id, about, facts, at_ms=at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crossed:
    """A threshold that is crossed; `count`: how often it has fired before in its period."""

    alert: Alert
    account: Account
    threshold: str
    event: AlertEvent
    count: int

    def record(self, conn: Connection, at_ms: int) -> None:
        event, alert = self.event, self.alert
        record_event(conn, event, at_ms=at_ms)
        if event.event != FIRED:
            return
        is_money = alert.metric in ("spend", "balance")
        facts = {
            "alert": alert.id,
            "metric": alert.metric,
            "app_id": alert.app,
            "package": alert.package,
            "period": event.period or None,
            "threshold": self.threshold,
            "amount": plain(event.amount),
            "limit": None if alert.limit is None else plain(alert.limit),
            "value": plain(event.value),
            "currency": self.account.currency if is_money else None,
        }
        about = f"{alert.id} {event.subject} {plain(event.amount)} {event.period} {self.count}"
        put(conn, _FIRED, alert.account, about, facts, at_ms=at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expiring:
    """A package with minutes left that soon expires."""

    package: Package
    remaining: int
    last_day: date

    @property
    def about(self) -> str:
        return f"{self.package.id} {self.last_day}"

    def record(self, conn: Connection, at_ms: int) -> None:
        facts = {
            "package": self.package.id,
            "app_id": self.package.app,
            "remaining": self.remaining,
            "last_day": self.last_day.isoformat(),
        }
        put(conn, _EXPIRING, self.package.account, self.about, facts, at_ms=at_ms)


def _notices(conn: Connection, catalog: Catalog, at_ms: int) -> Iterator[_Crossed | _Expiring]:
    """All that is due. What is wrong with one account stops no other."""
    for account in sorted(catalog.accounts.values(), key=lambda account: account.id):
        today = local_day(at_ms // 1000, time_zone(account.timezone))
        alerts = sorted(
            (alert for alert in catalog.alerts.values() if alert.account == account.id), key=lambda alert: alert.id
        )
        expiring = _expiring_packages(catalog, account, today)
        if alerts or expiring:
            ledger = AccountLedger(conn=conn, account_id=account.id, catalog=catalog)
            try:
                yield from list(_of_account(AccountValues.of(ledger, today), alerts, expiring))
            except BillingError as error:
                _log.warning("the alerts of account %s are not checked: %s", account.id, error)


def _expiring_packages(catalog: Catalog, account: Account, today: date) -> dict[str, date]:
    """The last day of each package that has begun and soon expires."""
    days = {
        package.id: valid_days(package, time_zone(account.timezone))
        for package in catalog.packages.values()
        if package.account == account.id
    }
    until = today + timedelta(days=EXPIRING_DAYS)
    return {package_id: last for package_id, (first, last) in days.items() if first <= today <= last <= until}


def _of_account(
    values: AccountValues, alerts: Sequence[Alert], expiring: Mapping[str, date]
) -> Iterator[_Crossed | _Expiring]:
    for alert in alerts:
        yield from _crossed(values, alert)
    for package, remaining in values.packages() if expiring else ():
        if package.id in expiring and remaining > 0:
            notice = _Expiring(package=package, remaining=remaining, last_day=expiring[package.id])
            if not is_put(values.ledger.conn, _EXPIRING, notice.about):
                yield notice


def _crossed(values: AccountValues, alert: Alert) -> Iterator[_Crossed]:
    subject = subject_of(alert)
    for period in watched_periods(alert, values.today):
        value = values.value(alert, period)
        if value is None:
            continue
        history = alert_history(values.ledger.conn, alert.id, subject, period.key)
        for crossing in crossings(alert, value, history.last_events):
            event = AlertEvent(
                alert_id=alert.id,
                subject=subject,
                period=period.key,
                amount=crossing.amount,
                event=crossing.event,
                value=value,
            )
            count = history.times_fired(crossing.amount)
            yield _Crossed(
                alert=alert, account=values.ledger.account, threshold=crossing.threshold, event=event, count=count
            )
