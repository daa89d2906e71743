"""Findings as marks along the time of the lanes above: a diamond for each, with what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from billing.web.console.svg import across, chart, element, joined

_HEIGHT, _MIDDLE = 24, 12
_DIAMOND = "M0 -7 L6 0 L0 7 L-6 0 Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A finding: its epoch second, its time on the clock, of whom, what and in detail."""

    second: int
    clock: str
    user_id: str
    finding: str
    detail: str

    @property
    def title(self) -> str:
        """As a line."""
        return " ".join(part for part in (self.clock, self.user_id, self.finding, self.detail) if part)


def finding_marks(marks: Sequence[Mark], span: tuple[int, int] | None, *, label: str) -> Markup:
    """The picture, as wide as the lanes; empty without findings."""
    if not marks or span is None:
        return Markup("")
    line = element("line", x1="0", x2="100%", y1=_MIDDLE, y2=_MIDDLE, class_="grid")
    return chart(line, joined(_mark(mark, span) for mark in marks), height=_HEIGHT, label=label, class_="chart marks")


def _mark(mark: Mark, span: tuple[int, int]) -> Markup:
    share = (mark.second - span[0]) / (span[1] - span[0])
    diamond = element("path", element("title", mark.title), d=_DIAMOND, class_="mark")
    return element("svg", diamond, x=across(share), y=_MIDDLE, overflow="visible", class_="at")
