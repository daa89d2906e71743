"""Taking accepted events back."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import APP, COUNT, collected
from billing.periods import now, parse_day

if TYPE_CHECKING:
    from billing.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """Which events."""

    app_id: int
    event_ids: tuple[str, ...]
    ingest_id: int | None
    day: date | None


_event_options = collected(
    "events",
    _Events,
    click.option("--app", "app_id", type=APP, required=True, metavar="APP", help="The app of the events."),
    click.option("--event-id", "event_ids", multiple=True, metavar="ID", help="An event by its id; repeatable."),
    click.option("--ingest", "ingest_id", type=COUNT, metavar="N", help="All that this ingest brought."),
    click.option("--day", type=parse_day, metavar="DAY", help="Only of this UTC day."),
)


@click.command()
@_event_options
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the event log.")
@click.option("--undo", is_flag=True, help="Give retracted events back.")
@pass_home
def retract(home: "Home", events: _Events, reason: str | None, undo: bool) -> None:
    """Take accepted events back, as if they had never come. Nothing is deleted: the next nightly posts corrections for
    settled days, and what was known before can still be shown. The id of a retracted event can be used again, and then
    --undo is refused.

    \b
    Example:
      billing retract --app 1400000001 --event-id e-24 --reason 'sent twice'
      billing retract --app 1400000001 --ingest 3 --reason 'a test server'
      billing retract --app 1400000001 --ingest 3 --undo
    """
    from billing.jobs.ingest import open_context
    from billing.jobs.retract import Retraction, Selection
    from billing.jobs.retract import retract as retract_events

    open_catalog(home).app(events.app_id)
    retraction = Retraction(selection=Selection(**asdict(events)), reason=reason, undo=undo)
    done = retract_events(open_context(home, open_engine(home), now()), retraction)
    what = "given back" if undo else "retracted"
    if done.events:
        say(f"events {what}: {done.events:,}" + (f", and {done.before:,} before" if done.before else ""))
        say("the next `billing nightly` posts corrections for settled days")
    else:
        say(f"already {what}: nothing to do")
