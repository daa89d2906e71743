"""Day seals: what a settled day was billed from and came to, in one hash, chained by account.

The root of a day is that of RFC 6962 over six leaves, each of a name, a zero byte and the SHA-256 of its content:

    events      the root over the leaves of the day's rooms (not hashed again)
    usage       rows `app_id,window_start,item,reason,seconds`
    deductions  rows `app_id,window_start,item,payer_id,minutes,package_minutes`
    charges     rows `app_id,item,kind,seconds,minutes,deducted_minutes,payable_minutes,unit_price,list_price,amount,
                currency,posted_on,cause`
    state       the stays that are carried into the next day, a JSON object a line; empty also where a correction
                did not change them
    run         what it was computed with: account, day, kind, bounds, policy, prices, ingest

Rows are CSV without a header: text in quotes, whole numbers plain (money as 10^-8), what is absent as "", sorted by
their first columns, each line ended by LF. head_1 = H(0 ‖ root_1), with 32 zero bytes, and head_n = H(head_{n-1} ‖
root_n): a later rewrite of any day contradicts every head that is kept elsewhere. A correction appends a seal for each
day of which events or results are different. Days that were settled by earlier versions have none.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl
from sqlalchemy import Connection, select

from billing.events.merkle import NO_EVENTS, EventsRoot, leaf_hash, merkle_root
from billing.ledger import tables
from billing.ledger.bulk import insert_rows
from billing.ledger.proof_tables import day_seal
from billing.ledger.runs import Run
from billing.metering.schemas import STATE_SCHEMA, stored_state

USAGE, CORRECTION = "usage", "correction"
BEFORE_ALL = bytes(32)
_USAGE = ("app_id", "window_start", "item", "reason", "seconds")
_DEDUCTIONS = ("app_id", "window_start", "item", "payer_id", "minutes", "package_minutes")
_CHARGES = (
    *("app_id", "item", "kind", "seconds", "minutes", "deducted_minutes", "payable_minutes"),
    *("unit_price_scaled", "list_price_scaled", "amount_scaled", "currency", "posted_on", "cause"),
)
_NO_STATE = pl.DataFrame(schema=STATE_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDay:
    """What a run writes of one day. `charges` are rows of their table. `state` None: as it was."""

    day: date
    events: EventsRoot = NO_EVENTS
    usage: pl.DataFrame | None = None
    deductions: pl.DataFrame | None = None
    charges: Sequence[Mapping[str, object]] = field(default_factory=tuple)
    state: pl.DataFrame | None = None


def seal_days(
    conn: Connection, kind: str, run_id: int, run: Run, catalog_change: int, days: Sequence[SealedDay]
) -> None:
    """Appends a seal for each of these days of the run's account, in the transaction that writes them."""
    account_id = str(run.account_id)
    before, head = _last(conn, account_id)
    rows: list[dict[str, object]] = []
    for number, sealed in enumerate(days, before + 1):
        root = _root(conn, kind, run, sealed)
        head = hashlib.sha256(head + root).digest()
        rows.append(
            {
                "account_id": account_id,
                "number": number,
                "day": sealed.day,
                "kind": kind,
                "run_id": run_id,
                "catalog_change": catalog_change,
                "rooms": sealed.events.rooms,
                "events": sealed.events.events,
                "events_root": sealed.events.root.hex(),
                "root": root.hex(),
                "head": head.hex(),
            }
        )
    insert_rows(conn, day_seal, rows)


def sealed_events(conn: Connection, account_id: str, first: date) -> dict[date, str]:
    """The root of the events of each sealed day from `first` on, as it was sealed last."""
    seal = day_seal.c
    query = select(seal.day, seal.events_root).where(seal.account_id == account_id, seal.day >= first)
    return dict(conn.execute(query.order_by(seal.number)).all())


def last_head(conn: Connection, account_id: str) -> str | None:
    """The head of an account's chain now; None: no day is sealed."""
    number, head = _last(conn, account_id)
    return head.hex() if number else None


def _last(conn: Connection, account_id: str) -> tuple[int, bytes]:
    query = select(day_seal.c.number, day_seal.c.head).where(day_seal.c.account_id == account_id)
    row = conn.execute(query.order_by(day_seal.c.number.desc()).limit(1)).first()
    return (row.number, bytes.fromhex(row.head)) if row else (0, BEFORE_ALL)


def _root(conn: Connection, kind: str, run: Run, sealed: SealedDay) -> bytes:
    settled = tables.settled_day.c
    of_day = select(settled.starts_at, settled.ends_at, settled.policy_id, settled.policy_hash)
    row = conn.execute(of_day.where(settled.account_id == run.account_id, settled.day == sealed.day)).one()
    said = {
        "account": run.account_id,
        "day": sealed.day.isoformat(),
        "kind": kind,
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "policy": row.policy_id,
        "policy_hash": row.policy_hash,
        "price_hash": run.price_hash,
        "ingest_id": run.ingest_id,
        "ingest_commit": run.ingest_commit,
    }
    contents = {
        "usage": _csv(sealed.usage, _USAGE),
        "deductions": _csv(sealed.deductions, _DEDUCTIONS),
        "charges": _csv(_charge_frame(sealed.charges), _CHARGES),
        "state": b"" if sealed.state is None else state_lines(sealed.state),
        "run": json.dumps(said, sort_keys=True, separators=(",", ":")).encode(),
    }
    leaves = [leaf_hash(b"events\0" + sealed.events.root)]
    leaves += [leaf_hash(name.encode() + b"\0" + hashlib.sha256(text).digest()) for name, text in contents.items()]
    return merkle_root(leaves)


def state_lines(state: pl.DataFrame) -> bytes:
    """A state as lines of JSON."""
    state = stored_state(state)
    return state.write_ndjson().encode() if state.height else b""


def _csv(frame: pl.DataFrame | None, columns: Sequence[str]) -> bytes:
    if frame is None or frame.is_empty():
        return b""
    rows = frame.select(columns).sort(columns)
    return rows.write_csv(include_header=False, quote_style="non_numeric").encode()


def _charge_frame(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame | None:
    """Charges with text where something may be absent."""
    if not rows:
        return None
    texts = {
        name: ["" if row[name] is None else str(row[name]) for row in rows] for name in _CHARGES if _may_be_absent(name)
    }
    return pl.DataFrame({name: texts.get(name, [row[name] for row in rows]) for name in _CHARGES})


def _may_be_absent(name: str) -> bool:
    return name in ("list_price_scaled", "posted_on", "cause")
