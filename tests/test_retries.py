"""Retries: how often, how far apart, and for how long."""

import pytest

from billing.receivables.retries import is_too_old, next_attempt_ms

HOUR = 3_600_000


def test_a_message_is_sent_at_once_then_ever_more_seldom_for_three_days() -> None:
    attempts: list[int] = []
    while (due := next_attempt_ms(0, attempts)) is not None:
        attempts.append(due)
    minutes = [at // 60_000 for at in attempts]
    assert minutes == [0, 1, 6, 36, 156, 516, 1236, 2676, 4116]


def test_the_wait_begins_with_the_attempt_before_however_late_it_was() -> None:
    assert next_attempt_ms(0, [20 * HOUR]) == 20 * HOUR + 60_000
    assert next_attempt_ms(0, [1, 2, 3, 4, 5, 6, 47 * HOUR]) == 71 * HOUR
    assert next_attempt_ms(0, [1, 2, 3, 4, 5, 6, 49 * HOUR]) is None


@pytest.mark.parametrize(("age", "too_old"), [(72 * HOUR, False), (72 * HOUR + 1, True)])
def test_after_three_days_nothing_is_sent(age: int, too_old: bool) -> None:
    assert is_too_old(1_000, 1_000 + age) is too_old
