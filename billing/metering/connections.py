"""Connections: the unbroken parts of a stay.

`enter`, `reconnect` (which outside a wait is the same), `exit` and `dismiss` say where a user is, whatever came
before. So the rows of one user in one room fall into runs that begin with such a row, and everything about a run
follows from its own rows:

- a run that begins with an exit or a dismissal is an absence: nothing in it counts;
- a run that begins with an enter is a connection. It lasts to the first of: its first `disconnect`; the next run;
  86,400 s after the user's last event in the room, if no event comes at an earlier second (the stay is stale);
- after its `disconnect` the user waits, to the first of: 90 s later; the next run. Rows after it count for nothing.

A stay is a connection and those that continue it: the next one began before the stay had ended. Connections of one
user in one room never overlap.
"""

import polars as pl

from billing.metering.rows import CARRIED, DISCONNECT, DISMISS, ENTER, EXIT, RECONNECT, refuse_collisions

WAIT_SECONDS = 90
STALE_SECONDS = 86_400
FAR = 2**30  # a second that never comes

_NO_ROW = 2**32 - 1


def with_runs(part: pl.DataFrame) -> pl.DataFrame:
    """The sorted rows of a part with `row` (their index), `begins` (a run), `run` (UInt32, from 0) and `next_second`,
    where the user's next row stands (`FAR`: there is none)."""
    refuse_collisions(part, "user_key", "user_check")
    first = pl.col("user_key").ne_missing(pl.col("user_key").shift(1))
    last = pl.col("user_key").ne_missing(pl.col("user_key").shift(-1))
    begins = first | pl.col("code").is_in([EXIT, DISMISS, ENTER, RECONNECT, CARRIED])
    return part.with_columns(
        begins=begins,
        run=(begins.cum_sum() - 1).cast(pl.UInt32),
        next_second=pl.when(last).then(FAR).otherwise(pl.col("second").shift(-1)).cast(pl.Int32),
    ).with_row_index("row")


def connections(runs: pl.DataFrame, texts: pl.DataFrame, end: int) -> pl.DataFrame:
    """One row per run, in order of `run`; seconds are clipped to the span `[0, end)`.

    Of its first row: `user_key, room_key, room_check, source, second, code`. `present`: it is a connection. `last_row`: its last row that
    counts (-1 in an absence). `[second, connected_end)` is connected, `[connected_end, stay_end)` the wait. `waits`,
    `wait_ends`: it has a wait, and when that would end by itself. `stale`, `stale_end`: it ends by the 24-hour rule.
    `continues`: it goes on with the stay of the run before. `open`: it goes on at `end`.
    """
    same_user = pl.col("user_key").shift(-1) == pl.col("user_key")
    heads = runs.filter("begins").select(
        "run",
        "user_key",
        "room_key",
        "room_check",
        "source",
        "second",
        "code",
        present=pl.col("code").is_in([ENTER, RECONNECT, CARRIED]),
        next_run=pl.when(same_user).then(pl.col("second").shift(-1)).otherwise(FAR).cast(pl.Int32),
    )
    disconnect_row, stale_row = pl.col("disconnect_row"), pl.col("stale_row").fill_null(_NO_ROW)
    return (
        heads.join(_first_disconnects(runs, texts), on="run", how="left", maintain_order="left")
        .join(_first_stale_rows(runs, texts, end), on="run", how="left", maintain_order="left")
        .with_columns(waits=(pl.col("present") & (disconnect_row <= stale_row)).fill_null(False))
        .with_columns(stale=pl.col("present") & pl.col("stale_row").is_not_null() & ~pl.col("waits"))
        .with_columns(**_ends())
        .with_columns(**_relations(end))
        .with_columns(pl.col("connected_end", "stay_end").clip(upper_bound=end))
        .drop("disconnect_row", "disconnect_second", "stale_row", "next_run")
    )


def _first_disconnects(runs: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """`run, disconnect_row, disconnect_second, wait_ends` of the first disconnect of each run; a carried wait ends
    when it did."""
    found = runs.lazy().filter(pl.col("code") == DISCONNECT).unique("run", keep="first", maintain_order=True).collect()
    carried_wait = texts["wait_ends"].gather(found["source"])
    return found.select(
        "run",
        disconnect_row="row",
        disconnect_second="second",
        wait_ends=carried_wait.fill_null(found["second"] + WAIT_SECONDS),
    )


def _first_stale_rows(runs: pl.DataFrame, texts: pl.DataFrame, end: int) -> pl.DataFrame:
    """`run, stale_row, stale_end` of the first row of each run after which the user gave no sign for 86,400 s, within
    the span."""
    ends = pl.col("last_event") + STALE_SECONDS
    events = (
        runs.lazy()
        .filter(pl.col("order") >= 0, pl.col("second") <= end - STALE_SECONDS)
        .with_columns(last_event="second")
        .collect()
    )
    before = runs.filter(pl.col("order") < 0)
    before = before.with_columns(last_event=texts["last_event"].gather(before["source"]))
    found = pl.concat([events, before.select(events.columns)]).filter(ends <= pl.col("next_second"), ends <= end)
    return (
        found.sort("row")
        .unique("run", keep="first", maintain_order=True)
        .select("run", stale_row="row", stale_end=ends)
    )


def _ends() -> dict[str, pl.Expr]:
    waits, stale = pl.col("waits"), pl.col("stale")
    connected_end = (
        pl.when(~pl.col("present"))
        .then("second")
        .when(waits)
        .then("disconnect_second")
        .when(stale)
        .then("stale_end")
        .otherwise("next_run")
    )
    return {
        "connected_end": connected_end,
        "stay_end": pl.when(waits).then(pl.min_horizontal("wait_ends", "next_run")).otherwise(connected_end),
        "last_row": pl.when(waits)
        .then(pl.col("disconnect_row").cast(pl.Int64))
        .when(stale)
        .then(pl.col("stale_row").cast(pl.Int64))
        .when("present")
        .then(pl.lit(_NO_ROW, pl.Int64))
        .otherwise(pl.lit(-1, pl.Int64)),
        "lasts": pl.col("present") & ~stale & (~waits | (pl.col("next_run") < pl.col("wait_ends"))),
    }


def _relations(end: int) -> dict[str, pl.Expr]:
    """`lasted`: when this run began, the run before of the same user was still a stay."""
    lasted = pl.col("lasts").shift(1, fill_value=False) & (pl.col("user_key") == pl.col("user_key").shift(1)).fill_null(
        False
    )
    return {
        "lasted": lasted,
        "continues": pl.col("present") & lasted,
        "open": pl.col("present") & (pl.col("stay_end") > end),
    }
