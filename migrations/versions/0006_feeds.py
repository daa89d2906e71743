"""Apps may say how the records of media servers name them, and what is assumed where those are silent: `feed` (a JSON
array) and `assume` (a JSON object)."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    triggers = _triggers()
    with op.batch_alter_table("app", recreate="always" if _is_sqlite() else "never") as batch:
        batch.add_column(sa.Column("feed", sa.String(), nullable=True))
        batch.add_column(sa.Column("assume", sa.String(), nullable=True))
    for trigger in triggers:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_column("app", "assume")
    op.drop_column("app", "feed")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _triggers() -> list[str]:
    """Those of SQLite, which makes the table anew: the new columns are to stand before the key."""
    if not _is_sqlite():
        return []
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'app'")
    return list(op.get_bind().execute(made).scalars())
