"""Tokens: who may ask what over HTTP.

A token reads `bk_<id>_<secret>` and is shown once, when it is made; the database keeps the SHA-256 of its secret. It
has one scope: `ingest` adds events, `read` reads, `admin` may do both and also change things. It belongs to one
account, or to the operator, who sees all of them. A revoked token counts as one that never was.

Their ages go by the clock of the machine: a stopped clock (`BILLING_NOW`) must not keep a token alive.
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from billing.errors import UsageError
from billing.ledger.access_tables import access_record, access_token, console_session, token_revocation

SCOPES = ("ingest", "read", "admin")
SESSION_SECONDS = 12 * 3600

_TOKEN = re.compile(r"bk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a token that is valid. Without `account_id`: the operator."""

    token_id: str
    scope: str
    account_id: str | None = None
    name: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether the caller sees every account."""
        return self.account_id is None

    def may(self, *scopes: str) -> bool:
        """Whether the token has one of these scopes; `admin` has all."""
        return self.scope == "admin" or self.scope in scopes

    def sees(self, account_id: str | None) -> bool:
        """Whether the caller may know of an account; what belongs to none is for the operator."""
        return self.is_operator or (account_id is not None and self.account_id == account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is logged in; `csrf` stands in its forms."""

    caller: Caller
    csrf: str


def create_token(conn: Connection, *, scope: str, account_id: str | None, name: str) -> tuple[str, str]:
    """The id of a new token, and the token itself."""
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    conn.execute(
        insert(access_token).values(
            id=token_id,
            secret_hash=_hash(secret),
            scope=scope,
            account_id=account_id,
            name=name,
            created_at_ms=_now_ms(),
        )
    )
    return token_id, f"bk_{token_id}_{secret}"


def list_tokens(conn: Connection) -> list[dict[str, Any]]:
    """All tokens, the oldest first, without their secrets: id, scope, account, name, created_at_ms, revoked_at_ms."""
    columns = (
        access_token.c.id,
        access_token.c.scope,
        access_token.c.account_id.label("account"),
        access_token.c.name,
        access_token.c.created_at_ms,
        token_revocation.c.revoked_at_ms,
    )
    query = select(*columns).outerjoin(token_revocation).order_by(access_token.c.created_at_ms, access_token.c.id)
    return [dict(row) for row in conn.execute(query).mappings()]


def revoke_token(conn: Connection, token_id: str) -> None:
    """Ends a token and the sessions that it opened; done when it is revoked already."""
    if conn.execute(select(access_token.c.id).where(access_token.c.id == token_id)).first() is None:
        raise UsageError(f"there is no token {token_id!r}: `billing token list` shows them")
    revoked = select(token_revocation.c.token_id).where(token_revocation.c.token_id == token_id)
    if conn.execute(revoked).first() is None:
        conn.execute(insert(token_revocation).values(token_id=token_id, revoked_at_ms=_now_ms()))
    conn.execute(delete(console_session).where(console_session.c.token_id == token_id))


def caller_of(conn: Connection, token: str) -> Caller | None:
    """Whose token it is; None if it is none, or revoked."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    row = conn.execute(_valid_tokens().where(access_token.c.id == match[1])).first()
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(match[2])):
        return None
    return _caller(row)


def open_session(conn: Connection, caller: Caller) -> str:
    """The secret of a new session, for a cookie."""
    now, secret = _now_ms(), secrets.token_hex(32)
    conn.execute(delete(console_session).where(console_session.c.expires_at_ms <= now))
    conn.execute(
        insert(console_session).values(
            secret_hash=_hash(secret),
            token_id=caller.token_id,
            csrf=secrets.token_hex(32),
            created_at_ms=now,
            expires_at_ms=now + SESSION_SECONDS * 1000,
        )
    )
    return secret


def session_of(conn: Connection, secret: str) -> Session | None:
    """The session of a cookie; None if it has ended, or its token was revoked."""
    query = _valid_tokens(console_session.c.csrf).join(console_session, console_session.c.token_id == access_token.c.id)
    is_open = (console_session.c.secret_hash == _hash(secret)) & (console_session.c.expires_at_ms > _now_ms())
    row = conn.execute(query.where(is_open)).first()
    return None if row is None else Session(caller=_caller(row), csrf=row.csrf)


def close_session(conn: Connection, secret: str) -> None:
    """Logs a browser out."""
    conn.execute(delete(console_session).where(console_session.c.secret_hash == _hash(secret)))


def record_access(conn: Connection, caller: Caller | None, *, method: str, path: str, status: int) -> None:
    """Writes down a write or a download; `caller` is None where a signature took the place of a token."""
    conn.execute(
        insert(access_record).values(
            at_ms=_now_ms(),
            token_id=caller and caller.token_id,
            account_id=caller and caller.account_id,
            method=method,
            path=path,
            status=status,
        )
    )


def access_records(conn: Connection, *, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The last records, the newest first; `before`: only those with a smaller id."""
    query = select(access_record).order_by(access_record.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(access_record.c.id < before)
    return [dict(row) for row in conn.execute(query).mappings()]


def _valid_tokens(*columns: Any) -> Any:
    return select(access_token, *columns).outerjoin(token_revocation).where(token_revocation.c.token_id.is_(None))


def _caller(row: Row[Any]) -> Caller:
    return Caller(token_id=row.id, scope=row.scope, account_id=row.account_id, name=row.name)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
