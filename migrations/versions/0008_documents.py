"""Documents, and money that is owed: invoices and credit notes with their numbers, payments, the ledger of transfers,
arrears, alerts, and the messages to the outside. Nothing that was billed changes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# In the order in which they refer to each other.
_TABLES = (
    "number_series",
    "document",
    "payment",
    "document_charge",
    "document_package",
    "closed_month",
    "annex_column",
    "document_file",
    "unmatched_payment",
    "package_refund",
    "write_off",
    "transfer",
    "arrears_event",
    "app_switch",
    "account_hold",
    "alert_event",
    "outbox",
    "delivery",
)


def upgrade() -> None:
    op.create_table(
        "number_series",
        sa.Column("seller_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seller_id", "kind", "period", name=op.f("pk_number_series")),
        sa.CheckConstraint("last > 0", name=op.f("ck_number_series_last")),
    )
    op.create_table(
        "document",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("seller_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("net_scaled", sa.BigInteger(), nullable=False),
        sa.Column("tax_scaled", sa.BigInteger(), nullable=False),
        sa.Column("total_scaled", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.String(), nullable=True),
        sa.Column("replaces", sa.String(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("catalog_change", sa.BigInteger(), nullable=False),
        sa.Column("refund_id", sa.BigInteger(), nullable=False),
        sa.Column("snapshot", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("number", name=op.f("uq_document_number")),
        sa.UniqueConstraint(
            "seller_id", "kind", "period", "sequence", name=op.f("uq_document_seller_id_kind_period_sequence")
        ),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name=op.f("ck_document_kind")),
        sa.CheckConstraint(
            "purpose IN ('usage', 'package', 'credit', 'reissue', 'refund')", name=op.f("ck_document_purpose")
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_document_sequence")),
        sa.CheckConstraint("total_scaled >= 0", name=op.f("ck_document_total")),
        sa.CheckConstraint("net_scaled + tax_scaled = total_scaled", name=op.f("ck_document_sum")),
        sa.CheckConstraint("(kind = 'invoice') = (due_on IS NOT NULL)", name=op.f("ck_document_due")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_document_account_id")),
    )
    op.create_index(op.f("ix_document_account_id"), "document", ["account_id"])
    op.create_table(
        "payment",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("amount_scaled", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("key", name=op.f("uq_payment_key")),
        sa.CheckConstraint("amount_scaled > 0", name=op.f("ck_payment_amount")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_payment_account_id")),
    )
    op.create_index(op.f("ix_payment_account_id"), "payment", ["account_id"])
    op.create_table(
        "document_charge",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("document_id", _SERIAL, nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "day", "app_id", "item", "kind", "run_id", "generation", name=op.f("pk_document_charge")
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "day", "app_id", "item", "kind", "run_id"],
            ["charge.account_id", "charge.day", "charge.app_id", "charge.item", "charge.kind", "charge.run_id"],
            name=op.f("fk_document_charge_charge"),
        ),
        sa.CheckConstraint("generation > 0", name=op.f("ck_document_charge_generation")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_charge_document_id")),
    )
    op.create_index(op.f("ix_document_charge_document_id"), "document_charge", ["document_id"])
    op.create_table(
        "document_package",
        sa.Column("package_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("document_id", _SERIAL, nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("package_id", "kind", "generation", name=op.f("pk_document_package")),
        sa.CheckConstraint("kind IN ('package', 'refund')", name=op.f("ck_document_package_kind")),
        sa.CheckConstraint("generation > 0", name=op.f("ck_document_package_generation")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_package_document_id")),
    )
    op.create_index(op.f("ix_document_package_document_id"), "document_package", ["document_id"])
    op.create_table(
        "closed_month",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("document_id", _SERIAL, nullable=True),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "month", name=op.f("pk_closed_month")),
        sa.CheckConstraint("result IN ('invoice', 'credit_note', 'nothing_due')", name=op.f("ck_closed_month_result")),
        sa.CheckConstraint("(result = 'nothing_due') = (document_id IS NULL)", name=op.f("ck_closed_month_document")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_closed_month_account_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_closed_month_document_id")),
    )
    op.create_table(
        "annex_column",
        sa.Column("document_id", _SERIAL, nullable=False),
        sa.Column("sheet", sa.String(), nullable=False),
        sa.Column("header", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "sheet", "header", name=op.f("pk_annex_column")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_annex_column_document_id")),
    )
    op.create_table(
        "document_file",
        sa.Column("document_id", _SERIAL, nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "format", name=op.f("pk_document_file")),
        sa.CheckConstraint("format IN ('pdf', 'xml', 'logo')", name=op.f("ck_document_file_format")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_file_document_id")),
    )
    op.create_table(
        "unmatched_payment",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("received_on", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("raw", sa.String(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unmatched_payment")),
    )
    op.create_table(
        "package_refund",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("package_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("unit_price_scaled", sa.BigInteger(), nullable=False),
        sa.Column("amount_scaled", sa.BigInteger(), nullable=False),
        sa.Column("tax_scaled", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package_refund")),
        sa.UniqueConstraint("package_id", name=op.f("uq_package_refund_package_id")),
        sa.CheckConstraint("used >= 0", name=op.f("ck_package_refund_used")),
        sa.CheckConstraint("refunded >= 0", name=op.f("ck_package_refund_refunded")),
        sa.CheckConstraint("amount_scaled >= 0", name=op.f("ck_package_refund_amount")),
        sa.ForeignKeyConstraint(["package_id"], ["package.id"], name=op.f("fk_package_refund_package_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_package_refund_account_id")),
    )
    op.create_index(op.f("ix_package_refund_account_id"), "package_refund", ["account_id"])
    op.create_table(
        "write_off",
        sa.Column("document_id", _SERIAL, nullable=False),
        sa.Column("amount_scaled", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_write_off")),
        sa.CheckConstraint("amount_scaled > 0", name=op.f("ck_write_off_amount")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_write_off_document_id")),
    )
    op.create_table(
        "transfer",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("debit", sa.String(), nullable=False),
        sa.Column("credit", sa.String(), nullable=False),
        sa.Column("amount_scaled", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("document_id", _SERIAL, nullable=True),
        sa.Column("receivable_id", _SERIAL, nullable=True),
        sa.Column("payment_id", _SERIAL, nullable=True),
        sa.Column("package_id", sa.String(), nullable=True),
        sa.Column("posted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfer_sides")),
        sa.CheckConstraint("amount_scaled > 0", name=op.f("ck_transfer_amount")),
        sa.CheckConstraint(
            "('receivable' IN (debit, credit)) = (receivable_id IS NOT NULL)", name=op.f("ck_transfer_receivable")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_transfer_account_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_transfer_document_id")),
        sa.ForeignKeyConstraint(["receivable_id"], ["document.id"], name=op.f("fk_transfer_receivable_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_transfer_payment_id")),
        sa.ForeignKeyConstraint(["package_id"], ["package.id"], name=op.f("fk_transfer_package_id")),
    )
    op.create_index(op.f("ix_transfer_account_id_cause"), "transfer", ["account_id", "cause"])
    op.create_index(op.f("ix_transfer_document_id"), "transfer", ["document_id"])
    op.create_index(op.f("ix_transfer_receivable_id"), "transfer", ["receivable_id"])
    op.create_table(
        "arrears_event",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("balance_scaled", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrears_event")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_arrears_event_account_id")),
    )
    op.create_index(op.f("ix_arrears_event_account_id"), "arrears_event", ["account_id"])
    op.create_table(
        "app_switch",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("is_enabled", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_switch")),
        sa.CheckConstraint("is_enabled IN (0, 1)", name=op.f("ck_app_switch_is_enabled")),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_app_switch_app_id")),
    )
    op.create_index(op.f("ix_app_switch_app_id"), "app_switch", ["app_id"])
    op.create_table(
        "account_hold",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_hold")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_hold_account_id")),
    )
    op.create_index(op.f("ix_account_hold_account_id"), "account_hold", ["account_id"])
    op.create_table(
        "alert_event",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("threshold", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_event")),
        sa.CheckConstraint("event IN ('fired', 'armed')", name=op.f("ck_alert_event_event")),
    )
    op.create_index(op.f("ix_alert_event_alert_id_threshold"), "alert_event", ["alert_id", "threshold"])
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_outbox_account_id")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("outbox_id", _SERIAL, nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("catalog_change", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("attempted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.CheckConstraint(
            "result IN ('delivered', 'failed', 'gone', 'given_up', 'replayed')", name=op.f("ck_delivery_result")
        ),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_delivery_outbox_id")),
    )
    op.create_index(op.f("ix_delivery_outbox_id"), "delivery", ["outbox_id"])
    _refuse_changes()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _refuse_changes() -> None:
    """Rows that are written once refuse UPDATE and DELETE, whoever asks."""
    for table in _TABLES:
        if table == "number_series":
            continue
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT"
                f" RAISE(ABORT, '{table} is written once: what is issued never changes, write a credit note'); END"
            )
