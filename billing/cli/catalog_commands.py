"""Setting up: the home, and who is billed on what terms."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from billing.cli import known_names
from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import FILE, AppId, format_option
from billing.cli.report_tables import Report, print_report
from billing.cli.text_files import read_text
from billing.periods import now

if TYPE_CHECKING:
    from billing.home import Home


@click.command()
@pass_home
def init(home: "Home") -> None:
    """Create the home and its database. What is there already is kept, and brought up to this version of the program.

    \b
    Example:
      billing --home /srv/billing init
    """
    from billing.ledger.database import upgrade

    home.create()
    upgrade(home.database)
    say(f"ready: {home.directory}")


@click.group()
def catalog() -> None:
    """Set up accounts, apps, packages, contracts, policies.

    \b
    Example:
      billing catalog apply catalog.toml
    """


@catalog.command("apply")
@click.argument("file", type=FILE)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@format_option
@pass_home
def catalog_apply(home: "Home", file: Path, dry_run: bool, output_format: str) -> None:
    """Add and change what a TOML file holds. What it leaves out stays as it is. The file is applied whole or not at
    all, and refused where it would change what is billed.

    \b
    Example:
      billing catalog apply catalog.toml --dry-run
    """
    from billing.catalog.reading import parse_catalog
    from billing.jobs.catalog_change import apply_catalog
    from billing.ledger import catalog_store
    from billing.ledger.database import reading

    new = parse_catalog(read_text(file), str(file))
    engine = open_engine(home)
    if dry_run:
        with reading(engine) as conn:
            changes = catalog_store.plan(conn, new)
    else:
        changes = apply_catalog(home, engine, new)
    rows = [asdict(change) for change in changes]
    print_report(Report(fields=("kind", "id", "action", "detail"), rows=rows, empty=f"{file} is empty"), output_format)
    if dry_run:
        say("nothing was changed (--dry-run)")


@catalog.command("show")
@pass_home
def catalog_show(home: "Home") -> None:
    """Print everything that is set up, as a TOML file that can be applied again. The policies that come with the
    program are left out; an account's policy and free minutes are those of its next unbilled day.

    \b
    Example:
      billing catalog show > catalog.toml
    """
    from billing.catalog.canonical import catalog_toml

    click.echo(catalog_toml(open_catalog(home)), nl=False)


@catalog.command("remove")
@click.argument("kind", type=click.Choice(["account", "app", "package"]))
@click.argument("entry_id", metavar="ID", shell_complete=known_names.entries)
@pass_home
def catalog_remove(home: "Home", kind: Literal["account", "app", "package"], entry_id: str) -> None:
    """Remove an account, an app or a package that was entered by mistake. What is billed stays, and so does what others
    refer to and an app whose events were accepted. An account takes its contracts with it.

    \b
    Example:
      billing catalog remove package pkg-2
    """
    from billing.catalog.catalog import Removal
    from billing.jobs.catalog_removal import remove_from_catalog

    known_id = AppId().convert(entry_id, None, click.get_current_context()) if kind == "app" else entry_id
    removal = Removal(kind=kind, id=known_id)
    change = remove_from_catalog(home, open_engine(home), removal, removed_at_ms=int(now().timestamp() * 1000))
    say(f"removed: {change.kind} {change.id}")
