"""Room lanes: a picture of the stretches in a room, one lane for each user, along the time of the day.

A stretch has the colour of its item and a height that grows with it, and a hatch for its reason, so that colour alone
tells nothing; its title says from when to when, how long, what was received, and what began it. Under a policy that
bills streams, streams side by side have tracks of their own in the lane.

The picture is SVG without a view box: places across are percentages, heights are pixels, so that text keeps its size.
Colours are classes (`fill-2k`, `hatch`, `lane-name`), which `LANES_STYLE` or another style sheet defines; there is no
script, no style attribute and nothing to load.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from zoneinfo import ZoneInfo

from billing.catalog.items import (
    ALONE_IN_ROOM,
    DISCONNECT_GRACE,
    ITEM_RANK,
    NO_VIDEO_RECEIVED,
    SCREEN_SHARE,
    short_name,
)
from billing.periods import local_iso
from billing.reports.explained_rooms import Boundary, ExplainedInterval

_AXIS, _NAME, _TRACK, _GAP = 22, 15, 24, 7
_LEAST_HEIGHT, _STEP_HEIGHT = 8, 3
_MOST_TICKS = 8
_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600)
_LABEL_SHARE = 0.05  # of the width, below which an item's name has no room

LANES_STYLE = """
.fill-audio { fill: light-dark(#aab4bb, #6b757d); } .fill-sd { fill: light-dark(#bfe3e4, #24505a); }
.fill-hd { fill: light-dark(#7cc4c9, #2b7a86); } .fill-fhd { fill: light-dark(#2f97a2, #43a8b3); }
.fill-2k { fill: light-dark(#126170, #86d3d9); } .fill-4k { fill: light-dark(#0a3440, #cdf1f2); }
.fill-participant, .fill-connection { fill: light-dark(#7cc4c9, #2b7a86); }
.hatch { stroke: light-dark(#1a212499, #ffffffaa); stroke-width: 1.6; }
.hatch-dot { fill: light-dark(#1a212499, #ffffffaa); }
.lane-name { fill: light-dark(#1a2124, #e8ecee); font-size: 12px; font-weight: 600; }
.lane-label { fill: light-dark(#1a2124, #e8ecee); font-size: 11px; paint-order: stroke; stroke-width: 3;
  stroke: light-dark(#ffffff, #14171a); }
.grid { stroke: light-dark(#e1e4e3, #313840); } .tick { fill: light-dark(#556064, #a3afb5); font-size: 11px; }
"""

# The hatches of reasons: a square of so many pixels, turned by so many degrees, and what is drawn in it.
_LINE = '<line x1="0" y1="0" x2="0" y2="{size}" class="hatch"/>'
_HATCHES = {
    SCREEN_SHARE: (6, 45, _LINE),
    NO_VIDEO_RECEIVED: (6, 135, _LINE),
    DISCONNECT_GRACE: (7, 45, _LINE + '<line x1="0" y1="0" x2="{size}" y2="0" class="hatch"/>'),
    ALONE_IN_ROOM: (5, 0, '<circle cx="2" cy="2" r="1.1" class="hatch-dot"/>'),
}

Link = Callable[[ExplainedInterval], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    """A user's stretches on tracks, on each of which they follow one another."""

    user_id: str
    tracks: list[list[ExplainedInterval]]
    top: int

    @property
    def height(self) -> int:
        """In pixels, with the name above and the gap below."""
        return _NAME + _TRACK * len(self.tracks) + _GAP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """Seconds `[start, end)` across the width."""

    start: int
    end: int
    zone: ZoneInfo
    link: Link

    def across(self, second: int) -> str:
        """A place: an eighth of the way is `12.5%`."""
        return f"{100 * (second - self.start) / (self.end - self.start):.4f}".rstrip("0").rstrip(".") + "%"

    def width(self, seconds: int) -> str:
        """How wide a stretch is."""
        return self.across(self.start + seconds)

    def clock(self, second: int) -> str:
        """The time of the day where the account is."""
        return local_iso(second, self.zone)[11:19]


def room_lanes(
    intervals: Sequence[ExplainedInterval],
    zone: ZoneInfo,
    *,
    label: str,
    span: tuple[int, int] | None = None,
    link: Link = lambda _: None,
    defines: bool = True,
) -> str:
    """The picture of stretches of one room; empty when there are none.

    `label`: what it says to those who cannot see it. `span`: the epoch seconds that it shows, else those of the
    stretches. `link`: where a stretch leads, if anywhere. `defines`: with the hatches, which a page needs once.
    """
    shown = [each for each in intervals if span is None or each.seconds_in(*span)]
    if not shown:
        return ""
    start, end = span or (min(each.start for each in shown), max(each.end for each in shown))
    picture = _Picture(start=start, end=end, zone=zone, link=link)
    lanes = list(_lanes(shown))
    height = sum(lane.height for lane in lanes) + _AXIS
    role = "group" if any(link(each) for each in shown) else "img"
    body = "".join(
        (_definitions() if defines else "", *_axis(picture, height), *(_drawn(lane, picture) for lane in lanes))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart lanes" width="100%" height="{height}" role="{role}" '
        f'aria-label="{escape(label)}">{body}</svg>'
    )


def lane_legend(intervals: Sequence[ExplainedInterval]) -> list[tuple[str, str, str]]:
    """What occurs, for a legend: its name, and two drawings of 14 by 14 pixels, one for the fill and one for the hatch;
    items first, then reasons."""
    items = sorted({each.item for each in intervals}, key=ITEM_RANK.__getitem__)
    reasons = sorted({each.reason for each in intervals} & _HATCHES.keys())
    square = '<rect width="14" height="{height}" y="{top}" class="fill-{item}"/>'
    heights = {item: round(_height(item) * 14 / _height("4k")) for item in items}
    return [
        *(
            (item, square.format(height=heights[item], top=14 - heights[item], item=short_name(item)), "")
            for item in items
        ),
        *((reason, "", f'<rect width="14" height="14" fill="url(#lane-{reason})"/>') for reason in reasons),
    ]


def _lanes(intervals: Sequence[ExplainedInterval]) -> Iterator[_Lane]:
    """The users in the order of their names."""
    top = _AXIS
    ordered = sorted(intervals, key=lambda each: (each.user_id, each.start, each.streams))
    for user_id, of_user in groupby(ordered, key=lambda each: each.user_id):
        tracks: list[list[ExplainedInterval]] = []
        for each in of_user:
            free = next((track for track in tracks if track[-1].end <= each.start), None)
            tracks.append([each]) if free is None else free.append(each)
        lane = _Lane(user_id=user_id, tracks=tracks, top=top)
        yield lane
        top += lane.height


def _drawn(lane: _Lane, picture: _Picture) -> str:
    name = f'<text x="0" y="{lane.top + _NAME - 3}" class="lane-name">{escape(lane.user_id)}</text>'
    base = lane.top + _NAME
    tracks = [
        _stretch(each, base + _TRACK * (place + 1), picture)
        for place, track in enumerate(lane.tracks)
        for each in track
    ]
    return f"<g>{name}{''.join(tracks)}</g>"


def _stretch(interval: ExplainedInterval, base: int, picture: _Picture) -> str:
    """A bar that stands on `base`, with its hatch, its label and its title."""
    start, end = max(interval.start, picture.start), min(interval.end, picture.end)
    height = _height(interval.item)
    place = f'x="{picture.across(start)}" y="{base - height}" width="{picture.width(end - start)}" height="{height}"'
    hatch = f'<rect {place} fill="url(#lane-{interval.reason})"/>' if interval.reason in _HATCHES else ""
    drawn = (
        f'<rect {place} class="fill-{short_name(interval.item)}"/>{hatch}{_label(interval, start, end, base, picture)}'
    )
    titled = f"<title>{escape(stretch_title(interval, picture.zone))}</title>{drawn}"
    target = picture.link(interval)
    return f"<g>{titled}</g>" if target is None else f'<a href="{escape(target)}">{titled}</a>'


def _label(interval: ExplainedInterval, start: int, end: int, base: int, picture: _Picture) -> str:
    if end - start < _LABEL_SHARE * (picture.end - picture.start):
        return ""
    return (
        f'<text x="{picture.across(start)}" dx="4" y="{base - 4}" class="lane-label" aria-hidden="true">'
        f"{interval.item}</text>"
    )


def stretch_title(interval: ExplainedInterval, zone: ZoneInfo) -> str:
    """`10:07:00 to 10:12:00, 300 s, 2k screen_share: teacher/camera 640x360 + … = 2,304,000; begins with video_on
    (e-14, events.ndjson line 15)`."""
    clock = [local_iso(second, zone)[11:19] for second in (interval.start, interval.end)]
    streams = " + ".join(f"{each.stream} {each.width}x{each.height}" for each in interval.streams)
    received = f": {streams} = {interval.area:,}" if streams else ""
    return (
        f"{clock[0]} to {clock[1]}, {interval.seconds:,} s, {interval.item} {interval.reason}{received}; "
        f"begins with {boundary_text(interval.begins)}, ends with {boundary_text(interval.ends)}"
    )


def boundary_text(boundary: Boundary) -> str:
    """`video_on of anna (e-14, events.ndjson line 15)`."""
    if boundary.type is None:
        return boundary.cause
    of_user = "" if boundary.user_id is None else f" of {boundary.user_id}"
    where = " line ".join(str(part) for part in (boundary.file, boundary.line) if part is not None)
    known = ", ".join(part for part in (boundary.event_id, where) if part)
    after = "" if boundary.cause == "event" else f"{boundary.cause} after "
    return f"{after}{boundary.type}{of_user}" + (f" ({known})" if known else "")


def _height(item: str) -> int:
    return _LEAST_HEIGHT + _STEP_HEIGHT * ITEM_RANK[short_name(item)]


def _definitions() -> str:
    return f"<defs>{''.join(hatch_pattern(reason) for reason in _HATCHES)}</defs>"


def hatch_pattern(reason: str) -> str:
    """The definition of a reason's hatch, `lane-<reason>`."""
    size, angle, drawn = _HATCHES[reason]
    return (
        f'<pattern id="lane-{reason}" width="{size}" height="{size}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({angle})">{drawn.format(size=size)}</pattern>'
    )


def _axis(picture: _Picture, height: int) -> Iterator[str]:
    """Lines at whole minutes or hours of the day, with the time above."""
    step = next(
        (each for each in _TICK_SECONDS if (picture.end - picture.start) / each <= _MOST_TICKS), _TICK_SECONDS[-1]
    )
    hours, minutes, seconds = map(int, local_iso(picture.start, picture.zone)[11:19].split(":"))
    since_midnight = (hours * 60 + minutes) * 60 + seconds
    for second in range(picture.start + -since_midnight % step, picture.end + 1, step):
        place = picture.across(second)
        yield f'<line x1="{place}" x2="{place}" y1="16" y2="{height}" class="grid"/>'
        if picture.end - second >= (picture.end - picture.start) * _LABEL_SHARE:
            yield f'<text x="{place}" y="11" class="tick">{picture.clock(second)[: 5 if step >= 60 else 8]}</text>'
