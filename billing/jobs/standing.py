"""Standing: what a changed balance has for consequence, recorded and published.

Arrears are recorded in the transaction of what changed a balance, and by nightly and refresh for the passing of time.
Then `status.json` in the home is replaced: an array with the admission of every app, so that a media server asks a file
and not a process.
"""

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing.catalog.catalog import Catalog
from billing.errors import BillingError
from billing.events.durable_files import replace_file
from billing.home import Home
from billing.jobs.issuing import now_ms, today_of
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.admissions import Admission, admission_row, admissions, switch_app, unknown_app
from billing.ledger.arrears import hold_account, record_arrears
from billing.ledger.catalog_store import check_rows, load_catalog
from billing.ledger.database import Connection, Engine, reading, writing
from billing.ledger.documents import documents, standings
from billing.ledger.outbox import is_put, put
from billing.money import plain

STATUS_FILE = "status.json"
_KNOWN_BY = {"account", "app_id"}

_log = logging.getLogger(__name__)


def record_standing(home: Home, engine: Engine) -> None:
    """Records the arrears of every account as of now, and publishes all admissions."""
    with writing(engine) as conn:
        balances = record_all_arrears(conn)
        _announce_overdue(conn)
    publish(home, engine, balances=balances)


def record_all_arrears(conn: Connection) -> dict[str, Decimal]:
    """Records the arrears of the accounts that have an overdue policy, under the writer's lock; their balances."""
    catalog, balances = load_catalog(conn), dict[str, Decimal]()
    for account in catalog.accounts.values():
        if account.overdue_policy is not None:
            ledger = AccountLedger(conn=conn, account_id=account.id, catalog=catalog)
            try:
                recorded = record_arrears(ledger, at_ms=now_ms())
            except BillingError as error:
                _log.warning("the arrears of account %s are not recorded: %s", account.id, error)
                continue
            if recorded is not None:
                balances[account.id] = recorded
    return balances


def _announce_overdue(conn: Connection) -> None:
    """A message for each invoice of which something is open after its due date, once."""
    catalog = load_catalog(conn)
    today = {each.id: today_of(each) for each in catalog.sellers.values()}
    past = [each for each in documents(conn) if each.due_on and today.get(each.seller_id, each.due_on) > each.due_on]
    for standing in standings(conn, past, today):
        document = standing.document
        if standing.state == "overdue" and not is_put(conn, "invoice.overdue", document.number):
            facts = {
                "number": document.number,
                "due_on": document.due_on.isoformat() if document.due_on else None,
                "open": plain(standing.open),
                "currency": document.currency,
            }
            put(conn, "invoice.overdue", document.account_id, document.number, facts, at_ms=now_ms())


def publish(
    home: Home,
    engine: Engine,
    accounts: Collection[str] | None = None,
    *,
    balances: Mapping[str, Decimal] | None = None,
) -> None:
    """Replaces the rows of some accounts in `status.json`, of all if none are given or there are none to keep;
    `balances` that are known."""
    path = home.directory / STATUS_FILE
    with home.lock("status"):
        published = None if accounts is None else _published(path)
        with reading(engine) as conn:
            catalog = load_catalog(conn)
            changed = catalog.accounts.keys() if accounts is None or published is None else set(accounts)
            fresh = [admission_row(each, catalog) for each in _admissions(conn, catalog, changed, balances or {})]
        kept = [row for row in published or [] if row["account"] not in changed and row["app_id"] in catalog.apps]
        rows = sorted((*kept, *fresh), key=lambda row: int(row["app_id"]))
        text = ",\n ".join(json.dumps(row) for row in rows)
        replace_file(path, f"[{text}]\n".encode(), home.directory)


def app_status(engine: Engine, app_id: int) -> dict[str, Any]:
    """The admission of one app now, computed anew."""
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        if app_id not in catalog.apps:
            return admission_row(unknown_app(app_id, now_ms()), catalog)
        account_id = catalog.app(app_id).account
        ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog)
        return admission_row(admissions(ledger, [app_id], now_ms())[0], catalog)


def switch(home: Home, engine: Engine, app_id: int, *, is_enabled: bool) -> None:
    """Disables or enables an app by hand; a `UsageError` when there is no such app."""
    with writing(engine) as conn:
        account_id = load_catalog(conn).app(app_id).account
        switch_app(conn, app_id, is_enabled=is_enabled, at_ms=now_ms())
    publish(home, engine, [account_id])


def hold(home: Home, engine: Engine, account_id: str, until: date) -> list[int]:
    """The account's arrears have no consequence until the end of a day; its apps are returned."""
    with writing(engine) as conn:
        catalog = load_catalog(conn)
        catalog.account(account_id)
        hold_account(conn, account_id, until, at_ms=now_ms())
    publish(home, engine, [account_id])
    return _apps(catalog, account_id)


def _admissions(
    conn: Connection, catalog: Catalog, accounts: Collection[str], balances: Mapping[str, Decimal]
) -> Iterator[Admission]:
    for account_id in sorted(accounts):
        apps, ledger = _apps(catalog, account_id), AccountLedger(conn=conn, account_id=account_id, catalog=catalog)
        try:
            yield from _of_account(ledger, apps, balances.get(account_id))
        except BillingError as error:
            _log.warning("the apps of account %s are not in %s: %s", account_id, STATUS_FILE, error)


def _of_account(ledger: AccountLedger, apps: list[int], balance: Decimal | None) -> list[Admission]:
    if not apps:
        return []
    check_rows(ledger.conn, ledger.catalog, ledger.account_id)
    return admissions(ledger, apps, now_ms(), balance=balance)


def _apps(catalog: Catalog, account_id: str) -> list[int]:
    return sorted(app.id for app in catalog.apps.values() if app.account == account_id)


def _published(path: Path) -> list[dict[str, Any]] | None:
    """The rows as they were published last; None if there are none that can be read."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    are_rows = isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= _KNOWN_BY for row in rows)
    return rows if are_rows else None
