"""Runs the migrations on the connection that `billing.storage.database` hands over, inside its transaction."""

from alembic import context

from billing.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
