"""Removing an entry of the catalog that nothing rests on: entered by mistake, and neither billed nor in use."""

from billing.catalog.catalog import Removal
from billing.catalog.changes import Change
from billing.errors import BillingError
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger import catalog_store
from billing.ledger.database import Engine, writing


def remove_from_catalog(home: Home, engine: Engine, removal: Removal, *, removed_at_ms: int) -> Change:
    """Removes an account, an app or a package; a `BillingError` says why it stays.

    No events come in meanwhile: an app with accepted events stays, because they would never be billed.
    """
    with home.lock("ingest"), home.lock("nightly"), writing(engine) as conn:
        removed = catalog_store.remove(conn, removal, removed_at_ms=removed_at_ms)
        if removal.kind == "app" and EventLog(directory=home.events).has_accepted(int(removal.id)):
            raise BillingError(f"app {removal.id} cannot be removed: events of it were accepted, and will be billed")
        return removed
