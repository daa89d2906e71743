"""The catalog: who is billed, for which apps, under which rules, with what bought in advance.

One TOML file brings accounts, apps, packages, contracts and own policies; each has an identity (its id, a contract its
account and first day), and applying a file adds or changes what is in it and deletes nothing. A file is read whole, and
every mistake in it is reported at once: where it is, what it is, what to write instead. What refers to something else
(an app to its account) is checked on the catalog as it would be afterwards, because a file need not repeat what is
stored.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from billing.catalog.contracts import Contract
from billing.catalog.fields import (
    MOST_MINUTES,
    Field,
    Refused,
    address,
    currency_code,
    day,
    fraction,
    identifier,
    instant,
    money,
    one_of,
    read_by_item,
    read_table,
    text,
    unknown,
    whole,
)
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, builtin_policies, read_policy
from billing.errors import BillingError, UsageError
from billing.periods import time_zone

# The largest whole number that every program reads exactly.
_HIGHEST_APP = 2**53
_FREE_MINUTES_ID = re.compile(r"free-\d{4}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Whose invoices these are."""

    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer: one currency, one time zone, one policy. `free_minutes` a month; None: what the policy gives."""

    id: str
    name: str
    currency: str
    timezone: str
    policy: str
    free_minutes: int | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application of an account: what events belong to."""

    id: int
    account: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything by its identity; contracts by account and first day."""

    seller: Seller | None = None
    accounts: Mapping[str, Account] = field(default_factory=dict)
    apps: Mapping[int, App] = field(default_factory=dict)
    packages: Mapping[str, Package] = field(default_factory=dict)
    contracts: Mapping[tuple[str, date], Contract] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)

    def account(self, account_id: str) -> Account:
        """The account that a command names, or a `UsageError`."""
        if account_id not in self.accounts:
            raise UsageError(_not_here("account", account_id, self.accounts))
        return self.accounts[account_id]

    def app(self, app_id: int) -> App:
        """The app that a command names, or a `UsageError`."""
        if app_id not in self.apps:
            raise UsageError(_not_here("app", str(app_id), [str(known) for known in self.apps]))
        return self.apps[app_id]

    def merged(self, new: "Catalog") -> "Catalog":
        """This catalog with everything of `new` added, or in the place of what had its identity."""
        return Catalog(
            seller=new.seller or self.seller,
            accounts={**self.accounts, **new.accounts},
            apps={**self.apps, **new.apps},
            packages={**self.packages, **new.packages},
            contracts={**self.contracts, **new.contracts},
            policies={**self.policies, **new.policies},
        )


def parse_catalog(text: str, filename: str) -> Catalog:
    """The catalog in a TOML text; one `BillingError` with a line for every mistake. References are not followed."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BillingError(f"{filename} is not TOML: {error}") from None
    problems = [unknown("table", name, (*_KINDS, "seller")) for name in tables if name not in (*_KINDS, "seller")]
    read = {name: _read_kind(name, kind, tables.get(name, []), problems) for name, kind in _KINDS.items()}
    seller = _read_seller(tables.get("seller"), problems)
    _refuse(problems, filename)
    return Catalog(
        seller=seller,
        accounts=read["account"],
        apps=read["app"],
        packages=read["package"],
        contracts=read["contract"],
        policies=read["policy"],
    )


def check_catalog(catalog: Catalog) -> None:
    """Follow every reference inside a whole catalog; one `BillingError` with a line for each that leads nowhere."""
    problems = [
        *_app_problems(catalog),
        *_package_problems(catalog),
        *_contract_problems(catalog),
        *_account_problems(catalog),
        *(
            f'policy "{name}": this id is built in and cannot be redefined; choose another id'
            for name in catalog.policies
            if name in builtin_policies()
        ),
    ]
    _refuse(problems, "the catalog")


def known_policies(catalog: Catalog) -> dict[str, Policy]:
    """Built-in and own policies by id."""
    return {**catalog.policies, **builtin_policies()}


def _not_here(noun: str, name: str, known: Collection[str]) -> str:
    if known:
        return unknown(noun, name, known)
    return f"unknown {noun} {name!r}: there is none yet; add it with `billing catalog apply`"


def _refuse(problems: list[str], where: str) -> None:
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise BillingError("\n".join([f"{where} has {count}, and nothing was changed:", *problems]))


def _app_problems(catalog: Catalog) -> Iterator[str]:
    for app in catalog.apps.values():
        if app.account not in catalog.accounts:
            yield f"app {app.id}: {unknown('account', app.account, catalog.accounts)}"


def _package_problems(catalog: Catalog) -> Iterator[str]:
    for package in catalog.packages.values():
        where = f'package "{package.id}"'
        if package.account not in catalog.accounts:
            yield f"{where}: {unknown('account', package.account, catalog.accounts)}"
        if package.app is None:
            continue
        app = catalog.apps.get(package.app)
        if app is None:
            yield f"{where}: there is no app {package.app}; add it as an [[app]], or correct the number"
        elif app.account != package.account:
            yield (
                f'{where}: app {app.id} belongs to account "{app.account}", not "{package.account}"; '
                "correct the app or the account"
            )


def _contract_problems(catalog: Catalog) -> Iterator[str]:
    for contract in catalog.contracts.values():
        if contract.account not in catalog.accounts:
            where = f'contract of "{contract.account}" from {contract.valid_from}'
            yield f"{where}: {unknown('account', contract.account, catalog.accounts)}"


def _account_problems(catalog: Catalog) -> Iterator[str]:
    policies = known_policies(catalog)
    for account in catalog.accounts.values():
        policy = policies.get(account.policy)
        if policy is None:
            yield f'account "{account.id}": {unknown("policy", account.policy, policies)}'
            continue
        unpriced = _unpriced_items(account, policy, catalog)
        if unpriced:
            yield (
                f'account "{account.id}": policy "{policy.id}" has no {account.currency} price of '
                f"{', '.join(unpriced)}; choose a currency it has, or give a [[contract]] with prices of every item"
            )


def _unpriced_items(account: Account, policy: Policy, catalog: Catalog) -> list[str]:
    """Items that some version of the policy bills and that neither its prices nor the account's contracts price."""
    contracts = [contract for contract in catalog.contracts.values() if contract.account == account.id]
    agreed = set.intersection(*(set(contract.prices) for contract in contracts)) if contracts else set()
    items = [
        item
        for version in policy.versions
        for item in version.items
        if item not in version.prices.get(account.currency, {}) and item not in agreed
    ]
    return list(dict.fromkeys(items))


def _read_account(table: object) -> Account:
    return Account(**read_table(table, _ACCOUNT))


def _read_app(table: object) -> App:
    return App(**read_table(table, _APP))


def _read_package(table: object) -> Package:
    return Package(**read_table(table, _PACKAGE))


def _read_contract(table: object) -> Contract:
    values = read_table(table, _CONTRACT)
    if values["discount"] is None and not values["prices"]:
        raise Refused('gives neither a discount nor prices; write discount = "0.85" or a [contract.prices] table')
    return Contract(**values)


def _read_timezone(value: object) -> str:
    name = identifier(value)
    try:
        time_zone(name)
    except BillingError as error:
        raise Refused(str(error)) from None
    return name


def _read_package_id(value: object) -> str:
    package_id = identifier(value)
    if _FREE_MINUTES_ID.fullmatch(package_id):
        raise Refused(f"{package_id!r} is the name of a month's free minutes; choose another id")
    return package_id


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the tables of one kind are read, and what identifies one."""

    read: Callable[[object], Any]
    key: Callable[[Any], Any]


_KINDS = {
    "policy": _Kind(read_policy, lambda policy: policy.id),
    "account": _Kind(_read_account, lambda account: account.id),
    "app": _Kind(_read_app, lambda app: app.id),
    "package": _Kind(_read_package, lambda package: package.id),
    "contract": _Kind(_read_contract, lambda contract: (contract.account, contract.valid_from)),
}


def _read_kind(name: str, kind: _Kind, tables: object, problems: list[str]) -> dict[Any, Any]:
    """Every table of one kind by its identity; mistakes are added to `problems`."""
    if not isinstance(tables, list):
        problems.append(f"[{name}]: write [[{name}]], with two brackets, once for each {name}")
        return {}
    entries: dict[Any, Any] = {}
    first_number: dict[Any, int] = {}
    for number, table in enumerate(tables, start=1):
        where = f"[[{name}]] #{number}{_named(table)}"
        try:
            entry = kind.read(table)
        except Refused as refused:
            problems += [f"{where}: {problem}" for problem in refused.problems]
            continue
        key = kind.key(entry)
        if key in entries:
            problems.append(f"{where}: is the same {name} as #{first_number[key]}; remove one, or give it its own name")
        entries.setdefault(key, entry)
        first_number.setdefault(key, number)
    return entries


def _named(table: object) -> str:
    """` "acme"`, when the table says its id or account in usable text."""
    name = table.get("id", table.get("account")) if isinstance(table, dict) else None
    if isinstance(name, int) and not isinstance(name, bool):
        return f" {name}"
    return f' "{name}"' if isinstance(name, str) and name.isprintable() and len(name) <= 128 else ""


def _read_seller(table: object, problems: list[str]) -> Seller | None:
    if table is None:
        return None
    try:
        return Seller(**read_table(table, _SELLER))
    except Refused as refused:
        problems += [f"[seller]: {problem}" for problem in refused.problems]
        return None


_SELLER = {
    "name": Field(text),
    "address": Field(address, optional=True),
}
_ACCOUNT = {
    "id": Field(identifier),
    "name": Field(text),
    "currency": Field(currency_code),
    "timezone": Field(_read_timezone),
    "policy": Field(identifier),
    "free_minutes": Field(whole(0, MOST_MINUTES), optional=True),
    "address": Field(address, optional=True),
}
_APP = {
    "id": Field(whole(1, _HIGHEST_APP)),
    "account": Field(identifier),
    "name": Field(text),
}
_PACKAGE = {
    "id": Field(_read_package_id),
    "account": Field(identifier),
    "app": Field(whole(1, _HIGHEST_APP), optional=True),
    "minutes": Field(whole(1, MOST_MINUTES)),
    "purchased_at": Field(instant),
    "price": Field(money, optional=True),
    "term": Field(one_of("year", "month"), optional=True, default="year"),
}
_CONTRACT = {
    "account": Field(identifier),
    "valid_from": Field(day),
    "discount": Field(fraction, optional=True),
    "prices": Field(read_by_item(money), optional=True, default={}),
}
