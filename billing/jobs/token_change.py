"""Tokens are made and revoked; a service that runs on the home notices at once."""

from billing.home import TOKENS_STAMP, Home
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, writing
from billing.ledger.tokens import create_token, revoke_token


def make_token(home: Home, engine: Engine, *, scope: str, account_id: str | None, name: str) -> dict[str, object]:
    """A new token: id, token, scope, account. It can be read this one time."""
    with writing(engine) as conn:
        if account_id is not None:
            load_catalog(conn).account(account_id)
        token_id, token = create_token(conn, scope=scope, account_id=account_id, name=name)
    _announce(home)
    return {"id": token_id, "token": token, "scope": scope, "account": account_id}


def end_token(home: Home, engine: Engine, token_id: str) -> None:
    """Revokes a token; a `UsageError` where there is none of that id."""
    with writing(engine) as conn:
        revoke_token(conn, token_id)
    _announce(home)


def _announce(home: Home) -> None:
    stamp = home.directory / TOKENS_STAMP
    stamp.touch(mode=0o600)
