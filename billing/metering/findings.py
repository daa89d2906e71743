"""Findings: facts about accepted events that changed nothing or had to be interpreted.

| finding | what happened |
|---|---|
| `outside_stay` | ignored: an event of somebody not in the room, or a video event or second disconnect in the wait |
| `reentered` | an enter of somebody already in the room; the stay went on, what was received was cleared |
| `stale_stay` | no event of the user for 86,400 s; the stay ended there |
| `concurrent_rooms` | a stay began while the user was in another room of the app; both are billed |
"""

import numpy as np
import polars as pl

from billing.event_keys import text_hashes
from billing.metering.stays import OUTSIDE_STAY, REENTERED, STALE_STAY

FINDING_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "at": pl.Int64,  # epoch milliseconds
        "finding": pl.String,
        "detail": pl.String,
    }
)

_NAMES = {OUTSIDE_STAY: "outside_stay", REENTERED: "reentered", STALE_STAY: "stale_stay"}
_DETAILS = {
    OUTSIDE_STAY: "ignored: the user was not in the room, or in the wait after a disconnect",
    REENTERED: "already in the room: the stay went on, what was received was cleared",
    STALE_STAY: "no event for 24 hours: the stay ended here",
}


def findings(found: pl.DataFrame, texts: pl.DataFrame, start: int) -> pl.DataFrame:
    """Findings of the pass over the events (`kind, source, second`), in `FINDING_SCHEMA`."""
    named = pl.concat(
        [found, texts.select("app_id", "room_id", "user_id", "at", "stream")[found["source"]]], how="horizontal"
    )
    at_the_end = (pl.col("second").cast(pl.Int64) + start) * 1000
    return named.select(
        "app_id",
        "room_id",
        "user_id",
        at=pl.when(pl.col("kind") == STALE_STAY).then(at_the_end).otherwise("at"),
        finding=pl.col("kind").replace_strict(_NAMES, return_dtype=pl.String),
        detail=pl.col("kind").replace_strict(_DETAILS, return_dtype=pl.String),
    )


def concurrent_rooms(all_stays: pl.DataFrame, texts: pl.DataFrame, start: int) -> pl.DataFrame:
    """Finds the stays that began while another of the user's stays in the app went on, in `FINDING_SCHEMA`.

    A pass over the stays of all rooms (`source, second, stay_end, begins`). It goes by a hash of the user and so may
    suspect too many, never too few; the suspects are then compared as texts. Of two stays that begin in one second,
    the one in the room with the later id is the finding.
    """
    all_stays = all_stays.filter(pl.col("stay_end") > pl.col("second"))
    who = texts.select("app_id", "user_id")[all_stays["source"]]
    persons, _ = text_hashes(who["user_id"], who["app_id"].to_numpy().astype(np.uint64))
    several = all_stays.with_columns(user=pl.Series(persons)).sort("user", "second")
    # The user's number in the high bits makes the running maximum begin anew with each user.
    number = pl.col("user").rle_id().cast(pl.Int64) * 2**32
    ended_before = (number + pl.col("stay_end")).cum_max().shift(1) - number
    together = (pl.col("user") == pl.col("user").shift(-1)) & (pl.col("second") == pl.col("second").shift(-1))
    suspects = several.filter((ended_before > pl.col("second")) | together, pl.col("begins"))
    room = ("second", "stay_end", "begins", "source", "user")
    theirs = several.select(room).join(suspects.select("user").unique(), on="user", how="semi")
    pairs = suspects.select(room).join(theirs, on="user", suffix="_other")
    overlapping = pairs.filter(
        pl.col("source") != pl.col("source_other"),
        pl.col("second_other") <= pl.col("second"),
        pl.col("stay_end_other") > pl.col("second"),
    )
    names = texts.select("app_id", "room_id", "user_id")
    one, other = names[overlapping["source"]], names[overlapping["source_other"]].select(pl.all().name.suffix("_other"))
    earlier = (pl.col("second_other") < pl.col("second")) | ~pl.col("begins_other")
    return (
        pl.concat([overlapping, one, other], how="horizontal")
        .filter(
            pl.col("app_id") == pl.col("app_id_other"),
            pl.col("user_id") == pl.col("user_id_other"),
            pl.col("room_id") != pl.col("room_id_other"),
            earlier | (pl.col("room_id_other") < pl.col("room_id")),
        )
        .group_by("app_id", "room_id", "user_id", "second")
        .agg(room=pl.col("room_id_other").min())
        .select(
            "app_id",
            "room_id",
            "user_id",
            at=(pl.col("second").cast(pl.Int64) + start) * 1000,
            finding=pl.lit("concurrent_rooms"),
            detail=pl.lit("also in room ") + pl.col("room"),
        )
    )
