"""Verification: everything on record compared with the log, with the catalogs that were applied, and with itself.

    catalog -> log files -> for each account: ledger, seals, events, rooms -> documents

Nothing here trusts a trigger or a number that the program itself has written next to another. What does not agree is a
row; where days cannot be looked at (settled by an earlier version, or archived), the log says so once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from billing.errors import BillingError, UsageError, unknown
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.periods import month_days
from billing.reports.audit import audit
from billing.reports.sampled_rooms import RoomSample
from billing.verify.applied_catalogs import CatalogHistory, catalog_history, catalog_mismatches
from billing.verify.ledger_check import LedgerCheck
from billing.verify.log_check import LogCheck, archived_before, file_mismatches
from billing.verify.mismatches import Days, Mismatch
from billing.verify.room_check import RoomCheck
from billing.verify.seal_check import seal_mismatches, seals_of, unsealed_days
from billing.verify.settled_facts import AccountFacts, account_facts, accounts_on_record, policies_by_hash

SAMPLED_ROOMS = 10
Progress = Callable[[int], object]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much is looked at: the ledger alone, or the events and so many rooms too, or every room (`full`)."""

    ledger: bool = False
    rooms: int = SAMPLED_ROOMS
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verification:
    home: Home
    engine: Engine
    conn: Connection
    depth: Depth
    days: Days
    history: CatalogHistory
    policies: dict[str, Any]
    log: EventLog
    events: LogCheck

    def of_account(self, account_id: str) -> Iterator[Mismatch]:
        facts = account_facts(self.conn, account_id)
        if facts is None:
            detail = f"the row of account {account_id} is missing"
            yield Mismatch(check="account", account=account_id, expected="an account", found="none", detail=detail)
            return
        yield from LedgerCheck(facts=facts, history=self.history, policies=self.policies).mismatches(self.days)
        seals = seals_of(facts)
        yield from seal_mismatches(facts, seals, self.days)
        if earlier := [day for day in unsealed_days(facts, seals) if day in self.days]:
            span = f"{earlier[0]} to {earlier[-1]}" if len(earlier) > 1 else str(earlier[0])
            _log.info("account %s: %s settled by an earlier version, without seals", account_id, span)
        if self.depth.ledger:
            return
        yield from self.events.mismatches(facts, seals, self.days)
        rooms = RoomCheck(facts=facts, log=self.log, policies=self.policies)
        if self.depth.full:
            yield from rooms.mismatches(self.days)
        else:
            yield from self._sample(facts, rooms)

    def _sample(self, facts: AccountFacts, rooms: RoomCheck) -> Iterator[Mismatch]:
        ledger = AccountLedger(conn=self.conn, account_id=facts.account_id, catalog=load_catalog(self.conn))
        sample = RoomSample(
            home=self.home,
            engine=self.engine,
            check=rooms,
            ledger=ledger,
            seals=seals_of(facts),
            rooms=self.depth.rooms,
        )
        try:
            yield from sample.mismatches(self.days)
        except BillingError as error:
            detail = str(error).splitlines()[0]
            yield Mismatch(
                check="room", account=facts.account_id, expected="rooms to sample", found="none", detail=detail
            )


def verify(
    home: Home,
    engine: Engine,
    *,
    account_id: str | None = None,
    month: date | None = None,
    depth: Depth = Depth(),  # noqa: B008 - it never changes
    progress: Progress = lambda _: None,
) -> list[dict[str, Any]]:
    """Everything that does not agree, of one account or of all; `month`: on the days of a month.

    A `UsageError` when there is no such account.
    """
    days = Days(first=month_days(month)[0], last=month_days(month)[-1]) if month else Days()
    log = EventLog(directory=home.events)
    with reading(engine) as conn:
        accounts = accounts_on_record(conn)
        if account_id is not None and account_id not in accounts:
            raise UsageError(unknown("account", account_id, accounts))
        history = catalog_history(conn)
        found = [*catalog_mismatches(conn, history.last, account_id)]
        found += file_mismatches(log, days, read=not depth.ledger)
        _say_archived(log)
        verification = _Verification(
            home=home,
            engine=engine,
            conn=conn,
            depth=depth,
            days=days,
            history=history,
            policies=dict(policies_by_hash(conn)),
            log=log,
            events=LogCheck(log=log),
        )
        for each in accounts if account_id is None else [account_id]:
            found += verification.of_account(each)
            progress(1)
    rows = [asdict(each) for each in found]
    return [*rows, *_documents(engine, account_id, month)]


def _say_archived(log: EventLog) -> None:
    try:
        before = archived_before(log)
    except BillingError:
        return  # it is a row of its own
    if before:
        _log.info("events before %s (UTC) are archived and not looked at", before)


def _documents(engine: Engine, account_id: str | None, month: date | None) -> Iterator[dict[str, Any]]:
    """What the audit finds of documents and of the money they move."""
    empty = {name: None for name in Mismatch.__slots__}
    for row in audit(engine, with_annexes=False):
        if account_id in (None, row["account"]) or row["account"] is None:
            yield {**empty, **row}
