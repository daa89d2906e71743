"""Policies that count over a month: a charge has the slab of its price, and what a day charges may be below zero.

Charges that exist have a flat price, slab 0.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = ["account_id", "day", "app_id", "item", "slab", "kind", "run_id"]
_OLD_KEY = [name for name in _KEY if name != "slab"]
_OLD_SIGN = "kind = 'correction' OR (seconds > 0 AND deducted_minutes >= 0 AND payable_minutes >= 0)"
_TABLES = ("charge", "document_charge", "deduction")
_WITHOUT_ROWID = {"sqlite_with_rowid": False}


def upgrade() -> None:
    triggers = _take_triggers()
    _add_slab("document_charge")
    _add_slab("charge")
    with op.batch_alter_table("document_charge") as batch:
        batch.drop_constraint(op.f("fk_document_charge_charge"), type_="foreignkey")
        batch.drop_constraint(op.f("pk_document_charge"), type_="primary")
        batch.create_primary_key(op.f("pk_document_charge"), [*_KEY, "generation"])
    with op.batch_alter_table("charge") as batch:
        batch.drop_constraint(op.f("pk_charge"), type_="primary")
        batch.create_primary_key(op.f("pk_charge"), _KEY)
        batch.drop_constraint(op.f("ck_charge_sign"), type_="check")
        batch.create_check_constraint(op.f("ck_charge_sign"), "kind = 'correction' OR seconds >= 0")
    with op.batch_alter_table("document_charge") as batch:
        batch.create_foreign_key(op.f("fk_document_charge_charge"), "charge", _KEY, _KEY)
    with op.batch_alter_table("deduction", table_kwargs=_WITHOUT_ROWID) as batch:
        batch.drop_constraint(op.f("ck_deduction_minutes"), type_="check")
        batch.drop_constraint(op.f("ck_deduction_package_units"), type_="check")
        batch.create_check_constraint(op.f("ck_deduction_sign"), "minutes * package_minutes > 0")
    _restore(triggers)


def downgrade() -> None:
    triggers = _take_triggers()
    with op.batch_alter_table("deduction", table_kwargs=_WITHOUT_ROWID) as batch:
        batch.drop_constraint(op.f("ck_deduction_sign"), type_="check")
        batch.create_check_constraint(op.f("ck_deduction_minutes"), "minutes > 0")
        batch.create_check_constraint(op.f("ck_deduction_package_units"), "package_minutes > 0")
    with op.batch_alter_table("document_charge") as batch:
        batch.drop_constraint(op.f("fk_document_charge_charge"), type_="foreignkey")
        batch.drop_constraint(op.f("pk_document_charge"), type_="primary")
        batch.drop_column("slab")
        batch.create_primary_key(op.f("pk_document_charge"), [*_OLD_KEY, "generation"])
    with op.batch_alter_table("charge") as batch:
        batch.drop_constraint(op.f("pk_charge"), type_="primary")
        batch.drop_column("slab")
        batch.create_primary_key(op.f("pk_charge"), _OLD_KEY)
        batch.drop_constraint(op.f("ck_charge_sign"), type_="check")
        batch.create_check_constraint(op.f("ck_charge_sign"), _OLD_SIGN)
    with op.batch_alter_table("document_charge") as batch:
        batch.create_foreign_key(op.f("fk_document_charge_charge"), "charge", _OLD_KEY, _OLD_KEY)
    _restore(triggers)


def _add_slab(table: str) -> None:
    with op.batch_alter_table(table, recreate="auto" if _is_postgresql() else "always") as batch:
        batch.add_column(sa.Column("slab", sa.Integer(), nullable=True))
    op.execute(f"UPDATE {table} SET slab = 0")  # noqa: S608 - our own names
    with op.batch_alter_table(table) as batch:
        batch.alter_column("slab", existing_type=sa.Integer(), nullable=False)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _take_triggers() -> list[str]:
    """Lets the tables be changed. SQLite drops the triggers of a table that is made anew, and refuses to rename one
    that triggers of others name."""
    if _is_postgresql():
        for table in _TABLES:
            op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        return [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in _TABLES]
    made = op.get_bind().execute(sa.text("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'"))
    triggers = [row for row in made.all() if row.tbl_name in _TABLES or any(table in row.sql for table in _TABLES)]
    for trigger in triggers:
        op.execute(f"DROP TRIGGER {trigger.name}")
    return [trigger.sql for trigger in triggers]


def _restore(triggers: list[str]) -> None:
    for trigger in triggers:
        op.execute(trigger)
