"""An account may hold days at whose end a feed is silent: `hold_if_silent`, an ISO 8601 duration."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    triggers = _triggers()
    with op.batch_alter_table("account", recreate="always" if _is_sqlite() else "never") as batch:
        batch.add_column(sa.Column("hold_if_silent", sa.String(), nullable=True))
    for trigger in triggers:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_column("account", "hold_if_silent")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _triggers() -> list[str]:
    """Those of SQLite, which makes the table anew: the new column is to stand before the key."""
    if not _is_sqlite():
        return []
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'account'")
    return list(op.get_bind().execute(made).scalars())
