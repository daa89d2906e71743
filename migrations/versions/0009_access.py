"""Access over HTTP: tokens, the sessions of the console, and the record of every write and download. Nothing that was
billed changes."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# In the order in which they refer to each other.
_TABLES = ("access_token", "token_revocation", "console_session", "access_record")
_WRITTEN_ONCE = ("access_token", "token_revocation", "access_record")


def upgrade() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.CheckConstraint("scope IN ('ingest', 'read', 'admin')", name=op.f("ck_access_token_scope")),
    )
    op.create_table(
        "token_revocation",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_token_revocation")),
        sa.ForeignKeyConstraint(["token_id"], ["access_token.id"], name=op.f("fk_token_revocation_token_id")),
    )
    op.create_table(
        "console_session",
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_console_session")),
        sa.ForeignKeyConstraint(["token_id"], ["access_token.id"], name=op.f("fk_console_session_token_id")),
    )
    op.create_table(
        "access_record",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_record")),
    )
    _refuse_changes()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _refuse_changes() -> None:
    """Rows that are written once refuse UPDATE and DELETE, whoever asks."""
    for table in _WRITTEN_ONCE:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT"
                f" RAISE(ABORT, '{table} is written once: it is the record of who had access'); END"
            )
