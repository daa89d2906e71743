"""`billing catalog show` and `billing catalog remove`."""

from typing import TYPE_CHECKING, Literal

import click

from billing.errors import UsageError
from billing.limits import LARGEST_APP_ID
from billing.periods import now

if TYPE_CHECKING:
    from billing.home import Home


@click.command("show")
@click.pass_obj
def show(home: "Home") -> None:
    """Print everything that is set up, as a TOML file that can be applied again. The policies that come with the
    program are left out; an account's policy and free minutes are those of its next unbilled day.

    \b
    Example:
      billing catalog show > catalog.toml
    """
    from billing.catalog.canonical import catalog_toml
    from billing.ledger.catalog_store import load_catalog
    from billing.ledger.database import open_database, reading

    with reading(open_database(home.database_url)) as conn:
        click.echo(catalog_toml(load_catalog(conn)), nl=False)


@click.command("remove")
@click.argument("kind", type=click.Choice(["account", "app", "package"]))
@click.argument("entry_id", metavar="ID")
@click.pass_obj
def remove(home: "Home", kind: Literal["account", "app", "package"], entry_id: str) -> None:
    """Remove an account, an app or a package that was entered by mistake. What is billed stays, and so does what others
    refer to and an app whose events were accepted. An account takes its contracts with it.

    \b
    Example:
      billing catalog remove package pkg-2
    """
    from billing.catalog.catalog import Removal
    from billing.jobs.catalog_removal import remove_from_catalog
    from billing.ledger.database import open_database

    removal = Removal(kind=kind, id=_app_id(entry_id) if kind == "app" else entry_id)
    engine = open_database(home.database_url)
    change = remove_from_catalog(home, engine, removal, removed_at_ms=int(now().timestamp() * 1000))
    click.echo(f"removed: {change.kind} {change.id}")


def _app_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(LARGEST_APP_ID)):
        raise UsageError(f"{text!r} is not an app id: give a whole number such as 1400000001")
    return int(text)
