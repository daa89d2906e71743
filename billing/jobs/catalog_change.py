"""Applying a catalog: its changes, and the invoices of the prepaid packages that it brings, in one transaction."""

from dataclasses import replace

from billing.catalog.catalog import Catalog
from billing.catalog.changes import Change
from billing.home import Home
from billing.jobs.issuing import Issuer, now_ms
from billing.jobs.standing import publish, record_all_arrears
from billing.ledger import catalog_store
from billing.ledger.database import Connection, Engine, writing
from billing.ledger.documents import billed_packages
from billing.ledger.drafts import package_draft


def apply_catalog(home: Home, engine: Engine, new: Catalog) -> list[Change]:
    """Adds and changes what is in `new`; says of each prepaid package on which invoice it stands."""
    with home.lock("nightly"), writing(engine) as conn:
        changes = catalog_store.apply(conn, new, applied_at_ms=now_ms())
        numbers = _invoice_packages(home, conn)
        record_all_arrears(conn)
    publish(home, engine)
    return [
        replace(each, detail=f"invoice {numbers[each.id]}") if each.kind == "package" and each.id in numbers else each
        for each in changes
    ]


def _invoice_packages(home: Home, conn: Connection) -> dict[str, str]:
    """Invoices every prepaid package that is on no document, and gives the numbers."""
    catalog, billed = catalog_store.load_catalog(conn), billed_packages(conn, "package")
    numbers = {}
    for package in sorted(catalog.packages.values(), key=lambda package: (package.purchased_at, package.id)):
        if package.charge == "prepaid" and package.id not in billed:
            issuer = Issuer.of(home, conn, package.account)
            numbers[package.id] = issuer.issue_draft(package_draft(issuer.ledger, package)).number
            issuer.settle()
    return numbers
