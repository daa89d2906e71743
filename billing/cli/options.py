"""Options and types of arguments that several commands share.

Options that belong together reach a command as one value: `collected` makes a decorator of them.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from billing.cli import known_names
from billing.cli.homes import open_catalog
from billing.errors import BillingError, UsageError
from billing.limits import LARGEST_APP_ID, LARGEST_NUMBER
from billing.periods import local_day, next_month, now, parse_day, parse_month, time_zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from billing.catalog.catalog import Account

_Command = TypeVar("_Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
COUNT = click.IntRange(1, LARGEST_NUMBER)  # also the number of a run

_APPS_NAMED = 5


def collected(name: str, value: type, *options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """A decorator: the options reach the command as one dataclass `value`, in its argument `name`."""
    names = [field.name for field in fields(value)]

    def decorate(command: Any) -> Any:
        @wraps(command)
        def collecting(*arguments: Any, **given: Any) -> Any:
            given[name] = value(**{each: given.pop(each) for each in names})
            return command(*arguments, **given)

        for option in reversed(options):
            collecting = option(collecting)
        return collecting

    return decorate


class Amount(click.ParamType[Decimal]):
    """An amount of money, such as 12.50."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The exact number."""
        text = str(value)
        if not re.fullmatch(r"\d{1,12}(\.\d{1,8})?", text, re.ASCII):
            self.fail(f"{text!r} is not an amount such as 12.50", param, ctx)
        return Decimal(text)


AMOUNT = Amount()


class AppId(click.ParamType[int]):
    """The number of an app. An error names the apps that there are, the likeliest first."""

    name = "app"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, from 1 to 2^53."""
        text = str(value)
        if not re.fullmatch(r"\d{1,16}", text, re.ASCII) or not 1 <= int(text) <= LARGEST_APP_ID:
            self.fail(f"{text!r} is not the number of an app{_known_apps(text, ctx)}", param, ctx)
        return int(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The apps in the catalog that begin like this."""
        return known_names.apps(ctx, param, incomplete)


def _known_apps(text: str, ctx: click.Context | None) -> str:
    """The apps in the catalog, for an error message; nothing if there is no catalog."""
    try:
        apps = open_catalog(ctx.obj).apps.values() if ctx and ctx.obj else ()
    except BillingError:
        return ""
    alike = sorted(apps, key=lambda app: -difflib.SequenceMatcher(None, text.lower(), app.name.lower()).ratio())
    named = ", ".join(f"{app.id} ({app.name})" for app in alike[:_APPS_NAMED])
    return f"; there is {named}" if named else ""


APP = AppId()


class OutputFile(click.Path):
    """A file to write, with one of the endings that the command can write; a device or a pipe needs none."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path)
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path = Path(value)
        is_special = path.exists() and not path.is_file() and not path.is_dir()
        if not (is_special or str(path) in self.endings or path.name.lower().endswith(self.endings)):
            self.fail(f"{str(path)!r} cannot be written: give a name ending in {' or '.join(self.endings)}", param, ctx)
        return super().convert(value, param, ctx)


class DocumentOutput(OutputFile):
    """The file to write, or with `--all` (an option that is read first) the directory for one of each account."""

    def __init__(self) -> None:
        super().__init__(".xlsx", ".pdf", ".xml")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        return Path(value) if ctx and ctx.params.get("every") else super().convert(value, param, ctx)


format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)

provisional_option = click.option(
    "--provisional", is_flag=True, help="Include the days that are not billed yet, up to the last refresh."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """One account by its id, or every account."""

    account: str | None
    every: bool

    def __post_init__(self) -> None:
        if (self.account is None) != self.every:
            raise UsageError("give either an account or --all")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralAccounts:
    """Some accounts by their ids, or every account."""

    named: tuple[str, ...]
    every: bool

    def __post_init__(self) -> None:
        if bool(self.named) == self.every:
            raise UsageError("give either accounts or --all")


several_accounts_options = collected(
    "accounts",
    SeveralAccounts,
    click.argument("named", metavar="ACCOUNT...", nargs=-1, shell_complete=known_names.accounts),
    click.option("--all", "every", is_flag=True, is_eager=True, help="Every account."),
)


accounts_options = collected(
    "accounts",
    Accounts,
    click.argument("account", required=False, shell_complete=known_names.accounts),
    click.option("--all", "every", is_flag=True, is_eager=True, help="Every account."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month, by name or as the last one."""

    month: date | None
    last_month: bool

    def __post_init__(self) -> None:
        if (self.month is not None) == self.last_month:
            raise UsageError("give either --month or --last-month")

    def first_day(self, zone: Callable[[], "ZoneInfo"]) -> date:
        """The first day of the month; the last month is the one before today in `zone`, which is asked for then."""
        return self.month or _last_month(zone())

    def first_day_of(self, account: "Account") -> date:
        """The same where an account is."""
        return self.first_day(lambda: time_zone(account.timezone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days: from the first to the last, both included, or a month's."""

    first: date | None
    last: date | None
    month: date | None
    last_month: bool

    def days(self, zone: Callable[[], "ZoneInfo"], default: tuple[date, date] | None = None) -> tuple[date, date]:
        """The first and the last day; `default` has the ends that may be left out."""
        if self.month is None and not self.last_month:
            first, last = self.first or (default and default[0]), self.last or (default and default[1])
            if first is None or last is None:
                raise UsageError("give --from and --to, or --month, or --last-month")
            return first, last
        if self.first or self.last:
            raise UsageError("give either --from and --to, or --month, or --last-month")
        month = Month(month=self.month, last_month=self.last_month).first_day(zone)
        return month, next_month(month) - timedelta(days=1)


def _last_month(zone: "ZoneInfo") -> date:
    today = local_day(int(now().timestamp()), zone)
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


_MONTH = (
    click.option("--month", type=parse_month, metavar="YYYY-MM", help="The month."),
    click.option("--last-month", is_flag=True, help="The month before this one, where the account is."),
)
month_options = collected("month", Month, *_MONTH)
period_options = collected(
    "period",
    Period,
    click.option("--from", "first", type=parse_day, metavar="DAY", help="The first day."),
    click.option("--to", "last", type=parse_day, metavar="DAY", help="The last day, included."),
    *_MONTH,
)
