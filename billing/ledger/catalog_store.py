"""The catalog in the database: read whole, changed whole or not at all, and never where it is billed already.

Applying a file merges it into what is stored; absence deletes nothing. `billing.catalog.changes` says what may change;
here are the rows, and the facts about what is billed. Each change is kept in its canonical form (`canonical`), so that
the catalog of any earlier moment can be made again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from billing.catalog import changes
from billing.catalog.canonical import applied_source, catalog_after, entry_from_source, entry_source, removed_source
from billing.catalog.catalog import KINDS, NO_TERMS, Account, App, Catalog, Removal
from billing.catalog.changes import Billed, Change
from billing.catalog.contracts import Contract
from billing.catalog.feeds import Assumptions
from billing.catalog.packages import Package, is_free_minutes, valid_days
from billing.catalog.policies import policy_from_source, policy_source
from billing.catalog.quantities import ALL_APPS
from billing.errors import BillingError, UsageError, missing_row
from billing.ledger import document_tables, tables
from billing.ledger.runs import last_settled_days
from billing.money import from_scaled, plain, to_scaled
from billing.periods import time_zone

# The first terms of an account hold for every day, however old its events are.
_ALWAYS = date.min
# Where the entries are that can be removed, and what goes with an account.
_TABLES = {"account": tables.account, "app": tables.app, "package": tables.package}
# (An account's policy and free minutes are in `account_terms`.)
_ACCOUNT_COLUMNS = tuple(tables.account.columns.keys())
# What refers to an account, so that it stays.
_WITH_MONEY = (
    *(document_tables.document, document_tables.closed_month, document_tables.payment, document_tables.transfer),
    *(document_tables.package_refund, document_tables.arrears_event, document_tables.account_hold),
    document_tables.outbox,
)
_OF_AN_ACCOUNT = (tables.contract_price, tables.contract, tables.account_terms, tables.provisional_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The policy of an account, and its free minutes a month (None: what the policy gives), from a day on."""

    valid_from: date
    policy: str
    free_minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCatalog:
    """The catalog as its last change (its number) left it."""

    catalog: Catalog
    change: int

    def now(self, conn: Connection) -> "KnownCatalog":
        """The catalog of this moment, read again only if it was changed."""
        return self if last_change(conn) == self.change else known_catalog(conn)


def known_catalog(conn: Connection) -> KnownCatalog:
    """The catalog of this moment."""
    return KnownCatalog(catalog=load_catalog(conn), change=last_change(conn))


def catalog_of_change(conn: Connection, change: int) -> Catalog:
    """The catalog as the change with this number left it."""
    table = tables.catalog_change.c
    return catalog_after(conn.execute(select(table.source).where(table.id <= change).order_by(table.id)).scalars())


def load_catalog(conn: Connection, *, as_of_ms: int | None = None) -> Catalog:
    """Everything that is stored, or was at an instant; an account's policy and free minutes are those of its next
    unbilled day."""
    if as_of_ms is not None:
        change = tables.catalog_change.c
        applied = select(change.source).where(change.applied_at_ms <= as_of_ms).order_by(change.id)
        return catalog_after(conn.execute(applied).scalars())
    return Catalog(
        accounts=_load_accounts(conn),
        apps=_load_apps(conn),
        packages=_load_packages(conn),
        contracts=_load_contracts(conn),
        policies={row.id: policy_from_source(row.source) for row in conn.execute(select(tables.policy))},
        **_load_entries(conn),
    )


def terms_history(conn: Connection, account_id: str) -> list[Terms]:
    """All terms of an account, the first from `date.min` on; a `UsageError` when there is no such account."""
    terms = tables.account_terms.c
    query = select(terms.valid_from, terms.policy_id, terms.free_minutes).where(terms.account_id == account_id)
    history = [Terms(valid_from=first, policy=policy, free_minutes=free) for first, policy, free in conn.execute(query)]
    if not history and not conn.execute(select(tables.account.c.id).where(tables.account.c.id == account_id)).first():
        raise UsageError(f'there is no account "{account_id}": add it with `billing catalog apply`')
    return history


def terms_on(history: Iterable[Terms], day: date) -> Terms:
    """The terms that hold for an account on a day: those that began last, on or before it."""
    begun = [terms for terms in history if terms.valid_from <= day]
    if not begun:
        raise missing_row("account_terms", f"the account's terms on {day}")
    return max(begun, key=lambda terms: terms.valid_from)


def check_rows(conn: Connection, catalog: Catalog, account_id: str) -> None:
    """A `BillingError` that names the row, if one of an account was removed from the tables of the catalog.

    These are its terms, its policy, an app that was charged, and a package that has paid.
    """
    catalog.account(account_id)
    charge, burned = tables.charge.c, tables.burn_down.c
    apps = select(charge.app_id).where(charge.account_id == account_id).distinct()
    for app_id in conn.execute(apps).scalars():
        if app_id != ALL_APPS and app_id not in catalog.apps:
            raise missing_row("app", f"app {app_id} of account {account_id!r}")
    payers = select(burned.payer_id).where(burned.account_id == account_id).distinct()
    for payer_id in conn.execute(payers).scalars():
        if payer_id not in catalog.packages and not is_free_minutes(payer_id):
            raise missing_row("package", f"package {payer_id!r} of account {account_id!r}")


def missing_accounts(conn: Connection, catalog: Catalog) -> dict[str, str]:
    """Accounts that apps or settled days refer to, but that are not there; why each cannot be billed."""
    named = {app.account for app in catalog.apps.values()} | last_settled_days(conn).keys()
    return {each: str(missing_row("account", f"account {each!r}")) for each in sorted(named - catalog.accounts.keys())}


def plan(conn: Connection, new: Catalog) -> list[Change]:
    """What `apply` would do; a `BillingError` for everything that cannot be."""
    stored = load_catalog(conn)
    return changes.plan(stored, new.resolved(stored), billed(conn))


def billed(conn: Connection) -> Billed:
    """What is on record of billing."""
    charge, settled, run = tables.charge.c, tables.settled_day.c, tables.run.c
    charged = select(charge.account_id, charge.app_id, func.max(charge.day)).group_by(charge.account_id, charge.app_id)
    used = select(settled.policy_id, settled.policy_hash, func.max(settled.day))
    used = used.group_by(settled.policy_id, settled.policy_hash)
    return Billed(
        accounts=last_settled_days(conn),
        apps={(account_id, app_id): day for account_id, app_id, day in conn.execute(charged)},
        policies={(policy_id, policy_hash): day for policy_id, policy_hash, day in conn.execute(used)},
        invoiced=dict(conn.execute(_invoiced_packages()).all()),
        refunded=frozenset(conn.execute(select(document_tables.package_refund.c.package_id)).scalars()),
        switched=frozenset(conn.execute(select(document_tables.app_switch.c.app_id).distinct()).scalars()),
        with_money=frozenset(
            account_id
            for table in _WITH_MONEY
            for account_id in conn.execute(select(table.c.account_id).distinct()).scalars()
            if account_id is not None
        ),
        closed=dict(conn.execute(_closed_months()).all()),
        numbered=frozenset((seller, kind) for seller, kind in conn.execute(_number_series())),
        tried=frozenset(conn.execute(select(run.account_id).distinct().where(run.account_id.is_not(None))).scalars()),
    )


def _invoiced_packages() -> Select[Any]:
    on, document = document_tables.document_package, document_tables.document.c
    numbers = select(on.c.package_id, document.number).join_from(on, document_tables.document)
    return numbers.where(on.c.kind == "package").order_by(on.c.generation)


def _closed_months() -> Select[Any]:
    closed = document_tables.closed_month.c
    return select(closed.account_id, func.max(closed.month)).group_by(closed.account_id)


def _number_series() -> Select[Any]:
    return select(document_tables.number_series.c.seller_id, document_tables.number_series.c.kind)


def last_change(conn: Connection) -> int:
    """The number of the last change of the catalog; 0 when there was none."""
    last: int = conn.execute(select(func.coalesce(func.max(tables.catalog_change.c.id), 0))).scalar_one()
    return last


def check_last_change(conn: Connection, known: int) -> None:
    """Refuses what was computed with a catalog that is no longer the last one."""
    if last_change(conn) != known:
        raise BillingError("the catalog was changed during this run: nothing was written, run the command again")


def apply(conn: Connection, new: Catalog, *, applied_at_ms: int) -> list[Change]:
    """Adds and changes what is in `new`, in the caller's transaction (`database.writing`), and says what that was."""
    stored = load_catalog(conn)
    new = new.resolved(stored)
    planned = changes.plan(stored, new, billed(conn))
    if any(change.action != "unchanged" for change in planned):
        _record(conn, applied_source(new), applied_at_ms)
    merged = stored.merged(new)
    for kind in tables.ENTRY_KINDS:
        for name, entry in new.entries(kind).items():
            _put(conn, tables.catalog_entry, {"kind": kind, "id": name, "source": entry_source(entry)})
    for policy in new.policies.values():
        _put(conn, tables.policy, {"id": policy.id, "hash": policy.hash, "source": policy_source(policy)})
    _put_accounts(conn, stored, new)
    for app in new.apps.values():
        _put(conn, tables.app, _app_row(app))
    for package in merged.packages.values():
        # A package is dated by the account's time zone, which may change as long as nothing is billed.
        if package.id in new.packages or package.account in new.accounts:
            _put(conn, tables.package, _package_row(package, merged.accounts[package.account].timezone))
    for contract in new.contracts.values():
        _put_contract(conn, contract)
    return planned


def remove(conn: Connection, removal: Removal, *, removed_at_ms: int) -> Change:
    """Takes out an entry that nothing billed rests on, in the caller's transaction; an account with its contracts."""
    planned = changes.plan_removal(load_catalog(conn), removal, billed(conn))
    _record(conn, removed_source(removal), removed_at_ms)
    if removal.kind == "account":
        for table in _OF_AN_ACCOUNT:
            conn.execute(delete(table).filter_by(account_id=removal.id))
    conn.execute(delete(_TABLES[removal.kind]).filter_by(id=removal.id))
    return planned


def _record(conn: Connection, source: str, applied_at_ms: int) -> None:
    conn.execute(insert(tables.catalog_change).values(applied_at_ms=applied_at_ms, source=source))


def _load_entries(conn: Connection) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {KINDS[kind]: {} for kind in tables.ENTRY_KINDS}
    entry = tables.catalog_entry
    for row in conn.execute(select(entry).order_by(entry.c.kind, entry.c.id)):
        found[KINDS[row.kind]][row.id] = entry_from_source(row.kind, row.source)
    return found


def _load_accounts(conn: Connection) -> dict[str, Account]:
    terms = tables.account_terms
    oldest_first = conn.execute(select(terms).order_by(terms.c.valid_from))
    latest = {row.account_id: row for row in oldest_first}
    return {
        row.id: Account(
            **{column: getattr(row, column) for column in _ACCOUNT_COLUMNS},
            policy=latest[row.id].policy_id if row.id in latest else NO_TERMS,
            free_minutes=latest[row.id].free_minutes if row.id in latest else None,
        )
        for row in conn.execute(select(tables.account))
    }


def _load_apps(conn: Connection) -> dict[int, App]:
    return {
        row.id: App(
            id=row.id,
            account=row.account_id,
            name=row.name,
            feed=tuple(json.loads(row.feed)) if row.feed else (),
            assume=Assumptions(**json.loads(row.assume)) if row.assume else Assumptions(),
        )
        for row in conn.execute(select(tables.app))
    }


def _load_packages(conn: Connection) -> dict[str, Package]:
    return {
        row.id: Package(
            id=row.id,
            account=row.account_id,
            app=row.app_id,
            minutes=row.minutes,
            purchased_at=datetime.fromisoformat(row.purchased_at),
            price=None if row.price_scaled is None else from_scaled(row.price_scaled),
            term=row.term,
            charge=row.charge,
        )
        for row in conn.execute(select(tables.package))
    }


def _load_contracts(conn: Connection) -> dict[tuple[str, date], Contract]:
    prices: dict[tuple[str, date], dict[str, Decimal]] = {}
    for row in conn.execute(select(tables.contract_price)):
        prices.setdefault((row.account_id, row.valid_from), {})[row.item] = Decimal(row.price)
    return {
        (row.account_id, row.valid_from): Contract(
            account=row.account_id,
            valid_from=row.valid_from,
            discount=None if row.discount is None else Decimal(row.discount),
            prices=prices.get((row.account_id, row.valid_from), {}),
        )
        for row in conn.execute(select(tables.contract))
    }


def _put_accounts(conn: Connection, stored: Catalog, new: Catalog) -> None:
    settled = last_settled_days(conn)
    for account in new.accounts.values():
        _put(conn, tables.account, {column: getattr(account, column) for column in _ACCOUNT_COLUMNS})
        known = stored.accounts.get(account.id)
        if known and (known.policy, known.free_minutes) == (account.policy, account.free_minutes):
            continue
        terms = {
            "account_id": account.id,
            "valid_from": _first_unbilled_day(settled.get(account.id)),
            "policy_id": account.policy,
            "free_minutes": account.free_minutes,
        }
        _put(conn, tables.account_terms, terms)


def _first_unbilled_day(last_settled: date | None) -> date:
    return last_settled + timedelta(days=1) if last_settled else _ALWAYS


def _put_contract(conn: Connection, contract: Contract) -> None:
    key = {"account_id": contract.account, "valid_from": contract.valid_from}
    discount = None if contract.discount is None else plain(contract.discount)
    _put(conn, tables.contract, {**key, "discount": discount})
    conn.execute(delete(tables.contract_price).filter_by(**key))
    for item, price in contract.prices.items():
        conn.execute(insert(tables.contract_price).values(**key, item=item, price=plain(price)))


def _app_row(app: App) -> dict[str, object]:
    """What is unset is NULL."""
    assume = {name: value for name, value in asdict(app.assume).items() if value}
    return {
        "id": app.id,
        "account_id": app.account,
        "name": app.name,
        "feed": json.dumps(app.feed) if app.feed else None,
        "assume": json.dumps(assume) if assume else None,
    }


def _package_row(package: Package, timezone: str) -> dict[str, object]:
    valid_from, valid_to = valid_days(package, time_zone(timezone))
    return {
        "id": package.id,
        "account_id": package.account,
        "app_id": package.app,
        "minutes": package.minutes,
        "purchased_at": package.purchased_at.isoformat(),
        "price_scaled": None if package.price is None else to_scaled(package.price),
        "term": package.term,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "charge": package.charge,
    }


def _put(conn: Connection, table: Table, row: Mapping[str, object]) -> None:
    """Updates the row with that primary key, or inserts it."""
    key = {column.name: row[column.name] for column in table.primary_key}
    if not conn.execute(update(table).filter_by(**key).values(row)).rowcount:
        conn.execute(insert(table).values(row))
