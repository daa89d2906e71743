"""The frames that metering gives: usage, state and findings. Importing them costs nothing else of metering."""

from dataclasses import dataclass

import polars as pl

# Seconds per app, 5-minute window (its start as epoch second), item and reason.
USAGE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "window_start": pl.Int64(),
        "item": pl.String(),
        "reason": pl.String(),
        "seconds": pl.Int64(),
    }
)

# The stays that are open at the end of a span.
STATE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "last_event": pl.Int64(),  # epoch second of the user's last event in the room
        "wait_ends": pl.Int64(),  # epoch second at which the wait after a disconnect ends; null: connected
        "streams": pl.List(pl.Struct({"stream": pl.String, "width": pl.Int32, "height": pl.Int32})),
    }
)

# What was ignored or interpreted.
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


@dataclass(frozen=True, slots=True)
class Metered:
    """`usage`: seconds per app, window, item and reason (`USAGE_SCHEMA`). `state`: the stays carried out
    (`STATE_SCHEMA`). `findings`: `FINDINGS_SCHEMA`. All sorted by their columns."""

    usage: pl.DataFrame
    state: pl.DataFrame
    findings: pl.DataFrame
