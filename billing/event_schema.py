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

# In their order at one instant of a room.
EVENT_TYPES = ("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on")

# Two events with one key are the same event when these agree: the columns that can change a bill.
BILLED_COLUMNS = ("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height")
