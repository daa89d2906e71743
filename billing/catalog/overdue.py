"""Overdue policies: what follows when an account owes, step by step (TRTC: reminded, suspended, reclaimable)."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from billing.periods import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueStep:
    """A state that begins `after` (an ISO 8601 duration) the arrears, or the step `from_state`, began.

    `notice`: the customer is told, and later steps wait for it; `admit`: whether users may still enter.
    """

    state: str
    after: str
    from_state: str | None = None
    notice: bool = False
    admit: bool = True

    @property
    def after_seconds(self) -> int:
        """The duration in seconds."""
        return parse_duration(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverduePolicy:
    """The steps in their order. Arrears begin when the balance is below zero, or after an invoice's due date."""

    id: str
    basis: Literal["balance", "due_on"] = "balance"
    steps: tuple[OverdueStep, ...]


@cache
def builtin_overdue_policies() -> dict[str, OverduePolicy]:
    """The policies that need no catalog, by id."""
    steps = (
        OverdueStep(state="reminded", after="PT0S", notice=True),
        OverdueStep(state="suspended", after="PT24H", notice=True, admit=False),
        OverdueStep(state="reclaimable", after="P60D", from_state="suspended", notice=True),
    )
    return {"trtc": OverduePolicy(id="trtc", steps=steps)}


def step_problems(policy: OverduePolicy) -> list[str]:
    """What is wrong with the order of a policy's steps."""
    problems, earlier = [], list[OverdueStep]()
    for step in policy.steps:
        states = [each.state for each in earlier]
        if step.state in states:
            problems.append(f"the state {step.state!r} comes twice")
        if step.from_state is not None and step.from_state not in states:
            problems.append(f"{step.state!r} begins from {step.from_state!r}, which is no earlier step")
        same = [each for each in earlier if each.from_state == step.from_state]
        if same and same[-1].after_seconds > step.after_seconds:
            problems.append(f"{step.state!r} begins before {same[-1].state!r}: the steps must follow each other")
        earlier.append(step)
    return problems
