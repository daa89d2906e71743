"""Thresholds of alerts: which periods are watched, what a threshold amounts to, and when it fires. Pure.

`minutes` and `spend` rise within a day or a month. A threshold fires when the value reaches it, once in that period,
also if a correction takes the value down and it rises again. `package_remaining` and `balance` have no period: a
threshold fires when the value has fallen to it, and is armed again when the value is back above it.

| spend of a month, threshold 400 | 390 | 400 | 380 | 410 |
|---|---|---|---|---|
| event | | fired | | |

| balance, threshold 10 | 12 | 10 | 8 | 11 | 9 |
|---|---|---|---|---|---|
| event | | fired | | armed | fired |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext

from billing.catalog.alerts import Alert
from billing.money import EXACT
from billing.periods import month_days

FIRED, ARMED = "fired", "armed"
# A period that is over is watched for so long: its last days are billed, and corrected, after its end.
WATCHED_DAYS = 3
_FALLING = frozenset({"package_remaining", "balance"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPeriod:
    """Days whose value is watched, both included; `key` is `2026-03`, `2026-03-12`, or empty: there is no period."""

    key: str
    first: date = date.min
    last: date = date.max


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A threshold (`80%`, which amounts to 400) that fires or is armed again."""

    threshold: str
    amount: Decimal
    event: str


def falls(alert: Alert) -> bool:
    """Whether the alert's metric is crossed downwards."""
    return alert.metric in _FALLING


def subject_of(alert: Alert) -> str:
    """What the alert watches; an alert that is given another subject starts anew."""
    parts = [alert.account, alert.metric]
    parts += [f"app {alert.app}"] if alert.app is not None else []
    parts += [f"package {alert.package}"] if alert.package is not None else []
    return " ".join(parts)


def amount_of(alert: Alert, threshold: str) -> Decimal:
    """The value at which a threshold fires: `80%` of a limit of 500 is 400."""
    if not threshold.endswith("%"):
        return Decimal(threshold)
    if alert.limit is None:
        raise ValueError(f"alert {alert.id}: {threshold} of no limit")
    with localcontext(EXACT):
        return alert.limit * Decimal(threshold.removesuffix("%")) / 100


def present_period(alert: Alert, today: date) -> WatchedPeriod:
    """The period of the alert that holds a day."""
    if falls(alert):
        return WatchedPeriod(key="")
    if alert.period == "day":
        return WatchedPeriod(key=today.isoformat(), first=today, last=today)
    days = month_days(today.replace(day=1))
    return WatchedPeriod(key=f"{today:%Y-%m}", first=days[0], last=days[-1])


def watched_periods(alert: Alert, today: date) -> list[WatchedPeriod]:
    """The present period and those that ended in the last three days, the oldest first."""
    days = (today - timedelta(days=ago) for ago in range(WATCHED_DAYS, -1, -1))
    return list(dict.fromkeys(present_period(alert, day) for day in days))


def crossings(alert: Alert, value: Decimal, last_events: Mapping[Decimal, str]) -> Iterator[Crossing]:
    """What is to be recorded of a value; `last_events`: the last event of each amount in the period.

    Two thresholds that amount to the same fire as one.
    """
    by_amount: dict[Decimal, str] = {}
    for threshold in alert.thresholds:
        by_amount.setdefault(amount_of(alert, threshold), threshold)
    for amount, threshold in by_amount.items():
        event = _event(falls(alert), value, amount, last_events.get(amount))
        if event:
            yield Crossing(threshold=threshold, amount=amount, event=event)


def _event(is_falling: bool, value: Decimal, amount: Decimal, last: str | None) -> str | None:
    if last != FIRED:
        is_reached = value <= amount if is_falling else value >= amount
        return FIRED if is_reached else None
    return ARMED if is_falling and value > amount else None
