"""Folding: the lines of a document in at most ten lines of words, of which each is the sum of some.

Lines stand one by one while they are few. More than ten fold step by step, and no further than they must:

1. usage of an app and item at several prices becomes one line;
2. corrections, which are one line per app, become one;
3. usage of an item in several apps becomes one line;
4. packages, services, fees, refunds and discounts become one line each;
5. the smallest lines of usage become "other usage".

Usage under different versions of a tax is never one line, but for the last step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from billing.invoicing.documents import Document, DocumentLine, GroupKey
from billing.invoicing.words import WORDS, days_in_words, word

MOST_LINES = 10

_OF_APPS = ("usage", "correction")

_Key = tuple[object, ...]
_Fold = Callable[[DocumentLine], _Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedLine:
    """Lines of a document that its page shows as one."""

    text: str
    lines: Sequence[DocumentLine]


def folded_lines(document: Document) -> list[FoldedLine]:
    """The lines of a document's page: all of the document's but the rounding."""
    lines = [line for line in document.lines if line.kind != "rounding"]
    groups = _fold(lines)
    rest = _smallest_usage(groups)
    folded = [_named(group, document) for group in groups if group not in rest]
    if rest:
        other = FoldedLine(
            text=word("other", document.terms.language), lines=[line for group in rest for line in group]
        )
        folded.insert(sum(group[0].kind == "usage" for group in groups) - len(rest), other)
    return folded


def line_text(line: DocumentLine, document: Document) -> str:
    """One line of a document in words."""
    return _named([line], document).text


def _fold(lines: Iterable[DocumentLine]) -> list[list[DocumentLine]]:
    groups: list[list[DocumentLine]] = []
    for fold in _STEPS:
        by_key: dict[_Key, list[DocumentLine]] = {}
        for line in lines:
            by_key.setdefault((line.kind, *fold(line)), []).append(line)
        groups = sorted(by_key.values(), key=lambda group: group[0].kind != "usage")
        if len(groups) <= MOST_LINES:
            break
    return groups


def _one_by_one(line: DocumentLine) -> _Key:
    return (line.app_id,) if line.kind == "correction" else (line.line,)


def _usage_over_prices(line: DocumentLine) -> _Key:
    return (line.app_id, line.item, line.group) if line.kind == "usage" else _one_by_one(line)


def _corrections_in_one(line: DocumentLine) -> _Key:
    return () if line.kind == "correction" else _usage_over_prices(line)


def _usage_over_apps(line: DocumentLine) -> _Key:
    return (line.item, line.group) if line.kind == "usage" else _corrections_in_one(line)


def _others_by_kind(line: DocumentLine) -> _Key:
    return _usage_over_apps(line) if line.kind == "usage" else ()


_STEPS: tuple[_Fold, ...] = (_one_by_one, _usage_over_prices, _corrections_in_one, _usage_over_apps, _others_by_kind)


def _smallest_usage(groups: Sequence[Sequence[DocumentLine]]) -> list[Sequence[DocumentLine]]:
    """The usage that becomes "other" so that ten lines are left."""
    too_many = len(groups) - MOST_LINES
    if too_many <= 0:
        return []
    usage = sorted((group for group in groups if group[0].kind == "usage"), key=_size)
    return usage[: too_many + 1]


def _size(lines: Iterable[DocumentLine]) -> tuple[object, ...]:
    lines = list(lines)
    return abs(sum(line.amount for line in lines)), sum(line.minutes for line in lines)


def _named(lines: Sequence[DocumentLine], document: Document) -> FoldedLine:
    """The lines with their text: what, of which app, and what else tells them from the other lines."""
    language, first = document.terms.language, lines[0]
    text = _text(lines, language)
    if len(lines) == 1:
        if _is_one_of_several(first, document):
            text = _with_days(text, first, language)
        if first.credits_line is not None:
            is_part = first.kind in _OF_APPS and first.unit_price is None
            text = word("credited_part" if is_part else "credited_line", language, what=text, line=first.credits_line)
    taxes: dict[GroupKey, str] = {(tax.tax, tax.valid_from): tax.text for tax in document.taxes}
    if len(taxes) > 1 and {line.group for line in lines} == {first.group} <= taxes.keys():
        text = word("with_tax", language, what=text, tax=taxes[first.group])
    return FoldedLine(text=text, lines=lines)


def _text(lines: Sequence[DocumentLine], language: str) -> str:
    first = lines[0]
    if first.kind in _OF_APPS:
        what = _item(first.item, language) if first.kind == "usage" else word("correction", language)
        count = len({line.app_id for line in lines})
        return _of(what, word("apps", language, count=count) if count > 1 else _app(first), language)
    if len(lines) > 1:
        return word(f"{first.kind}s", language)
    what = word(first.kind, language, name=first.package or _item(first.item, language)).strip()
    return _with_days(_of(what, _app(first), language), first, language)


def _of(what: str, app: str, language: str) -> str:
    return word("of", language, what=what, of=app) if app else what


def _item(item: str | None, language: str) -> str:
    service, _, name = (item or "").rpartition(":")
    if service:
        return word("of", language, what=word(service, language), of=_item(name, language))
    return word(name, language) if name in WORDS else name


def _app(line: DocumentLine) -> str:
    return line.app_name or ("" if line.app_id is None else str(line.app_id))


def _is_one_of_several(line: DocumentLine, document: Document) -> bool:
    """Whether usage of its app and item is on other lines too, at other prices."""
    of_app = Counter((line.app_id, line.item) for line in document.lines if line.kind == "usage")
    return line.kind == "usage" and of_app[line.app_id, line.item] > 1


def _with_days(text: str, line: DocumentLine, language: str) -> str:
    if line.first_day is None or line.last_day is None:
        return text
    return word("days", language, what=text, days=days_in_words(line.first_day, line.last_day, language))
