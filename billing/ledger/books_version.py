"""The version of the books: a text that changes with every row that a report on accounts may show.

It is made of the highest numbers of what is written in order: runs, changes of the catalog, documents, movements of
money. A refresh, which replaces provisional days, is a run too. `41.3.12.30.0.0.2` becomes `42.3.12.30.0.0.2` with the
next run. What follows from the clock alone (an invoice is overdue from midnight on) is not in it.
"""

from sqlalchemy import Connection, func, select

from billing.ledger import document_tables, tables

_NUMBERED = (
    *(tables.run, tables.catalog_change, document_tables.document, document_tables.transfer, document_tables.payment),
    document_tables.package_refund,
)


def books_version(conn: Connection) -> str:
    """The version of this moment."""
    newest = [select(func.coalesce(func.max(table.c.id), 0)).scalar_subquery() for table in _NUMBERED]
    written_off = select(func.count()).select_from(document_tables.write_off).scalar_subquery()
    return ".".join(map(str, conn.execute(select(*newest, written_off)).one()))
