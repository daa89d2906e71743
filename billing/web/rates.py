"""Rates: how many requests a second a token may send, by token buckets.

A bucket holds two seconds' worth and fills steadily. Example: at 100 a second, 200 requests at once are taken, and
then one every 10 ms.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_BURST_SECONDS = 2
_MOST_BUCKETS = 100_000


@dataclass(slots=True, kw_only=True)
class Rates:
    """The buckets of tokens. `clock`: seconds that never go back."""

    per_second: float = 10_000
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)  # what is in it, and since when

    def take(self, token_id: str) -> int:
        """Takes one request from a token's bucket: 0, or the seconds after which there is room again."""
        now, most = self.clock(), self.per_second * _BURST_SECONDS
        held, since = self._buckets.get(token_id, (most, now))
        held = min(most, held + (now - since) * self.per_second)
        if len(self._buckets) >= _MOST_BUCKETS:
            self._buckets.clear()
        is_taken = held >= 1
        self._buckets[token_id] = (held - is_taken, now)
        return 0 if is_taken else max(1, math.ceil((1 - held) / self.per_second))
