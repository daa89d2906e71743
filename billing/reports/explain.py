"""Explain: where an amount comes from, link by link, down to the events.

    line -> charges -> windows and who paid -> rooms -> stretches of users -> events, with file and line

The first links are in the ledger. A room's stretches are metered again from the events that the run read, and their
seconds are compared with those that were billed: where they differ the question fails. A link for which the question
is too wide is None: windows and rooms need an app and a day, stretches a room or a user besides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog.contracts import contract_on
from billing.errors import UnknownNameError, UsageError, unknown
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import check_rows, load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import find_run
from billing.money import EXACT
from billing.rating.charges import PostedCharge
from billing.reports.account import charges_frame
from billing.reports.app_days import AppDay, app_day
from billing.reports.explained_rooms import (
    MANY_EVENTS,
    Boundaries,
    ExplainedInterval,
    RoomDay,
    RoomShare,
    room_day,
    room_shares,
    rooms_of_user,
)
from billing.reports.question import Question, Scope, scope_of
from billing.reports.room_seconds import room_seconds
from billing.reports.window_payments import WindowPayment, window_payments


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Charges of one app, item and price: what the price rests on, and the sums. `contract`: since when it holds."""

    app_id: int
    item: str
    kind: str
    policy: str
    policy_version: date
    contract: date | None
    list_price: Decimal | None
    unit_price: Decimal
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to a question: `seconds` and `amount` of its scope, and the links. `charges`: `CHARGES_SCHEMA`."""

    scope: Scope
    currency: str
    zone: ZoneInfo
    seconds: int
    amount: Decimal
    lines: list[Line]
    charges: pl.DataFrame
    windows: list[WindowPayment] | None = None
    rooms: list[RoomShare] | None = None
    intervals: list[ExplainedInterval] | None = None
    bounds: tuple[int, int] | None = None  # of the day, in epoch seconds


def explain(home: Home, engine: Engine, question: Question) -> Explanation:
    """Answers a question. A `UsageError` when it names what there is not, or a day that is not billed."""
    with reading(engine) as conn:
        if question.run is not None:
            find_run(conn, question.run)
        catalog = load_catalog(conn)
        account = catalog.account(question.account_id)
        check_rows(conn, catalog, account.id)
        ledger = AccountLedger(conn=conn, account_id=account.id, catalog=catalog, as_of=question.run)
        scope = scope_of(question, ledger)
        posted = _posted(ledger, scope)
        with localcontext(EXACT):
            amount = sum((each.charge.amount for each in posted), Decimal(0))
        explanation = Explanation(
            scope=scope,
            currency=account.currency,
            zone=ledger.zone,
            seconds=sum(each.charge.seconds for each in posted),
            amount=amount,
            lines=_lines(ledger, posted),
            charges=charges_frame(ledger, posted),
        )
        if scope.app_id is None or scope.day is None:
            return explanation
        of_day = app_day(ledger, EventLog(directory=home.events), scope.app_id, scope.day)
        return _Day(home=home, scope=scope, app_day=of_day).explained(explanation)


def _posted(ledger: AccountLedger, scope: Scope) -> list[PostedCharge]:
    """The charges of a scope: those posted in its month, or everything charged for its day."""
    month = periods.month_days(scope.month)
    posted = ledger.charges(month[0], month[-1]) if scope.day is None else ledger.charges_of_day(scope.day)
    return [each for each in posted if scope.has(each.charge.app_id, each.charge.item)]


def _lines(ledger: AccountLedger, posted: Sequence[PostedCharge]) -> list[Line]:
    """The charges by app, item and what their price rests on."""
    days = sorted({each.day for each in posted})
    runs = ledger.settled_days(days[0], days[-1]) if days else {}
    policies = {run.policy_hash: ledger.policy_of(run) for run in runs.values()}
    contracts = [each for each in ledger.catalog.contracts.values() if each.account == ledger.account_id]
    grouped: dict[tuple[object, ...], list[PostedCharge]] = {}
    for each in posted:
        # A contract of a billed day cannot be changed.
        contract = contract_on(each.day, contracts)
        policy = policies[runs[each.day].policy_hash]
        key = (
            *(each.charge.app_id, each.charge.item, each.kind, policy.id, policy.version_on(each.day).valid_from),
            *(contract and contract.valid_from, each.list_price, each.charge.unit_price),
        )
        grouped.setdefault(key, []).append(each)
    return [_line(key, of_line) for key, of_line in grouped.items()]


def _line(key: tuple[object, ...], posted: Sequence[PostedCharge]) -> Line:
    names = ("app_id", "item", "kind", "policy", "policy_version", "contract", "list_price", "unit_price")
    counts = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount")
    with localcontext(EXACT):
        sums = {name: sum(getattr(each.charge, name) for each in posted) for name in counts}
    return Line(**dict(zip(names, key, strict=True)), **sums)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """A question about a day of an app, or one of its windows."""

    home: Home
    scope: Scope
    app_day: AppDay

    @property
    def span(self) -> tuple[int, int]:
        """What is asked about, in epoch seconds."""
        start, end, window = self.app_day.start, self.app_day.end, self.scope.window
        return (start, end) if window is None else (max(start, window), min(end, window + periods.WINDOW_SECONDS))

    def explained(self, wide: Explanation) -> Explanation:
        """The links from the day on, added to those before it."""
        if not self.app_day.ledger.terms_on(self.app_day.day)[0].version.counts_app_days:
            raise UsageError(
                f"{self.app_day.day} is billed by a policy that does not count each app and day by itself: ask for the "
                "month without --app and --day, and see `billing usage` for the seconds"
            )
        windows = [each for each in window_payments(self.app_day) if self.scope.has(each.app_id, each.item)]
        asked = [each for each in windows if self.scope.window in (None, each.start)]
        seconds = room_seconds(self.home.room_seconds, self.app_day, self.scope.window)
        names, intervals = self._room_ids(), None
        if names is not None:
            intervals = [each for name in names for each in self._intervals(name, seconds)]
        rooms = self._rooms(seconds, asked, names)
        return Explanation(
            scope=self.scope,
            currency=wide.currency,
            zone=wide.zone,
            seconds=self._seconds(asked, rooms, intervals),
            amount=_sum(each.share for each in rooms),
            lines=wide.lines,
            charges=wide.charges,
            windows=[each for each in asked if self._is_at(each.start, each.start + periods.WINDOW_SECONDS)],
            rooms=rooms,
            intervals=intervals,
            bounds=(self.app_day.start, self.app_day.end),
        )

    def _rooms(
        self, seconds: pl.DataFrame, asked: Iterable[WindowPayment], names: Sequence[str] | None
    ) -> list[RoomShare]:
        amounts: dict[str, list[Decimal]] = {}
        for window in asked:
            amounts.setdefault(window.item, []).append(window.amount)
        of_items = seconds if self.scope.item is None else seconds.filter(pl.col("item") == self.scope.item)
        return room_shares(of_items, {item: _sum(parts) for item, parts in amounts.items()}, rooms=names)

    def _seconds(
        self,
        asked: Iterable[WindowPayment],
        rooms: Iterable[RoomShare],
        intervals: Iterable[ExplainedInterval] | None,
    ) -> int:
        question = self.scope.question
        if intervals is not None and (question.user_id is not None or self.scope.at is not None):
            return sum(each.seconds for each in intervals)
        return sum(each.seconds for each in (asked if question.room_id is None else rooms))

    def _room_ids(self) -> list[str] | None:
        """The rooms whose stretches are asked for."""
        question = self.scope.question
        if question.room_id is not None:
            return [question.room_id]
        return None if question.user_id is None else rooms_of_user(self.app_day, question.user_id)

    def _intervals(self, room_id: str, seconds: pl.DataFrame) -> list[ExplainedInterval]:
        """The stretches that are asked for, once those of the whole room are known to be what was billed."""
        user_id, span = self.scope.question.user_id, self.span
        room = room_day(self.app_day, room_id, seconds["room_id"].unique(maintain_order=True))
        if user_id is not None and user_id not in room.users:
            raise UnknownNameError(f"{unknown('user', user_id, room.users)} (room {room_id!r} on {self.app_day.day})")
        is_large = user_id is not None and room.events.height > MANY_EVENTS
        found = room.intervals(user_id if is_large else None, span)
        billed = seconds.filter(pl.col("room_id") == room_id)
        if is_large:
            billed = _seconds_of_user(room, str(user_id), span)
        room.check(found, span, billed.select("item", "reason", "seconds"))
        asked = [
            each
            for each in found
            if self._is_at(each.start, each.end)
            and user_id in (None, each.user_id)
            and self.scope.has(self.app_day.app_id, each.second_class.item)
        ]
        named = Boundaries(room=room).named(asked, span)
        return sorted(named, key=lambda each: (each.user_id, each.start, each.streams))

    def _is_at(self, start: int, end: int) -> bool:
        return self.scope.at is None or start <= self.scope.at < end


def _seconds_of_user(room: RoomDay, user_id: str, span: tuple[int, int]) -> pl.DataFrame:
    """The seconds of one user as the compiled meter counts them."""
    from billing.metering.meter import Span, meter, meter_by_user

    day, carried = room.app_day, room.carried
    rules = {day.app_id: day.rule}
    if span[0] > day.start:
        carried = meter(room.events.lazy(), carried, Span(start=day.start, end=span[0], rules=rules)).state
    users = meter_by_user(room.events.lazy(), carried, Span(start=span[0], end=span[1], rules=rules))
    return users.filter(pl.col("user_id") == user_id)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
