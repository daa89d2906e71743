"""References: what refers to something else in a catalog must find it, and what belongs together must fit.

It is checked on the catalog as it would be after a file, because a file need not repeat what is stored.
"""

from collections.abc import Iterator

from billing.catalog.alerts import Alert
from billing.catalog.catalog import (
    EU_STATES,
    NO_TERMS,
    Account,
    Catalog,
    known_overdue_policies,
    known_policies,
    refuse,
)
from billing.catalog.overdue import builtin_overdue_policies, step_problems
from billing.catalog.policies import Policy, builtin_policies
from billing.catalog.sellers import Seller
from billing.errors import missing_row, unknown


def check_catalog(catalog: Catalog) -> None:
    """Follow every reference inside a whole catalog; one `BillingError` with a line for each that leads nowhere."""
    problems = [
        *_app_problems(catalog),
        *_package_problems(catalog),
        *_contract_problems(catalog),
        *_account_problems(catalog),
        *_document_problems(catalog),
        *(
            f'policy "{name}": this id is built in and cannot be redefined; choose another id'
            for name in catalog.policies
            if name in builtin_policies()
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


def _document_problems(catalog: Catalog) -> Iterator[str]:
    """What is wrong with sellers, taxes, overdue policies, alerts and webhooks, and with who names them."""
    yield from _series_problems(catalog)
    for policy in catalog.overdue_policies.values():
        builtin = builtin_overdue_policies().get(policy.id)
        if builtin not in (None, policy):
            yield f'overdue policy "{policy.id}": this id is built in and cannot be redefined; choose another id'
        yield from (f'overdue policy "{policy.id}": {problem}' for problem in step_problems(policy))
    for account in catalog.accounts.values():
        yield from _reference_problems(catalog, account)
    for package in catalog.packages.values():
        if package.charge in ("invoice", "prepaid") and package.price is None:
            yield f'package "{package.id}": charge = "{package.charge}" needs a price'
    for alert in catalog.alerts.values():
        yield from (f'alert "{alert.id}": {problem}' for problem in _alert_problems(catalog, alert))
    for webhook in catalog.webhooks.values():
        if webhook.account is not None and webhook.account not in catalog.accounts:
            yield f'webhook "{webhook.id}": {unknown("account", webhook.account, catalog.accounts)}'


def _series_problems(catalog: Catalog) -> Iterator[str]:
    """Numbers must differ whoever gave them."""
    owners: dict[tuple[str, str], str] = {}
    for seller in catalog.sellers.values():
        for kind, series in (("invoice", seller.invoice), ("credit_note", seller.credit_note)):
            where = f'{kind} of seller "{seller.id}"'
            owner = owners.setdefault((series.prefix, series.format), where)
            if owner != where:
                yield (
                    f"{where}: its numbers would be those of {owner} (prefix {series.prefix!r}); "
                    f'give it {kind} = {{ prefix = "…" }} of its own'
                )


def _reference_problems(catalog: Catalog, account: Account) -> Iterator[str]:
    where = f'account "{account.id}"'
    for noun, name, known in (
        ("seller", account.seller, catalog.sellers),
        ("tax", account.tax, catalog.taxes),
        ("overdue policy", account.overdue_policy, known_overdue_policies(catalog)),
    ):
        if name is not None and name not in known:
            yield f"{where}: {unknown(noun, name, known)}"
    if account.seller is None and len(catalog.sellers) > 1:
        yield f'{where}: names none of the {len(catalog.sellers)} sellers; add seller = "{min(catalog.sellers)}"'
    seller = catalog.sellers.get(account.seller or next(iter(catalog.sellers), ""))
    tax = catalog.taxes.get(account.tax or "")
    if tax and any(version.category == "AE" for version in tax.versions):
        yield from _reverse_charge_problems(where, account, seller)


def _reverse_charge_problems(where: str, account: Account, seller: Seller | None) -> Iterator[str]:
    for noun, party in (("account", account), ("seller", seller)):
        if party is None or party.country not in EU_STATES or party.tax_id is None:
            yield f"{where}: reverse charge (AE) needs the country, a member state of the EU, and tax_id of the {noun}"
            return
    if seller and seller.country == account.country:
        yield f"{where}: reverse charge (AE) is between different states, and both parties are in {account.country}"


def _alert_problems(catalog: Catalog, alert: Alert) -> Iterator[str]:
    if alert.account not in catalog.accounts:
        yield unknown("account", alert.account, catalog.accounts)
    app, package = catalog.apps.get(alert.app or 0), catalog.packages.get(alert.package or "")
    if alert.app is not None and (app is None or app.account != alert.account):
        yield f'app {alert.app} is none of account "{alert.account}"'
    if alert.package is not None and (package is None or package.account != alert.account):
        yield f'package "{alert.package}" is none of account "{alert.account}"'
    if alert.package is not None and alert.metric != "package_remaining":
        yield f"package is for package_remaining, not for {alert.metric}"
    if alert.app is not None and alert.metric not in ("minutes", "spend"):
        yield f"app is for minutes and spend, not for {alert.metric}"
