"""The laws of tasks, on generated rooms in which tasks and users have the same names, against the slow obvious meter of
`tests/oracle_tasks.py`."""

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.metering.meter import Span, meter, meter_by_room, meter_by_user, meter_rooms
from billing.metering.schemas import Metered, as_state, stored_state
from billing.metering.task_intervals import task_intervals
from billing.metering.tiers import ServiceRule, TierRule
from billing.periods import WINDOW_SECONDS
from billing.verify import room_tasks as verify
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import CN, DAY, INTL, START, frame, nobody, usage_of
from tests.oracle_tasks import MeteredTasks, Service, Task, meter_tasks
from tests.property.rooms import subscribed_rooms, task_step, tasks_of

pytestmark = pytest.mark.thorough

TIERS = [("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)]


def _tiers(service: str) -> list[tuple[str, int | None]]:
    return [(f"{service}:{item}", top) for item, top in TIERS]


RECORDING = Service("recording:audio", _tiers("recording"))
H264 = Service("mix-h264:audio", _tiers("mix-h264"), 2)
H265 = Service(None, _tiers("mix-h265"), 2)
# The third app bills no services.
SERVICES: dict[int, dict[str, Service]] = {
    1: {"recording": RECORDING, "mix-h264": H264, "mix-h265": H265},
    2: {"recording": RECORDING},
    3: {},
}


def _rule(rule: TierRule, services: dict[str, Service]) -> TierRule:
    rules = tuple(
        ServiceRule(name=name, base_item=each.base, tiers=tuple(each.tiers), least_inputs=each.least_inputs)
        for name, each in services.items()
    )
    return TierRule(per_stream=rule.per_stream, tiers=rule.tiers, services=rules)


RULES = {1: _rule(INTL, SERVICES[1]), 2: _rule(CN, SERVICES[2]), 3: _rule(INTL, SERVICES[3])}


def task_rooms() -> st.SearchStrategy[list[dict[str, Any]]]:
    """The events of tasks in ten rooms, in three apps; the rooms are those of `users`."""
    return st.lists(st.lists(task_step, min_size=1, max_size=15), min_size=1, max_size=10).map(
        lambda drawn: [
            event
            for number, steps in enumerate(drawn)
            for event in tasks_of(steps, START, number % 3 + 1, f"r{number}")
        ]
    )


def users() -> st.SearchStrategy[list[dict[str, Any]]]:
    return subscribed_rooms(start=START, apps=(1, 2, 3))


def span(start: int = START, end: int = START + DAY) -> Span:
    return Span(start=start, end=end, rules=RULES)


def of_services(usage: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter({key: seconds for key, seconds in usage.items() if ":" in key[2]})


def slow_usage(slow: MeteredTasks) -> Counter[tuple[Any, ...]]:
    usage: Counter[tuple[Any, ...]] = Counter()
    for (app, _, _, _, window, item, reason), seconds in slow.seconds.items():
        usage[app, window, item, reason] += seconds
    return usage


def findings(metered: Metered) -> Counter[tuple[Any, ...]]:
    rows = metered.findings.select("app_id", "room_id", "at", "finding").rows()
    return Counter(rows)


def running(metered: Metered) -> dict[Any, Task]:
    rows = metered.state.filter(pl.col("task_id").is_not_null()).iter_rows(named=True)
    return {
        tuple(row[name] for name in ("app_id", "room_id", "service", "task_id")): Task(
            row["last_event"], {each["stream"]: (each["width"], each["height"]) for each in row["streams"]}
        )
        for row in rows
    }


@settings(max_examples=SLOW_EXAMPLES * 2)
@given(rows=task_rooms(), days=st.integers(1, 3))
def test_tasks_are_metered_as_by_the_obvious_meter_day_after_day(rows: list[dict[str, Any]], days: int) -> None:
    events, state, carried = frame(rows), nobody(), dict[Any, Task]()
    for day in range(days):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast, slow = meter(events, state, span(start, end)), meter_tasks(rows, carried, start, end, SERVICES)
        assert usage_of(fast) == slow_usage(slow)
        assert findings(fast) == slow.findings
        assert running(fast) == slow.running
        state, carried = as_state(stored_state(fast.state)), slow.running


@settings(max_examples=SLOW_EXAMPLES)
@given(tasks=task_rooms(), people=users(), seed=st.randoms(), cuts=st.sets(st.integers(1, 2 * DAY - 1), max_size=4))
def test_users_and_tasks_do_not_touch_each_other_in_any_order_and_any_cut(
    tasks: list[dict[str, Any]], people: list[dict[str, Any]], seed: random.Random, cuts: set[int]
) -> None:
    whole = span(end=START + 2 * DAY)
    alone, beside = meter(frame(tasks), nobody(), whole), meter(frame(people), nobody(), whole)
    mixed = frame(seed.sample([*tasks, *people], len(tasks) + len(people)))
    usage, found, state = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]](), nobody()
    for start, end in pairwise([START, *(START + cut for cut in sorted(cuts)), START + 2 * DAY]):
        part = meter(mixed, state, span(start, end))
        usage, found, state = usage + usage_of(part), found + findings(part), part.state
    assert usage == usage_of(alone) + usage_of(beside)
    assert found == findings(alone) + findings(beside)
    assert state.filter(pl.col("task_id").is_null()).equals(beside.state)
    assert state.filter(pl.col("task_id").is_not_null()).rows() == alone.state.rows()


@pytest.mark.thorough
@settings(max_examples=SLOW_EXAMPLES)
@given(tasks=task_rooms(), people=users(), cut=st.integers(1, DAY))
def test_rooms_users_and_some_rooms_have_the_seconds_of_all(
    tasks: list[dict[str, Any]], people: list[dict[str, Any]], cut: int
) -> None:
    events, state = frame([*tasks, *people]), nobody()
    for start, end in pairwise([START, START + cut, START + 2 * DAY]):
        each, whole = span(start, end), meter(events, state, span(start, end))
        sums = whole.usage.group_by("app_id", "item", "reason").agg(pl.col("seconds").sum())
        for part in (meter_by_user(events, state, each), meter_by_room(events, state, each)):
            by_item = part.group_by("app_id", "item", "reason").agg(pl.col("seconds").sum())
            assert sorted(by_item.filter(pl.col("seconds") > 0).rows()) == sorted(sums.rows())
        some, _ = meter_rooms(events, state, each)
        assert some.usage.equals(whole.usage)
        assert some.state.equals(whole.state)
        state = whole.state


@settings(max_examples=SLOW_EXAMPLES)
@given(tasks=task_rooms(), people=users(), cut=st.integers(1, DAY))
def test_the_stretches_of_tasks_have_their_seconds(
    tasks: list[dict[str, Any]], people: list[dict[str, Any]], cut: int
) -> None:
    events, state = frame([*tasks, *people]), nobody()
    for start, end in pairwise([START, START + cut, START + 2 * DAY]):
        whole, loaded = meter(events, state, span(start, end)), events.collect()
        seconds: Counter[tuple[Any, ...]] = Counter()
        for app, room in pl.concat([loaded, state], how="diagonal").select("app_id", "room_id").unique().iter_rows():
            of_room = (pl.col("app_id") == app) & (pl.col("room_id") == room)
            found = task_intervals(loaded.filter(of_room), state.filter(of_room), (start, end), RULES[app])
            for each in found:
                kind = each.second_class
                assert kind.area == sum(stream.area for stream in kind.streams)
                for window in range(each.start - each.start % WINDOW_SECONDS, each.end, WINDOW_SECONDS):
                    key = (app, window, kind.item, kind.reason)
                    seconds[key] += each.seconds_in(window, window + WINDOW_SECONDS)
        assert seconds == of_services(usage_of(whole))
        state = whole.state


@pytest.mark.thorough
@settings(max_examples=SLOW_EXAMPLES)
@given(rows=task_rooms(), cut=st.integers(1, DAY))
def test_the_second_engine_meters_tasks_alike(rows: list[dict[str, Any]], cut: int) -> None:
    services = {
        app: {
            name: verify.ServiceRule(each.base, tuple(each.tiers), each.least_inputs) for name, each in of_app.items()
        }
        for app, of_app in SERVICES.items()
    }
    events, state = frame(rows), nobody()
    for start, end in pairwise([START, START + cut, START + 2 * DAY]):
        whole, seconds = meter(events, state, span(start, end)), Counter[tuple[Any, ...]]()
        left: list[Any] = []
        timely = events.filter(pl.col("at").is_between(start * 1000, end * 1000 - 1)).collect()
        for app, room in pl.concat([timely, state], how="diagonal").select("app_id", "room_id").unique().iter_rows():
            of_room = (pl.col("app_id") == app) & (pl.col("room_id") == room)
            tables = [each.filter(of_room).rows(named=True) for each in (timely, state)]
            found = verify.run_tasks(*tables, start, end, services[app])
            left += [{"app_id": app, "room_id": room, **row} for row in verify.task_state(found)]
            for each in found.found:
                for window in range(each.start - each.start % WINDOW_SECONDS, each.end, WINDOW_SECONDS):
                    part = min(each.end, window + WINDOW_SECONDS) - max(each.start, window)
                    seconds[app, window, each.item, each.reason] += part
        assert seconds == of_services(usage_of(whole))
        assert pl.DataFrame(left, schema=whole.state.schema).sort(_TASK).equals(whole.state.sort(_TASK))
        state = whole.state


_TASK = ["app_id", "room_id", "service", "task_id"]
