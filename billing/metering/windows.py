"""Windows: seconds per app, 5-minute window, item and reason.

No piece becomes a row per window, however long it lasts. A piece that begins in a window adds to it the seconds left to the window's
end, and 300 to every later window; where it ends, the same is taken away. So two sums per window (what begins or ends there, and how
much of the window it leaves) and one running sum over the windows give every window exactly.
"""

import numpy as np
import polars as pl

from billing.periods import WINDOW_SECONDS

USAGE_SCHEMA = pl.Schema(
    {"app_id": pl.Int64, "window_start": pl.Int64, "item": pl.String, "reason": pl.String, "seconds": pl.Int64}
)


def window_seconds(pieces: pl.DataFrame, group: str, start: int, end: int) -> pl.DataFrame:
    """`group, class, window_start` (epoch seconds) and `seconds` > 0 of the pieces (`group, class, start, end, weight`; seconds from `start`)."""
    into_window = start % WINDOW_SECONDS
    windows = (end - start + into_window) // WINDOW_SECONDS + 1
    groups = pieces.select(group, "class").unique().sort(group, "class").with_row_index("line")
    lines = groups.height
    if lines == 0:
        return pl.DataFrame(
            schema={group: pieces.schema[group], "class": pl.UInt8, "window_start": pl.Int64, "seconds": pl.Int64}
        )
    numbered = pieces.lazy().join(groups.lazy(), on=[group, "class"])
    left = np.zeros(lines * windows, dtype=np.int64)
    count = np.zeros(lines * windows, dtype=np.int64)
    for edge, sign in (("start", 1), ("end", -1)):
        window = (pl.col(edge) + into_window) // WINDOW_SECONDS
        sums = (
            numbered.select(
                cell=pl.col("line").cast(pl.Int64) * windows + window, weight="weight", edge=pl.col(edge) + into_window
            )
            .with_columns(left=WINDOW_SECONDS - pl.col("edge") % WINDOW_SECONDS)
            .group_by("cell")
            .agg(
                count=pl.col("weight").cast(pl.Int64).sum(),
                left=(pl.col("weight").cast(pl.Int64) * pl.col("left")).sum(),
            )
            .collect()
        )
        cells = sums["cell"].to_numpy()
        count[cells] += sign * sums["count"].to_numpy()
        left[cells] += sign * sums["left"].to_numpy()
    running = count.reshape(lines, windows).cumsum(axis=1)
    seconds = left.reshape(lines, windows)
    seconds[:, 1:] += WINDOW_SECONDS * running[:, :-1]
    line, window_index = np.nonzero(seconds)
    return pl.concat(
        [
            groups.select(group, "class")[line],
            pl.DataFrame(
                {
                    "window_start": start - into_window + WINDOW_SECONDS * window_index,
                    "seconds": seconds[line, window_index],
                }
            ),
        ],
        how="horizontal",
    )
