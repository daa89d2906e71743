"""The tables of the SQL database: the catalog, and everything about money.

- Money is a whole number of 10^-8 of the currency unit (`*_scaled`); what a contract says is kept as its exact decimal
  text. No column is a float.
- A day is the account's local day; `at` and `*_at_ms` are epoch milliseconds (UTC), `window_start` is epoch seconds.
- `settled_day` is the guard against billing twice: one row for each account and day, written in the transaction that
  writes everything else of the day.
- A billed row is written once and never changed. A correction is a further `charge` row with another run.
- `burn_down` holds the sum of a day's deductions by payer, so that a balance costs one row for each day, not one for
  each window. A payer is a package, or the free minutes of a month (`free-2026-03`).
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
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

# The one row of `seller`.
SELLER_ID = 1
# SQLite numbers rows by itself only for the type INTEGER, which has 64 bits there.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _day_key() -> list[Column[object]]:
    """The account and day that a row was billed with."""
    return [Column("account_id", String, primary_key=True), Column("day", Date, primary_key=True)]


def _settled() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account_id", "day"], ["settled_day.account_id", "settled_day.day"])


seller = Table(
    "seller",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("address", String),
    CheckConstraint(f"id = {SELLER_ID}", name="one_row"),
)

policy = Table(
    "policy",
    metadata,
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False),
    Column("source", String, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("address", String),
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

app = Table(
    "app",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("name", String, nullable=False),
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

# One run of a command over one account and day, written once, at its end. `ingest_id` is the cut-off: the run read no
# later ingest. `counts` is a JSON object.
run = Table(
    "run",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("command", String, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("engine_version", String, nullable=False),
    Column("policy_id", String, nullable=False),
    Column("policy_hash", String, nullable=False),
    Column("price_hash", String, nullable=False),
    Column("ingest_id", BigInteger, nullable=False),
    Column("log_version", BigInteger),
    Column("counts", String, nullable=False),
    Column("result", String, nullable=False),
    Column("detail", String, nullable=False),
    CheckConstraint("finished_at_ms >= started_at_ms", name="time"),
)

settled_day = Table(
    "settled_day",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("policy_id", String, nullable=False, index=True),
    Column("policy_hash", String, nullable=False),
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
    Column("package_units", BigInteger, nullable=False),
    CheckConstraint("minutes > 0", name="minutes"),
    CheckConstraint("package_units > 0", name="package_units"),
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

charge = Table(
    "charge",
    metadata,
    *_day_key(),
    Column("app_id", BigInteger, primary_key=True),
    Column("item", String, primary_key=True),
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
    CheckConstraint("kind IN ('usage', 'correction')", name="kind"),
    CheckConstraint(
        "kind = 'correction' OR (seconds > 0 AND deducted_minutes >= 0 AND payable_minutes >= 0)", name="sign"
    ),
    CheckConstraint("minutes = deducted_minutes + payable_minutes", name="minutes"),
    CheckConstraint("amount_scaled = payable_minutes * unit_price_scaled", name="amount"),
    CheckConstraint("unit_price_scaled >= 0", name="unit_price"),
    _settled(),
)

burn_down = Table(
    "burn_down",
    metadata,
    *_day_key(),
    Column("payer_id", String, primary_key=True),
    Column("package_units", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    CheckConstraint("package_units > 0", name="package_units"),
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
    CheckConstraint("minutes >= 0", name="minutes"),
)

# What a payer had left at the end of its last valid day.
lapse = Table(
    "lapse",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("payer_id", String, primary_key=True),
    Column("day", Date, nullable=False),
    Column("package_units", BigInteger, nullable=False),
    CheckConstraint("package_units > 0", name="package_units"),
    _settled(),
)

# The open stays at the end of a day, as an Arrow IPC file.
carried_state = Table(
    "carried_state",
    metadata,
    *_day_key(),
    Column("frame", LargeBinary, nullable=False),
    _settled(),
)
