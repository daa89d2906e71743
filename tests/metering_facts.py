"""What tests of metering have in common: two apps with their rules, events as frames, and results as counters that
compare with those of the obvious meter."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from billing.events.schema import EVENT_SCHEMA
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA, Metered
from billing.metering.tiers import TierRule
from tests import oracle

Row = dict[str, Any]

START = 1_772_323_200  # 2026-03-01T00:00:00Z
DAY = 86_400
INTL = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))
CN = TierRule(per_stream=True, tiers=(("sd", 307_200), ("hd", 921_600), ("fhd", None)))
RULES = {1: INTL, 2: CN}
POLICIES = {app: oracle.Policy(rule.per_stream, list(rule.tiers)) for app, rule in RULES.items()}


def span(start: int = START, end: int = START + DAY, rules: Mapping[int, TierRule] = RULES) -> Span:
    return Span(start=start, end=end, rules=rules)


def frame(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=EVENT_SCHEMA).lazy()


def nobody() -> pl.DataFrame:
    return pl.DataFrame(schema=STATE_SCHEMA)


def usage_of(metered: Metered) -> Counter[tuple[Any, ...]]:
    return Counter({row[:4]: row[4] for row in metered.usage.iter_rows()})


def windows_of(slow: oracle.Metered) -> Counter[tuple[Any, ...]]:
    windows: Counter[tuple[Any, ...]] = Counter()
    for (app, _, _, window, item, reason), seconds in slow.seconds.items():
        windows[app, window, item, reason] += seconds
    return windows


def users_of(slow: oracle.Metered) -> Counter[tuple[Any, ...]]:
    users: Counter[tuple[Any, ...]] = Counter()
    for (app, room, user, _, item, reason), seconds in slow.seconds.items():
        users[app, room, user, item, reason] += seconds
    return users


def state_of(metered: Metered) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """By app, room and user: last event, end of the wait, streams received, connections, published, excepted."""
    return {
        tuple(row[name] for name in ("app_id", "room_id", "user_id")): (
            row["last_event"],
            row["wait_ends"],
            [_sent(stream) for stream in row["streams"]],
            {c["connection"]: (c["receives"] == "all", c["until"], c["closed"]) for c in row["connections"]},
            [_sent(stream) for stream in row["published"]],
            row["excepted"],
        )
        for row in metered.state.iter_rows(named=True)
    }


def _sent(stream: Row) -> tuple[Any, ...]:
    return stream["stream"], stream["connection"], (stream["width"], stream["height"])


def plain(state: dict[tuple[int, str, str], oracle.User]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The same of the obvious meter."""
    return {who: _plain_user(user) for who, user in state.items()}


def _plain_user(user: oracle.User) -> tuple[Any, ...]:
    connections: dict[str | None, tuple[bool, int | None, bool]] = {
        name: (connection.receives_all, connection.wait_ends, False) for name, connection in user.connections.items()
    }
    connections |= {name: (False, until, True) for name, until in user.closed.items()}
    is_usual = connections.keys() == {None} and not connections[None][0]
    return (
        user.last_event if user.connections else None,
        user.wait_ends if user.connections else None,
        sorted(((s, c, size) for (s, c), size in user.received.items()), key=lambda sent: sent[0]),
        {} if is_usual else connections,
        sorted((stream, c, size) for stream, (c, size) in user.published.items()),
        sorted(user.excepted),
    )


def findings_of(metered: Metered) -> Counter[tuple[Any, ...]]:
    return Counter(row[:5] for row in metered.findings.iter_rows())


def seen(*lines: str, app: int = 1) -> list[Row]:
    """Events, a line for each: second of the day, room, user (`-` in a dismiss), type, and as it needs them the stream
    (`bob/camera`), the size (`640x480`), `all`, and the connection. Their ids ascend."""
    rows = []
    for number, line in enumerate(lines):
        second, room, user, kind, *rest = line.split()
        stream = next((word for word in rest if "/" in word), None)
        size = next((word for word in rest if re.fullmatch("[0-9]+x[0-9]+", word)), None)
        width, height = map(int, size.split("x")) if size else (None, None)
        rows.append(
            {
                "event_id": f"{number:03}",
                "app_id": app,
                "room_id": room,
                "user_id": None if user == "-" else user,
                "at": round((START + float(second)) * 1000),
                "seq": 0,
                "type": kind,
                "stream": stream,
                "width": width,
                "height": height,
                "connection": next((word for word in rest if word not in ("all", stream, size)), None),
                "receives": "all" if "all" in rest else None,
            }
        )
    return rows


def metered(rows: list[Row], seconds: int = DAY) -> Metered:
    """The first seconds of the day with these events and nobody carried in."""
    return meter(frame(rows), nobody(), span(end=START + seconds))


def said(result: Metered) -> list[tuple[Any, ...]]:
    """Findings: second of the day, room, user, finding, detail."""
    columns = ("at", "room_id", "user_id", "finding", "detail")
    return [(at // 1000 - START, *rest) for at, *rest in result.findings.select(columns).iter_rows()]
