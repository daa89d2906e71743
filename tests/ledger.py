"""Everything that a home has on record, in a form in which two homes can be compared.

Left out is what may differ between two ways to the same result: the ids of runs and messages, instants at which
something was done, runs that changed nothing, and the version of the event log.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
from openpyxl import load_workbook
from sqlalchemy import URL, Connection, MetaData, NullPool, Table, create_engine, make_url, select

from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.events.record_log import RecordLog
from billing.home import Home

Rows = list[tuple[Any, ...]]
Ledger = dict[str, Rows]

_ALL_TIME = (0, 253_402_300_800)
_RUN_IDS = ("run_id", "corrects_run_id")
_OF_ONE_RUN = {
    "run": ("id", "log_version"),
    "catalog_change": ("id",),
    "document": ("hash",),
    # Numbered in the order in which they were written: of accounts, one may come after another was tried again.
    "arrears_event": ("id",),
    "outbox": ("id",),
    # Their roots name ingests. The root of the events, which does not, is compared.
    "day_seal": ("number", "catalog_change", "root", "head"),
}
_RESULTS = ("billed", "corrected")


def ledger(directory: Path, database_url: str | None = None) -> Ledger:
    """The sorted rows of every table of the database, of the event log (`events`), of the records of servers and of the
    quarantine."""
    home = Home.at(directory, database_url)
    records = _sorted(RecordLog(directory=home.records).scan().collect().rows())
    return {**tables(home.database), "events": _events(home), "records": records, "quarantine": _quarantine(home)}


def tables(database: str | Path) -> Ledger:
    """The sorted rows of every table of a database."""
    url = URL.create("sqlite", database=str(database)) if isinstance(database, Path) else make_url(database)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as conn:
        metadata = MetaData()
        metadata.reflect(conn)
        return {name: _rows(conn, table) for name, table in sorted(metadata.tables.items())}


def cells(workbook: Path) -> dict[str, Rows]:
    """What stands in the cells of a workbook: by sheet its rows, formulas with `=`."""
    book = load_workbook(workbook)
    return {sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets}


def differences(found: Ledger, expected: Ledger) -> dict[str, tuple[Rows, Rows]]:
    """By table, the rows that are only here and the rows that are only there; empty when they are equal."""
    apart = {}
    for name in sorted(found.keys() | expected.keys()):
        here, there = found.get(name, []), expected.get(name, [])
        if here != there:
            apart[name] = (_without(here, there), _without(there, here))
    return apart


def _without(rows: Rows, others: Rows) -> Rows:
    left = list(others)
    only = []
    for row in rows:
        if row in left:
            left.remove(row)
        else:
            only.append(row)
    return only


def _rows(conn: Connection, table: Table) -> Rows:
    left_out = (*_RUN_IDS, *_OF_ONE_RUN.get(table.name, ()))
    columns = [column for column in table.c if column.name not in left_out and not column.name.endswith("_at_ms")]
    rows = conn.execute(select(*columns)).all()
    if table.name == "document":
        columns = [column.name for column in columns]
        rows = [_without_last_run(dict(zip(columns, row, strict=True))) for row in rows]
    if table.name == "run":
        rows = [row for row in rows if row.result in _RESULTS and _changed_something(row.counts)]
    return _sorted(tuple(_value(value) for value in row) for row in rows)


def _changed_something(counts: str) -> bool:
    """Whether a run wrote more than itself; days that it went through do not count. A day without usage is written."""
    numbers = json.loads(counts)
    return "lines" not in numbers or any(number for name, number in numbers.items() if name != "days")


def _value(value: object) -> object:
    """A frame that is stored as bytes is compared by its rows."""
    return tuple(_sorted(pl.read_ipc(value).rows())) if isinstance(value, bytes) else value


def _events(home: Home) -> Rows:
    return _sorted(EventLog(directory=home.events).scan(*_ALL_TIME).collect().rows())


def _quarantine(home: Home) -> Rows:
    return _sorted(Quarantine(directory=home.quarantine).rows().drop("seen_at").rows())


def _sorted(rows: Any) -> Rows:
    return sorted(rows, key=repr)


def _without_last_run(row: dict[str, Any]) -> tuple[Any, ...]:
    """A document without what its snapshot has of runs: the last one that it knows of, and the seal, which names
    ingests."""
    table = json.loads(row["snapshot"])
    seal = table["document"].pop("seal", None)
    table["document"]["last_run"] = None
    table["page"]["notes"] = [note for note in table["page"]["notes"] if not seal or seal not in note]
    return *(value for name, value in row.items() if name != "snapshot"), json.dumps(table, sort_keys=True)
