"""The journal of the ledger's transfers, read from one state of the database while it is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from billing.errors import UsageError
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.posted_transfers import posted_transfers
from billing.receivables.journal import PostedTransfer


@contextmanager
def journal(
    engine: Engine, *, account_id: str | None = None, first: date | None = None, last: date | None = None
) -> Iterator[Iterator[PostedTransfer]]:
    """The transfers of an account, or of all, posted from `first` to `last`, both included; a `UsageError` when there
    is no such account."""
    if first and last and first > last:
        raise UsageError(f"{first} is after {last}: give the earlier day first")
    with reading(engine) as conn:
        if account_id is not None:
            load_catalog(conn).account(account_id)
        yield posted_transfers(conn, account_id=account_id, first=first, last=last)
