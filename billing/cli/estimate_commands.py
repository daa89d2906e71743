"""Estimates: what a month would cost."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.catalog.feeds import Size, parse_size
from billing.cli import known_names
from billing.cli.homes import open_catalog, pass_home
from billing.cli.options import FILE, collected, format_option
from billing.cli.report_tables import Report, print_report
from billing.cli.text_files import read_text_or_stdin
from billing.errors import BillingError, UsageError
from billing.money import plain
from billing.periods import now

if TYPE_CHECKING:
    from billing.home import Home
    from billing.reports.estimate import Tariff
    from billing.reports.planned_rooms import PlannedRooms, Room

# Columns for the packages of a set: with amounts in millions the table still fits 80.
_SET_WIDTH = 30


class _Count(click.ParamType[int]):
    """A number of rooms or users, from `least` on."""

    name = "integer"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        from billing.reports.planned_rooms import MOST

        return click.IntRange(self.least, MOST).convert(value, param, ctx)


def _only_screen(_ctx: click.Context, _option: click.Parameter, sizes: Sequence[Size]) -> Size | None:
    if len(sizes) > 1:
        raise UsageError("a room has one screen share: give --screen once")
    return sizes[0] if sizes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Month:
    """What a month has beside the people in a room: whose prices, pictures, and how long and often."""

    policy: str | None
    account: str | None
    days: int
    minutes: int
    cameras: tuple[Size, ...]
    screen: Size | None


_month_options = collected(
    "month",
    _Month,
    click.option("--policy", metavar="POLICY", help="The policy whose list prices hold, such as trtc-intl."),
    click.option(
        "--account",
        metavar="ACCOUNT",
        shell_complete=known_names.accounts,
        help="Whose policy, contract and free minutes hold.",
    ),
    click.option("--days", type=int, default=30, show_default=True, help="Days of the month on which they happen."),
    click.option("--minutes", type=int, required=True, help="How long each of them lasts."),
    click.option(
        "--camera",
        "cameras",
        type=parse_size,
        multiple=True,
        metavar="WxH",
        help="The picture size of a camera; once for each publisher.",
    ),
    click.option(
        "--screen",
        type=parse_size,
        multiple=True,
        callback=_only_screen,
        metavar="WxH",
        help="The picture size of the room's screen share, which the first user sends.",
    ),
)


@click.group()
def estimate() -> None:
    """Compute what a month will cost, as it would be billed.

    \b
    Example:
      billing estimate call --policy trtc-intl --calls-per-day 20 --users 3 \\
        --minutes 45
      billing estimate scenario scenario.toml
    """


@estimate.command("call")
@click.option("--calls-per-day", type=_Count(1), required=True, help="How many calls there are on a day.")
@click.option("--users", type=_Count(1), required=True, help="How many users are in a call.")
@_month_options
@format_option
@pass_home
def estimate_call(home: "Home", calls_per_day: int, users: int, month: _Month, output_format: str) -> None:
    """Estimate a month of calls. Everybody receives the cameras and the screen of all the others.

    \b
    Example:
      billing estimate call --policy trtc-intl --calls-per-day 20 --users 3 \\
        --minutes 45 --camera 1280x720 --camera 1280x720 --screen 1920x1080
    """
    from billing.reports.planned_rooms import Room

    room = Room(users=users, cameras=month.cameras, screen=month.screen)
    _print_month(home, room, calls_per_day, month, output_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    """Who is in a live room."""

    anchors: int
    audience: int


@estimate.command("live")
@click.option("--rooms-per-day", type=_Count(1), required=True, help="How many rooms there are on a day.")
@collected(
    "people",
    _People,
    click.option("--anchors", type=_Count(1), required=True, help="How many users of a room may publish."),
    click.option("--audience", type=_Count(0), required=True, help="How many users of a room only watch."),
)
@_month_options
@format_option
@pass_home
def estimate_live(home: "Home", rooms_per_day: int, people: _People, month: _Month, output_format: str) -> None:
    """Estimate a month of live rooms. Anchors publish, the audience watches, and no anchor receives itself.

    \b
    Example:
      billing estimate live --account acme --rooms-per-day 2 --anchors 1 \\
        --audience 500 --minutes 90 --camera 1280x720
    """
    from billing.reports.planned_rooms import live_room

    room = live_room(**asdict(people), cameras=month.cameras, screen=month.screen)
    _print_month(home, room, rooms_per_day, month, output_format)


@estimate.command("scenario")
@click.argument("file", type=FILE)
@format_option
@pass_home
def estimate_scenario(home: "Home", file: Path, output_format: str) -> None:
    """Estimate a month of calls and live rooms of several kinds, as one bill. They stand in a TOML FILE, or - for
    standard input. The keys of a [[room]] are the options of `estimate call` and `estimate live`.

    \b
    A file, and an example:
      policy = "trtc-intl"     # or account = "acme"
      days = 22                # usually 30
      free_minutes = 5000      # usually those of the policy or the account
      [[room]]
      kind = "call"
      calls_per_day = 20
      users = 3
      minutes = 45
      camera = ["1280x720", "640x360"]
      [[room]]
      kind = "live"
      rooms_per_day = 1
      anchors = 2
      audience = 500
      minutes = 90
      screen = "1920x1080"
      days = 4                 # the first of the month's days

    \b
    Example:
      billing estimate scenario sample_data/scenario.toml
      billing estimate scenario - --format json < sample_data/scenario.toml
    """
    from billing.reports.estimate_report import scenario_tariff
    from billing.reports.estimate_scenario import parse_scenario

    text, name = read_text_or_stdin(file)
    scenario = parse_scenario(text, name)
    try:
        tariff = scenario_tariff(partial(open_catalog, home), scenario, now())
    except UsageError as error:
        # The mistake is in the file, not on the line.
        raise BillingError(f"{name}: {error}") from None
    _print_estimate(scenario.rooms, tariff, output_format)


def _print_month(home: "Home", room: "Room", rooms_per_day: int, month: _Month, output_format: str) -> None:
    from billing.reports.estimate_report import asked_tariff
    from billing.reports.planned_rooms import PlannedRooms

    tariff = asked_tariff(partial(open_catalog, home), policy=month.policy, account=month.account, at=now())
    rooms = PlannedRooms(room=room, rooms_per_day=rooms_per_day, minutes=month.minutes, days=month.days)
    _print_estimate([rooms], tariff, output_format)


def _print_estimate(rooms: "Sequence[PlannedRooms]", tariff: "Tariff", output_format: str) -> None:
    from billing.reports.estimate_report import estimate_report

    report = estimate_report(rooms, tariff)
    if output_format == "table":
        _print_table(report.rows[0])
    else:
        print_report(report, output_format)


def _print_table(month: Mapping[str, Any]) -> None:
    """Minutes and list amounts by item, what is to be paid without a package, and with each."""
    items = month["items"]
    if items:
        print_report(Report(fields=tuple(items[0]), rows=items, sums=("minutes", "package_minutes", "amount")), "table")
    click.echo(f"\n{month['free_minutes_used']:,} free minutes used")
    cheapest = "" if any(choice["cheapest"] for choice in month["packages"]) else " (the cheapest)"
    click.echo(f"to pay as you go: {plain(month['pay_as_you_go'])} {month['currency']}{cheapest}\n")
    choices = [line for choice in month["packages"] for line in _choice_lines(choice)]
    fields = ("minutes", "price", "overage", "total", "cheapest")
    print_report(Report(fields=fields, rows=choices, empty="this policy has no packages in this currency"), "table")


def _choice_lines(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A package, or a set: `2 x 3,000,000 + 1 x 25,000`, on several lines when it is long."""
    money = {**choice, "cheapest": "cheapest" if choice["cheapest"] else ""}
    if "set" not in choice:
        yield money
        return
    # A no-break space keeps `2 x 3,000,000` on one line.
    terms = (f"{each['count']:,}\xa0x\xa0{each['minutes']:,}" for each in choice["set"])
    first, *others = textwrap.wrap(" + ".join(terms), _SET_WIDTH)
    yield {**money, "minutes": first.replace("\xa0", " ")}
    for line in others:
        yield {**dict.fromkeys(money, ""), "minutes": line.replace("\xa0", " ")}
