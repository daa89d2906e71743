"""Accounts and their balances, as commands print them."""

from collections.abc import Sequence
from typing import Any

from billing import periods
from billing.catalog.catalog import Account, Catalog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.balances import account_balance
from billing.ledger.catalog_store import check_rows, load_catalog
from billing.ledger.database import Engine, reading


def balance_rows(engine: Engine, accounts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The balance of some accounts, of all if none is named."""
    rows = []
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        for account in _named(catalog, accounts):
            check_rows(conn, catalog, account.id)
            found = account_balance(AccountLedger(conn=conn, account_id=account.id, catalog=catalog))
            zone = periods.time_zone(account.timezone)
            rows.append(
                {
                    "account": account.id,
                    "currency": account.currency,
                    "credit": found.credit,
                    "open": found.open,
                    "draft": found.draft,
                    "balance": found.balance,
                    "as_of": periods.local_iso(int(periods.now().timestamp()), zone),
                }
            )
    return rows


def account_rows(engine: Engine, accounts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Who is billed, and on what terms."""
    with reading(engine) as conn:
        catalog = load_catalog(conn)
    return [
        {
            "id": account.id,
            "name": account.name,
            "currency": account.currency,
            "timezone": account.timezone,
            "policy": account.policy,
            "seller": seller.id if (seller := catalog.seller_of(account)) else None,
            "tax": account.tax,
            "apps": sorted(app.id for app in catalog.apps.values() if app.account == account.id),
        }
        for account in _named(catalog, accounts)
    ]


def _named(catalog: Catalog, accounts: Sequence[str]) -> list[Account]:
    return [catalog.account(each) for each in dict.fromkeys(accounts)] or [
        catalog.accounts[each] for each in sorted(catalog.accounts)
    ]
