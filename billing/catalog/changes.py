"""Changes of a catalog, and what may no longer change once it is billed.

Settled days keep what they were billed with: an account's currency and time zone, the account of an app, a package from
its first valid day on, a contract from its `valid_from` on, the rules of a policy. A refusal names the billed day and
the way out. What a package cost may always change, and a new policy or number of free minutes holds from the account's
first unbilled day on. A package that was bought as `prepaid` stays so, and no other becomes so. What anything billed
rests on cannot be removed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from billing.catalog.catalog import KINDS, Account, App, Catalog, Removal
from billing.catalog.packages import Package, valid_days
from billing.catalog.policies import Policy
from billing.catalog.references import check_catalog
from billing.errors import BillingError
from billing.money import plain
from billing.periods import time_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What is on record of billing, for the checks below."""

    accounts: Mapping[str, date] = field(default_factory=dict)  # the last settled day
    apps: Mapping[tuple[str, int], date] = field(default_factory=dict)  # the last charged day, by account and app
    policies: Mapping[tuple[str, str], date] = field(default_factory=dict)  # the last settled day, by id and hash
    tried: frozenset[str] = frozenset()  # accounts that have runs of any result
    invoiced: Mapping[str, str] = field(default_factory=dict)  # the number of a document, by package
    refunded: frozenset[str] = frozenset()  # packages
    switched: frozenset[int] = frozenset()  # apps that were disabled or enabled by hand
    with_money: frozenset[str] = frozenset()  # accounts with payments, documents, arrears or messages
    closed: Mapping[str, date] = field(default_factory=dict)  # the last closed month, by account
    numbered: frozenset[tuple[str, str]] = frozenset()  # sellers, and the kinds of documents that they have issued


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying a catalog does to one entry; `detail` names the fields: `name: "A" → "B"`."""

    kind: str
    id: str
    action: Literal["added", "changed", "unchanged", "removed"]
    detail: str = ""


def plan(stored: Catalog, new: Catalog, billed: Billed) -> list[Change]:
    """What applying `new` would do, in the order of the kinds; a `BillingError` with a line for all that cannot be.

    `new` is `Catalog.resolved`.
    """
    check_catalog(stored.merged(new))
    problems = [
        *_account_refusals(billed, stored, new),
        *_app_refusals(billed, stored, new),
        *_package_refusals(billed, stored, new),
        *_contract_refusals(billed, stored, new),
        *_policy_refusals(billed, new),
        *_document_refusals(billed, stored, new),
    ]
    if problems:
        raise BillingError("\n".join(["this would change what is billed already, so nothing was changed:", *problems]))
    return [change for kind in KINDS for change in _changes(kind, stored.entries(kind), new.entries(kind))]


def plan_removal(stored: Catalog, removal: Removal, billed: Billed) -> Change:
    """What removing an entry would do; a `BillingError` when it does not exist, is in use, or is billed."""
    match removal.kind:
        case "account":
            uses = _account_uses(billed, stored, stored.account(str(removal.id)))
        case "app":
            uses = _app_uses(billed, stored, stored.app(int(removal.id)))
        case "package":
            uses = _package_uses(billed, stored, stored.package(str(removal.id)))
    problems = list(uses)
    if problems:
        raise BillingError("\n".join([f"the {removal.kind} cannot be removed:", *problems]))
    return Change(kind=removal.kind, id=str(removal.id), action="removed")


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
        case tuple():
            return ", ".join(map(_shown, value)) or "none"
        case bool():
            return str(value).lower()
    if is_dataclass(value) and not isinstance(value, type):
        return _shown({key: each for key, each in asdict(value).items() if each not in (None, {}, ())})
    return str(value)


def _account_refusals(billed: Billed, stored: Catalog, new: Catalog) -> Iterator[str]:
    for account in new.accounts.values():
        known = stored.accounts.get(account.id)
        if known is None or account.id not in billed.accounts:
            continue
        for name in ("currency", "timezone"):
            before, after = getattr(known, name), getattr(account, name)
            if before != after:
                yield (
                    f'account "{account.id}": its {name} cannot become {after}, because it is billed in {before} '
                    f"up to {billed.accounts[account.id]}; keep {before}, or add a new account"
                )


def _app_refusals(billed: Billed, stored: Catalog, new: Catalog) -> Iterator[str]:
    for app in new.apps.values():
        known = stored.apps.get(app.id)
        if known is None or known.account == app.account:
            continue
        day = billed.apps.get((known.account, app.id))
        if day:
            yield (
                f'app {app.id}: it cannot move to account "{app.account}", because it is billed to "{known.account}" '
                f"up to {day}; keep the account, or use a new app id"
            )
        elif app.account in billed.accounts:
            yield (
                f'app {app.id}: it cannot move to account "{app.account}", which is billed up to '
                f"{billed.accounts[app.account]} without it; keep the account, or use a new app id"
            )


def _package_refusals(billed: Billed, stored: Catalog, new: Catalog) -> Iterator[str]:
    accounts = stored.merged(new).accounts
    for package in new.packages.values():
        known = stored.packages.get(package.id)
        if known is None:
            first = _first_day(package, accounts)
            last = billed.accounts.get(package.account)
            if last and first <= last:
                yield (
                    f'package "{package.id}": it would pay from {first} on, but account "{package.account}" is billed '
                    f"up to {last}; give a purchased_at after that day"
                )
            continue
        if known.charge != package.charge and "prepaid" in (known.charge, package.charge):
            yield (
                f'package "{package.id}": its charge cannot become "{package.charge}", because it was bought with '
                f'charge "{known.charge}"; keep that, or add a new package'
            )
        if _without_price(known) != _without_price(package):
            last = max((day for entry in (known, package) if (day := billed.accounts.get(entry.account))), default=None)
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


def _contract_refusals(billed: Billed, stored: Catalog, new: Catalog) -> Iterator[str]:
    for key, contract in new.contracts.items():
        last = billed.accounts.get(contract.account)
        if last and contract.valid_from <= last and stored.contracts.get(key) != contract:
            yield (
                f'contract of "{contract.account}" from {contract.valid_from}: the account is billed up to {last}; '
                "give a valid_from after that day"
            )


def _policy_refusals(billed: Billed, new: Catalog) -> Iterator[str]:
    for policy in new.policies.values():
        days = [day for (name, used), day in billed.policies.items() if name == policy.id and used != policy.hash]
        if days:
            yield (
                f'policy "{policy.id}": its rules cannot change, because days up to {max(days)} are billed with them; '
                "give the new rules another id, and name that id as the policy of the account"
            )


def _document_refusals(billed: Billed, stored: Catalog, new: Catalog) -> Iterator[str]:
    """What is issued keeps its months, its packages and the way its numbers are counted."""
    for account in new.accounts.values():
        known, closed = stored.accounts.get(account.id), billed.closed.get(account.id)
        if known and closed and known.invoices_from != account.invoices_from:
            yield (
                f'account "{account.id}": invoices_from cannot change, because its months up to {closed:%Y-%m} are '
                "closed; leave it as it is"
            )
    for package in new.packages.values():
        bought, number = stored.packages.get(package.id), billed.invoiced.get(package.id)
        if bought and number and (bought.price, bought.charge) != (package.price, package.charge):
            yield (
                f'package "{package.id}": it is billed on {number}, so neither its price nor its charge can change; '
                f"take it back with `billing invoice credit {number}`"
            )
        elif bought and package.id in billed.refunded and bought != package:
            yield f'package "{package.id}": it was refunded, so it cannot change; add a new package'
    for seller_id, kind in sorted(billed.numbered):
        before, after = (getattr(catalog.sellers.get(seller_id), kind, None) for catalog in (stored, new))
        if before and after and before.reset != after.reset:
            yield f'seller "{seller_id}": the reset of its {kind} numbers cannot change, because some are given'


def _account_uses(billed: Billed, stored: Catalog, account: Account) -> Iterator[str]:
    where = f'account "{account.id}"'
    if account.id in billed.accounts:
        yield f"{where}: it is billed up to {billed.accounts[account.id]}"
    elif account.id in billed.tried:
        yield f"{where}: runs of it are on record, see `billing runs`"
    elif account.id in billed.with_money:
        yield f"{where}: payments, documents or messages of it are on record"
    for app in stored.apps.values():
        if app.account == account.id:
            yield f"{where}: app {app.id} belongs to it; remove the app first, or move it to another account"
    for package in stored.packages.values():
        if package.account == account.id:
            yield f'{where}: package "{package.id}" belongs to it; remove the package first'
    for kind in ("alert", "webhook"):
        for entry in stored.entries(kind).values():
            if entry.account == account.id:
                yield f'{where}: {kind} "{entry.id}" is for it; give the {kind} another account first'


def _app_uses(billed: Billed, stored: Catalog, app: App) -> Iterator[str]:
    days = [day for (_, app_id), day in billed.apps.items() if app_id == app.id]
    if days:
        yield f"app {app.id}: it is billed up to {max(days)}"
    if app.id in billed.switched:
        yield f"app {app.id}: it was disabled or enabled by hand, which is on record"
    for package in stored.packages.values():
        if package.app == app.id:
            yield f'app {app.id}: package "{package.id}" is for it; remove the package first'
    for alert in stored.alerts.values():
        if alert.app == app.id:
            yield f'app {app.id}: alert "{alert.id}" is for it; give the alert another app first'


def _package_uses(billed: Billed, stored: Catalog, package: Package) -> Iterator[str]:
    first, last = _first_day(package, stored.accounts), billed.accounts.get(package.account)
    if number := billed.invoiced.get(package.id):
        yield f'package "{package.id}": it is billed on {number}'
    if package.id in billed.refunded:
        yield f'package "{package.id}": it was refunded'
    if last and first <= last:
        yield f'package "{package.id}": it pays from {first} on, and that is billed up to {last}'
    for alert in stored.alerts.values():
        if alert.package == package.id:
            yield f'package "{package.id}": alert "{alert.id}" is for it; give the alert another package first'
