"""Windows: the seconds of every 5-minute window, from the sums of its edges.

Example: one user is in a class from second 100 to 700. The edges are +1, with 200 s left in the first window, and -1,
with 200 s left in the third. So the first window has 200 s; the second has 300 s, from the running sum of the edges
before it; the third has 300 - 200 = 100 s.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from billing.metering.engine.room_tables import Sums
from billing.periods import WINDOW_SECONDS


def window_seconds(sums: Sequence[Sums], start: int) -> pl.DataFrame:
    """`app` (its place), `class`, `window_start` (epoch seconds) and `seconds` > 0, of all workers
    together."""
    edges = np.sum([of_worker.edges for of_worker in sums], axis=0)
    running = edges[..., 0].cumsum(axis=2)
    seconds = edges[..., 1]
    seconds[:, :, 1:] += WINDOW_SECONDS * running[:, :, :-1]
    app, seconds_class, window = np.nonzero(seconds)
    return pl.DataFrame(
        {
            "app": app.astype(np.uint32),
            "class": seconds_class.astype(np.uint8),
            "window_start": start - start % WINDOW_SECONDS + WINDOW_SECONDS * window,
            "seconds": seconds[app, seconds_class, window],
        }
    )
