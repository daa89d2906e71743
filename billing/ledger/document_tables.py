"""The tables of documents and of the money that is owed, beside those of `tables`.

All of them are written once but `number_series`, which holds the last number given. Amounts are whole numbers of 10^-8
of the currency unit; those of a credit note are positive. `generation` counts how often a charge or package was put on
a document: a further one needs the reissue of the one before.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from billing.ledger.tables import metadata

_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _serial() -> Column[int]:
    return Column("id", _SERIAL, primary_key=True)


# The last number of a seller's series of one kind of document, in a year ("" where numbers are never reset).
number_series = Table(
    "number_series",
    metadata,
    Column("seller_id", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("period", String, primary_key=True),
    Column("last", BigInteger, nullable=False),
    CheckConstraint("last > 0", name="last"),
)

# An invoice or credit note. `snapshot` is its canonical JSON, `hash` covers it and the hash of the series' document
# before. `run_id`, `catalog_change` and `refund_id` are the last run, catalog change and refund that it knows of.
document = Table(
    "document",
    metadata,
    _serial(),
    Column("number", String, nullable=False),
    Column("seller_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("period", String, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("purpose", String, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("month", Date),
    Column("issued_on", Date, nullable=False),
    Column("due_on", Date),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("net_scaled", BigInteger, nullable=False),
    Column("tax_scaled", BigInteger, nullable=False),
    Column("total_scaled", BigInteger, nullable=False),
    Column("credits", String),
    Column("replaces", String),
    Column("run_id", BigInteger, nullable=False),
    Column("catalog_change", BigInteger, nullable=False),
    Column("refund_id", BigInteger, nullable=False),
    Column("snapshot", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("number"),
    UniqueConstraint("seller_id", "kind", "period", "sequence"),
    CheckConstraint("kind IN ('invoice', 'credit_note')", name="kind"),
    CheckConstraint("purpose IN ('usage', 'package', 'credit', 'reissue', 'refund')", name="purpose"),
    CheckConstraint("sequence > 0", name="sequence"),
    CheckConstraint("total_scaled >= 0", name="total"),
    CheckConstraint("net_scaled + tax_scaled = total_scaled", name="sum"),
    CheckConstraint("(kind = 'invoice') = (due_on IS NOT NULL)", name="due"),
)

# Which charges a document bills, and on which of its lines.
document_charge = Table(
    "document_charge",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("app_id", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("slab", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("run_id", BigInteger, primary_key=True),
    Column("generation", BigInteger, primary_key=True),
    Column("document_id", ForeignKey("document.id"), nullable=False, index=True),
    Column("line", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["account_id", "day", "app_id", "item", "slab", "kind", "run_id"],
        [f"charge.{name}" for name in ("account_id", "day", "app_id", "item", "slab", "kind", "run_id")],
        name="fk_document_charge_charge",
    ),
    CheckConstraint("generation > 0", name="generation"),
)

# Which packages, and refunds of packages that were billed elsewhere, a document bills.
document_package = Table(
    "document_package",
    metadata,
    Column("package_id", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("generation", BigInteger, primary_key=True),
    Column("document_id", ForeignKey("document.id"), nullable=False, index=True),
    Column("line", BigInteger, nullable=False),
    CheckConstraint("kind IN ('package', 'refund')", name="kind"),
    CheckConstraint("generation > 0", name="generation"),
)

# The months of an account that are closed, in their order; a month whose total is zero has no document.
closed_month = Table(
    "closed_month",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("month", Date, primary_key=True),
    Column("result", String, nullable=False),
    Column("document_id", ForeignKey("document.id")),
    Column("closed_at_ms", BigInteger, nullable=False),
    CheckConstraint("result IN ('invoice', 'credit_note', 'nothing_due')", name="result"),
    CheckConstraint("(result = 'nothing_due') = (document_id IS NULL)", name="document"),
)

# The SHA-256 of each column of a document's annex, by sheet.
annex_column = Table(
    "annex_column",
    metadata,
    Column("document_id", ForeignKey("document.id"), primary_key=True),
    Column("sheet", String, primary_key=True),
    Column("header", String, primary_key=True),
    Column("hash", String, nullable=False),
)

# The PDF and the XML of a document, and its logo, as they were made first.
document_file = Table(
    "document_file",
    metadata,
    Column("document_id", ForeignKey("document.id"), primary_key=True),
    Column("format", String, primary_key=True),
    Column("hash", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
    CheckConstraint("format IN ('pdf', 'xml', 'logo')", name="format"),
)

# Money received; `key` is the bank's id of it.
payment = Table(
    "payment",
    metadata,
    _serial(),
    Column("key", String, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("amount_scaled", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("reference", String, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    UniqueConstraint("key"),
    CheckConstraint("amount_scaled > 0", name="amount"),
)

# Lines of a bank's file that name no account; they leave the list when a payment with their key is recorded.
unmatched_payment = Table(
    "unmatched_payment",
    metadata,
    Column("key", String, primary_key=True),
    Column("file", String, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("amount", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("received_on", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("raw", String, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
)

# What a package gave back: `refunded` package minutes for `amount` (net). `number`: the credit note, if there is one at
# once; a package that was billed elsewhere is refunded on the next invoice.
package_refund = Table(
    "package_refund",
    metadata,
    _serial(),
    Column("package_id", ForeignKey("package.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("as_of", Date, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("unit_price_scaled", BigInteger, nullable=False),
    Column("amount_scaled", BigInteger, nullable=False),
    Column("tax_scaled", BigInteger, nullable=False),
    Column("number", String),
    Column("recorded_at_ms", BigInteger, nullable=False),
    UniqueConstraint("package_id"),
    CheckConstraint("used >= 0", name="used"),
    CheckConstraint("refunded >= 0", name="refunded"),
    CheckConstraint("amount_scaled >= 0", name="amount"),
)

write_off = Table(
    "write_off",
    metadata,
    Column("document_id", ForeignKey("document.id"), primary_key=True),
    Column("amount_scaled", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    CheckConstraint("amount_scaled > 0", name="amount"),
)

# The ledger of money: every row moves an amount from the credited to the debited account of the books. `document_id` is
# the document that caused it, `receivable_id` the invoice whose receivable it changes.
transfer = Table(
    "transfer",
    metadata,
    _serial(),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("currency", String, nullable=False),
    Column("debit", String, nullable=False),
    Column("credit", String, nullable=False),
    Column("amount_scaled", BigInteger, nullable=False),
    Column("cause", String, nullable=False),
    Column("document_id", ForeignKey("document.id"), index=True),
    Column("receivable_id", ForeignKey("document.id"), index=True),
    Column("payment_id", ForeignKey("payment.id")),
    Column("package_id", ForeignKey("package.id")),
    Column("posted_on", Date, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    CheckConstraint("debit <> credit", name="sides"),
    CheckConstraint("amount_scaled > 0", name="amount"),
    CheckConstraint("('receivable' IN (debit, credit)) = (receivable_id IS NOT NULL)", name="receivable"),
    Index(None, "account_id", "cause"),
)

# What began or ended in an account's arrears: `began`, `cleared`, or a step of its policy that was recorded.
arrears_event = Table(
    "arrears_event",
    metadata,
    _serial(),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("event", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("balance_scaled", BigInteger, nullable=False),
)

# An app disabled or enabled by hand, and accounts whose arrears have no consequence until the end of a day.
app_switch = Table(
    "app_switch",
    metadata,
    _serial(),
    Column("app_id", ForeignKey("app.id"), nullable=False, index=True),
    Column("is_enabled", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("is_enabled IN (0, 1)", name="is_enabled"),
)

account_hold = Table(
    "account_hold",
    metadata,
    _serial(),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("until", Date, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# An alert that fired for a threshold (an amount) in a period, or was armed again. `subject` is what the alert watched.
alert_event = Table(
    "alert_event",
    metadata,
    _serial(),
    Column("alert_id", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("threshold", String, nullable=False),
    Column("period", String, nullable=False),
    Column("event", String, nullable=False),
    Column("value", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("event IN ('fired', 'armed')", name="event"),
    Index(None, "alert_id", "threshold"),
)

# Messages to the outside, each written with its cause, and every attempt to deliver one to an address. `given_up` is
# the last attempt that failed, or says without a status that the time for attempts had passed. `catalog_change` is the
# last change of the catalog that the attempt knew: one after it may bring back a webhook that was gone.
outbox = Table(
    "outbox",
    metadata,
    _serial(),
    Column("message_id", String, nullable=False),
    Column("event", String, nullable=False),
    Column("account_id", ForeignKey("account.id")),
    Column("payload", String, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("message_id"),
)

delivery = Table(
    "delivery",
    metadata,
    _serial(),
    Column("outbox_id", ForeignKey("outbox.id"), nullable=False, index=True),
    Column("webhook_id", String, nullable=False),
    Column("catalog_change", BigInteger, nullable=False),
    Column("result", String, nullable=False),
    Column("status", BigInteger),
    Column("detail", String, nullable=False),
    Column("attempted_at_ms", BigInteger, nullable=False),
    CheckConstraint("result IN ('delivered', 'failed', 'gone', 'given_up', 'replayed')", name="result"),
)

# The tables whose rows are written once.
WRITTEN_ONCE = (
    *(document, document_charge, document_package, closed_month, annex_column, document_file),
    *(payment, unmatched_payment, package_refund, write_off, transfer),
    *(arrears_event, app_switch, account_hold, alert_event, outbox, delivery),
)
