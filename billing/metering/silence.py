"""Silence: an app of which nothing is heard any more while users are inside.

A feed that stops looks like users who stay: until their stays end, 24 hours after their last events, every second of
them is billed. So an app is silent at an instant if stays are open then, its last event is older than two hours, and
none came later. Example: the last event of an app at 10:00, three stays open at the end of the day.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import polars as pl

SILENT_SECONDS = 7_200

LastEvents = Callable[[Collection[int]], Mapping[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentApp:
    """An app with `stays` open stays, and its last event (epoch ms)."""

    app_id: int
    stays: int
    last_at: int

    def is_silent_for(self, seconds: int, until: int) -> bool:
        """Whether it has had no event in so many seconds before an epoch second."""
        return self.last_at < (until - seconds) * 1000


def silent_apps(
    open_stays: pl.DataFrame, until: int, last_events: LastEvents, *, seconds: int = SILENT_SECONDS
) -> list[SilentApp]:
    """The apps that are silent at the epoch second `until`, at which these stays (`STATE_SCHEMA`) are open.

    `last_events` gives the last event (epoch ms) of apps that have any; it is asked only about those whose open stays
    do not show an event themselves.
    """
    # What is remembered of connections that have closed is no stay.
    by_app = open_stays.drop_nulls("last_event").group_by("app_id")
    stays = by_app.agg(pl.len().alias("stays"), pl.col("last_event").max() * 1000).sort("app_id")
    apps = [SilentApp(app_id=app_id, stays=count, last_at=at_ms) for app_id, count, at_ms in stays.iter_rows()]
    candidates = [app for app in apps if app.is_silent_for(seconds, until)]
    last = last_events([app.app_id for app in candidates]) if candidates else {}
    heard = (
        SilentApp(app_id=app.app_id, stays=app.stays, last_at=last.get(app.app_id, app.last_at)) for app in candidates
    )
    return [app for app in heard if app.is_silent_for(seconds, until)]
