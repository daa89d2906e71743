"""The catalog in the database: read whole, changed whole or not at all, and never where it is billed already.

Applying a file merges it into what is stored; absence deletes nothing. What a settled day was billed with stays as it
was: an account's currency and time zone, the account of an app, a package from its first valid day on, a contract from
its `valid_from` on, the rules of a policy. A refusal names the billed day and the way out. What a package cost may
always change, and a new policy or number of free minutes holds from the account's first unbilled day on.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any, Literal

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from billing.catalog.catalog import Account, App, Catalog, Seller, check_catalog, parse_catalog
from billing.catalog.contracts import Contract
from billing.catalog.packages import Package, valid_days
from billing.catalog.policies import Policy, policy_from_source, policy_source
from billing.errors import BillingError, UsageError
from billing.ledger import tables
from billing.ledger.runs import last_settled_days
from billing.money import from_scaled, plain, to_scaled
from billing.periods import time_zone

# The first terms of an account hold for every day, however old its events are.
_ALWAYS = date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying a catalog does to one entry; `detail` names the fields: `name: "A" → "B"`."""

    kind: str
    id: str
    action: Literal["added", "changed", "unchanged"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The policy of an account, and its free minutes a month (None: what the policy gives), from a day on."""

    valid_from: date
    policy: str
    free_minutes: int | None


def load_catalog(conn: Connection, *, as_of_ms: int | None = None) -> Catalog:
    """Everything that is stored, or was at an instant; an account's policy and free minutes are those of its next
    unbilled day."""
    if as_of_ms is not None:
        change = tables.catalog_change.c
        applied = select(change.source).where(change.applied_at_ms <= as_of_ms).order_by(change.id)
        sources = conn.execute(applied).scalars().all()
        return reduce(Catalog.merged, (parse_catalog(source, "a catalog of then") for source in sources), Catalog())
    return Catalog(
        seller=_load_seller(conn),
        accounts=_load_accounts(conn),
        apps={
            row.id: App(id=row.id, account=row.account_id, name=row.name) for row in conn.execute(select(tables.app))
        },
        packages=_load_packages(conn),
        contracts=_load_contracts(conn),
        policies={row.id: policy_from_source(row.source) for row in conn.execute(select(tables.policy))},
    )


def terms_history(conn: Connection, account_id: str) -> list[Terms]:
    """All terms of an account, the first from `date.min` on; a `UsageError` when there is no such account."""
    terms = tables.account_terms.c
    query = select(terms.valid_from, terms.policy_id, terms.free_minutes).where(terms.account_id == account_id)
    history = [Terms(valid_from=first, policy=policy, free_minutes=free) for first, policy, free in conn.execute(query)]
    if not history:
        raise UsageError(f'there is no account "{account_id}": add it with `billing catalog apply`')
    return history


def terms_on(history: Iterable[Terms], day: date) -> Terms:
    """The terms that hold for an account on a day: those that began last, on or before it."""
    return max((terms for terms in history if terms.valid_from <= day), key=lambda terms: terms.valid_from)


def plan(conn: Connection, new: Catalog) -> list[Change]:
    """What `apply` would do, in the order of the catalog's kinds; a `BillingError` for everything that cannot be."""
    return _plan(conn, load_catalog(conn), new)


def last_change(conn: Connection) -> int:
    """The number of the last change of the catalog; 0 when there was none."""
    last: int = conn.execute(select(func.coalesce(func.max(tables.catalog_change.c.id), 0))).scalar_one()
    return last


def check_last_change(conn: Connection, known: int) -> None:
    """Refuses what was computed with a catalog that is no longer the last one."""
    if last_change(conn) != known:
        raise BillingError("the catalog was changed during this run: nothing was written, run the command again")


def apply(conn: Connection, new: Catalog, *, source: str, applied_at_ms: int) -> list[Change]:
    """Adds and changes what is in `new`, in the caller's transaction (`database.writing`), and says what that was.

    `source` is the text that `new` was parsed from; it is kept when it changes anything.
    """
    stored = load_catalog(conn)
    changes = _plan(conn, stored, new)
    if any(change.action != "unchanged" for change in changes):
        conn.execute(insert(tables.catalog_change).values(applied_at_ms=applied_at_ms, source=source))
    merged = stored.merged(new)
    if new.seller:
        _put(conn, tables.seller, {"id": tables.SELLER_ID, "name": new.seller.name, "address": new.seller.address})
    for policy in new.policies.values():
        _put(conn, tables.policy, {"id": policy.id, "hash": policy.hash, "source": policy_source(policy)})
    _put_accounts(conn, stored, new)
    for app in new.apps.values():
        _put(conn, tables.app, {"id": app.id, "account_id": app.account, "name": app.name})
    for package in merged.packages.values():
        # A package is dated by the account's time zone, which may change as long as nothing is billed.
        if package.id in new.packages or package.account in new.accounts:
            _put(conn, tables.package, _package_row(package, merged.accounts[package.account].timezone))
    for contract in new.contracts.values():
        _put_contract(conn, contract)
    return changes


def _plan(conn: Connection, stored: Catalog, new: Catalog) -> list[Change]:
    check_catalog(stored.merged(new))
    _refuse_changes_of_what_is_billed(conn, stored, new)
    return [change for kind in _KINDS for change in _changes(kind, _entries(stored, kind), _entries(new, kind))]


def _load_seller(conn: Connection) -> Seller | None:
    row = conn.execute(select(tables.seller)).first()
    return Seller(name=row.name, address=row.address) if row else None


def _load_accounts(conn: Connection) -> dict[str, Account]:
    terms = tables.account_terms
    oldest_first = conn.execute(select(terms).order_by(terms.c.valid_from))
    latest = {row.account_id: row for row in oldest_first}
    return {
        row.id: Account(
            id=row.id,
            name=row.name,
            currency=row.currency,
            timezone=row.timezone,
            policy=latest[row.id].policy_id,
            free_minutes=latest[row.id].free_minutes,
            address=row.address,
        )
        for row in conn.execute(select(tables.account))
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
    billed = last_settled_days(conn)
    for account in new.accounts.values():
        columns = ("id", "name", "currency", "timezone", "address")
        _put(conn, tables.account, {column: getattr(account, column) for column in columns})
        known = stored.accounts.get(account.id)
        if known and (known.policy, known.free_minutes) == (account.policy, account.free_minutes):
            continue
        terms = {
            "account_id": account.id,
            "valid_from": _first_unbilled_day(billed.get(account.id)),
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
    }


def _put(conn: Connection, table: Table, row: Mapping[str, object]) -> None:
    """Updates the row with that primary key, or inserts it."""
    key = {column.name: row[column.name] for column in table.primary_key}
    if not conn.execute(update(table).filter_by(**key).values(row)).rowcount:
        conn.execute(insert(table).values(row))


# The kinds of a catalog, as a change names them, and where the catalog keeps them.
_KINDS = {
    "seller": "seller",
    "policy": "policies",
    "account": "accounts",
    "app": "apps",
    "package": "packages",
    "contract": "contracts",
}


def _entries(catalog: Catalog, kind: str) -> Mapping[Any, Any]:
    if kind == "seller":
        return {"seller": catalog.seller} if catalog.seller else {}
    entries: Mapping[Any, Any] = getattr(catalog, _KINDS[kind])
    return entries


def _changes(kind: str, stored: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[Change]:
    for key, entry in new.items():
        name = f"{key[0]} from {key[1]}" if kind == "contract" else str(key)
        known = stored.get(key)
        if known is None:
            yield Change(kind=kind, id=name, action="added")
        elif known == entry:
            yield Change(kind=kind, id=name, action="unchanged")
        else:
            yield Change(kind=kind, id=name, action="changed", detail=_differences(known, entry))


def _differences(known: Any, entry: Any) -> str:
    if isinstance(entry, Policy):
        return f"hash: {known.hash[:12]} → {entry.hash[:12]}"
    pairs = ((field.name, getattr(known, field.name), getattr(entry, field.name)) for field in fields(entry))
    return "; ".join(f"{name}: {_shown(old)} → {_shown(new)}" for name, old, new in pairs if old != new)


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case Decimal():
            return plain(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return ", ".join(f"{name} {_shown(entry)}" for name, entry in value.items()) or "none"
    return str(value)


def _refuse_changes_of_what_is_billed(conn: Connection, stored: Catalog, new: Catalog) -> None:
    billed = last_settled_days(conn)
    problems = [
        *_account_refusals(billed, stored, new),
        *_app_refusals(conn, billed, stored, new),
        *_package_refusals(billed, stored, new),
        *_contract_refusals(billed, stored, new),
        *_policy_refusals(conn, new),
    ]
    if problems:
        raise BillingError("\n".join(["this would change what is billed already, so nothing was changed:", *problems]))


def _account_refusals(billed: Mapping[str, date], stored: Catalog, new: Catalog) -> Iterator[str]:
    for account in new.accounts.values():
        known = stored.accounts.get(account.id)
        if known is None or account.id not in billed:
            continue
        for name in ("currency", "timezone"):
            before, after = getattr(known, name), getattr(account, name)
            if before != after:
                yield (
                    f'account "{account.id}": its {name} cannot become {after}, because it is billed in {before} '
                    f"up to {billed[account.id]}; keep {before}, or add a new account"
                )


def _app_refusals(conn: Connection, billed: Mapping[str, date], stored: Catalog, new: Catalog) -> Iterator[str]:
    for app in new.apps.values():
        known = stored.apps.get(app.id)
        if known is None or known.account == app.account:
            continue
        charge = tables.charge.c
        last = select(func.max(charge.day)).where(charge.account_id == known.account, charge.app_id == app.id)
        day = conn.execute(last).scalar()
        if day:
            yield (
                f'app {app.id}: it cannot move to account "{app.account}", because it is billed to "{known.account}" '
                f"up to {day}; keep the account, or use a new app id"
            )
        elif app.account in billed:
            yield (
                f'app {app.id}: it cannot move to account "{app.account}", which is billed up to '
                f"{billed[app.account]} without it; keep the account, or use a new app id"
            )


def _package_refusals(billed: Mapping[str, date], stored: Catalog, new: Catalog) -> Iterator[str]:
    accounts = stored.merged(new).accounts
    for package in new.packages.values():
        known = stored.packages.get(package.id)
        if known is None:
            first = _first_day(package, accounts)
            last = billed.get(package.account)
            if last and first <= last:
                yield (
                    f'package "{package.id}": it would pay from {first} on, but account "{package.account}" is billed '
                    f"up to {last}; give a purchased_at after that day"
                )
        elif _without_price(known) != _without_price(package):
            last = max((day for entry in (known, package) if (day := billed.get(entry.account))), default=None)
            first = min(_first_day(known, accounts), _first_day(package, accounts))
            if last and first <= last:
                yield (
                    f'package "{package.id}": it pays from {first} on, and that is billed up to {last}; only its price '
                    "can change: keep the rest, or add a new package"
                )


def _first_day(package: Package, accounts: Mapping[str, Account]) -> date:
    return valid_days(package, time_zone(accounts[package.account].timezone))[0]


def _without_price(package: Package) -> tuple[object, ...]:
    return package.account, package.app, package.minutes, package.purchased_at, package.term


def _contract_refusals(billed: Mapping[str, date], stored: Catalog, new: Catalog) -> Iterator[str]:
    for key, contract in new.contracts.items():
        last = billed.get(contract.account)
        if last and contract.valid_from <= last and stored.contracts.get(key) != contract:
            yield (
                f'contract of "{contract.account}" from {contract.valid_from}: the account is billed up to {last}; '
                "give a valid_from after that day"
            )


def _policy_refusals(conn: Connection, new: Catalog) -> Iterator[str]:
    settled = tables.settled_day.c
    for policy in new.policies.values():
        used = select(func.max(settled.day)).where(settled.policy_id == policy.id, settled.policy_hash != policy.hash)
        day = conn.execute(used).scalar()
        if day:
            yield (
                f'policy "{policy.id}": its rules cannot change, because days up to {day} are billed with them; '
                "give the new rules another id, and name that id as the policy of the account"
            )
