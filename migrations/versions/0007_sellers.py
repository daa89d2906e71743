"""Several sellers, taxes, overdue policies, alerts and webhooks; what accounts and packages say about their documents.

Months of accounts that are there already are invoiced from the month of the upgrade on, and their packages are billed
elsewhere.
"""

import json
from datetime import date, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

from billing import periods

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ACCOUNT = {
    "seller": sa.String(),
    "tax": sa.String(),
    "overdue_policy": sa.String(),
    "pay_as_you_go": sa.Boolean(),
    "language": sa.String(),
    "mode": sa.String(),
    "invoices_from": sa.Date(),
    "country": sa.String(),
    "tax_id": sa.String(),
    "terms_days": sa.Integer(),
}
_NEEDED = {"pay_as_you_go": sa.true(), "language": "en", "mode": "invoice"}


def upgrade() -> None:
    op.create_table(
        "catalog_entry",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_catalog_entry")),
    )
    _keep_seller()
    op.drop_table("seller")
    _widen("account", _ACCOUNT)
    accounts = sa.table("account", sa.column("id"), *(sa.column(name, kind) for name, kind in _ACCOUNT.items()))
    op.execute(sa.update(accounts).values(**_NEEDED))
    for account_id, timezone in op.get_bind().execute(sa.text("SELECT id, timezone FROM account")).all():
        month = sa.update(accounts).where(accounts.c.id == account_id).values(invoices_from=_this_month(timezone))
        op.execute(month)
    _widen("package", {"charge": sa.String()})
    op.execute("UPDATE package SET charge = 'external'")
    _require("account", {name: _ACCOUNT[name] for name in _NEEDED})
    _require("package", {"charge": sa.String()})


def downgrade() -> None:
    op.create_table(
        "seller",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_seller_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seller")),
    )
    sources = op.get_bind().execute(sa.text("SELECT source FROM catalog_entry WHERE kind = 'seller' ORDER BY id"))
    for source in list(sources.scalars())[:1]:
        seller = json.loads(source)
        row = {"n": seller["name"], "a": seller["address"]}
        op.get_bind().execute(sa.text("INSERT INTO seller (id, name, address) VALUES (1, :n, :a)"), row)
    op.drop_table("catalog_entry")
    for table, columns in (("account", _ACCOUNT), ("package", {"charge": None})):
        for column in columns:
            op.drop_column(table, column)


def _keep_seller() -> None:
    """The one seller has the id `seller` from here on."""
    for name, address in op.get_bind().execute(sa.text("SELECT name, address FROM seller")).all():
        source = json.dumps({"id": "seller", "name": name, "address": address}, sort_keys=True, separators=(",", ":"))
        row = {"source": source}
        op.get_bind().execute(
            sa.text("INSERT INTO catalog_entry (kind, id, source) VALUES ('seller', 'seller', :source)"), row
        )


def _this_month(timezone: str) -> date:
    return datetime.fromtimestamp(periods.now().timestamp(), ZoneInfo(timezone)).date().replace(day=1)


def _widen(table: str, columns: dict[str, sa.types.TypeEngine]) -> None:
    """New columns stand before the keys of the table, which SQLite makes anew."""
    with _batch(table) as batch:
        for name, kind in columns.items():
            batch.add_column(sa.Column(name, kind, nullable=True))


def _require(table: str, columns: dict[str, sa.types.TypeEngine]) -> None:
    with _batch(table) as batch:
        for name, kind in columns.items():
            batch.alter_column(name, existing_type=kind, nullable=False)


class _batch:  # noqa: N801 - used as a function
    """A change of a table that keeps its triggers."""

    def __init__(self, table: str) -> None:
        self.is_sqlite = op.get_bind().dialect.name == "sqlite"
        self.triggers: list[str] = []
        if self.is_sqlite:
            made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
            self.triggers = list(op.get_bind().execute(made, {"table": table}).scalars())
        self.change = op.batch_alter_table(table, recreate="always" if self.is_sqlite else "never")

    def __enter__(self):
        return self.change.__enter__()

    def __exit__(self, *error: object) -> None:
        self.change.__exit__(*error)
        for trigger in self.triggers:
            op.execute(trigger)
