"""Windows: seconds per app, 5-minute window, item and reason.

No piece becomes a row per window, however long it lasts. A piece that begins in a window adds to it the seconds left
to the window's end, and 300 to every later window; where it ends, the same is taken away. So two sums per window
(what begins or ends there, and how much of the window it leaves) and one running sum over the windows give every
window exactly.
"""

import numpy as np
import polars as pl

from billing.periods import WINDOW_SECONDS

USAGE_SCHEMA = pl.Schema(
    {"app_id": pl.Int64, "window_start": pl.Int64, "item": pl.String, "reason": pl.String, "seconds": pl.Int64}
)


def window_seconds(pieces: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """`line, window_start` (epoch seconds) and `seconds` > 0 of pieces (`line, start, end, weight`).

    A line is any number (UInt32) that says what is summed; `start` and `end` of a piece count from `start`.
    """
    into_window = start % WINDOW_SECONDS
    windows = (end - start + into_window) // WINDOW_SECONDS + 1
    lines = pieces["line"].unique().sort()
    place = np.zeros((lines.max() or 0) + 1, dtype=np.int64)  # type: ignore[operator]
    place[lines.to_numpy()] = np.arange(len(lines)) * windows
    first_cell = pl.Series(place).gather(pieces["line"])
    count = np.zeros(len(lines) * windows, dtype=np.int64)
    left = np.zeros(len(lines) * windows, dtype=np.int64)
    for edge, sign in (("start", 1), ("end", -1)):
        second = pl.col(edge) + into_window
        sums = (
            pieces.lazy()
            .select(
                cell=first_cell + second // WINDOW_SECONDS,
                weight=pl.col("weight").cast(pl.Int64),
                left=WINDOW_SECONDS - second % WINDOW_SECONDS,
            )
            .group_by("cell")
            .agg(count=pl.col("weight").sum(), left=(pl.col("weight") * pl.col("left")).sum())
            .collect()
        )
        cells = sums["cell"].to_numpy()
        count[cells] += sign * sums["count"].to_numpy()
        left[cells] += sign * sums["left"].to_numpy()
    seconds = left.reshape(len(lines), windows)
    running = count.reshape(len(lines), windows).cumsum(axis=1)
    seconds[:, 1:] += WINDOW_SECONDS * running[:, :-1]
    line, window = np.nonzero(seconds)
    return pl.DataFrame(
        {
            "line": lines.gather(line),
            "window_start": start - into_window + WINDOW_SECONDS * window,
            "seconds": seconds[line, window],
        }
    )
