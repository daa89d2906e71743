"""A story: weeks of two accounts whose events come on time, late, twice and in any order, while nights go by.

The same events, all known at once, give a clean home; originals and corrections must add up to it.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cli import main

FIRST = date(2026, 3, 24)
DAYS = 14  # over the end of March, and over the change to summer time in Berlin
ACCOUNTS = {"tokyo": (1, 2), "berlin": (3,)}
MONTHS = ("2026-03", "2026-04")
_SIZES = ((320, 180), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
_TYPES = (
    "enter",
    "enter",
    "exit",
    "disconnect",
    "reconnect",
    "dismiss",
    "video_off",
    "video_on",
    "video_on",
    "video_on",
)
_STEPS = (0, 0, 1, 500, 20_000, 89_000, 90_000, 299_000, 1_800_000, 7_200_000, 30_000_000, 86_400_000)

_CATALOG = """
[[account]]
id = "tokyo"
name = "Tokyo"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = {free}

[[account]]
id = "berlin"
name = "Berlin"
currency = "CNY"
timezone = "Europe/Berlin"
policy = "trtc-cn"

[[app]]
id = 1
account = "tokyo"
name = "One"

[[app]]
id = 2
account = "tokyo"
name = "Two"

[[app]]
id = 3
account = "berlin"
name = "Three"

[[package]]
id = "all-of-tokyo"
account = "tokyo"
minutes = {large}
purchased_at = "2026-03-25T18:00:00+09:00"

[[package]]
id = "app-two"
account = "tokyo"
app = 2
minutes = {small}
purchased_at = "2026-03-01T00:00:00+09:00"
term = "month"

[[package]]
id = "berlin-month"
account = "berlin"
minutes = {small}
purchased_at = "2026-03-03T12:00:00+01:00"
term = "month"

[[contract]]
account = "berlin"
valid_from = "2026-04-01"
discount = "0.85"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """`billing` in one home, as JSON."""

    directory: Path

    def run(self, now: datetime, *arguments: str, json_rows: bool = True) -> Any:
        """What a command prints; it must succeed."""
        environment = {"BILLING_HOME": str(self.directory), "BILLING_NOW": now.isoformat()}
        line = [*arguments, *(["--format", "json"] if json_rows else [])]
        result = CliRunner(env=environment).invoke(main, line, catch_exceptions=False)
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        return json.loads(result.stdout) if json_rows else None


class Story:
    """One course of events, told by its seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.directory = directory
        catalog = _CATALOG.format(
            free=self.random.choice([0, 50, 3000]),
            large=self.random.choice([500, 20_000]),
            small=self.random.choice([100, 2000]),
        )
        (directory / "catalog.toml").write_text(catalog)
        self.events = sorted(self._made_up(), key=lambda event: event["at"])
        self.arrivals = self._arrivals()
        self.end = _morning(FIRST + timedelta(days=DAYS + 4))

    def clean(self) -> Home:
        """Everything ingested at once, then one night."""
        home = self.home("clean")
        self.ingest(home, self.end, self.events)
        home.run(self.end, "nightly")
        return home

    def nights(self) -> Iterator[tuple[Home, datetime]]:
        """The home that lives through it, after each night."""
        home = self.home("real")
        for number in range(DAYS + 4):
            day = FIRST + timedelta(days=number)
            for hour in (6, 14):
                now = datetime(day.year, day.month, day.day, hour, 3, tzinfo=UTC)
                if arrived := self.arrivals.pop((day, hour), []):
                    self.ingest(home, now, arrived)
                if self.random.random() < 0.3:
                    home.run(now, "refresh")
            if self.random.random() < 0.15 and number < DAYS + 3:
                continue  # a night without a nightly
            now = _morning(day + timedelta(days=1))
            home.run(now, "nightly")
            yield home, now

    def home(self, name: str) -> Home:
        home = Home(directory=self.directory / name)
        now = _morning(FIRST)
        home.run(now, "init", json_rows=False)
        home.run(now, "catalog", "apply", str(self.directory / "catalog.toml"))
        return home

    def ingest(self, home: Home, now: datetime, events: list[dict[str, Any]]) -> None:
        rows = events + self.random.sample(events, len(events) // 8)
        self.random.shuffle(rows)
        file = home.directory.with_name(f"{home.directory.name}-{now:%d-%H}.ndjson")
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (report,) = home.run(now, "ingest", str(file))
        assert report["read"] == len(rows) == report["accepted"] + report["duplicates"]

    def _made_up(self) -> Iterator[dict[str, Any]]:
        for app in (1, 2, 3):
            for room in range(6):
                at = _ms(FIRST) + self.random.randrange(DAYS * 86_400_000)
                for number in range(self.random.randrange(3, 30)):
                    at += self.random.choice(_STEPS)
                    if at >= _ms(FIRST + timedelta(days=DAYS)):
                        break
                    yield self._event(app, room, number, at)

    def _event(self, app: int, room: int, number: int, at: int) -> dict[str, Any]:
        kind = self.random.choice(_TYPES)
        event = {"event_id": f"{room}-{number}", "app_id": app, "room_id": f"r{room}", "at": at, "type": kind}
        if kind != "dismiss":
            event["user_id"] = f"u{self.random.randrange(3)}"
        if kind.startswith("video"):
            event["stream"] = self.random.choice(["a/camera", "b/camera", "c/screen"])
        if kind == "video_on":
            event["width"], event["height"] = self.random.choice(_SIZES)
        return event

    def _arrivals(self) -> dict[tuple[date, int], list[dict[str, Any]]]:
        """When each event comes: most on the day itself, some days later, all before the last night."""
        arrivals: dict[tuple[date, int], list[dict[str, Any]]] = {}
        for event in self.events:
            happened = datetime.fromtimestamp(event["at"] / 1000, UTC)
            late = self.random.choice([0] * 12 + [1, 1, 2, 3, 6, 10])
            day = min(happened.date() + timedelta(days=late), FIRST + timedelta(days=DAYS + 2))
            hour = 6 if late and self.random.random() < 0.5 else 14
            if datetime(day.year, day.month, day.day, hour, tzinfo=UTC) < happened:
                day, hour = day + timedelta(days=1), 6
            arrivals.setdefault((day, hour), []).append(event)
        return arrivals


def books(home: Home, now: datetime, *options: str) -> dict[str, Counter[tuple[Any, ...]]]:
    """What a home says of everything, summed over originals and corrections; rows that come to nothing left out."""
    sums: dict[str, Counter[tuple[Any, ...]]] = {}
    span = ("--from", "2026-03-01", "--to", "2026-04-30")
    for app in (1, 2, 3):
        for by in ("window", "day", "room", "user"):
            rows = home.run(now, "usage", str(app), *span, "--by", by, *options)
            key = [name for name in (rows[0] if rows else {}) if name not in ("seconds", "kind", "run", "settled")]
            sums[f"usage {app} by {by}"] = _summed(rows, key, "seconds")
        for by in ("window", "day"):
            rows = home.run(now, "usage", str(app), *span, "--by", by, "--unit", "minutes", *options)
            key = [name for name in (rows[0] if rows else {}) if name not in ("minutes", "kind", "run", "settled")]
            sums[f"minutes {app} by {by}"] = _summed(rows, key, "minutes")
    return sums


def money(home: Home, now: datetime, *options: str) -> dict[str, Counter[tuple[Any, ...]]]:
    """Charges by day, app and item, minutes by payer, packages and findings."""
    sums: dict[str, Counter[tuple[Any, ...]]] = {}
    for account in ACCOUNTS:
        charges = [row for month in MONTHS for row in home.run(now, "charges", account, "--month", month, *options)]
        for figure in ("seconds", "minutes", "deducted_minutes", "payable_minutes"):
            sums[f"{account} {figure}"] = _summed(charges, ["day", "app_id", "item", "unit_price"], figure)
        amounts = [row | {"amount": round(float(row["amount"]) * 1e8)} for row in charges]
        sums[f"{account} amount"] = _summed(amounts, ["day", "app_id", "item"], "amount")
        paid = [
            row | {"payer": payer, "paid": minutes} for row in charges for payer, minutes in row["deducted_by"].items()
        ]
        sums[f"{account} paid"] = _summed(paid, ["day", "app_id", "item", "payer"], "paid")
        packages = home.run(now, "packages", account, *options)
        assert all(row["granted"] == row["deducted"] + row["lapsed"] + row["remaining"] for row in packages)
        assert all(row["remaining"] >= 0 for row in packages)
        sums[f"{account} packages"] = Counter(
            tuple(row[name] for name in ("id", "granted", "deducted", "lapsed", "remaining")) for row in packages
        )
        if not options:
            found = home.run(now, "findings", account)
            sums[f"{account} findings"] = Counter(tuple(row.values()) for row in found)
    return sums


def settled_rows(home: Home, now: datetime) -> dict[str, set[str]]:
    """Every settled row of charges and windows, as text."""
    rows = {
        account: {json.dumps(row) for month in MONTHS for row in home.run(now, "charges", account, "--month", month)}
        for account in ACCOUNTS
    }
    for app in (1, 2, 3):
        windows = home.run(now, "usage", str(app), "--from", "2026-03-01", "--to", "2026-04-30")
        rows[str(app)] = {json.dumps(row) for row in windows}
    return rows


def _summed(rows: list[dict[str, Any]], key: list[str], figure: str) -> Counter[tuple[Any, ...]]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        sums[tuple(row[name] for name in key)] += row[figure]
    return Counter({name: total for name, total in sums.items() if total})


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _morning(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 0, 40, tzinfo=UTC)
