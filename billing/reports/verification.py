"""Verification: everything on record compared with the log, with the catalogs that were applied, and with itself.

    catalog -> log files -> for each account: ledger, seals, events, rooms -> documents

Nothing here trusts a trigger or a number that the program itself has written next to another. What does not agree is a
row; where days cannot be looked at (settled by an earlier version, or archived), the log says so once.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from billing.verify.account_bills import AccountBills
from billing.verify.applied_catalogs import CatalogHistory, catalog_history, catalog_mismatches
from billing.verify.ledger_check import LedgerCheck
from billing.verify.log_check import LogCheck, archived_before, file_mismatches
from billing.verify.mismatches import Days, Mismatch, readable
from billing.verify.room_check import RoomCheck
from billing.verify.seal_check import Seal, printed_mismatches, seal_mismatches, seals_of, unsealed_days
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
    log: EventLog
    events: LogCheck
    history: CatalogHistory
    policies: Mapping[str, Mapping[str, Any]]

    def of_account(self, account_id: str) -> Iterator[Mismatch]:
        facts = account_facts(self.conn, account_id)
        if facts is None:
            detail = f"the row of account {account_id} is missing"
            yield Mismatch(check="account", account=account_id, expected="an account", found="none", detail=detail)
            return
        for check, part in self._parts(facts, seals_of(facts)):
            yield from readable(part, check, account_id)

    def _parts(self, facts: AccountFacts, seals: Sequence[Seal]) -> Iterator[tuple[str, Iterator[Mismatch]]]:
        """What is looked at of an account, the quick before the slow."""
        bills = AccountBills(facts=facts, history=self.history, policies=self.policies)
        yield "ledger", LedgerCheck(bills=bills).mismatches(self.days)
        yield "seal", seal_mismatches(facts, seals, self.days)
        yield "seal", printed_mismatches(facts, seals, self.days)
        if earlier := [day for day in unsealed_days(facts) if day in self.days]:
            span = f"{earlier[0]} to {earlier[-1]}" if len(earlier) > 1 else str(earlier[0])
            _log.info("account %s: %s settled by an earlier version, without seals", facts.account_id, span)
        if self.depth.ledger:
            return
        yield "event", self.events.mismatches(facts, seals, self.days)
        rooms = RoomCheck(facts=facts, log=self.log, policies=self.policies)
        yield "room", rooms.mismatches(self.days) if self.depth.full else self._sample(rooms, seals)

    def _sample(self, rooms: RoomCheck, seals: Sequence[Seal]) -> Iterator[Mismatch]:
        account_id = rooms.facts.account_id
        ledger = AccountLedger(conn=self.conn, account_id=account_id, catalog=load_catalog(self.conn))
        sample = RoomSample(
            home=self.home, engine=self.engine, check=rooms, ledger=ledger, seals=seals, rooms=self.depth.rooms
        )
        yield from sample.mismatches(self.days)


def verify(
    home: Home,
    engine: Engine,
    *,
    account_id: str | None = None,
    month: date | None = None,
    depth: Depth = Depth(),
    progress: Progress = lambda _: None,
) -> list[dict[str, Any]]:
    """Everything that does not agree, of one account or of all; `month`: on the days of a month.

    A `UsageError` when there is no such account.
    """
    days = Days(first=month_days(month)[0], last=month_days(month)[-1]) if month else Days()
    with reading(engine) as conn:
        accounts = accounts_on_record(conn)
        if account_id is not None and account_id not in accounts:
            raise UsageError(unknown("account", account_id, accounts))
        part = _of_books(home, engine, conn, depth, days, account_id, progress)
        found = list(readable(part, "catalog", account_id))
    rows = [asdict(each) for each in found]
    return [*rows, *_documents(engine, account_id, month, with_annexes=not depth.ledger)]


def _of_books(
    home: Home,
    engine: Engine,
    conn: Connection,
    depth: Depth,
    days: Days,
    account_id: str | None,
    progress: Progress,
) -> Iterator[Mismatch]:
    """The files of the log, the catalog, then account by account."""
    log = EventLog(directory=home.events)
    yield from file_mismatches(log, days, read=not depth.ledger)
    _say_archived(log)
    history = catalog_history(conn)
    yield from readable(catalog_mismatches(conn, history.last, account_id), "catalog", account_id)
    verification = _Verification(
        home=home,
        engine=engine,
        conn=conn,
        depth=depth,
        days=days,
        log=log,
        events=LogCheck(log=log),
        history=history,
        policies=policies_by_hash(conn),
    )
    for each in accounts_on_record(conn) if account_id is None else [account_id]:
        yield from verification.of_account(each)
        progress(1)


def _say_archived(log: EventLog) -> None:
    try:
        before = archived_before(log)
    except BillingError:
        return  # it is a row of its own
    if before:
        _log.info("events before %s (UTC) are archived and not looked at", before)


def _documents(
    engine: Engine, account_id: str | None, month: date | None, *, with_annexes: bool
) -> Iterator[dict[str, Any]]:
    """What the audit finds of documents and of the money they move."""
    empty = dict.fromkeys(Mismatch.__slots__)
    for row in audit(engine, with_annexes=with_annexes, account_id=account_id, month=month):
        yield {**empty, **row}
