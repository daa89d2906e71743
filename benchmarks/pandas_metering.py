"""One billing day's usage in pandas, with numpy where that is faster: whole columns, no loops.

The same rows as the engine gives, for policy `trtc-intl` and no state carried from the day before. What makes it fast:

- Users in a room, streams and rooms become small numbers (`factorize`), so that "by user, in the order of time" is one
  sort of one column: number and instant in a single integer. Neighbours in it are previous and next events.
- Which connection a stretch of video belongs to is a binary search in the sorted connections.
- Running sums run through all users at once: each user's steps, and each room's, come to zero in the end.

Seconds `s`, `e`, `t` and windows `w` count from the window in which the day begins. How presence, solitude and windows
follow is as in `duckdb_metering`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.rules import (
    ABSENT_CLASS,
    ALONE,
    ALONE_CLASS,
    CLASSES,
    DISCONNECT,
    DISMISS,
    ENTER,
    FIRST_VIDEO_CLASS,
    GRACE_CLASS,
    ITEM_TOPS,
    NO_VIDEO_CLASS,
    RECONNECT,
    SCREEN,
    STALE_SECONDS,
    VIDEO_OFF,
    VIDEO_ON,
    WAIT_SECONDS,
    WAITING,
    WINDOW_SECONDS,
    Order,
    order_of,
)

COLUMNS = ["app_id", "at", "seq", "room_key", "user_key", "stream_key", "what"]


def usage(files: Sequence[str | Path], start: int, end: int) -> pl.DataFrame:
    """Usage `app_id, window_start, item, reason, seconds`, sorted, of the events in [start, end) of the event log."""
    events = _events(files, COLUMNS, start, end)
    if events.empty:
        events = events.astype("int64")
    order = order_of(start, end, int(events["seq"].min() or 0), int(events["seq"].max() or 0))
    span = end - order.base
    events["o"] = _packed(events, order)
    events["room"], _ = pd.factorize(events["room_key"])
    own = events[events["what"] & 15 != DISMISS].copy()
    own["k"], _ = pd.factorize(own["user_key"])
    # Where each user's events are, by `k`.
    place = own.groupby("k", sort=False)[["app_id", "room"]].first()
    dismissals = events.loc[events["what"] & 15 == DISMISS, ["room", "o"]]
    del events
    presence = _presence(own, dismissals, order, span, with_stale=end - start > STALE_SECONDS)
    pieces = _pieces(presence, order, span)
    stretches = _stretches(own, presence, order, span, files)
    del own, presence
    return _windows(_flows(pieces, stretches, _solitude(pieces, place["room"].to_numpy()), place), order.base, span)


def _events(files: Sequence[str | Path], columns: list[str], start: int, end: int) -> pd.DataFrame:
    within = [("at", ">=", start * 1000), ("at", "<", end * 1000)]
    return pd.concat(
        [pd.read_parquet(file, columns=columns, filters=within, partitioning=None) for file in files], ignore_index=True
    )


def _packed(events: pd.DataFrame, order: Order) -> pd.Series:
    if not order.fits:
        raise ValueError("the order of these events does not fit into 64 bits")
    return (
        (events["at"] - order.base * 1000) * order.per_ms
        + (events["seq"] - order.first_seq) * 8
        + (events["what"] & 15)
    )


def _sorted(frame: pd.DataFrame, first: str, then: str) -> pd.DataFrame:
    """By two columns of small numbers, which are one number for the purpose."""
    low = int(frame[then].max() if len(frame) else 0).bit_length()
    return frame.iloc[np.argsort((frame[first].to_numpy() << low) + frame[then].to_numpy())]


def _next(frame: pd.DataFrame, of: str, column: str, never: int) -> np.ndarray:
    """The column's value in the next row, if that is of the same `of`."""
    following, same = np.full(len(frame), never), frame[of].to_numpy()
    following[:-1] = np.where(same[1:] == same[:-1], frame[column].to_numpy()[1:], never)
    return following


def _presence(
    own: pd.DataFrame, dismissals: pd.DataFrame, order: Order, span: int, *, with_stale: bool
) -> pd.DataFrame:
    """`k, o, next`: a user's events that are not video (without vain disconnects), each with the next one."""
    coming = own.loc[own["what"] & 15 < VIDEO_OFF, ["k", "room", "o"]]
    entered = coming.loc[(coming["o"] & 7).isin((ENTER, RECONNECT)), ["k", "room"]]
    dismissed = entered[entered["room"].isin(dismissals["room"])].drop_duplicates().merge(dismissals, on="room")
    parts = [coming[["k", "o"]], dismissed[["k", "o"]]]
    if with_stale:
        every = _sorted(own[["k", "o"]], "k", "o")
        stale_second = every["o"] // order.per_second + STALE_SECONDS
        silent = (stale_second < span) & (_next(every, "k", "o", order.never) // order.per_second >= stale_second)
        parts.append(pd.DataFrame({"k": every["k"], "o": stale_second * order.per_second})[silent])
    presence = _sorted(pd.concat(parts, ignore_index=True), "k", "o")
    code, user = presence["o"].to_numpy() & 7, presence["k"].to_numpy()
    connected_before = np.zeros(len(presence), bool)
    connected_before[1:] = np.isin(code[:-1], (ENTER, RECONNECT)) & (user[1:] == user[:-1])
    presence = presence[(code != DISCONNECT) | connected_before].copy()
    presence["next"] = _next(presence, "k", "o", order.never)
    return presence[presence["o"] < presence["next"]]


def _pieces(presence: pd.DataFrame, order: Order, span: int) -> pd.DataFrame:
    """`k, s, e, waiting`: k is in the room in the seconds [s, e), connected or in the wait; pieces never overlap."""
    begun = presence[(presence["o"] & 7).isin((DISCONNECT, ENTER, RECONNECT))]
    waiting = begun["o"] & 7 == DISCONNECT
    s = begun["o"] // order.per_second
    until = np.minimum(begun["next"] // order.per_second, span)
    e = until.where(~waiting, np.minimum(until, s + WAIT_SECONDS))
    return pd.DataFrame({"k": begun["k"], "s": s, "e": e, "waiting": waiting})[s < e]


def _stretches(
    own: pd.DataFrame,
    presence: pd.DataFrame,
    order: Order,
    span: int,
    files: Sequence[str | Path],
) -> pd.DataFrame:
    """`k, s, e, pixels`: k received a stream of so many pixels (plus SCREEN for a screen) in the seconds [s, e)."""
    video = own.loc[own["what"] & 15 >= VIDEO_OFF, ["k", "stream_key", "o", "what"]]
    streams, names = pd.factorize(video["stream_key"])
    video["ks"], _ = pd.factorize(video["k"].to_numpy() * max(1, len(names)) + streams)
    video = _sorted(video, "ks", "o")
    video["next"] = _next(video, "ks", "o", order.never)
    video = video[video["o"] & 7 == VIDEO_ON]
    size = video["what"] // 16
    video["pixels"] = (size & (2**29 - 1)) + size // 2**29 * SCREEN
    _last_words(video, own, order, files)
    runs = presence[(presence["o"] & 7).isin((ENTER, RECONNECT))]
    low = order.never.bit_length() if not len(own) else int(own["o"].max()).bit_length()
    connection = (
        np.searchsorted(
            (runs["k"].to_numpy() << low) + runs["o"].to_numpy(), (video["k"].to_numpy() << low) + video["o"].to_numpy()
        )
        - 1
    )
    found = connection >= 0
    video, connection = video[found], connection[found]
    connected_until = runs["next"].to_numpy()[connection]
    during = (runs["k"].to_numpy()[connection] == video["k"].to_numpy()) & (video["o"].to_numpy() < connected_until)
    s = video["o"] // order.per_second
    e = np.minimum(np.minimum(video["next"], connected_until) // order.per_second, span)
    return pd.DataFrame({"k": video["k"], "s": s, "e": e, "pixels": video["pixels"]})[during & (s < e)]


def _last_words(video: pd.DataFrame, own: pd.DataFrame, order: Order, files: Sequence[str | Path]) -> None:
    """Of two sizes of one stream at one instant the greater event id has the last word. There are few, so event ids are
    read for those instants only. Changes `pixels`."""
    tied = video["o"] == video["next"]
    if not tied.any():
        return
    keys = ["user_key", "stream_key", "o"]
    instants = (order.base * 1000 + video.loc[tied, "o"] // order.per_ms).unique().tolist()
    named = pd.concat(
        [
            pd.read_parquet(file, columns=["event_id", *COLUMNS], filters=[("at", "in", instants)], partitioning=None)
            for file in files
        ],
        ignore_index=True,
    )
    named["o"] = _packed(named, order)
    named = named[named["what"] & 15 == VIDEO_ON].sort_values("event_id")
    last = named[named.duplicated(keys, keep=False)].drop_duplicates(keys, keep="last")
    then = video.loc[video["o"].isin(last["o"]), ["o", "stream_key"]]
    where = then.join(own["user_key"]).reset_index().merge(last[[*keys, "what"]], on=keys)
    size = where["what"].to_numpy() // 16
    video.loc[where["index"], "pixels"] = (size & (2**29 - 1)) + size // 2**29 * SCREEN


def _solitude(pieces: pd.DataFrame, room_of: np.ndarray) -> pd.DataFrame:
    """`k, t, step`: from second t on k is, or is no longer, the only user of the room."""
    k, s, e = (pieces[name].to_numpy() for name in ("k", "s", "e"))
    bounds = pd.DataFrame(
        {
            "room": room_of[np.concatenate([k, k])],
            "t": np.concatenate([s, e]),
            "k": np.concatenate([k, -k]),
            "sign": np.repeat([1, -1], len(k)),
        }
    )
    bounds = _sorted(bounds, "room", "t")
    who, users = bounds["k"].cumsum(), bounds["sign"].cumsum()
    alone, joined = users == 1, users - bounds["sign"] == 1
    return pd.DataFrame(
        {
            "k": np.concatenate([who[alone], (who - bounds["k"])[joined]]),
            "t": np.concatenate([bounds.loc[alone, "t"], bounds.loc[joined, "t"]]),
            "step": np.repeat([ALONE, -ALONE], [alone.sum(), joined.sum()]),
        }
    )


def _flows(pieces: pd.DataFrame, stretches: pd.DataFrame, solitude: pd.DataFrame, place: pd.DataFrame) -> pd.DataFrame:
    """`app_id, before, after, w, users, into_window`: in window w the seconds of `users` users turned from class
    `before` to class `after`; `into_window` is the sum over them of the seconds of the window that had passed."""
    waits = pieces[pieces["waiting"]]
    steps = _sorted(
        pd.DataFrame(
            {
                "k": np.concatenate([stretches["k"], stretches["k"], solitude["k"], waits["k"], waits["k"]]),
                "t": np.concatenate([stretches["s"], stretches["e"], solitude["t"], waits["s"], waits["e"]]),
                "step": np.concatenate(
                    [
                        stretches["pixels"],
                        -stretches["pixels"],
                        solitude["step"],
                        *(np.full(len(waits), sign * WAITING) for sign in (1, -1)),
                    ]
                ),
            }
        ),
        "k",
        "t",
    )
    after = _classes(steps["step"].cumsum().to_numpy())
    before = np.concatenate([[NO_VIDEO_CLASS], after[:-1]])[: len(after)]
    coming, going = np.full(len(pieces), ABSENT_CLASS), np.full(len(pieces), NO_VIDEO_CLASS)
    t = np.concatenate([steps["t"], pieces["s"], pieces["e"]])
    flows = pd.DataFrame(
        {
            "app_id": place["app_id"].to_numpy()[np.concatenate([steps["k"], pieces["k"], pieces["k"]])],
            "before": np.concatenate([before, coming, going]),
            "after": np.concatenate([after, going, coming]),
            "w": t // WINDOW_SECONDS,
            "into_window": t % WINDOW_SECONDS,
        }
    )
    flows = flows[flows["before"] != flows["after"]]
    return (
        flows.groupby(["app_id", "before", "after", "w"])["into_window"]
        .agg(users="size", into_window="sum")
        .reset_index()
    )


def _classes(totals: np.ndarray) -> np.ndarray:
    tier = np.searchsorted(ITEM_TOPS, totals & (SCREEN - 1))
    video = FIRST_VIDEO_CLASS + 2 * tier + (totals >= SCREEN)
    return np.select(
        [totals == 0, totals >= WAITING // 2, totals >= ALONE // 2], [NO_VIDEO_CLASS, GRACE_CLASS, ALONE_CLASS], video
    )


def _windows(flows: pd.DataFrame, base: int, span: int) -> pl.DataFrame:
    gained = flows.rename(columns={"after": "class"}).drop(columns="before")
    lost = flows.rename(columns={"before": "class"}).drop(columns="after")
    lost[["users", "into_window"]] *= -1
    net = pd.concat([gained, lost]).groupby(["class", "app_id", "w"])[["users", "into_window"]].sum()
    grid = net.unstack("w", fill_value=0).reindex(
        columns=pd.MultiIndex.from_product([["users", "into_window"], range(-(-span // WINDOW_SECONDS))]), fill_value=0
    )
    earlier = grid["users"].cumsum(axis=1)
    seconds = (WINDOW_SECONDS * earlier - grid["into_window"]).stack().rename("seconds").reset_index()
    seconds.columns = pd.Index(["class", "app_id", "w", "seconds"])
    names = pd.DataFrame(CLASSES, columns=["class", "item", "reason"])
    rows = seconds[seconds["seconds"] != 0].merge(names, on="class")
    rows["window_start"] = base + WINDOW_SECONDS * rows["w"]
    schema = {"app_id": pl.Int64, "window_start": pl.Int64, "item": pl.String, "reason": pl.String, "seconds": pl.Int64}
    frame = pl.DataFrame({name: rows[name].tolist() for name in schema}, schema=schema)
    return frame.sort("app_id", "window_start", "item", "reason")
