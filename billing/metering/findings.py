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

from billing.event_keys import name_keys
from billing.metering.rows import Words
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

# A stay in words. Seconds count from the start of the span; `begins`: in it.
STAY_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "second": pl.Int32,
        "stay_end": pl.Int32,
        "begins": pl.Boolean,
    }
)

_NAMES = {OUTSIDE_STAY: "outside_stay", REENTERED: "reentered", STALE_STAY: "stale_stay"}
_DETAILS = {
    OUTSIDE_STAY: "ignored: the user was not in the room, or in the wait after a disconnect",
    REENTERED: "already in the room: the stay went on, what was received was cleared",
    STALE_STAY: "no event for 24 hours: the stay ended here",
}


def findings(found: pl.DataFrame, words: Words) -> pl.DataFrame:
    """Findings of the pass over the events (`kind, source, at`), in `FINDING_SCHEMA`."""
    named = pl.concat([found, words.of(found["source"], "app_id", "room_id", "user_id")], how="horizontal")
    return named.select(
        "app_id",
        "room_id",
        "user_id",
        "at",
        finding=pl.col("kind").replace_strict(_NAMES, return_dtype=pl.String),
        detail=pl.col("kind").replace_strict(_DETAILS, return_dtype=pl.String),
    )


def named_stays(stays: pl.DataFrame, words: Words) -> pl.DataFrame:
    """Stays in `STAY_SCHEMA`."""
    who = words.of(stays["source"], "app_id", "room_id", "user_id")
    return pl.concat([stays, who], how="horizontal").select(*STAY_SCHEMA)


def concurrent_stays(stays: pl.DataFrame, start: int) -> pl.DataFrame:
    """The same as `concurrent_rooms`, from stays in words (`STAY_SCHEMA`), all of those of a user of an app among
    them."""
    keys = name_keys(stays.with_columns(stream=pl.lit(None, pl.String)))
    person_key = keys["user_key"].to_numpy() ^ keys["room_key"].to_numpy()
    numbered = stays.select("second", "stay_end", "begins").with_row_index("source")
    pairs = suspected_pairs(numbered.with_columns(keys["room_key"], person_key=pl.Series(person_key)))
    return concurrent_rooms(pairs, Words(np.arange(stays.height), stays), start)


def concurrent_rooms(pairs: pl.DataFrame, words: Words, start: int) -> pl.DataFrame:
    """Of the pairs that are suspected (`suspected_pairs`), those that are of one user in two rooms of an app, in
    `FINDING_SCHEMA`.

    Of two stays that begin in one second, the one in the room with the later id is the finding.
    """
    one, other = (words.of(pairs[name], "app_id", "room_id", "user_id") for name in ("source", "source_other"))
    earlier = (pl.col("second_other") < pl.col("second")) | ~pl.col("begins_other")
    return (
        pl.concat([pairs, one, other.select(pl.all().name.suffix("_other"))], how="horizontal")
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


def suspected_pairs(stays: pl.DataFrame) -> pl.DataFrame:
    """Pairs of stays that seem to be of one person: one began while the `…_other` went on.

    It goes through the stays of all rooms (`source, person_key, room_key, second, stay_end, begins`) by hashes, and so
    may suspect too many, never too few.
    """
    # One number to sort by, whose high bits are the person's: for suspicions they are enough. The low bits have room
    # for the seconds of a span of days, and of stays that began before it.
    bits = 20
    person = stays["person_key"].to_numpy().view(np.int64) >> bits
    second, stay_end = stays["second"].to_numpy(), stays["stay_end"].to_numpy()
    turn = np.argsort((person << bits) + (second.astype(np.int64) + 2 ** (bits - 1)))
    person, second, stay_end = person[turn], second[turn], stay_end[turn]
    changes = person[1:] != person[:-1]
    number = np.zeros(len(turn), np.int64)
    number[1:] = np.cumsum(changes)
    # The person's number in the high bits makes the running maximum begin anew with each.
    ended_before = np.maximum.accumulate(number * 2**32 + stay_end)[:-1] - number[1:] * 2**32
    suspected = np.zeros(len(turn), np.bool_)
    suspected[1:] = ended_before > second[1:]
    suspected[:-1] |= ~changes & (second[1:] == second[:-1])
    persons = np.zeros(len(turn), np.bool_)
    persons[number[suspected]] = True
    asked = persons[number] & (stay_end > second)
    several = pl.DataFrame(
        {
            **{name: stays[name].to_numpy()[turn[asked]] for name in ("source", "room_key", "begins")},
            "second": second[asked],
            "stay_end": stay_end[asked],
            "person": number[asked],
            "suspected": suspected[asked],
        }
    )
    pairs: pl.DataFrame = several.filter("suspected", "begins").join(several, on="person", suffix="_other")
    return pairs.filter(
        pl.col("room_key") != pl.col("room_key_other"),
        pl.col("second_other") <= pl.col("second"),
        pl.col("stay_end_other") > pl.col("second"),
    )
