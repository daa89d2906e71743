"""The first tables: the catalog, runs, and what a settled day holds."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
    )
    op.create_table(
        "seller",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_seller_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seller")),
    )
    op.create_table(
        "account_terms",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("free_minutes", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("free_minutes >= 0", name=op.f("ck_account_terms_free_minutes")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_terms_account_id")),
        sa.PrimaryKeyConstraint("account_id", "valid_from", name=op.f("pk_account_terms")),
    )
    op.create_table(
        "app",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_app_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app")),
    )
    op.create_index(op.f("ix_app_account_id"), "app", ["account_id"], unique=False)
    op.create_table(
        "contract",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("discount", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_contract_account_id")),
        sa.PrimaryKeyConstraint("account_id", "valid_from", name=op.f("pk_contract")),
    )
    op.create_table(
        "free_grant",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("minutes >= 0", name=op.f("ck_free_grant_minutes")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_free_grant_account_id")),
        sa.PrimaryKeyConstraint("account_id", "month", name=op.f("pk_free_grant")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("engine_version", sa.String(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("policy_hash", sa.String(), nullable=False),
        sa.Column("price_hash", sa.String(), nullable=False),
        sa.Column("ingest_id", sa.BigInteger(), nullable=False),
        sa.Column("log_version", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.CheckConstraint("finished_at_ms >= started_at_ms", name=op.f("ck_run_time")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_run_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "contract_price",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("price", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "valid_from"],
            ["contract.account_id", "contract.valid_from"],
            name=op.f("fk_contract_price_account_id_valid_from"),
        ),
        sa.PrimaryKeyConstraint("account_id", "valid_from", "item", name=op.f("pk_contract_price")),
    )
    op.create_table(
        "package",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=True),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("purchased_at", sa.String(), nullable=False),
        sa.Column("price_scaled", sa.BigInteger(), nullable=True),
        sa.Column("term", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=False),
        sa.CheckConstraint("term IN ('year', 'month')", name=op.f("ck_package_term")),
        sa.CheckConstraint("minutes > 0", name=op.f("ck_package_minutes")),
        sa.CheckConstraint("price_scaled >= 0", name=op.f("ck_package_price")),
        sa.CheckConstraint("valid_from <= valid_to", name=op.f("ck_package_validity")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_package_account_id")),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_package_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package")),
    )
    op.create_index(op.f("ix_package_account_id"), "package", ["account_id"], unique=False)
    op.create_table(
        "settled_day",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("policy_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_settled_day_account_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_settled_day_run_id")),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_settled_day")),
    )
    op.create_index(op.f("ix_settled_day_policy_id"), "settled_day", ["policy_id"], unique=False)
    op.create_table(
        "burn_down",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("payer_id", sa.String(), nullable=False),
        sa.Column("package_units", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("package_units > 0", name=op.f("ck_burn_down_package_units")),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_burn_down_remaining")),
        sa.ForeignKeyConstraint(
            ["account_id", "day"],
            ["settled_day.account_id", "settled_day.day"],
            name=op.f("fk_burn_down_account_id_day"),
        ),
        sa.PrimaryKeyConstraint("account_id", "day", "payer_id", name=op.f("pk_burn_down")),
    )
    op.create_table(
        "carried_state",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "day"],
            ["settled_day.account_id", "settled_day.day"],
            name=op.f("fk_carried_state_account_id_day"),
        ),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_carried_state")),
    )
    op.create_table(
        "charge",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("deducted_minutes", sa.BigInteger(), nullable=False),
        sa.Column("payable_minutes", sa.BigInteger(), nullable=False),
        sa.Column("unit_price_scaled", sa.BigInteger(), nullable=False),
        sa.Column("list_price_scaled", sa.BigInteger(), nullable=True),
        sa.Column("amount_scaled", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind = 'correction' OR (seconds > 0 AND deducted_minutes >= 0 AND payable_minutes >= 0)",
            name=op.f("ck_charge_sign"),
        ),
        sa.CheckConstraint("kind IN ('usage', 'correction')", name=op.f("ck_charge_kind")),
        sa.CheckConstraint("amount_scaled = payable_minutes * unit_price_scaled", name=op.f("ck_charge_amount")),
        sa.CheckConstraint("minutes = deducted_minutes + payable_minutes", name=op.f("ck_charge_minutes")),
        sa.CheckConstraint("unit_price_scaled >= 0", name=op.f("ck_charge_unit_price")),
        sa.ForeignKeyConstraint(
            ["account_id", "day"], ["settled_day.account_id", "settled_day.day"], name=op.f("fk_charge_account_id_day")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_charge_run_id")),
        sa.PrimaryKeyConstraint("account_id", "day", "app_id", "item", "kind", "run_id", name=op.f("pk_charge")),
    )
    op.create_table(
        "deduction",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("payer_id", sa.String(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("package_units", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("minutes > 0", name=op.f("ck_deduction_minutes")),
        sa.CheckConstraint("package_units > 0", name=op.f("ck_deduction_package_units")),
        sa.PrimaryKeyConstraint(
            "account_id", "day", "app_id", "window_start", "item", "payer_id", name=op.f("pk_deduction")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finding",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("room_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "day"], ["settled_day.account_id", "settled_day.day"], name=op.f("fk_finding_account_id_day")
        ),
        sa.PrimaryKeyConstraint("account_id", "day", "id", name=op.f("pk_finding")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lapse",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("payer_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("package_units", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("package_units > 0", name=op.f("ck_lapse_package_units")),
        sa.ForeignKeyConstraint(
            ["account_id", "day"], ["settled_day.account_id", "settled_day.day"], name=op.f("fk_lapse_account_id_day")
        ),
        sa.PrimaryKeyConstraint("account_id", "payer_id", name=op.f("pk_lapse")),
    )
    op.create_table(
        "usage",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seconds > 0", name=op.f("ck_usage_seconds")),
        sa.PrimaryKeyConstraint("account_id", "day", "app_id", "window_start", "item", "reason", name=op.f("pk_usage")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("usage")
    op.drop_table("lapse")
    op.drop_table("finding")
    op.drop_table("deduction")
    op.drop_table("charge")
    op.drop_table("carried_state")
    op.drop_table("burn_down")
    op.drop_index(op.f("ix_settled_day_policy_id"), table_name="settled_day")
    op.drop_table("settled_day")
    op.drop_index(op.f("ix_package_account_id"), table_name="package")
    op.drop_table("package")
    op.drop_table("contract_price")
    op.drop_table("run")
    op.drop_table("free_grant")
    op.drop_table("contract")
    op.drop_index(op.f("ix_app_account_id"), table_name="app")
    op.drop_table("app")
    op.drop_table("account_terms")
    op.drop_table("seller")
    op.drop_table("policy")
    op.drop_table("account")
