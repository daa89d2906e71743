"""Findings: facts about accepted events that changed nothing or had to be interpreted.

| finding | what happened |
|---|---|
| `outside_stay` | ignored: an event of somebody not in the room, or a video event or second disconnect in the wait |
| `reentered` | an enter of somebody already in the room; the stay went on, what was received was cleared |
| `stale_stay` | no event of the user for 86,400 s; the stay ended there |
| `concurrent_rooms` | a stay began while the user was in another room of the app; both are billed |
"""

from collections.abc import Sequence

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


def findings(found: pl.DataFrame, words: Words, start: int) -> pl.DataFrame:
    """Findings of the pass over the events (`kind, source, second`), in `FINDING_SCHEMA`."""
    named = pl.concat([found, words.of(found["source"], "app_id", "room_id", "user_id", "at")], how="horizontal")
    at_the_end = (pl.col("second").cast(pl.Int64) + start) * 1000
    return named.select(
        "app_id",
        "room_id",
        "user_id",
        at=pl.when(pl.col("kind") == STALE_STAY).then(at_the_end).otherwise("at"),
        finding=pl.col("kind").replace_strict(_NAMES, return_dtype=pl.String),
        detail=pl.col("kind").replace_strict(_DETAILS, return_dtype=pl.String),
    )


def named_stays(stays: pl.DataFrame, words: Words) -> pl.DataFrame:
    """The stays of a pass in `STAY_SCHEMA`."""
    who = words.of(stays["source"], "app_id", "room_id", "user_id")
    return pl.concat([stays, who], how="horizontal").select(*STAY_SCHEMA)


def concurrent_stays(stays: pl.DataFrame, start: int) -> pl.DataFrame:
    """The same as `concurrent_rooms`, from stays in words (`STAY_SCHEMA`), all of those of a user of an app among
    them."""
    keys = name_keys(stays.with_columns(stream=pl.lit(None, pl.String))).select("person_key", "room_key")
    numbered = pl.concat(
        [stays.select("second", "stay_end", "begins").with_row_index("source"), keys], how="horizontal"
    )
    return concurrent_rooms(suspected_pairs([numbered]), [Words(np.arange(stays.height), stays)], start)


def concurrent_rooms(pairs: pl.DataFrame, words: Sequence[Words], start: int) -> pl.DataFrame:
    """Of the pairs that are suspected (`suspected_pairs`), those that are of one user in two rooms of an app, in
    `FINDING_SCHEMA`; `words` are those of each pass.

    Of two stays that begin in one second, the one in the room with the later id is the finding.
    """
    one, other = (
        _names(pairs.select(part=f"part{suffix}", source=f"source{suffix}"), words) for suffix in ("", "_other")
    )
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


def suspected_pairs(passes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Pairs of stays that seem to be of one person: one began while the `…_other` went on.

    It goes through the stays of all rooms (`source, person_key, room_key, second, stay_end, begins`; `part`: of which
    pass) by hashes, and so may suspect too many, never too few.
    """
    stays = pl.concat([each.with_columns(part=pl.lit(part, pl.Int32)) for part, each in enumerate(passes)])
    # One number to sort by, whose high bits are the person's: for suspicions they are enough. The low bits have room
    # for the seconds of a span of days, and of stays that began before it.
    bits = 20
    person = stays["person_key"].to_numpy() >> bits
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
    several = (
        stays[turn[persons[number]]]
        .with_columns(person=pl.Series(number[persons[number]]), suspected=pl.Series(suspected[persons[number]]))
        .filter(pl.col("stay_end") > pl.col("second"))
    )
    pairs: pl.DataFrame = several.filter("suspected", "begins").join(several, on="person", suffix="_other")
    return pairs.filter(
        pl.col("room_key") != pl.col("room_key_other"),
        pl.col("second_other") <= pl.col("second"),
        pl.col("stay_end_other") > pl.col("second"),
    )


def _names(rows: pl.DataFrame, words: Sequence[Words]) -> pl.DataFrame:
    """`app_id, room_id, user_id` of rows (`part, source`) of several passes."""
    numbered = rows.with_row_index("number")
    found = [
        pl.concat([each, words[part].of(each["source"], "app_id", "room_id", "user_id")], how="horizontal")
        for (part,), each in numbered.group_by("part")
    ]
    if not found:
        return pl.DataFrame(schema={name: FINDING_SCHEMA[name] for name in ("app_id", "room_id", "user_id")})
    names: pl.DataFrame = pl.concat(found).sort("number").select("app_id", "room_id", "user_id")
    return names
