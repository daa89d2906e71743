"""References inside a catalog: what one entry says of another, followed on the whole catalog.

A file need not repeat what is stored, so this is looked at on the catalog as it would be after the file is applied.
"""

from collections.abc import Iterator, Mapping

from billing.catalog.catalog import (
    NO_TERMS,
    Account,
    Catalog,
    known_overdue_policies,
    known_policies,
    refuse,
)
from billing.catalog.overdue import BUILTIN_OVERDUE_POLICIES
from billing.catalog.policies import Policy, builtin_policies
from billing.catalog.sellers import Seller, series_problems
from billing.catalog.tax_ids import EU_STATES
from billing.errors import missing_row, unknown


def check_catalog(catalog: Catalog) -> None:
    """Follow every reference inside a whole catalog; one `BillingError` with a line for each that leads nowhere."""
    problems = [
        *series_problems(catalog.sellers.values()),
        *_app_problems(catalog),
        *_package_problems(catalog),
        *_contract_problems(catalog),
        *_account_problems(catalog),
        *_party_problems(catalog),
        *_alert_problems(catalog),
        *_webhook_problems(catalog),
        *(
            f'policy "{name}": this id is built in and cannot be redefined; choose another id'
            for name in catalog.policies
            if name in builtin_policies()
        ),
        *(
            f'overdue_policy "{policy.id}": this id is built in with other steps; choose another id'
            for policy in catalog.overdue_policies.values()
            if BUILTIN_OVERDUE_POLICIES.get(policy.id, policy) != policy
        ),
    ]
    refuse(problems, "the catalog")


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
        yield from _app_of_account_problems(where, package.app, package.account, catalog)
        if package.charge in ("invoice", "prepaid") and package.price is None:
            yield (
                f'{where}: charge "{package.charge}" puts it on an invoice, and it has no price; give one, or write '
                'charge = "external" if it is billed elsewhere'
            )


def _app_of_account_problems(where: str, app_id: int | None, account: str, catalog: Catalog) -> Iterator[str]:
    app = None if app_id is None else catalog.apps.get(app_id)
    if app_id is not None and app is None:
        yield f"{where}: there is no app {app_id}; add it as an [[app]], or correct the number"
    if app is not None and app.account != account:
        yield (
            f'{where}: app {app.id} belongs to account "{app.account}", not "{account}"; correct the app or the account'
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


def _party_problems(catalog: Catalog) -> Iterator[str]:
    """What invoices of an account need: its seller, its tax, its overdue policy."""
    named: tuple[tuple[str, str, Mapping[str, object]], ...] = (
        ("seller", "seller", catalog.sellers),
        ("tax", "tax", catalog.taxes),
        ("overdue_policy", "overdue policy", known_overdue_policies(catalog)),
    )
    for account in catalog.accounts.values():
        where = f'account "{account.id}"'
        for key, noun, known in named:
            name = getattr(account, key)
            if name is not None and name not in known:
                yield f"{where}: {_missing(key, noun, name, known)}"
        if account.seller is None and len(catalog.sellers) > 1:
            yield f"{where}: there are several sellers; name its seller: {', '.join(catalog.sellers)}"
        tax = catalog.tax_of(account)
        if tax is not None and tax.is_reverse_charge:
            yield from _reverse_charge_problems(f'{where}: tax "{tax.id}" is reverse charge', account, catalog)


def _missing(key: str, noun: str, name: str, known: Mapping[str, object]) -> str:
    return unknown(noun, name, known) if known else f"unknown {noun} {name!r}: there is none yet; add it as [[{key}]]"


def _reverse_charge_problems(where: str, account: Account, catalog: Catalog) -> Iterator[str]:
    seller = catalog.seller_of(account)
    if seller is None:
        if account.seller is None and not catalog.sellers:
            yield f"{where}, and there is no seller; add a [[seller]] with country and tax_id"
        return
    parties: dict[str, Seller | Account] = {f'seller "{seller.id}"': seller, f'account "{account.id}"': account}
    for name, party in parties.items():
        missing = [key for key in ("country", "tax_id") if getattr(party, key) is None]
        if missing:
            yield f"{where}, and {name} has no {' and no '.join(missing)}; give it, or choose another tax"
        if party.country is not None and party.country not in EU_STATES:
            yield f"{where}, and {name} is in {party.country}, outside the EU; choose another tax"
    if seller.country is not None and seller.country == account.country:
        yield f"{where}, and seller and account are both in {seller.country}; choose another tax"


def _alert_problems(catalog: Catalog) -> Iterator[str]:
    for alert in catalog.alerts.values():
        where = f'alert "{alert.id}"'
        if alert.account not in catalog.accounts:
            yield f"{where}: {unknown('account', alert.account, catalog.accounts)}"
        yield from _app_of_account_problems(where, alert.app, alert.account, catalog)
        package = None if alert.package is None else catalog.packages.get(alert.package)
        if alert.package is not None and package is None:
            yield f"{where}: {_missing('package', 'package', alert.package, catalog.packages)}"
        if package is not None and package.account != alert.account:
            yield (
                f'{where}: package "{package.id}" belongs to account "{package.account}", not "{alert.account}"; '
                "correct the package or the account"
            )


def _webhook_problems(catalog: Catalog) -> Iterator[str]:
    for webhook in catalog.webhooks.values():
        if webhook.account is not None and webhook.account not in catalog.accounts:
            yield f'webhook "{webhook.id}": {unknown("account", webhook.account, catalog.accounts)}'
