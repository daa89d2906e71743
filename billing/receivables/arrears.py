"""Arrears: when an account's debts have consequences, computed from when they began.

A policy has steps. A step begins `after` the beginning of the arrears, or of the step that it names (`from`). Steps
that give notice wait: each begins at the earliest its `after`, less that of the notice before it, after that notice
was *recorded*, so that a customer has the time to pay that the policy promises, also where no command ran for days.
What is paid, credited or written off ends the arrears at once.

Under `trtc`, a balance below zero at 03-12 00:20 is `reminded` at once and `suspended` at 03-13 00:20, if the
reminder was recorded at 03-12 00:20; recorded at 03-12 06:00, suspended at 03-13 06:00.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.catalog.overdue import OverduePolicy, OverdueStep

ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrears:
    """Arrears that began at an instant (epoch ms); `recorded_ms` has when the notice of each step was recorded."""

    began_ms: int
    recorded_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A step that holds since an instant; `is_recorded`: its notice is on record, or it gives none."""

    step: OverdueStep
    since_ms: int
    is_recorded: bool


def reached(policy: OverduePolicy, arrears: Arrears, now_ms: int) -> Sequence[Reached]:
    """The steps that hold now, in their order.

    A step after a notice that is not recorded does not begin: whoever looks first records the notice.
    """
    found: list[Reached] = []
    began: dict[str, int] = {}
    notice: tuple[OverdueStep, int] | None = None
    for step in policy.steps:
        base = arrears.began_ms if step.from_state is None else began.get(step.from_state)
        if base is None:
            break
        since = base + step.after_seconds * 1000
        if notice and step.from_state is None:
            earlier, recorded = notice
            since = max(since, recorded + (step.after_seconds - earlier.after_seconds) * 1000)
        if since > now_ms:
            break
        recorded_ms = arrears.recorded_ms.get(step.state)
        began[step.state] = since
        found.append(Reached(step=step, since_ms=since, is_recorded=not step.notice or recorded_ms is not None))
        if step.notice:
            if recorded_ms is None:
                break
            notice = step, recorded_ms
    return found
