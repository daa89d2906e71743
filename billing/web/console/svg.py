"""SVG as text: elements whose attributes and contents are escaped.

Charts have no view box: places across are percentages, heights are pixels. So text and patterns keep their size on a
narrow screen and on a wide one. Colours are classes of the style sheet, for light, dark and print.
"""

from collections.abc import Callable, Iterable
from functools import partial

from markupsafe import Markup, escape


def element(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element; `class_` is `class`, and `_` in a name is `-`. None leaves an attribute out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{written}>{inner}</{tag}>")  # noqa: S704 - every part is escaped


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("").join(parts)


def chart(*children: str | Markup, height: int, label: str, class_: str = "chart", has_links: bool = False) -> Markup:
    """The picture of a chart, with a label for those who cannot see it; a table with its figures stands near it."""
    role = "group" if has_links else "img"
    return element("svg", *children, class_=class_, width="100%", height=height, role=role, aria_label=label)


def across(share: float) -> str:
    """A place or a width across: 0.125 is `12.5%`."""
    return f"{share * 100:.4f}".rstrip("0").rstrip(".") + "%"


def hatches(prefix: str, names: Iterable[str]) -> Markup:
    """Definitions of the patterns that tell reasons apart without colour; the fill is that of the class `hatch`."""
    return element("defs", *(_PATTERNS[name](f"{prefix}-{name}") for name in names))


def _lines(identity: str, gap: int, angle: int) -> Markup:
    line = element("line", x1=0, y1=0, x2=0, y2=gap, class_="hatch")
    return element(
        "pattern",
        line,
        id=identity,
        width=gap,
        height=gap,
        patternUnits="userSpaceOnUse",
        patternTransform=f"rotate({angle})",
    )


def _cross(identity: str) -> Markup:
    lines = (
        element("line", x1=0, y1=0, x2=0, y2=7, class_="hatch"),
        element("line", x1=0, y1=0, x2=7, y2=0, class_="hatch"),
    )
    return element(
        "pattern", *lines, id=identity, width=7, height=7, patternUnits="userSpaceOnUse", patternTransform="rotate(45)"
    )


def _dots(identity: str) -> Markup:
    dot = element("circle", cx=2, cy=2, r=1.1, class_="hatch-dot")
    return element("pattern", dot, id=identity, width=5, height=5, patternUnits="userSpaceOnUse")


_PATTERNS: dict[str, Callable[[str], Markup]] = {
    "screen_share": partial(_lines, gap=6, angle=45),
    "alone_in_room": _dots,
    "disconnect_grace": _cross,
    "no_video_received": partial(_lines, gap=6, angle=135),
    "provisional": partial(_lines, gap=5, angle=45),
}


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
