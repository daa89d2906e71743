"""Questions about a bill: which account and month, and as much of app, item, day or window, room, user and instant as
is asked; and the scope that a question has: names that exist, days that are billed, instants as epoch seconds.

Example: `--month 2026-03 --app 1400000001 --day 2026-03-10 --room math --user anna --at 10:07:30`.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time

from billing import periods
from billing.catalog.items import ITEMS
from billing.errors import UsageError, unknown
from billing.ledger.account_ledger import AccountLedger

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked; None: all. `window` (any instant in it) and `at` are RFC 3339, or the time of `day` as on a clock.
    `run`: as it was known when that run had ended."""

    account_id: str
    month: date | None = None
    app_id: int | None = None
    item: str | None = None
    day: date | None = None
    window: str | None = None
    room_id: str | None = None
    user_id: str | None = None
    at: str | None = None
    run: int | None = None

    def __post_init__(self) -> None:
        if self.item is not None and self.item not in ITEMS:
            raise UsageError(unknown("item", self.item, ITEMS))
        if self.month is None and self.day is None and self.window is None and self.at is None:
            raise UsageError("give --month, --day, --window or --at")
        if (self.room_id is not None or self.user_id is not None) and not (self.day or self.window or self.at):
            raise UsageError("a room or a user is explained for one day: give --day, --window or --at as well")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a question is about. `window` and `at` are epoch seconds, the first that of the window's start."""

    question: Question
    month: date
    app_id: int | None
    day: date | None
    window: int | None
    at: int | None

    @property
    def item(self) -> str | None:
        """The item that is asked about."""
        return self.question.item

    def has(self, app_id: int, item: str) -> bool:
        """Whether an app and an item are asked about."""
        return self.app_id in (None, app_id) and self.item in (None, item)


def scope_of(question: Question, ledger: AccountLedger) -> Scope:
    """The scope of a question; a `UsageError` when it names what there is not, or what does not fit together."""
    app_id = _app_of(question, ledger)
    window, at = (_second(question, name, ledger) for name in ("window", "at"))
    named = window if window is not None else at
    day = ledger.day_of(named) if question.day is None and named is not None else question.day
    for name, second in (("window", window), ("at", at)):
        if second is not None and ledger.day_of(second) != day:
            raise UsageError(f"--{name} {getattr(question, name)} is not on {day} where the account is")
    start = None if window is None else periods.window_start(window)
    if start is not None and at is not None and periods.window_start(at) != start:
        raise UsageError(f"--at {question.at} is not in the window of {question.window}")
    month = question.month or (day or date.min).replace(day=1)
    if day is not None and day not in periods.month_days(month) and not _posted_in(ledger, day, month):
        raise UsageError(f"{day} is not a day of {month:%Y-%m}, and nothing was corrected on it in that month")
    return Scope(question=question, month=month, app_id=app_id, day=day, window=start, at=at)


def _app_of(question: Question, ledger: AccountLedger) -> int | None:
    """The app that is asked about; a room or a user may leave it out where the account has one only."""
    if question.app_id is not None:
        owner = ledger.catalog.app(question.app_id).account
        if owner != ledger.account_id:
            raise UsageError(f"app {question.app_id} belongs to account {owner!r}, not to {ledger.account_id!r}")
        return question.app_id
    if question.room_id is None and question.user_id is None:
        return None
    apps = sorted(app.id for app in ledger.catalog.apps.values() if app.account == ledger.account_id)
    if len(apps) != 1:
        raise UsageError(f"give --app: account {ledger.account_id!r} has {', '.join(map(str, apps)) or 'no app'}")
    return apps[0]


def _second(question: Question, name: str, ledger: AccountLedger) -> int | None:
    """The epoch second of `window` or `at`."""
    text = getattr(question, name)
    if text is None:
        return None
    if not _CLOCK.fullmatch(text):
        return int(periods.parse_instant(text).timestamp())
    if question.day is None:
        raise UsageError(f"--{name} {text} needs --day, or the whole instant such as 2026-03-10T10:05:00+09:00")
    clock = datetime.combine(question.day, time.fromisoformat(text), tzinfo=ledger.zone)
    second = int(clock.timestamp())
    if datetime.fromtimestamp(second, ledger.zone).replace(tzinfo=None) != clock.replace(tzinfo=None):
        raise UsageError(f"there was no {text} on {question.day} in {ledger.zone}: the clocks were changed")
    return second


def _posted_in(ledger: AccountLedger, day: date, month: date) -> bool:
    posted = (each.posted_on for each in ledger.charges_of_day(day))
    return any(month <= posted_on < periods.next_month(month) for posted_on in posted)
