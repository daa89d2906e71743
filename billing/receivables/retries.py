"""Retries: when a message that could not be delivered is sent again. Pure.

A message is sent at once, and after a failure again 1, 5 and 30 minutes, 2, 6, 12, 24, 24, … hours after the attempt
before. Three days after it was written it is given up. Example, a message of 12:00 to an address that never answers:
12:00, 12:01, 12:06, 12:36, 14:36, 20:36, the next day 08:36, then 08:36 two more times; the next attempt would be later
than three days.
"""

from collections.abc import Sequence

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DELAYS_MS = (
    *(_MINUTE_MS, 5 * _MINUTE_MS, 30 * _MINUTE_MS),
    *(2 * _HOUR_MS, 6 * _HOUR_MS, 12 * _HOUR_MS, 24 * _HOUR_MS),
)
KEPT_MS = 3 * 24 * _HOUR_MS


def next_attempt_ms(created_ms: int, attempted_ms: Sequence[int]) -> int | None:
    """When a message is sent next, after attempts at these instants in their order; None: it is given up."""
    if not attempted_ms:
        return created_ms
    delay = _DELAYS_MS[min(len(attempted_ms), len(_DELAYS_MS)) - 1]
    next_ms = attempted_ms[-1] + delay
    return next_ms if next_ms <= created_ms + KEPT_MS else None


def is_too_old(created_ms: int, now_ms: int) -> bool:
    """Whether a message is not sent any more."""
    return now_ms > created_ms + KEPT_MS
