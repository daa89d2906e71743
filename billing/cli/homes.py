"""The home that a command works in, and how its database is opened."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from billing.cli.messages import say_stopped_clock
from billing.cli.text_files import is_text
from billing.errors import UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from billing.catalog.catalog import Catalog
    from billing.home import Home
    from billing.ledger.database import Engine


def pass_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its home as the first argument, and says so if the clock is stopped.

    Text that is not UTF-8 is refused, but for the names of files.
    """

    @click.pass_obj
    @wraps(command)
    def with_home(home: "Home", *arguments: Any, **options: Any) -> Any:
        say_stopped_clock()
        _check_text(home.database_url, *(value for name, value in options.items() if name != "files"))
        return command(home, *arguments, **options)

    return with_home


def _check_text(*values: object) -> None:
    for value in values:
        if isinstance(value, str) and not is_text(value):
            raise UsageError(f"{value!r} is not text in UTF-8")
        if is_dataclass(value):
            _check_text(*(getattr(value, each.name) for each in fields(value) if each.name != "files"))
        elif isinstance(value, tuple | list):
            _check_text(*value)


def open_engine(home: "Home") -> "Engine":
    """The database of a home."""
    from billing.ledger.database import open_database

    return open_database(home.database)


def open_catalog(home: "Home") -> "Catalog":
    """The catalog as it is now."""
    from billing.ledger.catalog_store import load_catalog
    from billing.ledger.database import reading

    with reading(open_engine(home)) as conn:
        return load_catalog(conn)


def zone_of(home: "Home", *, account: str | None = None, app_id: int | None = None) -> "ZoneInfo":
    """The time zone of an app's account, else of the account, else UTC."""
    from billing.periods import time_zone

    catalog = open_catalog(home)
    owner = account if app_id is None else catalog.app(app_id).account
    return time_zone("UTC" if owner is None else catalog.account(owner).timezone)
