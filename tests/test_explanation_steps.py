"""The steps of an explanation: their sums are compared with the step before them."""

from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from billing.home import Home
from billing.ledger.database import open_database
from billing.periods import parse_day, parse_month
from billing.reports.explain import Explanation, explain
from billing.reports.explanation_steps import Step, explanation_steps
from billing.reports.question import Question
from tests.commands import Commands


def explained(billed: Commands, **asked: object) -> Explanation:
    """The answer about the sample class."""
    question = Question(account_id="academy", **asked)  # type: ignore[arg-type]
    return explain(Home.at(billed.home), open_database(billed.home / "billing.db"), question)


def verdicts(explanation: Explanation) -> dict[str, str]:
    """How each step stands to the one before it."""
    return {each.link: each.verdict for each in explanation_steps(explanation)}


def step(explanation: Explanation, link: str) -> Step:
    """One step."""
    return next(each for each in explanation_steps(explanation) if each.link == link)


DAY = parse_day("2026-03-10")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"month": parse_month("2026-03")}, {"lines": "agrees", "charges": "agrees"}),
        (
            {"day": DAY, "room_id": "math"},
            {"lines": "agrees", "charges": "agrees", "windows": "agrees", "rooms": "part", "intervals": "agrees"},
        ),
        (
            {"day": DAY, "window": "10:05", "room_id": "math", "user_id": "anna", "item": "2k"},
            {"lines": "agrees", "charges": "agrees", "windows": "part", "rooms": "agrees", "intervals": "part"},
        ),
        (
            {"day": DAY, "room_id": "math", "at": "10:07:30"},
            {"lines": "agrees", "charges": "agrees", "windows": "part", "rooms": "part", "intervals": "part"},
        ),
    ],
)
def test_a_step_agrees_with_the_one_before_or_is_a_part_of_it(
    asked: dict[str, object], expected: dict[str, str], billed: Commands
) -> None:
    assert verdicts(explained(billed, **asked)) == expected


def test_the_sums_are_those_of_the_commands(billed: Commands) -> None:
    found = explained(billed, day=DAY, room_id="math", item="2k")
    assert step(found, "lines").sums.amount == Decimal("0.19188")
    assert (step(found, "windows").sums.deducted_minutes, step(found, "windows").sums.payable_minutes) == (1, 12)
    assert step(found, "rooms").sums.seconds == step(found, "intervals").sums.seconds == 740


def test_a_second_a_minute_or_a_price_too_much_differs(billed: Commands) -> None:
    found = explained(billed, day=DAY, room_id="math")
    assert found.windows
    assert found.rooms
    assert found.intervals
    price = replace(found, lines=[replace(found.lines[0], unit_price=Decimal("9")), *found.lines[1:]])
    assert verdicts(price)["lines"] == "differs"
    charges = found.charges.with_columns(seconds=pl.col("seconds") + 1)
    assert verdicts(replace(found, charges=charges))["charges"] == "differs"
    window = replace(found.windows[0], payable_minutes=found.windows[0].payable_minutes + 1)
    assert verdicts(replace(found, windows=[window, *found.windows[1:]]))["windows"] == "differs"
    room = replace(found.rooms[0], seconds=10**9)
    assert verdicts(replace(found, rooms=[room, *found.rooms[1:]]))["rooms"] == "differs"
    stretch = replace(found.intervals[0], seconds=found.intervals[0].seconds - 1)
    assert verdicts(replace(found, intervals=[stretch, *found.intervals[1:]]))["intervals"] == "differs"
