"""When entries of the catalog were added, and which change made them what they are: read from the changes on record."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from billing.ledger.tables import catalog_change


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDates:
    """When an entry was added, and by which change of the catalog it became what it is."""

    added_ms: int
    changed_by: int


def entry_dates(conn: Connection, kind: str) -> dict[str, EntryDates]:
    """The dates of all entries of a kind by id, for kinds of which no entry can be removed."""
    # Most changes have none of this kind, and need not be read.
    change = catalog_change.c
    with_entries = change.source.contains(f'"{kind}":[{{', autoescape=True)
    query = select(change.id, change.applied_at_ms, change.source).where(with_entries).order_by(change.id)
    entries: dict[str, object] = {}
    dates: dict[str, EntryDates] = {}
    for change_id, at_ms, source in conn.execute(query):
        for entry in json.loads(source).get("applied", {}).get(kind, []):
            known = dates.get(entry["id"])
            if known is None or entries[entry["id"]] != entry:
                added_ms = known.added_ms if known else at_ms
                dates[entry["id"]] = EntryDates(added_ms=added_ms, changed_by=change_id)
            entries[entry["id"]] = entry
    return dates
