"""Made-up months of late events: accounts, what they bought, who was in which room, when each event arrived, and which
commands were run when. A story is a function of its seed, and a plain value, so that it can be cut down.

Most events arrive within minutes. Some come days or weeks later, some twice, some only matter for who paid or for a
reason, some for nothing. Exits are late more often than others, because they shorten stays that were carried on. Some
are retracted, of these some given back, and some come again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]

HOUR = 3600
DAY = 86_400

# A month's end and a change of clocks in every one of them; the free minutes of trtc-intl changed on 2023-01-12.
_BEGINNINGS = {
    date(2026, 3, 27): ["Europe/Berlin", "Asia/Beirut", "Asia/Tokyo"],
    date(2026, 2, 26): ["America/New_York", "Asia/Kathmandu", "Asia/Shanghai"],
    date(2026, 10, 27): ["America/New_York", "Asia/Tokyo", "Europe/Berlin"],
    date(2026, 3, 29): ["Australia/Lord_Howe", "UTC", "Asia/Shanghai"],
    date(2022, 12, 29): ["America/New_York", "Asia/Tokyo", "Pacific/Apia"],
}
_CURRENCIES = {"trtc-intl": "USD", "trtc-intl-2021": "USD", "trtc-cn": "CNY"}
_SIZES = [(160, 90), (320, 180), (640, 480), (960, 720), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who pays, for which apps."""

    id: str
    timezone: str
    policy: str
    free_minutes: int
    apps: tuple[int, ...]

    @property
    def currency(self) -> str:
        return _CURRENCIES[self.policy]

    def day(self, second: int) -> date:
        """The local day of an instant."""
        return datetime.fromtimestamp(second, ZoneInfo(self.timezone)).date()

    def begin(self, day: date) -> int:
        """The first second of a local day: the first at which the calendar shows it or a later one."""
        middle = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        before, after = middle - DAY, middle + DAY
        while after - before > 1:
            second = (before + after) // 2
            before, after = (second, after) if self.day(second) < day else (before, second)
        return after

    def toml(self) -> str:
        lines = [f'[[account]]\nid = "{self.id}"\nname = "{self.id}"\ncurrency = "{self.currency}"']
        lines += [f'timezone = "{self.timezone}"\npolicy = "{self.policy}"\nfree_minutes = {self.free_minutes}']
        lines += [f'[[app]]\nid = {app}\naccount = "{self.id}"\nname = "{app}"' for app in self.apps]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What an account buys; `known_at` is when the catalog says so."""

    id: str
    account: Account
    app: int | None
    minutes: int
    purchased_at: int
    term: str
    known_at: int

    @property
    def first_day(self) -> date:
        return self.account.day(self.purchased_at)

    @property
    def end_day(self) -> date:
        """The first day on which it no longer pays."""
        bought = self.first_day
        following = _month_after(bought)
        if self.term == "year":
            return following.replace(year=following.year + 1)
        last = _month_after(following) - timedelta(days=1)
        return following.replace(day=min(bought.day, last.day))

    def toml(self) -> str:
        app = "" if self.app is None else f"app = {self.app}\n"
        return (
            f'[[package]]\nid = "{self.id}"\naccount = "{self.account.id}"\n{app}minutes = {self.minutes}\n'
            f'purchased_at = "{instant(self.purchased_at)}"\nprice = "1.00"\nterm = "{self.term}"'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What an account pays from a day on: a discount, and prices of single items per 1,000 minutes."""

    account: Account
    valid_from: date
    discount: Decimal
    prices: dict[str, Decimal]
    known_at: int

    def toml(self) -> str:
        text = f'[[contract]]\naccount = "{self.account.id}"\nvalid_from = "{self.valid_from}"\n'
        text += f'discount = "{self.discount}"'
        prices = "\n".join(f'{item} = "{price}"' for item, price in self.prices.items())
        return f"{text}\n[contract.prices]\n{prices}" if prices else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An event, and the second in which it arrived; `readable`: it is set aside if it is not."""

    second: int
    event: Row
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command at a second: `nightly`, `refresh`, `rebill`, `cut` (refresh and nightly at once), `compact`, `retract`,
    `undo`."""

    second: int
    command: str
    account: str = ""
    draw: float = 0.0  # decides what a command leaves open, such as the first day of a rebill


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`begin` is before everything that happens in it."""

    seed: int
    begin: int
    accounts: tuple[Account, ...]
    packages: tuple[Package, ...]
    contracts: tuple[Contract, ...]
    arrivals: tuple[Arrival, ...]
    steps: tuple[Step, ...]

    @property
    def apps(self) -> list[int]:
        return [app for account in self.accounts for app in account.apps]

    @property
    def purchases(self) -> list[Package | Contract]:
        return [*self.packages, *self.contracts]

    def account(self, name: str) -> Account:
        return next(account for account in self.accounts if account.id == name)

    def __str__(self) -> str:
        """What happened, line by line."""
        purchases = [(each.known_at, each.toml()) for each in self.purchases]
        arrivals = [(each.second, _told(each.event)) for each in self.arrivals]
        steps = [(each.second, f"==> {each.command} {each.account} {each.draw:.2f}") for each in self.steps]
        lines = [f"{instant(second)}  {text}" for second, text in sorted(purchases + arrivals + steps, key=_when)]
        return "\n".join([f"seed {self.seed}", *(account.toml() for account in self.accounts), *lines])


def instant(second: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def story(seed: int) -> Story:
    """The story of a seed: of some days of usage, and weeks until all of it has arrived."""
    rng, days = Random(seed), 4 + 2 * (seed // 2 % 4)
    first = rng.choice(list(_BEGINNINGS))
    zones = rng.sample(_BEGINNINGS[first], rng.choice([2, 3]))
    policies = rng.sample(list(_CURRENCIES), len(zones))
    accounts = tuple(
        Account(
            id=f"account-{number}",
            timezone=zone,
            policy=policy,
            free_minutes=rng.choice([0, 40, 150, 400]),
            apps=tuple(range(10 * number + 1, 10 * number + rng.choice([2, 3]))),
        )
        for number, (zone, policy) in enumerate(zip(zones, policies, strict=True), start=1)
    )
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    end = begin + days * DAY
    events = [event for account in accounts for event in _events(rng, account, begin, end)]
    return Story(
        seed=seed,
        begin=begin,
        accounts=accounts,
        packages=tuple(package for account in accounts for package in _packages(rng, account, begin, end)),
        contracts=tuple(contract for account in accounts for contract in _contracts(rng, account, begin, end)),
        arrivals=tuple(sorted(_arrivals(rng, events, begin, end), key=lambda arrival: arrival.second)),
        steps=tuple(_steps(rng, accounts, begin, end)),
    )


def _packages(rng: Random, account: Account, begin: int, end: int) -> Iterator[Package]:
    """Small ones, which run out; some of last year, which end with a month of the story."""
    for number in range(rng.choice([1, 2, 3, 4])):
        bought = rng.randrange(begin - 2 * DAY, end)
        term = rng.choice(["year", "month", "month"])
        if rng.random() < 0.4:
            # Last year's of this month, or a month's of last month: they end in the middle of the story.
            bought, term = rng.choice([(bought - 365 * DAY, "year"), (begin - rng.randrange(20, 28) * DAY, "month")])
        yield Package(
            id=f"{rng.choice('abc')}-{account.id}-{number}",
            account=account,
            app=rng.choice([None, *account.apps]),
            minutes=rng.choice([5, 30, 100, 300, 1000]),
            purchased_at=bought,
            term=term,
            known_at=bought - rng.choice([0, 0, 5 * DAY]),
        )


def _contracts(rng: Random, account: Account, begin: int, end: int) -> Iterator[Contract]:
    for day in {account.day(second) for second in rng.sample(range(begin, end), rng.choice([0, 1, 1, 2]))}:
        yield Contract(
            account=account,
            valid_from=day,
            discount=Decimal(rng.choice(["1", "0.85", "0.3333"])),
            prices=rng.choice([{}, {"audio": Decimal("0.5")}, {"hd": Decimal("3.123457")}]),
            known_at=account.begin(day) - rng.randrange(3 * DAY) - 1,
        )


def _events(rng: Random, account: Account, begin: int, end: int) -> Iterator[Row]:
    number = 0
    for second in range(begin, end, DAY):
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            number += 1
            app = rng.choice(account.apps)
            start = second + rng.choice([rng.randrange(DAY), *([_near_midnight(rng, account, second)] * 2)])
            room = rng.choice([f"r{number}", f"r{number}", "hall", "yard"])
            for count, event in enumerate(_meeting(rng, start)):
                if event["at"] < end * 1000:
                    yield {
                        "event_id": f"{account.id}-{number}-{count}",
                        "app_id": app,
                        "room_id": room,
                        "seq": count,
                    } | event


def _near_midnight(rng: Random, account: Account, second: int) -> int:
    """Seconds from `second` on to some minutes around the next local midnight."""
    midnight = account.begin(account.day(second) + timedelta(days=1))
    return midnight - second + rng.randrange(-40 * 60, 10 * 60)


def _meeting(rng: Random, start: int) -> Iterator[Row]:
    """The events of some users in one room. Whoever stays for days says something every day; some never leave."""
    users = rng.sample(["ann", "bob", "eve", "joe", "zoe"], rng.choice([1, 2, 2, 3]))
    for user in users:
        at = start + rng.randrange(600)
        yield _event(rng, at, user, "enter")
        for _ in range(rng.choice([0, 1, 2, 4])):
            at += rng.choice([5, 61, 200, 299, 301, 900, 2000])
            kind = rng.choice(["video_on"] * 5 + ["video_off", "video_off", "disconnect", "reconnect", "enter"])
            yield _event(rng, at, user, kind, rng.choice(users))
        for _ in range(rng.choice([0] * 6 + [1, 3])):
            at += DAY - rng.randrange(HOUR)
            yield _event(rng, at, user, rng.choice(["video_on", "video_off"]), rng.choice(users))
        at += rng.choice([1, 59, 300, 1000, 1800, 3 * HOUR])
        ending = rng.choice(["exit"] * 8 + ["disconnect", ""])
        if ending:
            yield _event(rng, at, user, ending)
    if rng.random() < 0.1:
        yield _event(rng, start + 2400, None, "dismiss")
    if rng.random() < 0.2:
        yield _event(rng, start + rng.randrange(DAY), "nobody", rng.choice(["video_off", "exit"]), "ann")


def _event(rng: Random, second: int, user: str | None, kind: str, publisher: str = "") -> Row:
    row: Row = {"at": second * 1000 + rng.choice([0, 0, 1, 500, 999]), "type": kind}
    if user is not None:
        row["user_id"] = user
    if kind.startswith("video"):
        row["stream"] = f"{publisher}/{rng.choice(['camera', 'camera', 'screen'])}"
    if kind == "video_on":
        row["width"], row["height"] = rng.choice(_SIZES)
    return row


def _arrivals(rng: Random, events: list[Row], begin: int, end: int) -> Iterator[Arrival]:
    """Everything has arrived at the end. Some meetings are late as a whole, now and then the first of an account."""
    late_meetings: dict[str, int] = {}
    for event in sorted(events, key=lambda event: event["at"]):
        happened = event["at"] // 1000 + 1
        meeting = event["event_id"].rpartition("-")[0]
        if meeting not in late_meetings:
            share = 0.5 if happened < begin + 2 * DAY else 0.15
            late_meetings[meeting] = _lateness(rng) if rng.random() < share else 0
        delay = late_meetings[meeting] or rng.randrange(600)
        if rng.random() < (0.25 if event["type"] in ("exit", "dismiss") else 0.08):
            delay = _lateness(rng)
        yield Arrival(second=min(happened + delay, end), event=event)
        again = min(happened + rng.choice([delay, _lateness(rng)]), end)
        if rng.random() < 0.05:
            yield Arrival(second=again, event=event)
        if rng.random() < 0.02:
            yield Arrival(second=again, event=event | {"type": "waved"}, readable=False)


def _lateness(rng: Random) -> int:
    return rng.choice([rng.randrange(HOUR, 3 * DAY), rng.randrange(DAY, 12 * DAY), rng.randrange(10 * DAY, 40 * DAY)])


def _steps(rng: Random, accounts: tuple[Account, ...], begin: int, end: int) -> Iterator[Step]:
    """One command after the other, never two in one minute; at the end everything is billed."""
    clock = begin
    for second in range(begin, end, DAY):
        commands = sorted((second + rng.randrange(DAY), command) for command in _commands_of_a_day(rng))
        for at, command in commands:
            account = rng.choice(accounts)
            if command == "cut":
                # Within the first window of a day of this account, of which nothing is provisional yet.
                at = account.begin(account.day(second) + timedelta(days=1)) + rng.randrange(60, 290)
            clock = max(clock + 60, at)
            yield Step(second=clock, command=command, account=account.id, draw=rng.random())
    for number, command in enumerate(["refresh", "nightly", "compact"], start=1):
        yield Step(second=max(clock, end) + 4 * DAY + number * 60, command=command, account=accounts[0].id)


def _commands_of_a_day(rng: Random) -> Iterator[str]:
    yield from rng.choice([["nightly"]] * 6 + [["cut"]] * 3 + [["nightly", "nightly"]] * 2 + [[]] * 3)
    yield from rng.choice([[]] * 5 + [["refresh"]] * 2 + [["refresh"] * 3])
    yield from rng.choice([[]] * 3 + [["retract"]] * 3 + [["retract", "retract", "undo"]] + [["undo"]])
    if rng.random() < 0.12:
        yield "rebill"
    if rng.random() < 0.05:
        yield "compact"


def _month_after(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _told(event: Row) -> str:
    who = f"{event['app_id']} {event['room_id']} {event.get('user_id', '-')}"
    what = f"{event['type']} {event.get('stream', '')} {event.get('width', '')}x{event.get('height', '')}"
    return f"{event['event_id']}: {instant(event['at'] // 1000)} {event['at'] % 1000:03} {who} {what}".removesuffix(
        " x"
    )


def _when(line: tuple[int, str]) -> int:
    return line[0]
