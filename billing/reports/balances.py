"""Accounts and their balances, as commands print them."""

from collections.abc import Sequence
from typing import Any

from billing import periods
from billing.catalog.catalog import Account, Catalog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.balances import account_balance
from billing.ledger.catalog_store import check_rows, load_catalog
from billing.ledger.database import Engine, reading
from billing.reports.row_formats import Report

_ACCOUNT_FIELDS = ("id", "name", "currency", "timezone", "policy", "seller", "tax", "apps")
_BALANCE_FIELDS = ("account", "currency", "credit", "open", "draft", "balance", "as_of")


def accounts_report(engine: Engine, accounts: Sequence[str] = (), *, is_nested: bool) -> Report:
    """Some accounts, all if none is named, and their terms; where rows cannot be nested, apps stand in one text."""
    rows = account_rows(engine, accounts)
    if not is_nested:
        rows = [{**row, "apps": " ".join(map(str, row["apps"]))} for row in rows]
    return Report(fields=_ACCOUNT_FIELDS, rows=rows, empty="no accounts yet", once=("currency", "policy", "seller"))


def balances_report(engine: Engine, accounts: Sequence[str] = ()) -> Report:
    """The balance of some accounts, of all if none is named."""
    rows = balance_rows(engine, accounts)
    return Report(fields=_BALANCE_FIELDS, rows=rows, empty="no accounts yet", once=("currency", "as_of"))


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
