"""Seals: the hash of each column of a document's annex, kept so that an audit finds a cell that was changed.

The annex of a month can have a million rows, so it is hashed after the document is issued, and not under the writer's
lock. A seal that is missing, because the program was killed in between, is made by the next `finalize` or `reissue`.
"""

import logging
from functools import partial

from billing.jobs.metered_days import Failure, guarded
from billing.ledger.annexes import issued_annex
from billing.ledger.database import Engine, reading, writing
from billing.ledger.documents import StoredDocument, contents, find
from billing.ledger.seals import column_hashes, put_seal, seal_of, unsealed_numbers

_log = logging.getLogger(__name__)


def seal_annexes(engine: Engine) -> None:
    """Makes every seal that is missing. One that cannot be made is told in the log, and stops no other."""
    with reading(engine) as conn:
        missing = [find(conn, number) for number in unsealed_numbers(conn)]
    for stored in missing:
        done = guarded(f"the seal of {stored.number}", partial(_seal_annex, engine, stored))
        if isinstance(done, Failure):
            _log.warning("the annex of %s is not sealed: %s", stored.number, done.reason)


def _seal_annex(engine: Engine, stored: StoredDocument) -> None:
    with reading(engine) as conn:
        document, _ = contents(conn, stored.number)
        annex = issued_annex(conn, stored)
    if annex is None:
        return
    hashes = column_hashes(annex, document)
    with writing(engine) as conn:
        if not seal_of(conn, stored.id):
            put_seal(conn, stored.id, hashes)
