"""Findings: facts about accepted events that changed nothing or had to be interpreted.

| finding | what happened |
|---|---|
| `outside_stay` | ignored: an event of somebody not in the room, or a video event or second disconnect in the wait |
| `reentered` | an enter of somebody already in the room; the stay went on, what was received was cleared |
| `stale_stay` | no event of the user for 86,400 s; the stay ended there |
| `concurrent_rooms` | a stay began while the user was in another room of the app; both are billed |
"""

import polars as pl

from billing.event_schema import EVENT_TYPES
from billing.metering.rows import CARRIED, DISCONNECT, EXIT, VIDEO_OFF, VIDEO_ON

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


def findings(runs: pl.DataFrame, conns: pl.DataFrame, texts: pl.DataFrame, start: int) -> pl.DataFrame:
    """All findings of the span that began at epoch second `start`, in `FINDING_SCHEMA`, ordered by all columns."""
    return _named(pl.concat([_outside_stay(runs, conns), _reentered(conns), _stale(conns, start)]), texts)


def _named(found: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Findings with who and where of their `source`, and its `at` where they have none of their own."""
    where = texts.select("app_id", "room_id", "user_id", event_at="at")[found["source"]]
    return (
        pl.concat([found, where], how="horizontal")
        .select("app_id", "room_id", "user_id", pl.coalesce("at", "event_at").alias("at"), "finding", "detail")
        .cast(dict(FINDING_SCHEMA))  # type: ignore[arg-type]
    )


def _outside_stay(runs: pl.DataFrame, conns: pl.DataFrame) -> pl.DataFrame:
    exits = conns.filter(pl.col("code") == EXIT, ~pl.col("lasted")).select("source", "code")
    others = pl.concat(
        [runs.select("row", "source", "code"), conns.select("last_row")[runs["run"]]], how="horizontal"
    ).filter(pl.col("code").is_in([DISCONNECT, VIDEO_OFF, VIDEO_ON]), pl.col("row") > pl.col("last_row"))
    detail = pl.lit("ignored: ") + pl.col("code").replace_strict(dict(enumerate(EVENT_TYPES)), return_dtype=pl.String)
    return pl.concat([exits, others.select("source", "code")]).select(
        "source",
        at=pl.lit(None, pl.Int64),
        finding=pl.lit("outside_stay"),
        detail=detail + " of a user who was not connected",
    )


def _reentered(conns: pl.DataFrame) -> pl.DataFrame:
    again = conns.filter(pl.col("continues") & ~pl.col("waits").shift(1, fill_value=False), pl.col("code") != CARRIED)
    return again.select(
        "source",
        at=pl.lit(None, pl.Int64),
        finding=pl.lit("reentered"),
        detail=pl.lit("already in the room: the stay went on, what was received was cleared"),
    )


def _stale(conns: pl.DataFrame, start: int) -> pl.DataFrame:
    return conns.filter("stale").select(
        "source",
        at=(pl.col("connected_end").cast(pl.Int64) + start) * 1000,
        finding=pl.lit("stale_stay"),
        detail=pl.lit("no event for 24 hours: the stay ended here"),
    )


def stays(conns: pl.DataFrame) -> pl.DataFrame:
    """`source, second, stay_end, begins` of every stay that lasts: connections that continue each other are one.

    `begins`: it began in this span, and was not carried into it.
    """
    return (
        conns.lazy()
        .filter("present")
        .with_columns(stay=(~pl.col("continues")).cum_sum())
        .group_by("stay", maintain_order=True)
        .agg(pl.col("source", "second", "code").first(), pl.col("stay_end").last())
        .filter(pl.col("stay_end") > pl.col("second"))
        .select("source", "second", "stay_end", begins=pl.col("code") != CARRIED)
        .collect()
    )


def concurrent_rooms(all_stays: pl.DataFrame, texts: pl.DataFrame, start: int) -> pl.DataFrame:
    """Finds the stays that began while another of the user's stays in the app went on, in `FINDING_SCHEMA`.

    A pass over the stays (of `stays`) of all rooms. It goes by a hash of the user and so may suspect too many, never too
    few; the suspects are then compared as texts. Of two stays that begin in one second, the one in the room with the
    later id is the finding.
    """
    who = texts.select(user=pl.col("user_id").hash() + pl.col("app_id").hash(1))[all_stays["source"]]
    several = (
        pl.concat([all_stays, who], how="horizontal").filter(pl.col("user").is_duplicated()).sort("user", "second")
    )
    # The user's number in the high bits makes the running maximum begin anew with each user.
    number = pl.col("user").rle_id().cast(pl.Int64) * 2**32
    ended_before = (number + pl.col("stay_end")).cum_max().shift(1) - number
    together = (pl.col("user") == pl.col("user").shift(-1)) & (pl.col("second") == pl.col("second").shift(-1))
    suspects = several.filter((ended_before > pl.col("second")) | together, pl.col("begins"))
    several = several.join(suspects.select("user").unique(), on="user", how="semi")
    names = ["app_id", "room_id", "user_id"]
    suspects = pl.concat([suspects, texts.select(names)[suspects["source"]]], how="horizontal")
    several = pl.concat([several, texts.select(names)[several["source"]]], how="horizontal")
    earlier = (pl.col("second_other") < pl.col("second")) | (
        (pl.col("second_other") == pl.col("second"))
        & (~pl.col("begins_other") | (pl.col("room_id_other") < pl.col("room_id")))
    )
    found = (
        suspects.join(several, on="user", suffix="_other")
        .filter(
            pl.col("app_id") == pl.col("app_id_other"),
            pl.col("user_id") == pl.col("user_id_other"),
            pl.col("room_id") != pl.col("room_id_other"),
            pl.col("stay_end_other") > pl.col("second"),
            earlier,
        )
        .group_by("source", "second")
        .agg(room=pl.col("room_id_other").min())
        .select(
            "source",
            at=(pl.col("second").cast(pl.Int64) + start) * 1000,
            finding=pl.lit("concurrent_rooms"),
            detail=pl.lit("also in room ") + pl.col("room"),
        )
    )
    return _named(found, texts)
