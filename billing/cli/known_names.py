"""Names that a shell completes: the accounts, apps and packages in the catalog of the home that the line names.

    billing charges ac<TAB>        academy
    billing usage 14<TAB>          1400000001, with its name beside it where the shell shows one

What fails here offers no names; the command itself says what is wrong.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from billing.cli.homes import open_catalog
from billing.errors import BillingError

if TYPE_CHECKING:
    from billing.catalog.catalog import Catalog


def accounts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of accounts that begin like this."""
    return _completed("account", ctx, incomplete)


def apps(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The numbers of apps that begin like this."""
    return _completed("app", ctx, incomplete)


def packages(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of packages that begin like this."""
    return _completed("package", ctx, incomplete)


def entries(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same of what the line names before: accounts, apps or packages."""
    return _completed(str(ctx.params.get("kind")), ctx, incomplete)


def _completed(kind: str, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from billing.home import Home

    options = ctx.find_root().params
    try:
        catalog = open_catalog(Home.at(options["directory"], options["database_url"]))
    except (BillingError, OSError):
        return []
    found = sorted(_names(kind, catalog))
    return [CompletionItem(name, help=title) for name, title in found if name.startswith(incomplete)]


def _names(kind: str, catalog: "Catalog") -> Iterator[tuple[str, str | None]]:
    match kind:
        case "account":
            yield from ((account.id, account.name) for account in catalog.accounts.values())
        case "app":
            yield from ((str(app.id), app.name) for app in catalog.apps.values())
        case "package":
            yield from ((package.id, package.account) for package in catalog.packages.values())
