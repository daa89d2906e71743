"""The tables of access over HTTP, beside those of `tables`.

Secrets are kept as their SHA-256 only. Tokens, revocations and records are written once. An `account_id` that is
absent is the operator.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, String, Table

from billing.ledger.tables import metadata

access_token = Table(
    "access_token",
    metadata,
    Column("id", String, primary_key=True),
    Column("secret_hash", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("account_id", String),
    Column("name", String, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("scope IN ('ingest', 'read', 'admin')", name="scope"),
)

token_revocation = Table(
    "token_revocation",
    metadata,
    Column("token_id", ForeignKey("access_token.id"), primary_key=True),
    Column("revoked_at_ms", BigInteger, nullable=False),
)

# A browser that has logged in with a token; removed when it logs out.
console_session = Table(
    "console_session",
    metadata,
    Column("secret_hash", String, primary_key=True),
    Column("token_id", ForeignKey("access_token.id"), nullable=False),
    Column("csrf", String, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
)

# Every write and every download, with the status that it was answered with.
access_record = Table(
    "access_record",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("token_id", String),
    Column("account_id", String),
    Column("method", String, nullable=False),
    Column("path", String, nullable=False),
    Column("status", BigInteger, nullable=False),
)
