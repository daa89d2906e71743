"""Proofs: a seal for each settled day and each correction, chained by account, and answers to the findings of a month.
Days that are settled already get no seal. Nothing that was billed changes."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("day_seal", "check_answer")


def upgrade() -> None:
    op.create_table(
        "day_seal",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", _SERIAL, nullable=False),
        sa.Column("catalog_change", sa.BigInteger(), nullable=False),
        sa.Column("rooms", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("events_root", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("pk_day_seal")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_day_seal_account_id")),
        sa.ForeignKeyConstraint(
            ["account_id", "day"],
            ["settled_day.account_id", "settled_day.day"],
            name=op.f("fk_day_seal_account_id_day"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_day_seal_run_id")),
        sa.CheckConstraint("kind IN ('usage', 'correction')", name=op.f("ck_day_seal_kind")),
        sa.CheckConstraint("number > 0", name=op.f("ck_day_seal_number")),
    )
    op.create_table(
        "check_answer",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("answered_by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("answered_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_answer")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_check_answer_account_id")),
    )
    op.create_index(op.f("ix_check_answer_finding"), "check_answer", ["finding"])
    op.create_index(op.f("ix_check_answer_account_id"), "check_answer", ["account_id"])
    _refuse_changes()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _refuse_changes() -> None:
    """Rows that are written once refuse UPDATE and DELETE, whoever asks."""
    for table in _TABLES:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT"
                f" RAISE(ABORT, '{table} is written once: it proves what was billed'); END"
            )
