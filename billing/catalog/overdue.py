"""Overdue policies: what follows when an account is in arrears, and when.

Each step has a state and the time after which it is reached: counted from the beginning of the arrears, or with `from`
from the beginning of an earlier step. With the built-in policy `trtc` an account whose balance falls below zero on 12
March at 00:20 is `reminded` at once, `suspended` on 13 March at 00:20 (no entry), and `reclaimable` 60 days after that.
`basis` says what arrears are: a `balance` below zero, or a document that is open after its due date (`due_on`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from billing.periods import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueStep:
    """A state that is reached `after` (an ISO 8601 duration) the arrears began, or the step `from_state` did.

    `notice`: the customer is told; not `admit`: nobody may enter.
    """

    state: Literal["reminded", "suspended", "reclaimable"]
    after: str
    from_state: str | None = None
    notice: bool = False
    admit: bool = True

    @property
    def after_seconds(self) -> int:
        """`after` in seconds: `PT24H` is 86,400."""
        return parse_duration(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverduePolicy:
    """Steps in the order in which they are reached."""

    id: str
    basis: Literal["balance", "due_on"] = "balance"
    steps: tuple[OverdueStep, ...]


def step_problems(steps: tuple[OverdueStep, ...]) -> Iterator[str]:
    """A sentence for each thing that makes the order of steps impossible."""
    earlier: set[str] = set()
    for number, step in enumerate(steps, start=1):
        if step.state in earlier:
            yield f'step {number}: the state "{step.state}" is there already; name each state once'
        if step.from_state is not None and step.from_state not in earlier:
            yield f'step {number}: from "{step.from_state}" is no earlier step; ' + (
                "the first step counts from the beginning of the arrears: leave out from"
                if number == 1
                else f"write one of {', '.join(sorted(earlier))}, or leave out from"
            )
        earlier.add(step.state)
    counted = [step for step in steps if step.from_state is None]
    for before, step in pairwise(counted):
        if before.after_seconds >= step.after_seconds:
            yield f'"{step.state}": after {step.after} is not later than {before.after} of the step before'


def overdue_table(policy: OverduePolicy) -> dict[str, Any]:
    """The policy in the shape of a file, with every default written out."""
    return {"id": policy.id, "basis": policy.basis, "steps": [_step_table(step) for step in policy.steps]}


def overdue_from_table(table: Mapping[str, Any]) -> OverduePolicy:
    """The policy in such a table."""
    steps = tuple(step_from_table(step) for step in table["steps"])
    return OverduePolicy(id=table["id"], basis=table.get("basis", "balance"), steps=steps)


def step_from_table(table: Mapping[str, Any]) -> OverdueStep:
    """A step; its key `from` is a word of Python's."""
    return OverdueStep(**{("from_state" if key == "from" else key): value for key, value in table.items()})


def _step_table(step: OverdueStep) -> dict[str, Any]:
    start = {} if step.from_state is None else {"from": step.from_state}
    return {"state": step.state, "after": step.after, **start, "notice": step.notice, "admit": step.admit}


# The policies that come with the program.
BUILTIN_OVERDUE_POLICIES: Mapping[str, OverduePolicy] = MappingProxyType(
    {
        "trtc": OverduePolicy(
            id="trtc",
            basis="balance",
            steps=(
                OverdueStep(state="reminded", after="PT0S", notice=True),
                OverdueStep(state="suspended", after="PT24H", notice=True, admit=False),
                OverdueStep(state="reclaimable", after="P60D", from_state="suspended", notice=True),
            ),
        )
    }
)
