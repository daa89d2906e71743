"""Several sellers, taxes, overdue policies, alerts and webhooks (`catalog_entry`, in their canonical form), the terms
of accounts that invoices need, and how packages are charged.

The one seller there was becomes the one with the id `seller`. Accounts that exist have invoices from the month of the
upgrade on, in their own time zone; packages that exist were billed elsewhere.
"""

import json

import sqlalchemy as sa
from alembic import op

from billing.periods import local_day, now, time_zone

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ONLY_SELLER = "seller"
_FORMAT = "{prefix}-{year}-{seq:06}"
_DEFAULTS = {
    "address": None,
    "bank": None,
    "country": None,
    "credit_note": {"format": _FORMAT, "prefix": "CN", "reset": "year"},
    "grace_days": 0,
    "invoice": {"format": _FORMAT, "prefix": "INV", "reset": "year"},
    "issue_zero": False,
    "logo": None,
    "tax_id": None,
    "terms_days": 30,
    "timezone": "UTC",
}
_ENTRY = sa.table(
    "catalog_entry", sa.column("kind", sa.String()), sa.column("id", sa.String()), sa.column("source", sa.String())
)
_ACCOUNT = sa.table(
    "account",
    sa.column("id", sa.String()),
    sa.column("timezone", sa.String()),
    sa.column("invoices_from", sa.Date()),
)
# What rows that exist get where a value is needed.
_NEEDED = {"pay_as_you_go": sa.true(), "language": "en", "mode": "invoice"}
_ACCOUNT_CHECKS = {
    "language": "language IN ('en', 'ja', 'zh')",
    "mode": "mode IN ('invoice', 'prepaid')",
    "terms_days": "terms_days >= 0",
}


def upgrade() -> None:
    op.create_table(
        "catalog_entry",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('seller', 'tax', 'overdue_policy', 'alert', 'webhook')", name=op.f("ck_catalog_entry_kind")
        ),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_catalog_entry")),
    )
    _keep_seller()
    op.drop_table("seller")
    _extend_account()
    _extend_package()
    _begin_invoices()


def downgrade() -> None:
    """Of several sellers one remains, and what else is new is gone."""
    package_triggers, account_triggers = _triggers("package"), _triggers("account")
    with op.batch_alter_table("package") as batch:
        batch.drop_constraint(op.f("ck_package_charge"), type_="check")
        batch.drop_column("charge")
    with op.batch_alter_table("account") as batch:
        for name in _ACCOUNT_CHECKS:
            batch.drop_constraint(op.f(f"ck_account_{name}"), type_="check")
        for column in reversed(_account_columns()):
            batch.drop_column(column.name)
    _restore([*package_triggers, *account_triggers])
    op.create_table(
        "seller",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_seller_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seller")),
    )
    _give_seller_back()
    op.drop_table("catalog_entry")


def _keep_seller() -> None:
    row = op.get_bind().execute(sa.text("SELECT name, address FROM seller")).first()
    if row is not None:
        seller = _DEFAULTS | {"id": _ONLY_SELLER, "name": row.name, "address": row.address}
        source = json.dumps(seller, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        op.get_bind().execute(sa.insert(_ENTRY).values(kind="seller", id=_ONLY_SELLER, source=source))


def _give_seller_back() -> None:
    sellers = sa.select(_ENTRY.c.source).where(_ENTRY.c.kind == "seller")
    own_first = sellers.order_by(_ENTRY.c.id != _ONLY_SELLER, _ENTRY.c.id)
    source = op.get_bind().execute(own_first).scalar()
    if source is not None:
        seller = {key: json.loads(source)[key] for key in ("name", "address")}
        op.get_bind().execute(sa.text("INSERT INTO seller (id, name, address) VALUES (1, :name, :address)"), seller)


def _account_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("seller", sa.String(), nullable=True),
        sa.Column("tax", sa.String(), nullable=True),
        sa.Column("overdue_policy", sa.String(), nullable=True),
        sa.Column("pay_as_you_go", sa.Boolean(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("mode", sa.String(), nullable=True),
        sa.Column("invoices_from", sa.Date(), nullable=True),
        sa.Column("country", sa.String(), nullable=True),
        sa.Column("tax_id", sa.String(), nullable=True),
        sa.Column("terms_days", sa.Integer(), nullable=True),
    ]


def _extend_account() -> None:
    triggers = _triggers("account")
    with op.batch_alter_table("account", recreate=_recreate()) as batch:
        for column in _account_columns():
            batch.add_column(column)
    account = sa.table("account", *(sa.column(name) for name in _NEEDED))
    op.execute(sa.update(account).values(_NEEDED))
    with op.batch_alter_table("account") as batch:
        for column in _account_columns():
            if column.name in _NEEDED:
                batch.alter_column(column.name, existing_type=column.type, nullable=False)
        for name, check in _ACCOUNT_CHECKS.items():
            batch.create_check_constraint(op.f(f"ck_account_{name}"), check)
    _restore(triggers)


def _extend_package() -> None:
    triggers = _triggers("package")
    with op.batch_alter_table("package", recreate=_recreate()) as batch:
        batch.add_column(sa.Column("charge", sa.String(), nullable=True))
    op.execute("UPDATE package SET charge = 'external'")
    with op.batch_alter_table("package") as batch:
        batch.alter_column("charge", existing_type=sa.String(), nullable=False)
        batch.create_check_constraint(op.f("ck_package_charge"), "charge IN ('invoice', 'prepaid', 'external')")
    _restore(triggers)


def _begin_invoices() -> None:
    conn, second = op.get_bind(), int(now().timestamp())
    for account_id, timezone in conn.execute(sa.select(_ACCOUNT.c.id, _ACCOUNT.c.timezone)).all():
        first = local_day(second, time_zone(timezone)).replace(day=1)
        conn.execute(sa.update(_ACCOUNT).where(_ACCOUNT.c.id == account_id).values(invoices_from=first))


def _recreate() -> str:
    """SQLite would put a column that is only added behind the checks."""
    return "always" if _is_sqlite() else "never"


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _triggers(table: str) -> list[str]:
    """Those of SQLite, which makes the table anew, and loses them."""
    if not _is_sqlite():
        return []
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    return list(op.get_bind().execute(made, {"table": table}).scalars())


def _restore(triggers: list[str]) -> None:
    for trigger in triggers:
        op.execute(trigger)
