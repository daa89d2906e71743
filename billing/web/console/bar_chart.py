"""Stacked bars: one for each window or day, made of parts by item or reason.

Bars share the width; heights are pixels of the largest sum. A part has the class `fill-<name>` (`fill-hd` of
`recording:hd`), and a hatch where its
name has one (`svg.hatches`), so that parts differ without colour too. What is provisional is hatched over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from billing.catalog.items import short_name
from billing.web.console.svg import across, chart, element, hatches, joined

REASONS = ("screen_share", "alone_in_room", "disconnect_grace", "no_video_received")
_HEIGHT, _FOOT, _TOP = 220, 22, 16
_ROOM = _HEIGHT - _FOOT - _TOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar: what it stands for, its parts from below, and where it leads."""

    title: str
    parts: Sequence[tuple[str, int]]
    href: str | None = None
    is_provisional: bool = False

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(value for _, value in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A word below the axis: it begins at a share of the width, or has it in its middle."""

    at: float
    text: str
    is_middle: bool = False


def bar_chart(bars: Sequence[Bar], ticks: Sequence[Tick], *, label: str, top_label: str) -> Markup:
    """The picture; `top_label` says how much the upper line stands for, which is `largest(bars)`."""
    top = largest(bars)
    width = 1 / max(len(bars), 1)
    drawn = joined(_bar(bar, place * width, width, top) for place, bar in enumerate(bars))
    grid = joined(
        element("line", x1="0", x2="100%", y1=y, y2=y, class_=f"grid{' axis' if y == _HEIGHT - _FOOT else ''}")
        for y in (_TOP + 0.5, _TOP + _ROOM / 2 + 0.5, _HEIGHT - _FOOT)
    )
    return chart(
        hatches("h", (*REASONS, "provisional")),
        grid,
        drawn,
        element("text", top_label, x="0", y=11, class_="tick"),
        joined(_tick(tick) for tick in ticks),
        height=_HEIGHT,
        label=label,
        has_links=any(bar.href for bar in bars),
    )


def largest(bars: Sequence[Bar]) -> int:
    """The largest sum."""
    return max((bar.total for bar in bars), default=0)


def _bar(bar: Bar, left: float, width: float, top: int) -> Markup:
    rects, below = [], float(_HEIGHT - _FOOT)
    gap = width * (0.12 if width > 0.005 else 0)
    for name, value in bar.parts:
        height = max(value, 0) * _ROOM / top if top else 0.0
        if height <= 0:
            continue
        below -= height
        place = {"x": across(left + gap), "width": across(width - 2 * gap), "y": below, "height": height}
        rects.append(element("rect", **place, class_=f"fill-{short_name(name)}"))
        if name in REASONS:
            rects.append(element("rect", **place, fill=f"url(#h-{name})"))
    if rects and bar.is_provisional:
        place = {
            "x": across(left + gap),
            "width": across(width - 2 * gap),
            "y": below,
            "height": _HEIGHT - _FOOT - below,
        }
        rects.append(element("rect", **place, fill="url(#h-provisional)"))
    if not rects:
        return Markup("")
    drawn = element("g", element("title", bar.title), joined(rects))
    return element("a", drawn, href=bar.href, tabindex=-1, aria_label=bar.title) if bar.href else drawn


def _tick(tick: Tick) -> Markup:
    anchor = "middle" if tick.is_middle else "start"
    return element("text", tick.text, x=across(tick.at), y=_HEIGHT - 6, class_="tick", text_anchor=anchor)
