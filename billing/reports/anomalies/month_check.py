"""The check of an account's month: all anomalies, with what somebody has answered."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property

import polars as pl

from billing.errors import UsageError
from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.check_answers import Answer, answers
from billing.ledger.database import Engine, reading
from billing.periods import day_start, parse_month
from billing.reports.anomalies.event_anomalies import MonthEvents, event_anomalies
from billing.reports.anomalies.month_books import HOLD, WARN, Anomaly, MonthBooks, ratio
from billing.reports.anomalies.room_anomalies import room_anomalies, stale_anomalies
from billing.reports.anomalies.settled_anomalies import settled_anomalies
from billing.reports.row_formats import Report
from billing.reports.status import quarantined_by_app
from billing.reports.usage import By, app_usage

FIELDS = ("id", "severity", "subject", "value", "bound", "amount", "detail", "acked_by", "note")
_QUARANTINED = Decimal("0.01")
_ID = re.compile(r"[a-z_]+-(?P<account>.+)-(?P<month>\d{4}-\d{2})-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class MonthCheck:
    """Checks months of accounts; what several of them need is read once."""

    home: Home
    engine: Engine
    _events: dict[tuple[int, int], MonthEvents] = field(default_factory=dict)

    def anomalies(self, ledger: AccountLedger, month: date) -> list[Anomaly]:
        """The anomalies of what is settled of a month, those that hold it first."""
        books = MonthBooks(ledger=ledger, month=month)
        if not books.bounds:
            return []
        return sorted(self._found(books), key=lambda each: each.severity != HOLD)

    def unanswered(self, ledger: AccountLedger, month: date) -> list[Anomaly]:
        """The anomalies for which the closing of the month waits."""
        answered = answers(ledger.conn, ledger.account_id, month)
        return [each for each in self.anomalies(ledger, month) if each.severity == HOLD and each.id not in answered]

    def _found(self, books: MonthBooks) -> Iterator[Anomaly]:
        apps = sorted(app.id for app in books.ledger.catalog.apps.values() if app.account == books.ledger.account_id)
        events = self._month_events(books)
        yield from settled_anomalies(books)
        yield from event_anomalies(books, events, apps)
        yield from room_anomalies(books, lambda app_id, day: self._usage(app_id, day, "room"))
        yield from stale_anomalies(books, lambda app_id, day: self._usage(app_id, day, "user"))
        yield from self._quarantined(books, events, apps)

    def _month_events(self, books: MonthBooks) -> MonthEvents:
        bounds = min(start for start, _ in books.bounds.values()), max(end for _, end in books.bounds.values())
        log = EventLog(directory=self.home.events)
        return self._events.setdefault(bounds, MonthEvents(log=log, start=bounds[0], end=bounds[1]))

    def _usage(self, app_id: int, day: date, by: By) -> pl.DataFrame:
        return app_usage(self.home, self.engine, app_id, day, day, by=by)

    @cached_property
    def _quarantine(self) -> pl.DataFrame:
        return Quarantine(directory=self.home.quarantine).rows()

    def _quarantined(self, books: MonthBooks, events: MonthEvents, apps: list[int]) -> Iterator[Anomaly]:
        since = day_start(books.first, books.ledger.zone) * 1000
        waiting = quarantined_by_app(self._quarantine.filter(pl.col("seen_at") >= since))
        for app_id in apps:
            if rows := waiting.get(app_id, 0):
                accepted = int(events.counts.filter(app_id=app_id)["events"].sum())
                share = ratio(rows, rows + accepted)
                if share > _QUARANTINED:
                    waits = "1 row waits" if rows == 1 else f"{rows} rows wait"
                    detail = f"{waits} in quarantine, beside {accepted} events of the month"
                    yield books.found("quarantine", WARN, f"app {app_id}", share, _QUARANTINED, detail)


def check_month(home: Home, engine: Engine, account_id: str, month: date) -> Report:
    """What should be looked at before an account's month is closed: the rows of `billing check`."""
    with reading(engine) as conn:
        ledger = AccountLedger.at(conn, account_id)
        found = MonthCheck(home=home, engine=engine).anomalies(ledger, month)
        return check_report(found, answers(conn, account_id, month))


def check_report(found: list[Anomaly], answered: Mapping[str, Answer]) -> Report:
    """Anomalies as rows."""
    return Report(
        fields=FIELDS,
        rows=[_row(each, answered.get(each.id)) for each in found],
        empty="nothing stands out",
        without=("bound", "amount", "detail", "note", *(["acked_by"] if not answered else [])),
        whole=("id",),
    )


def _row(found: Anomaly, answer: Answer | None) -> dict[str, object]:
    shown = {name: getattr(found, name) for name in FIELDS[:-2]}
    return shown | {"acked_by": answer and answer.answered_by, "note": answer and answer.note}


def month_of(finding: str) -> tuple[str, date]:
    """The account and the month that the id of a finding names."""
    parts = _ID.fullmatch(finding)
    if parts is None:
        raise UsageError(f"{finding!r} is not the id of a finding: `billing check ACCOUNT --month YYYY-MM` lists them")
    return parts["account"], parse_month(parts["month"])
