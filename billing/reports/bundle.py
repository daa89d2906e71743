"""Bundles: a month of one account in a zip, with everything that its total follows from and a program that checks it.

The files are those that `billing.verify.bundle_program` lists, as they were known when the month's document was issued;
of a month that is not closed, as they are now. Names of users and rooms are in it as the events have them; roles,
reasons and sources, which no amount depends on, are left out.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from billing.errors import BillingError
from billing.events.log import EventLog
from billing.events.schema import TASK_COLUMNS
from billing.home import Home
from billing.invoicing.documents import Document
from billing.invoicing.snapshot import document_table
from billing.ledger import tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.documents import contents, find
from billing.ledger.drafts import month_draft
from billing.ledger.issued_charges import ChargeKey, charge_key, lines_of_charges
from billing.money import minor_digits
from billing.output_files import Output
from billing.periods import month_days, time_zone
from billing.reports.invoice_files import closing_document
from billing.verify.account_bills import AccountBills, ExpectedDay
from billing.verify.applied_catalogs import AppliedCatalog, CatalogHistory, catalog_history
from billing.verify.bundle_money import so_far_row
from billing.verify.bundle_program import CONTENTS, SEALED, contents_text
from billing.verify.bundle_source import bundle_source
from billing.verify.seal_check import SEALED_TABLES, sealed_contents, sealed_run, seals_of, state_text
from billing.verify.settled_facts import (
    LAST_RUN,
    AccountFacts,
    DayFacts,
    account_facts,
    policies_by_hash,
    policy_sources,
)

_EVENT = (
    *("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height"),
    *("connection", "receives", "event_id"),
)
_README = """{account}, {month}: what was billed, and all that it follows from.

Run, in this folder, with Python 3.10 or newer:

    python3 -I verify.py

It computes the month again from the events and prints the total. What does not agree is said in one line. Read the
first lines of verify.py for what the other files are. The seal on the invoice must be the head of the last seal in
seals.ndjson: compare it with the invoice that you received, not with the bill in here.
"""
# Files have no time, so that equal bundles are equal.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """The document of a month: the lines of its charges, and the last run and catalog that it knows of."""

    document: Document
    lines: Mapping[ChargeKey, int]
    as_of: int
    catalog: AppliedCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """What the files are made of."""

    facts: AccountFacts
    log: EventLog
    bill: _Bill
    month: date
    days: list[DayFacts]
    expected: Mapping[date, ExpectedDay]
    sources: Mapping[str, str]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name by name, what is in the zip."""
        yield "README.txt", _README.format(account=self.facts.account_id, month=f"{self.month:%Y-%m}").encode()
        yield "verify.py", bundle_source().encode()
        yield "terms.json", _json(self._terms())
        yield "bill.json", _json(document_table(self.bill.document))
        yield "days.ndjson", _lines(map(self._day, self.days))
        yield "seals.ndjson", _lines(self._seals())
        for name in SEALED:
            yield f"{name}.ndjson", _lines(self._rows(name))
        included = {day.day for day in self.days}
        for each in sorted(included | {day - timedelta(days=1) for day in included}):
            if text := state_text(self.facts.rows(tables.carried_state, each)):
                yield f"state-{each}.ndjson", text
        for day in self.days:
            if text := self._events(day):
                yield f"events-{day.day}.ndjson", text

    def _terms(self) -> dict[str, Any]:
        facts, catalog = self.facts, self.bill.catalog
        zone = time_zone(facts.timezone)
        packages = [
            {**each, "purchased_at": datetime.fromisoformat(each["purchased_at"]).astimezone(zone).isoformat()}
            for each in catalog.packages_of(facts.account_id)
        ]
        return {
            "account": facts.account_id,
            "month": f"{self.month:%Y-%m}",
            "timezone": facts.timezone,
            "currency": facts.currency,
            "digits": minor_digits(facts.currency),
            "policies": {day.policy_hash: self.sources[day.policy_hash] for day in self.days},
            "contracts": catalog.contracts_of(facts.account_id),
            "packages": packages,
        }

    def _day(self, day: DayFacts) -> dict[str, Any]:
        expected = self.expected[day.day]
        row = {
            "day": day.day.isoformat(),
            "starts_at": day.start,
            "ends_at": day.end,
            "policy": day.policy_id,
            "policy_hash": day.policy_hash,
            "remaining": {source.payer_id: source.remaining for source in expected.terms.sources},
        }
        return {**row, "so_far": so_far_row(expected.so_far)} if expected.terms.rules.is_cumulative else row

    def _seals(self) -> Iterator[dict[str, Any]]:
        by_day, included = {day.day: day for day in self.facts.days}, {day.day for day in self.days}
        for seal in seals_of(self.facts):
            texts = sealed_contents(self.facts, by_day[seal.day], seal)
            hashes = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
            named = {"number": seal.number, "day": seal.day.isoformat(), "kind": seal.kind, "run_id": seal.run_id}
            roots = {"events": seal.events_root, "root": seal.root, "head": seal.head}
            said = {"said": sealed_run(self.facts, by_day[seal.day], seal)} if seal.day in included else {}
            yield {**named, **hashes, **roots, **said}

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of the days, with the runs that wrote them; of charges their lines too."""
        if name == "charges":
            for day in self.days:
                for row in self.facts.rows(tables.charge, day.day):
                    line = self.bill.lines.get((row.day, row.app_id, row.item, row.slab, row.kind, row.run_id))
                    yield {**_row(name, row, day, row.run_id), "slab": row.slab, "line": line}
            return
        settled, corrected = SEALED_TABLES[name]
        for day in self.days:
            yield from (_row(name, row, day, day.settled_by) for row in self.facts.rows(settled, day.day))
            yield from (_row(name, row, day, row.run_id) for row in self.facts.rows(corrected, day.day))

    def _events(self, day: DayFacts) -> bytes:
        sealed = [seal.run_id for seal in seals_of(self.facts) if seal.day == day.day]
        ingest_id = self.facts.last_ingest(max([day.computed_by, *sealed]))
        apps = [
            key for key, each in self.bill.catalog.entries["app"].items() if each["account"] == self.facts.account_id
        ]
        rows = self.log.scan(day.start, day.end, ingest_id=ingest_id, apps=apps)
        with self.log.naming_damage():
            events = rows.select(*_EVENT, *TASK_COLUMNS).sort("app_id", "room_id", "at", "seq", "event_id").collect()
        if events["task_id"].null_count() == events.height:
            events = events.drop(TASK_COLUMNS)
        return events.write_ndjson().encode() if events.height else b""


def write_bundle(home: Home, engine: Engine, account_id: str, month: date, output: Output) -> Document:
    """Writes the bundle of a month (its first day), and returns the document that it is of.

    A `BillingError` when no day of it is billed, or the events are archived.
    """
    with reading(engine) as conn:
        bundle = _read(home, conn, account_id, month)
        with output.open() as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            hashes = {name: _add(archive, name, content) for name, content in bundle.files()}
            _add(archive, CONTENTS, contents_text(hashes).encode())
    return bundle.bill.document


def _read(home: Home, conn: Connection, account_id: str, month: date) -> _Bundle:
    history, policies = catalog_history(conn), policies_by_hash(conn)
    bill = _bill(conn, history, account_id, month)
    facts = account_facts(conn, account_id, bill.as_of)
    first, last = month_days(month)[0], month_days(month)[-1]
    posted = facts.posted_days(first, last) if facts else set()
    days = [day for day in facts.days if first <= day.day <= last or day.day in posted] if facts else []
    if facts is None or not days:
        raise BillingError(f'no day of {month:%Y-%m} is billed for account "{account_id}": run `billing nightly` first')
    bills = AccountBills(facts=facts, history=history, policies=policies)
    expected = {each.day.day: each for each in bills.expected({day.day for day in days})}
    for day in days:
        if day.day not in expected:
            raise BillingError(f"{day.day} was billed with policy {day.policy_id}, of a kind that no bundle computes")
    return _Bundle(
        facts=facts,
        log=EventLog(directory=home.events),
        bill=bill,
        month=month,
        days=days,
        expected=expected,
        sources=policy_sources(conn),
    )


def _bill(conn: Connection, history: CatalogHistory, account_id: str, month: date) -> _Bill:
    """The document that stands for a month, or else its draft."""
    ledger = AccountLedger(conn=conn, account_id=account_id, catalog=load_catalog(conn))
    ledger.catalog.account(account_id)
    number = closing_document(conn, account_id, month)
    if number is None:
        draft = month_draft(ledger, month)
        lines = {charge_key(posted): line for line, charges in draft.charges.items() for posted in charges}
        return _Bill(document=draft.document, lines=lines, as_of=LAST_RUN, catalog=history.last)
    stored = find(conn, number)
    return _Bill(
        document=contents(conn, number)[0],
        lines=lines_of_charges(conn, stored.id),
        as_of=stored.run_id,
        catalog=history.at_change(stored.catalog_change),
    )


def _row(name: str, row: Any, day: DayFacts, run_id: int) -> dict[str, Any]:
    values = {column: getattr(row, column) for column in SEALED[name]}
    if values.get("posted_on"):
        values["posted_on"] = values["posted_on"].isoformat()
    return {"day": day.day.isoformat(), "run_id": run_id, **values}


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> str:
    """Writes a file, and returns its SHA-256."""
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    archive.writestr(entry, content)
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
