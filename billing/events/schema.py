"""An event: one fact from a media server, in the columns that every part of the program agrees on.

`at` is in milliseconds UTC; `seq` orders events of one millisecond. `stream`, `width` and `height` belong to events
about video; `user_id` may be absent in a `dismiss` only. `receives` is `all` in the `enter` of a connection that is
subscribed to everything that others publish. `assumed` names what the source was not told but assumed: `size`,
`receives`. An event with a `task_id` is about a task of a `service` in the room, not about a user. An absent value is
null.
"""

import polars as pl

EVENT_SCHEMA = pl.Schema(
    {
        "event_id": pl.String,
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "at": pl.Int64,
        "seq": pl.Int64,
        "type": pl.String,
        "stream": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "role": pl.String,
        "reason": pl.String,
        "source": pl.String,
        "connection": pl.String,
        "receives": pl.String,
        "assumed": pl.String,
        "task_id": pl.String,
        "service": pl.String,
    }
)

# The size of a `video_on` or `publish` (its area, more for a share), 1 for an event with `receives`, else 0; then the
# code of the type. The code calls this number `size_and_type`; its column keeps the name that it has in the logs
# already written.
SIZE_AND_TYPE = "what"

# The keys by which metering identifies rooms, users and streams, in the event log: see `billing.events.keys`.
KEYS_SCHEMA = pl.Schema(
    {
        "room_key": pl.Int64,
        "room_check": pl.Int32,
        "user_key": pl.Int64,
        "stream_key": pl.Int64,
        "checks": pl.Int64,  # of the user in the high half, of the stream in the low
        SIZE_AND_TYPE: pl.Int64,
    }
)

# The key of an event's connection, or of its task, in the event log; null for an event without either.
CONNECTION_KEYS_SCHEMA = pl.Schema({"connection_key": pl.Int64, "connection_check": pl.Int32})

# The place of a type is its code in the event log.
EVENT_TYPES = (
    *("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on"),
    *("unpublish", "publish"),
    *("task_start", "task_stop"),
)
# In their order at one instant of a room.
ORDERED_TYPES = (
    *("exit", "disconnect", "dismiss", "enter", "reconnect"),
    *("task_start", "unpublish", "publish", "video_off", "video_on", "task_stop"),
)
TASK_TYPES = TASK_START, TASK_STOP = "task_start", "task_stop"
TASK_COLUMNS = ("task_id", "service")
# What may be said of a task: besides, what it receives.
TYPES_OF_TASKS = (*TASK_TYPES, "video_on", "video_off")
VIDEO_TYPES = ("video_on", "video_off", "publish", "unpublish")
SIZED_TYPES = ("video_on", "publish")

# Two events with one key are the same event when these agree: the columns that can change a bill.
BILLED_COLUMNS = (
    *("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height"),
    *("connection", "receives", "task_id", "service"),
)
# By what `assumed` may name: the columns that are not compared then.
ASSUMED_COLUMNS = {"size": ("width", "height"), "receives": ("receives",)}
