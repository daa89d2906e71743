"""The tables of proofs, beside those of `tables`: the seals of settled days, and findings that somebody has answered
for before a month was closed. Both are written once."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
)

from billing.ledger.tables import metadata

# `number` counts the seals of an account from 1; `head` covers all of them up to this one. `catalog_change` is the last
# change of the catalog that the run knew. Hashes are hex.
day_seal = Table(
    "day_seal",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Date, nullable=False),
    Column("kind", String, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("catalog_change", BigInteger, nullable=False),
    Column("rooms", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("events_root", String, nullable=False),
    Column("root", String, nullable=False),
    Column("head", String, nullable=False),
    ForeignKeyConstraint(["account_id", "day"], ["settled_day.account_id", "settled_day.day"]),
    CheckConstraint("kind IN ('usage', 'correction')", name="kind"),
    CheckConstraint("number > 0", name="number"),
)

# A finding of `billing check` (`finding`, its id) that somebody has looked at.
check_answer = Table(
    "check_answer",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("finding", String, nullable=False, index=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("month", Date, nullable=False),
    Column("answered_by", String, nullable=False),
    Column("note", String, nullable=False),
    Column("answered_at_ms", BigInteger, nullable=False),
)

# The tables whose rows are written once.
PROOFS = (day_seal, check_answer)
