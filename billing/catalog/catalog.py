"""The catalog: who is billed, for which apps, under which rules, with what bought in advance.

Accounts, apps, packages, contracts and own policies each have an identity (an id; a contract its account and first
day). A file brings some of them (`reading`), and what refers to something else (an app to its account) is checked here,
on the catalog as it would be afterwards, because a file need not repeat what is stored.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from billing.catalog.contracts import Contract
from billing.catalog.feeds import Assumptions
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, builtin_policies
from billing.errors import BillingError, UsageError, missing_row, unknown

# The kinds of entries, as a file calls them, and where a catalog keeps them.
KINDS = {"policy": "policies", "account": "accounts", "app": "apps", "package": "packages", "contract": "contracts"}


# The policy of an account whose terms are missing in the database: nothing is billed or shown by it.
NO_TERMS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Whose invoices these are."""

    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer: one currency, one time zone, one policy. `free_minutes` a month; None: what the policy gives.

    `hold_if_silent` (an ISO 8601 duration): a day at whose end stays are open is held if their app has had no event for
    so long; None: never.
    """

    id: str
    name: str
    currency: str
    timezone: str
    policy: str
    free_minutes: int | None = None
    address: str | None = None
    hold_if_silent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application of an account: what events belong to. `feed`: how the records of media servers name it."""

    id: int
    account: str
    name: str
    feed: tuple[str, ...] = ()
    assume: Assumptions = field(default_factory=Assumptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """An entry that is taken out of the catalog; the id of an app is a number."""

    kind: Literal["account", "app", "package"]
    id: str | int


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
        """The account that a command names, or a `UsageError`; a `BillingError` when its terms are missing."""
        if account_id not in self.accounts:
            raise UsageError(_not_here("account", account_id, self.accounts))
        account = self.accounts[account_id]
        if account.policy == NO_TERMS:
            raise missing_row("account_terms", f"account {account_id!r}")
        if account.policy not in known_policies(self):
            raise missing_row("policy", f"policy {account.policy!r} of account {account_id!r}")
        return account

    def app(self, app_id: int) -> App:
        """The app that a command names, or a `UsageError`."""
        if app_id not in self.apps:
            raise UsageError(_not_here("app", str(app_id), [str(known) for known in self.apps]))
        app = self.apps[app_id]
        if app.account not in self.accounts:
            raise missing_row("account", f"account {app.account!r}")
        return app

    def package(self, package_id: str) -> Package:
        """The package that a command names, or a `UsageError`."""
        if package_id not in self.packages:
            raise UsageError(_not_here("package", package_id, self.packages))
        return self.packages[package_id]

    def entries(self, kind: str) -> Mapping[Any, Any]:
        """Everything of one of `KINDS` by its identity."""
        entries: Mapping[Any, Any] = getattr(self, KINDS[kind])
        return entries

    def without(self, removed: "Removal") -> "Catalog":
        """This catalog without an entry; an account takes its contracts with it."""
        remaining = {key: entry for key, entry in self.entries(removed.kind).items() if key != removed.id}
        contracts = {
            key: each for key, each in self.contracts.items() if removed.kind != "account" or each.account != removed.id
        }
        changed: dict[str, Any] = {"contracts": contracts, KINDS[removed.kind]: remaining}
        return replace(self, **changed)

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
    refuse(problems, "the catalog")


def known_policies(catalog: Catalog) -> dict[str, Policy]:
    """Built-in and own policies by id."""
    return {**catalog.policies, **builtin_policies()}


def identity(entry: Any) -> Any:
    """What an entry is known by."""
    return (entry.account, entry.valid_from) if isinstance(entry, Contract) else entry.id


def _not_here(noun: str, name: str, known: Collection[str]) -> str:
    if known:
        return unknown(noun, name, known)
    return f"unknown {noun} {name!r}: there is none yet; add it with `billing catalog apply`"


def refuse(problems: Collection[str], where: str) -> None:
    """One `BillingError` with a line for each mistake, if there is any."""
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise BillingError("\n".join([f"{where} has {count}, and nothing was changed:", *problems]))


def _app_problems(catalog: Catalog) -> Iterator[str]:
    owners: dict[str, int] = {}
    for app in catalog.apps.values():
        if app.account not in catalog.accounts:
            yield f"app {app.id}: {unknown('account', app.account, catalog.accounts)}"
        for feed in app.feed:
            if owners.setdefault(feed, app.id) != app.id:
                yield f'app {app.id}: feed "{feed}" is that of app {owners[feed]}: a feed belongs to one app'


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
        if account.policy == NO_TERMS:
            yield str(missing_row("account_terms", f"account {account.id!r}"))
            continue
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
