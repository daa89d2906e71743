"""The tables of the SQL database: the catalog, and everything about money.

- Money is a whole number of 10^-8 of the currency unit (`*_scaled`); what a contract says is kept as its exact decimal
  text. No column is a float.
- A day is the account's local day; `at` and `*_at_ms` are epoch milliseconds (UTC), `window_start` is epoch seconds.
- `settled_day` is the guard against billing twice: one row for each account and day, written in the transaction that
  writes everything else of the day.
- A settled row is written once and never changed (`SETTLED`: triggers refuse it). What a later run finds different is
  posted as further rows: signed, with that run's id, in the books of the day `posted_on`. The sum of both is what is
  known now; the rows of the runs up to a number are what was known then.
- Constraints keep the names that they were made with.
- `burn_down` holds the sum of a day's deductions by payer, so that a balance costs one row for each day, not one for
  each window. A payer is a package, or the free minutes of a month (`free-2026-03`).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# The kinds of entries that are kept as they are written, in `catalog_entry`.
ENTRY_KINDS = ("seller", "tax", "overdue_policy", "alert", "webhook")
# SQLite numbers rows by itself only for the type INTEGER, which has 64 bits there.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _day_key() -> list[Column[object]]:
    """The account and day that a row was billed with."""
    return [Column("account_id", String, primary_key=True), Column("day", Date, primary_key=True)]


def _settled() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account_id", "day"], ["settled_day.account_id", "settled_day.day"])


# Sellers, taxes, overdue policies, alerts and webhooks: `source` is the entry in its canonical form.
catalog_entry = Table(
    "catalog_entry",
    metadata,
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("source", String, nullable=False),
    CheckConstraint(f"kind IN ({', '.join(repr(kind) for kind in ENTRY_KINDS)})", name="kind"),
)

policy = Table(
    "policy",
    metadata,
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False),
    Column("source", String, nullable=False),
)

# `seller`, `tax` and `overdue_policy` are ids; an overdue policy may be built in, so they refer to no table.
account = Table(
    "account",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("address", String),
    Column("hold_if_silent", String),
    Column("seller", String),
    Column("tax", String),
    Column("overdue_policy", String),
    Column("pay_as_you_go", Boolean, nullable=False, default=True),
    Column("language", String, nullable=False, default="en"),
    Column("mode", String, nullable=False, default="invoice"),
    Column("invoices_from", Date),
    Column("country", String),
    Column("tax_id", String),
    Column("terms_days", Integer),
    CheckConstraint("language IN ('en', 'ja', 'zh')", name="language"),
    CheckConstraint("mode IN ('invoice', 'prepaid')", name="mode"),
    CheckConstraint("terms_days >= 0", name="terms_days"),
)

# Which policy and how many free minutes a month hold from `valid_from` on; the first row of an account holds from
# year 1. `policy_id` may be built in, so it refers to no table.
account_terms = Table(
    "account_terms",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("policy_id", String, nullable=False),
    Column("free_minutes", BigInteger),
    CheckConstraint("free_minutes >= 0", name="free_minutes"),
)

# `feed` is a JSON array, `assume` a JSON object, as a catalog file has them.
app = Table(
    "app",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("feed", String),
    Column("assume", String),
)

package = Table(
    "package",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("app_id", ForeignKey("app.id")),
    Column("minutes", BigInteger, nullable=False),
    Column("purchased_at", String, nullable=False),
    Column("price_scaled", BigInteger),
    Column("term", String, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, nullable=False),
    Column("charge", String, nullable=False),
    CheckConstraint("charge IN ('invoice', 'prepaid', 'external')", name="charge"),
    CheckConstraint("minutes > 0", name="minutes"),
    CheckConstraint("price_scaled >= 0", name="price"),
    CheckConstraint("term IN ('year', 'month')", name="term"),
    CheckConstraint("valid_from <= valid_to", name="validity"),
)

contract = Table(
    "contract",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("discount", String),
)

# Per 1,000 minutes.
contract_price = Table(
    "contract_price",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("item", String, primary_key=True),
    Column("price", String, nullable=False),
    ForeignKeyConstraint(["account_id", "valid_from"], ["contract.account_id", "contract.valid_from"]),
)

# One run of a command, written once, at its end: over an account and day, or (`refresh`) over all accounts. `ingest_id`
# is the cut-off: the run read no later ingest, and `ingest_commit` identifies its commit in the event log. A run that
# corrects went again through the days from `from_day` on, for the reason `cause`, and posted what was different on
# `day`. `counts` is a JSON object.
run = Table(
    "run",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("command", String, nullable=False),
    Column("account_id", ForeignKey("account.id"), index=True),
    Column("day", Date),
    Column("from_day", Date),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("engine_version", String, nullable=False),
    Column("policy_id", String),
    Column("policy_hash", String),
    Column("price_hash", String),
    Column("ingest_id", BigInteger, nullable=False),
    Column("log_version", BigInteger),
    Column("counts", String, nullable=False),
    Column("result", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("cause", String),
    Column("ingest_commit", String),
    CheckConstraint("finished_at_ms >= started_at_ms", name="time"),
    CheckConstraint("result IN ('billed', 'corrected', 'refreshed', 'failed')", name="result"),
    CheckConstraint("result = 'refreshed' OR (account_id IS NOT NULL AND day IS NOT NULL)", name="day"),
    CheckConstraint("result <> 'corrected' OR (from_day <= day AND cause IS NOT NULL)", name="correction"),
)

# A settled day keeps its bounds (epoch seconds, `[starts_at, ends_at)`), whatever a newer time-zone database says.
settled_day = Table(
    "settled_day",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("policy_id", String, nullable=False, index=True),
    Column("policy_hash", String, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    CheckConstraint("starts_at <= ends_at", name="bounds"),
)

# Usage, deductions and findings are stored in the order of their key (SQLite would keep a second copy of each key
# otherwise). The first two, up to millions of rows a day, do not refer to `settled_day`: PostgreSQL looks such a
# reference up row by row, and settling a day would take two to three times as long.
usage = Table(
    "usage",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    CheckConstraint("seconds > 0", name="seconds"),
    sqlite_with_rowid=False,
)

deduction = Table(
    "deduction",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("payer_id", String, primary_key=True),
    Column("minutes", BigInteger, nullable=False),
    Column("package_minutes", BigInteger, nullable=False),
    CheckConstraint("minutes * package_minutes > 0", name="sign"),
    sqlite_with_rowid=False,
)

finding = Table(
    "finding",
    metadata,
    *_day_key(),
    Column("id", BigInteger, primary_key=True),
    Column("app_id", BigInteger, nullable=False),
    Column("room_id", String, nullable=False),
    Column("user_id", String),
    Column("at", BigInteger, nullable=False),
    Column("finding", String, nullable=False),
    Column("detail", String, nullable=False),
    _settled(),
    sqlite_with_rowid=False,
)

# What corrections posted: signed differences to the three tables above, in the same terms.
usage_correction = Table(
    "usage_correction",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    CheckConstraint("seconds <> 0", name="seconds"),
    sqlite_with_rowid=False,
)

deduction_correction = Table(
    "deduction_correction",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("payer_id", String, primary_key=True),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("minutes", BigInteger, nullable=False),
    Column("package_minutes", BigInteger, nullable=False),
    CheckConstraint("minutes * package_minutes > 0", name="sign"),
    sqlite_with_rowid=False,
)

# `count` is 1 for a finding that came, -1 for one that went (or more of the same).
finding_correction = Table(
    "finding_correction",
    metadata,
    *_day_key(),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("id", BigInteger, primary_key=True),
    Column("app_id", BigInteger, nullable=False),
    Column("room_id", String, nullable=False),
    Column("user_id", String),
    Column("at", BigInteger, nullable=False),
    Column("finding", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("count", BigInteger, nullable=False),
    CheckConstraint("count <> 0", name="count"),
    sqlite_with_rowid=False,
)

# `app_id` 0: all apps together. `slab`: the part of a graduated price, from 0. Under a policy that counts over the
# month a day may take back minutes that an earlier one charged at another price: minutes and money may be below zero.
charge = Table(
    "charge",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
    Column("slab", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("deducted_minutes", BigInteger, nullable=False),
    Column("payable_minutes", BigInteger, nullable=False),
    Column("unit_price_scaled", BigInteger, nullable=False),
    Column("list_price_scaled", BigInteger),
    Column("amount_scaled", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("corrects_run_id", ForeignKey("run.id")),
    Column("posted_on", Date, nullable=False),
    Column("cause", String),
    CheckConstraint("kind IN ('usage', 'correction')", name="kind"),
    CheckConstraint("kind = 'correction' OR seconds >= 0", name="sign"),
    CheckConstraint("minutes = deducted_minutes + payable_minutes", name="minutes"),
    CheckConstraint("amount_scaled = payable_minutes * unit_price_scaled", name="amount"),
    CheckConstraint("unit_price_scaled >= 0", name="unit_price"),
    CheckConstraint("(kind = 'correction') = (cause IS NOT NULL)", name="cause"),
    CheckConstraint("posted_on >= day", name="posted_on"),
    CheckConstraint("kind = 'correction' OR posted_on = day", name="original"),
    _settled(),
    Index(None, "account_id", "posted_on"),
)

# `kind` is that of the charges: a correction's units are signed, and its `remaining` is what is left as now known.
burn_down = Table(
    "burn_down",
    metadata,
    *_day_key(),
    Column("payer_id", String, primary_key=True),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("kind", String, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("package_minutes", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    CheckConstraint("kind IN ('usage', 'correction')", name="package_units"),
    CheckConstraint("package_minutes <> 0", name="not_zero"),
    CheckConstraint("remaining >= 0", name="remaining"),
    _settled(),
)

# A month's free minutes, given with its first settled day.
free_grant = Table(
    "free_grant",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("month", Date, primary_key=True),
    Column("minutes", BigInteger, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("posted_on", Date, nullable=False),
    CheckConstraint("minutes >= 0", name="minutes"),
)

# What a payer had left at the end of its last valid day, and what corrections add to that or take away.
lapse = Table(
    "lapse",
    metadata,
    *_day_key(),
    Column("payer_id", String, primary_key=True),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("kind", String, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("package_minutes", BigInteger, nullable=False),
    CheckConstraint("kind = 'correction' OR (kind = 'usage' AND package_minutes > 0)", name="package_units"),
    CheckConstraint("package_minutes <> 0", name="not_zero"),
    _settled(),
)

# The open stays at the end of a day, as an Arrow IPC file; a further row when a correction changed them.
carried_state = Table(
    "carried_state",
    metadata,
    *_day_key(),
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("frame", LargeBinary, nullable=False),
    _settled(),
)

# The policies that days were billed with, whatever a later version of the program ships.
used_policy = Table(
    "used_policy",
    metadata,
    Column("hash", String, primary_key=True),
    Column("source", String, nullable=False),
)

# Every change of the catalog in its canonical form (`billing.catalog.canonical`): those up to a moment, in this order,
# are the catalog of that moment.
catalog_change = Table(
    "catalog_change",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("applied_at_ms", BigInteger, nullable=False),
    Column("source", String, nullable=False),
)

# An unsettled day as the last refresh left it: its seconds up to `cut_at` (epoch second), from events of the ingests up
# to `ingest_id`, and the stays that were open then. `basis` is a hash of what the day began with. Replaced by each
# refresh, and gone when the day is settled.
provisional_day = Table(
    "provisional_day",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("cut_at", BigInteger, nullable=False),
    Column("ingest_id", BigInteger, nullable=False),
    Column("basis", String, nullable=False),
    Column("usage", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("refreshed_at_ms", BigInteger, nullable=False),
)

# The tables whose rows are written once.
SETTLED = (
    run,
    settled_day,
    usage,
    deduction,
    finding,
    usage_correction,
    deduction_correction,
    finding_correction,
    charge,
    burn_down,
    free_grant,
    lapse,
    carried_state,
    used_policy,
    catalog_change,
)
