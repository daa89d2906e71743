"""The catalog: who is billed, for which apps, under which rules, with what bought in advance.

Each entry has an identity (an id; a contract its account and first day). A file brings some of them (`reading`), and
what is stored has the rest: references from one to another are checked by `references`, on the catalog as it would be
afterwards.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from billing.catalog.alerts import Alert, Webhook
from billing.catalog.contracts import Contract
from billing.catalog.feeds import Assumptions
from billing.catalog.overdue import BUILTIN_OVERDUE_POLICIES, OverduePolicy
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, policies_with_services
from billing.catalog.sellers import Seller
from billing.catalog.taxes import Tax
from billing.errors import BillingError, UsageError, missing_row, unknown

# The kinds of entries, as a file calls them, and where a catalog keeps them.
KINDS = {
    "seller": "sellers",
    "tax": "taxes",
    "overdue_policy": "overdue_policies",
    "policy": "policies",
    "account": "accounts",
    "app": "apps",
    "package": "packages",
    "contract": "contracts",
    "alert": "alerts",
    "webhook": "webhooks",
}


# The policy of an account whose terms are missing in the database: nothing is billed or shown by it.
NO_TERMS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer: one currency, one time zone, one policy. `free_minutes` a month; None: what the policy gives.

    `hold_if_silent` (an ISO 8601 duration): a day at whose end stays are open is held if their app has had no event for
    so long; None: never. `seller`, `tax` and `overdue_policy` are ids. Not `pay_as_you_go`: nobody may enter once no
    prepaid minutes are left. `mode` says how packages are paid if they do not say so themselves. Months before
    `invoices_from` (a first day) have no invoices; None: none are before it. `terms_days` None: the seller's.
    """

    id: str
    name: str
    currency: str
    timezone: str
    policy: str
    free_minutes: int | None = None
    address: str | None = None
    hold_if_silent: str | None = None
    seller: str | None = None
    tax: str | None = None
    overdue_policy: str | None = None
    pay_as_you_go: bool = True
    language: Literal["en", "ja", "zh"] = "en"
    mode: Literal["invoice", "prepaid"] = "invoice"
    invoices_from: date | None = None
    country: str | None = None
    tax_id: str | None = None
    terms_days: int | None = None


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

    sellers: Mapping[str, Seller] = field(default_factory=dict)
    taxes: Mapping[str, Tax] = field(default_factory=dict)
    overdue_policies: Mapping[str, OverduePolicy] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    apps: Mapping[int, App] = field(default_factory=dict)
    packages: Mapping[str, Package] = field(default_factory=dict)
    contracts: Mapping[tuple[str, date], Contract] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)

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
        return Catalog(**{place: {**self.entries(kind), **new.entries(kind)} for kind, place in KINDS.items()})

    def resolved(self, stored: "Catalog") -> "Catalog":
        """This catalog, read from a file, with what it leaves to what is stored.

        A package keeps how it is charged; a new one is `prepaid` where its account's mode is, else `external`. An
        account keeps its `invoices_from`.
        """
        accounts = {key: _with_first_month(each, stored.accounts.get(key)) for key, each in self.accounts.items()}
        payers = {**stored.accounts, **accounts}
        packages = {
            key: _with_charge(each, stored.packages.get(key), payers.get(each.account))
            for key, each in self.packages.items()
        }
        return replace(self, accounts=accounts, packages=packages)

    def seller_of(self, account: Account) -> Seller | None:
        """The seller that an account names; else the only one, if there is one."""
        if account.seller is not None:
            return self.sellers.get(account.seller)
        return next(iter(self.sellers.values())) if len(self.sellers) == 1 else None

    def tax_of(self, account: Account) -> Tax | None:
        """The tax that an account names."""
        return None if account.tax is None else self.taxes.get(account.tax)

    def overdue_policy_of(self, account: Account) -> OverduePolicy | None:
        """The overdue policy that an account names."""
        return None if account.overdue_policy is None else known_overdue_policies(self).get(account.overdue_policy)


def known_policies(catalog: Catalog) -> dict[str, Policy]:
    """Built-in and own policies by id."""
    return {**catalog.policies, **policies_with_services()}


def known_overdue_policies(catalog: Catalog) -> dict[str, OverduePolicy]:
    """Built-in and own overdue policies by id."""
    return {**catalog.overdue_policies, **BUILTIN_OVERDUE_POLICIES}


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


def _with_first_month(account: Account, stored: Account | None) -> Account:
    if account.invoices_from is not None or stored is None:
        return account
    return replace(account, invoices_from=stored.invoices_from)


def _with_charge(package: Package, stored: Package | None, account: Account | None) -> Package:
    if package.charge is not None:
        return package
    if stored is not None and stored.charge is not None:
        return replace(package, charge=stored.charge)
    return replace(package, charge="prepaid" if account is not None and account.mode == "prepaid" else "external")
