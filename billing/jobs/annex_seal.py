"""Seals: the hash of each column of a document's annex, kept so that an audit finds a cell that was changed.

The annex of a month can have a million rows, so it is hashed after the document is issued, and not under the writer's
lock. A seal that is missing, because the program was killed in between, is made by the next `finalize`.
"""

from billing.ledger.annexes import has_annex, issued_annex
from billing.ledger.database import Engine, reading, writing
from billing.ledger.documents import StoredDocument, contents
from billing.ledger.seals import column_hashes, put_seal, seal_of


def seal_annex(engine: Engine, stored: StoredDocument) -> None:
    """Keeps the hashes of a document's annex, if it has one and they are not kept."""
    if not has_annex(stored):
        return
    with reading(engine) as conn:
        if seal_of(conn, stored.id):
            return
        document, _ = contents(conn, stored.number)
        annex = issued_annex(conn, stored)
    if annex is None:
        return
    hashes = column_hashes(annex, document)
    with writing(engine) as conn:
        if not seal_of(conn, stored.id):
            put_seal(conn, stored.id, hashes)
