"""Seals once more: the chain of an account's seals, and their roots from the rows that are there now.

Of every seal the root is made again from usage, deductions, charges, carried state and run, with the root of the events
as it was sealed; `billing.verify.log_check` compares that one with the log. Days that earlier versions settled have
none.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import Row, select

from billing.ledger import document_tables, tables
from billing.ledger.proof_tables import day_seal
from billing.verify.mismatches import Days, Mismatch
from billing.verify.roots import BEFORE_ALL, day_root, next_head, row_lines, run_line
from billing.verify.settled_facts import AccountFacts, DayFacts

SEALED_TABLES = {
    "usage": (tables.usage, tables.usage_correction),
    "deductions": (tables.deduction, tables.deduction_correction),
}
SEALED_COLUMNS = {
    "usage": ("app_id", "window_start", "item", "reason", "seconds"),
    "deductions": ("app_id", "window_start", "item", "payer_id", "minutes", "package_minutes"),
    "charges": (
        *("app_id", "item", "kind", "seconds", "minutes", "deducted_minutes", "payable_minutes"),
        *("unit_price_scaled", "list_price_scaled", "amount_scaled", "currency", "posted_on", "cause"),
    ),
}
_AS_TEXT = ("list_price_scaled", "posted_on", "cause")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal as it is stored."""

    number: int
    day: date
    kind: str
    run_id: int
    rooms: int
    events: int
    events_root: str
    root: str
    head: str


def seals_of(facts: AccountFacts) -> list[Seal]:
    """The seals of an account, in their order."""
    columns = [day_seal.c[name] for name in Seal.__slots__]
    query = select(*columns).where(facts.known(day_seal)).order_by(day_seal.c.number)
    return [Seal(**row._mapping) for row in facts.conn.execute(query)]


def unsealed_days(facts: AccountFacts) -> list[date]:
    """The days that earlier versions settled, which made no seals."""
    return [day.day for day in facts.days if day.settled_by in facts.runs and not facts.runs[day.settled_by].seals]


def seal_mismatches(facts: AccountFacts, seals: Sequence[Seal], days: Days) -> Iterator[Mismatch]:
    """What of the seals does not agree with the ledger."""
    yield from _chain(facts, seals)
    yield from _missing(facts, seals, days)
    by_day = {day.day: day for day in facts.days}
    for seal in seals:
        if seal.day not in days:
            continue
        if seal.day not in by_day:
            yield _of(facts, seal.day, "a settled day", "none", f"seal {seal.number}")
            continue
        found = sealed_root(facts, by_day[seal.day], seal)
        if found.hex() != seal.root:
            detail = f"usage, deductions, charges, state or run under seal {seal.number} were changed"
            yield _of(facts, seal.day, seal.root, found.hex(), detail)


def printed_mismatches(facts: AccountFacts, seals: Sequence[Seal], days: Days) -> Iterator[Mismatch]:
    """Documents with another head than the chain had after the last run that they know of."""
    document = document_tables.document.c
    query = select(document.number, document.month, document.run_id, document.snapshot)
    for row in facts.conn.execute(query.where(document.account_id == facts.account_id).order_by(document.id)):
        printed = _printed(row.snapshot)
        if printed is None or (row.month and row.month not in days and row.month.replace(day=28) not in days):
            continue
        known = [seal.head for seal in seals if seal.run_id <= row.run_id]
        if printed not in known[-1:]:
            yield Mismatch(
                check="seal",
                account=facts.account_id,
                document=row.number,
                expected=printed,
                found=known[-1] if known else "none",
                detail="the seal on the document is not that of the days it knows of",
            )


def _printed(snapshot: str) -> str | None:
    """The seal on a document; None: it has none, or the snapshot is not one, which the audit says."""
    try:
        found = json.loads(snapshot)["document"].get("seal")
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return None if found is None else str(found)


def _missing(facts: AccountFacts, seals: Sequence[Seal], days: Days) -> Iterator[Mismatch]:
    """Days of which a run wrote something that it did not seal."""
    sealed, wrote = {(seal.day, seal.run_id) for seal in seals}, {(day.day, day.settled_by) for day in facts.days}
    for table in (tables.charge, tables.usage_correction):
        query = select(table.c.day, table.c.run_id).where(table.c.account_id == facts.account_id).distinct()
        wrote |= {(row.day, row.run_id) for row in facts.conn.execute(query)}
    for day, run_id in sorted(wrote - sealed):
        if day in days and run_id in facts.runs and facts.runs[run_id].seals:
            yield _of(facts, day, "a seal", "none", f"the seal of run {run_id}")


def _chain(facts: AccountFacts, seals: Sequence[Seal]) -> Iterator[Mismatch]:
    head = BEFORE_ALL
    for place, seal in enumerate(seals, 1):
        if seal.number != place:
            yield _of(facts, seal.day, str(place), str(seal.number), "a seal before it is missing")
            return
        head = next_head(head, bytes.fromhex(seal.root))
        if head.hex() != seal.head:
            yield _of(facts, seal.day, head.hex(), seal.head, f"the head of seal {seal.number}")
            return


def sealed_root(facts: AccountFacts, day: DayFacts, seal: Seal) -> bytes:
    """The root of a seal from what the ledger has now."""
    contents = {name: hashlib.sha256(text).digest() for name, text in sealed_contents(facts, day, seal).items()}
    return day_root(bytes.fromhex(seal.events_root), contents)


def sealed_contents(facts: AccountFacts, day: DayFacts, seal: Seal) -> dict[str, bytes]:
    """What a seal covers beside the events, as bytes."""
    is_correction = seal.kind == "correction"
    of_run = {"run_id": seal.run_id}
    contents = {
        name: _lines(name, facts.rows(both[is_correction], seal.day, **(of_run if is_correction else {})))
        for name, both in SEALED_TABLES.items()
    }
    contents["charges"] = _lines("charges", facts.rows(tables.charge, seal.day, **of_run))
    contents["state"] = state_text(facts.rows(tables.carried_state, seal.day, **of_run))
    contents["run"] = run_line(sealed_run(facts, day, seal))
    return contents


def _lines(name: str, rows: Sequence[Row[Any]]) -> bytes:
    columns = SEALED_COLUMNS[name]
    values = [[_value(column, getattr(row, column)) for column in columns] for row in rows]
    return row_lines(sorted(values, key=lambda each: [_sortable(value) for value in each]))


def _sortable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _value(column: str, value: Any) -> Any:
    if column in _AS_TEXT:
        return "" if value is None else str(value)
    return value


def state_text(rows: Sequence[Row[Any]]) -> bytes:
    """The last of these states, as it is sealed: a JSON object for each stay."""
    frames = [pl.read_ipc(BytesIO(row.frame)) for row in rows[-1:]]
    return frames[0].write_ndjson().encode() if frames and frames[0].height else b""


def sealed_run(facts: AccountFacts, day: DayFacts, seal: Seal) -> Mapping[str, Any]:
    """What a seal says of its run."""
    run = facts.conn.execute(select(tables.run).where(tables.run.c.id == seal.run_id)).first()
    return {
        "account": facts.account_id,
        "day": seal.day.isoformat(),
        "kind": seal.kind,
        "starts_at": day.start,
        "ends_at": day.end,
        "policy": day.policy_id,
        "policy_hash": day.policy_hash,
        "price_hash": run.price_hash if run else None,
        "ingest_id": run.ingest_id if run else None,
        "ingest_commit": run.ingest_commit if run else None,
    }


def _of(facts: AccountFacts, day: date, expected: str, found: str, detail: str) -> Mismatch:
    return Mismatch(check="seal", account=facts.account_id, day=day, expected=expected, found=found, detail=detail)
