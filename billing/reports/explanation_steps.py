"""The steps of an explanation, each with its sums, and whether they agree with the step before it.

    lines      12 min payable    0.19188     each amount is its payable minutes times its price
    charges    12 min payable    0.19188     agrees with the lines
    windows    490 s             0.12792     a part of the charges: one window was asked about
    rooms      490 s             0.12792     agrees with the windows
    stretches  300 s                         a part of the rooms: one user was asked about

Sums are compared here, from the rows that are shown. A step that shows less than the one before it is a part of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Literal

from billing.money import EXACT
from billing.reports.explain import Explanation

Verdict = Literal["agrees", "part", "differs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What the rows of a step add up to; None where its rows do not have that."""

    seconds: int | None = None
    minutes: int | None = None
    deducted_minutes: int | None = None
    payable_minutes: int | None = None
    amount: Decimal | None = None

    def agrees_with(self, other: "Sums") -> bool:
        """Whether all sums that both have are equal."""
        return all(mine == theirs for mine, theirs in self._pairs(other))

    def is_within(self, other: "Sums") -> bool:
        """Whether no sum is larger."""
        return all(mine <= theirs for mine, theirs in self._pairs(other))

    def _pairs(self, other: "Sums") -> Iterator[tuple[Any, Any]]:
        for name in ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None:
                yield mine, theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A link of the chain with its sums, how many rows it has, and how it stands to the one before."""

    link: Literal["lines", "charges", "windows", "rooms", "intervals"]
    rows: int
    sums: Sums
    verdict: Verdict


def explanation_steps(explanation: Explanation) -> list[Step]:
    """The links that the question reaches, in order."""
    question, scope = explanation.scope.question, explanation.scope
    lines, charges = _sums_of_lines(explanation), _sums_of_charges(explanation)
    steps = [
        Step(link="lines", rows=len(explanation.lines), sums=lines, verdict=_product(explanation)),
        Step(link="charges", rows=explanation.charges.height, sums=charges, verdict=_verdict(charges, lines)),
    ]
    before, is_instant = charges, scope.at is not None
    if explanation.windows is not None:
        sums = _sums_of_windows(explanation)
        is_part = scope.window is not None or is_instant
        verdict = _verdict(sums, charges, is_part=is_part) if _is_paid(sums) else "differs"
        steps.append(Step(link="windows", rows=len(explanation.windows), sums=sums, verdict=verdict))
        # The rooms are those of the whole day even when one instant is asked about.
        before = charges if is_instant else sums
    if explanation.rooms is not None:
        is_part = question.room_id is not None or question.user_id is not None or is_instant
        sums = Sums(
            seconds=sum(each.seconds for each in explanation.rooms),
            amount=_total(each.share for each in explanation.rooms),
        )
        verdict = _verdict(sums, before, is_part=is_part)
        steps.append(Step(link="rooms", rows=len(explanation.rooms), sums=sums, verdict=verdict))
        before = sums
    if explanation.intervals is not None:
        sums = Sums(seconds=sum(each.seconds for each in explanation.intervals))
        verdict = _verdict(sums, before, is_part=question.user_id is not None or is_instant)
        steps.append(Step(link="intervals", rows=len(explanation.intervals), sums=sums, verdict=verdict))
    return steps


def _verdict(sums: Sums, before: Sums, *, is_part: bool = False) -> Verdict:
    if sums.agrees_with(before):
        return "agrees"
    return "part" if is_part and sums.is_within(before) else "differs"


def _product(explanation: Explanation) -> Verdict:
    """Whether every line's amount is its payable minutes times its price."""
    with localcontext(EXACT):
        is_right = all(each.payable_minutes * each.unit_price == each.amount for each in explanation.lines)
    return "agrees" if is_right else "differs"


def _is_paid(sums: Sums) -> bool:
    """Whether minutes are what payers pay and what is payable."""
    return sums.minutes == (sums.deducted_minutes or 0) + (sums.payable_minutes or 0)


def _sums_of_lines(explanation: Explanation) -> Sums:
    lines = explanation.lines
    return Sums(
        seconds=sum(each.seconds for each in lines),
        minutes=sum(each.minutes for each in lines),
        deducted_minutes=sum(each.deducted_minutes for each in lines),
        payable_minutes=sum(each.payable_minutes for each in lines),
        amount=_total(each.amount for each in lines),
    )


def _sums_of_charges(explanation: Explanation) -> Sums:
    charges = explanation.charges
    counts = {name: int(charges[name].sum()) for name in ("seconds", "minutes", "deducted_minutes", "payable_minutes")}
    return Sums(**counts, amount=_total(charges["amount"]))


def _sums_of_windows(explanation: Explanation) -> Sums:
    windows = explanation.windows or []
    return Sums(
        seconds=sum(each.seconds for each in windows),
        minutes=sum(each.minutes for each in windows),
        deducted_minutes=sum(payment.minutes for each in windows for payment in each.paid),
        payable_minutes=sum(each.payable_minutes for each in windows),
        amount=_total(each.amount for each in windows),
    )


def _total(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))
