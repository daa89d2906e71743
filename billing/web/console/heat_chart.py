"""A heat map: a row for each day, a cell for each half hour. The more seconds, the larger and the darker its square, so
that it reads without colour too."""

from collections.abc import Callable, Sequence
from math import sqrt

from markupsafe import Markup

from billing.reports.usage_heat import HALF_HOURS, HeatDay
from billing.web.console.svg import across, chart, element, joined

_ROW, _HEAD, _DAY_WIDTH = 17, 18, 0.11
STEPS = 5


def heat_chart(
    days: Sequence[HeatDay],
    *,
    label: str,
    day_text: Callable[[HeatDay], str],
    cell_text: Callable[[HeatDay, int], str],
    href: Callable[[HeatDay], str],
) -> Markup:
    """The picture; each row leads to its day."""
    most = max((seconds for day in days for seconds in day.seconds), default=0)
    hours = (
        element("text", f"{hour:02}", x=across(_left(hour * 2)), y=12, class_="tick", text_anchor="start")
        for hour in range(0, 24, 3)
    )
    rows = (_row(day, place, most, day_text(day), cell_text, href(day)) for place, day in enumerate(days))
    return chart(
        joined(hours),
        joined(rows),
        height=_HEAD + _ROW * len(days) + 4,
        label=label,
        class_="chart heat",
        has_links=True,
    )


def step(seconds: int, most: int) -> int:
    """How dark a cell is: 1 to `STEPS`; 0 for nothing."""
    return 0 if seconds <= 0 else min(STEPS, 1 + seconds * STEPS // (most + 1))


def _row(day: HeatDay, place: int, most: int, text: str, cell_text: Callable[[HeatDay, int], str], href: str) -> Markup:
    top = _HEAD + place * _ROW
    back = element(
        "rect", x="0", y=top, width="100%", height=_ROW - 1, class_=f"row{' weekend' if day.day.weekday() > 4 else ''}"
    )
    name = element("text", text, x="4", y=top + 12, class_="tick day")
    cells = joined(_cell(day, half, top, most, cell_text) for half in range(HALF_HOURS) if day.seconds[half] > 0)
    return element(
        "a", back, name, cells, href=href, tabindex=-1, aria_label=text, class_=None if day.is_settled else "open"
    )


def _cell(day: HeatDay, half: int, top: int, most: int, cell_text: Callable[[HeatDay, int], str]) -> Markup:
    share = sqrt(day.seconds[half] / most)
    width, height = (1 - _DAY_WIDTH) / HALF_HOURS * 0.9 * max(share, 0.25), 15 * max(share, 0.25)
    middle = _left(half) + (1 - _DAY_WIDTH) / HALF_HOURS / 2
    return element(
        "rect",
        element("title", cell_text(day, half)),
        x=across(middle - width / 2),
        width=across(width),
        y=top + 8 - height / 2,
        height=height,
        rx=1.5,
        class_=f"heat-{step(day.seconds[half], most)}",
    )


def _left(half: int) -> float:
    return _DAY_WIDTH + (1 - _DAY_WIDTH) * half / HALF_HOURS
