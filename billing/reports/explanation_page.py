"""An explanation as one HTML file: what is asked, the lanes of its rooms, and a table for each link.

There is no script and nothing to load; it is light or dark as the reader's system, and prints.
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext
from html import escape
from itertools import groupby

from billing.money import EXACT, plain
from billing.reports.explain import Explanation
from billing.reports.explanation_rows import explanation_links
from billing.reports.explanation_tables import answer, asked, explanation_tables
from billing.reports.room_lanes import LANES_STYLE, lane_legend, room_lanes
from billing.reports.row_formats import Report, plain_value

_NAMES = frozenset({"app_id", "line", "run", "corrects_run"})
_STYLE = f"""
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }}
body {{ margin: 2rem auto; max-width: 75rem; padding: 0 1.25rem; background: light-dark(#fbfbfa, #14171a);
  color: light-dark(#1a2124, #e8ecee); }}
h1 {{ font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .6rem; }}
.wide {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: .9rem; }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: left; white-space: nowrap; }}
.n {{ text-align: right; }}
thead th {{ border-bottom: 1px solid light-dark(#7d8788, #7b8790); vertical-align: bottom; }}
tfoot td {{ border-top: 1px solid light-dark(#7d8788, #7b8790); font-weight: 600; }}
.chart {{ display: block; overflow: visible; }}
.legend {{ list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding: 0; font-size: .9rem; }}
.legend svg {{ margin-right: .45rem; vertical-align: -2px; }}
{LANES_STYLE}
@media print {{ body {{ max-width: none; margin: 0; }} rect {{ print-color-adjust: exact; }} }}
"""


def explanation_page(explanation: Explanation) -> Iterator[str]:
    """The file, piece by piece."""
    question = escape(asked(explanation))
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{question}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{question}</h1>\n<p>{escape(answer(explanation))}</p>\n"
    )
    yield from _rooms(explanation)
    for heading, report in explanation_tables(explanation_links(explanation)):
        if report.rows:
            title = escape(heading)
            yield f'<h2>{title}</h2>\n<div class="wide" tabindex="0" role="region" aria-label="{title}">\n'
            yield from _table(report)
            yield "</div>\n"
    yield "</main>\n</body>\n</html>\n"


def _rooms(explanation: Explanation) -> Iterator[str]:
    """The lanes of each room, and what colours and hatches mean."""
    intervals = explanation.intervals or []
    if intervals:
        yield f'<ul class="legend">{"".join(map(_legend_entry, lane_legend(intervals)))}</ul>\n'
    by_room = sorted(intervals, key=lambda each: each.room_id)
    for place, (room_id, of_room) in enumerate(groupby(by_room, key=lambda each: each.room_id)):
        label = f"Room {room_id}: a lane for each user"
        lanes = room_lanes(list(of_room), explanation.zone, label=label, defines=place == 0)
        yield f"<h2>{escape(label)}</h2>\n{lanes}\n"


def _legend_entry(entry: tuple[str, str, str]) -> str:
    name, fill, hatch = entry
    return f'<li><svg width="14" height="14" aria-hidden="true">{fill}{hatch}</svg>{escape(name)}</li>'


def _table(report: Report) -> Iterator[str]:
    fields = [field for field in report.fields if field not in report.without]
    numbers = {field for field in fields if _is_number(report, field)}
    head = "".join(_cell("th", name, name in numbers) for name in fields)
    yield f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
    for row in report.rows:
        yield f"<tr>{''.join(_cell('td', _text(row[name], name), name in numbers) for name in fields)}</tr>\n"
    yield "</tbody>\n"
    if report.sums and len(report.rows) > 1:
        with localcontext(EXACT):
            sums = {name: sum((Decimal(str(row[name])) for row in report.rows), Decimal(0)) for name in report.sums}
        feet = ["total", *(_text(sums.get(name), name) for name in fields[1:])]
        yield f"<tfoot><tr>{''.join(_cell('td', text, at > 0) for at, text in enumerate(feet))}</tr></tfoot>\n"
    yield "</table>\n"


def _is_number(report: Report, field: str) -> bool:
    values = [row[field] for row in report.rows if row[field] is not None]
    return field not in _NAMES and bool(values) and all(_counts(value) for value in values)


def _counts(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _cell(tag: str, text: str, is_number: bool) -> str:
    kind = ' class="n"' if is_number else ""
    scope = ' scope="col"' if tag == "th" else ""
    return f"<{tag}{scope}{kind}>{escape(text)}</{tag}>"


def _text(value: object, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and field not in _NAMES:
        return f"{value:,}"
    return plain(value) if isinstance(value, Decimal) else str(plain_value(value))
