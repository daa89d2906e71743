"""Runs the migrations inside the transaction that `billing.ledger.database` hands over.

`billing init` is the way to upgrade. For whoever changes the tables, `alembic check`, `alembic upgrade` and the like
work in a checkout too, on the database of BILLING_DATABASE_URL or of the home (BILLING_HOME).
"""

import os
from pathlib import Path

from alembic import context
from sqlalchemy import Connection

from billing.home import Home
from billing.ledger import access_tables, document_tables, proof_tables
from billing.ledger.database import migrating

# Each module adds its tables to the same metadata.
(metadata,) = {access_tables.metadata, document_tables.metadata, proof_tables.metadata}


def _run(conn: Connection) -> None:
    context.configure(connection=conn, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    _run(context.config.attributes["connection"])
else:
    home = Home.at(Path(os.environ.get("BILLING_HOME", "billing-data")), os.environ.get("BILLING_DATABASE_URL"))
    with migrating(home.database) as conn:
        _run(conn)
