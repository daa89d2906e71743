"""The frames that metering takes and gives, and their schemas. This module loads quickly: the ledger and the reports
import it without the compiled functions."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from billing.catalog.items import WindowUsage
from billing.events.schema import TASK_COLUMNS

# Seconds by app, 5-minute window (its start as epoch second), item and reason.
USAGE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "window_start": pl.Int64(),
        "item": pl.String(),
        "reason": pl.String(),
        "seconds": pl.Int64(),
    }
)

# The seconds of a whole span by app, room, user, item and reason.
USER_USAGE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "item": pl.String(),
        "reason": pl.String(),
        "seconds": pl.Int64(),
    }
)

# A stream that is sent or received: over no connection, or over the one named.
_STREAM = pl.Struct({"stream": pl.String, "width": pl.Int32, "height": pl.Int32, "connection": pl.String})

# The stays that are open at the end of a span, as the next span takes them, the connections that are closed for good,
# also of users without a stay, and the tasks that run. Epoch seconds.
STATE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "last_event": pl.Int64(),  # the user's last event in the room; null: there is no stay
        "wait_ends": pl.Int64(),  # when the wait after a disconnect ends; null: connected
        "streams": pl.List(_STREAM),  # of `video_on`, of one name the last received last
        # `until`: when the wait or, if closed, the memory of it ends; null: connected. No connections: the one without
        # a name, which is connected, or waits until `wait_ends`.
        "connections": pl.List(
            pl.Struct({"connection": pl.String, "receives": pl.String, "until": pl.Int64, "closed": pl.Boolean})
        ),
        "published": pl.List(_STREAM),
        "excepted": pl.List(pl.String),  # streams that are published and that the user does not receive
        # When the stay or each of its connections began, where their minutes are counted.
        "begun": pl.List(pl.Struct({"connection": pl.String, "began": pl.Int64})),
        # Of a task that runs (`billing.metering.tasks`), which has no user.
        "service": pl.String(),
        "task_id": pl.String(),
    }
)

FINDINGS_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "at": pl.Int64(),  # epoch milliseconds
        "finding": pl.String(),
        "detail": pl.String(),
    }
)

# A stay with its names. Seconds count from the start of the span; `begins`: whether it began in the span.
STAY_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "second": pl.Int32(),
        "stay_end": pl.Int32(),
        "begins": pl.Boolean(),
    }
)


def as_state(frame: pl.DataFrame) -> pl.DataFrame:
    """State as it was stored, also by an older version, in `STATE_SCHEMA`."""
    later = {name: dtype for name, dtype in STATE_SCHEMA.items() if isinstance(dtype, pl.List) or name in TASK_COLUMNS}
    columns = (
        pl.col(name).cast(dtype)
        if name in frame.columns
        else pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(name)
        for name, dtype in later.items()
    )
    return frame.with_columns(*columns).select(*STATE_SCHEMA)


def stored_state(state: pl.DataFrame) -> pl.DataFrame:
    """State as it is stored and sealed: without beginnings where nothing has one, because most policies do not count
    them, and without the columns of tasks where none runs."""
    if "begun" in state.columns and not state["begun"].list.len().sum():
        state = state.drop("begun")
    if "task_id" in state.columns and state["task_id"].null_count() == state.height:
        state = state.drop(TASK_COLUMNS)
    return state


def state_in_order(state: pl.DataFrame) -> pl.DataFrame:
    """A state in its order: by app and room, users before tasks."""
    return state.sort("app_id", "room_id", "user_id", *TASK_COLUMNS, nulls_last=True)


def open_stays(state: pl.DataFrame) -> pl.DataFrame:
    """The rows of a state (`STATE_SCHEMA`) that are open stays, or tasks that run."""
    return state.filter(pl.col("last_event").is_not_null())


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """`usage`: seconds per app, window, item and reason (`USAGE_SCHEMA`). `state`: the stays carried out
    (`STATE_SCHEMA`). `findings`: `FINDINGS_SCHEMA`. All sorted by their columns. `leaves`: those of the rooms of the
    events (`billing.events.room_leaves`), by app and room; None: nobody has asked, or metering could not tell."""

    usage: pl.DataFrame
    state: pl.DataFrame
    findings: pl.DataFrame
    leaves: pl.DataFrame | None = None

    def of_apps(self, apps: Iterable[int]) -> "Metered":
        """The part of some apps."""
        wanted = pl.col("app_id").is_in(sorted(apps))
        return Metered(
            usage=self.usage.filter(wanted),
            state=self.state.filter(wanted),
            findings=self.findings.filter(wanted),
            leaves=None if self.leaves is None else self.leaves.filter(wanted),
        )


def window_usage(usage: pl.DataFrame) -> list[WindowUsage]:
    """The seconds of each window, app and item, over all reasons, in order."""
    sums = usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
    return [WindowUsage(*row) for row in sums.sort("window_start", "app_id").iter_rows()]
