"""Assumed terms: what would hold on settled days under another policy, other contracts or other packages.

What is not assumed stays the account's: its policy of each day, its contracts, its packages. Its free minutes always
do, whatever another policy gives; they are taken at the ratios of the assumed policy.

Assumed contracts hold from the first day of the earliest of them on, in place of the account's own ones that begin on
that day or later; before, its own hold. Prices are in the account's currency. A policy that has no prices in it is
shown in its own first currency, and then the account's own contracts, which are agreed in another, do not hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.contracts import Contract, contract_on
from billing.catalog.packages import Package
from billing.catalog.policies import Policy
from billing.catalog.terms import DayTerms, day_terms
from billing.errors import BillingError, UsageError, unknown
from billing.periods import day_start

Contracts = Mapping[tuple[str, date], Contract]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What is assumed; None: what the account has. No contracts: list prices."""

    policy: str | None = None
    contracts: Sequence[Contract] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedTerms:
    """The terms of days that follow each other, and the currency of their prices."""

    days: Sequence[DayTerms]
    currency: str


def assume(own: Sequence[DayTerms], catalog: Catalog, account: Account, assumption: Assumption) -> AssumedTerms:
    """The terms of the days of `own`, the account's own terms, under an assumption.

    A `UsageError` when there is no such policy.
    """
    if assumption == Assumption():
        return AssumedTerms(days=own, currency=account.currency)
    return _with_rules(own, catalog, account, assumption)


def read_contracts(text: str, filename: str, account_id: str) -> list[Contract]:
    """The `[[contract]]` tables of a file, each of this account, which they need not name."""
    return list(_read_tables(text, filename, "contract", {"account": account_id}).contracts.values())


def read_packages(text: str, filename: str, account_id: str, first: date, zone: ZoneInfo) -> list[Package]:
    """The `[[package]]` tables of a file, each of this account, which they need not name; bought when the day `first`
    begins if they do not say when."""
    defaults = {"account": account_id, "purchased_at": datetime.fromtimestamp(day_start(first, zone), zone)}
    return list(_read_tables(text, filename, "package", defaults).packages.values())


def _with_rules(own: Sequence[DayTerms], catalog: Catalog, account: Account, assumption: Assumption) -> AssumedTerms:
    policy = _policy(catalog, assumption.policy)
    own_contracts = {key: each for key, each in catalog.contracts.items() if each.account == account.id}
    contracts = _contracts(own_contracts, assumption.contracts)
    currency = _currency(account, own, policy, contracts)
    if currency != account.currency:
        contracts = _contracts({}, assumption.contracts)
    priced = replace(account, currency=currency)
    assumed = replace(catalog, contracts=contracts)
    days = [
        replace(
            day_terms(assumed, priced, terms.zone, terms.day, policy=policy or terms.policy, free_minutes=0),
            free_minutes=terms.free_minutes,
        )
        for terms in own
    ]
    return AssumedTerms(days=days, currency=currency)


def _policy(catalog: Catalog, name: str | None) -> Policy | None:
    policies = known_policies(catalog)
    if name is not None and name not in policies:
        raise UsageError(unknown("policy", name, policies))
    return None if name is None else policies[name]


def _contracts(own: Contracts, assumed: Sequence[Contract] | None) -> Contracts:
    if assumed is None:
        return own
    first = min((contract.valid_from for contract in assumed), default=date.min)
    kept = {key: each for key, each in own.items() if each.valid_from < first}
    return {**kept, **{(each.account, each.valid_from): each for each in assumed}}


def _currency(account: Account, own: Sequence[DayTerms], policy: Policy | None, contracts: Contracts) -> str:
    """The account's, unless the policy has no prices in it and no contract prices every item."""
    if policy is None:
        return account.currency
    version = policy.version_on(own[0].day)
    contract = contract_on(own[0].day, contracts.values())
    is_priced = set(version.items) <= (contract.prices.keys() if contract else set())
    return account.currency if account.currency in version.prices or is_priced else next(iter(version.prices))


def _read_tables(text: str, filename: str, kind: str, defaults: Mapping[str, object]) -> Catalog:
    import tomllib

    # pydantic takes long to load.
    from billing.catalog.reading import read_catalog

    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BillingError(f"{filename} is not TOML: {error}") from None
    entries = tables.get(kind)
    if tables.keys() != {kind} or not isinstance(entries, list):
        raise BillingError(f"{filename}: write [[{kind}]] tables into it, and nothing else")
    found = read_catalog({kind: [_filled(entry, kind, n, defaults) for n, entry in enumerate(entries, 1)]}, filename)
    _check_accounts(found.entries(kind).values(), filename, str(defaults["account"]), kind)
    return found


def _filled(entry: object, kind: str, number: int, defaults: Mapping[str, object]) -> object:
    """A table with what it leaves out; a package also has an id."""
    if not isinstance(entry, dict):
        return entry
    name = {"id": f"assumed-{number:06}"} if kind == "package" else {}
    return {**name, **defaults, **entry}


def _check_accounts(entries: Iterable[Contract | Package], filename: str, account_id: str, kind: str) -> None:
    for entry in entries:
        if entry.account != account_id:
            raise BillingError(
                f'{filename}: a {kind} is of account "{entry.account}": write account = "{account_id}", or leave it out'
            )
