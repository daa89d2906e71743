"""Lines over days: the sparkline of a month, and how a package burns down."""

from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

from billing.web.console.svg import across, chart, element, joined

_WIDE = 1000  # of the drawing that is stretched; strokes are not


def sparkline(amounts: Sequence[Decimal], *, places: int, provisional: int, label: str) -> Markup:
    """Bars of the days of a month that has `places` days; the last `provisional` are hatched."""
    most = max((*amounts, Decimal(0)))
    bars = []
    for place, amount in enumerate(amounts):
        height = max(float(max(amount, Decimal(0)) / most) * 40, 1.0) if most else 1.0
        is_open = place >= len(amounts) - provisional
        at = {"x": across((place + 0.15) / places), "width": across(0.7 / places), "y": 44 - height, "height": height}
        bars.append(element("rect", **at, rx=1, class_="spark open" if is_open else "spark"))
    base = element("line", x1="0", x2="100%", y1=44.5, y2=44.5, class_="grid")
    return chart(joined(bars), base, height=46, label=label, class_="chart sparkline")


def burn_chart(
    points: Sequence[tuple[float, float]], projected: Sequence[tuple[float, float]], *, today: float, label: str
) -> Markup:
    """What is left (1: all) over the time of validity (0 to 1), and how it would go on, dashed."""
    height = 96

    def path(line: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x * _WIDE:.1f},{(1 - y) * (height - 4) + 2:.1f}" for x, y in line)

    area = f"{points[0][0] * _WIDE:.1f},{height} {path(points)} {points[-1][0] * _WIDE:.1f},{height}" if points else ""
    lines = [
        element("polygon", points=area, class_="burn-area"),
        element("polyline", points=path(points), class_="burn-line"),
    ]
    if projected:
        lines.append(element("polyline", points=path(projected), class_="burn-line projected"))
    stretched = element(
        "svg", joined(lines), viewBox=f"0 0 {_WIDE} {height}", preserveAspectRatio="none", width="100%", height=height
    )
    frame = (
        element("line", x1="0", x2="100%", y1=height - 0.5, y2=height - 0.5, class_="grid axis"),
        element("line", x1=across(today), x2=across(today), y1=0, y2=height, class_="now"),
    )
    return chart(stretched, *frame, height=height, label=label, class_="chart burn")
