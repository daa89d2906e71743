"""An event: one fact from a media server, in the columns that every part of the program agrees on.

`at` is in milliseconds UTC; `seq` orders events of one millisecond. `stream`, `width` and `height` belong to video
events; `user_id` may be absent in a `dismiss` only. An absent value is null.
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
    }
)

# The size of a `video_on` (its area, more for a share; else 0), then the code of the type. The code calls this number
# `size_and_type`; its column keeps the name that it has in the logs already written.
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

# In their order at one instant of a room.
EVENT_TYPES = ("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on")

# Two events with one key are the same event when these agree: the columns that can change a bill.
BILLED_COLUMNS = ("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height")
