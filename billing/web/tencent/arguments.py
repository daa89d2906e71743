"""Arguments: the parameters of an action, each read as what it must be.

A number may come as text, as it does in a query. What an action does not know is refused with `UnknownParameter`: a
misspelt `SdkAppID` must not give the usage of all apps.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.errors import UsageError
from billing.periods import parse_day
from billing.web.tencent.call_errors import CallError, invalid, missing

LARGEST_APP = 2**53
# The year 3000, in which no time zone has moved a day yet.
_LAST_SECOND = 32_503_000_000
_MOST_PAGES = 10**9
_LARGEST_PAGE = 100
_MOST_NAMES = 100
_LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a list: pages count from 0."""

    number: int
    size: int

    @property
    def first(self) -> int:
        """The place of its first row."""
        return self.number * self.size


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parameters of one call."""

    given: Mapping[str, Any]

    def allow(self, *names: str) -> None:
        """Refuses what is not one of these."""
        if unknown := sorted(set(self.given) - set(names)):
            raise CallError(
                "UnknownParameter", f"unknown parameter {unknown[0][:80]!r}; known here: {', '.join(names)}"
            )

    def has(self, name: str) -> bool:
        """Whether a parameter is given."""
        return self.given.get(name) is not None

    def text(self, name: str) -> str:
        """A text that is not empty."""
        found = self.given.get(name)
        if found is None:
            raise missing(name)
        return _text(name, found)

    def number(self, name: str, *, least: int = 0, most: int = _LAST_SECOND) -> int:
        """A whole number."""
        found = self.given.get(name)
        if found is None:
            raise missing(name)
        if isinstance(found, str) and re.fullmatch("[0-9]{1,18}", found):
            found = int(found)
        if type(found) is not int or not least <= found <= most:
            raise invalid(f"{name} must be a whole number from {least} to {most}")
        return found

    def app(self, name: str = "SdkAppId") -> int:
        """The number of an app."""
        return self.number(name, least=1, most=LARGEST_APP)

    def day(self, name: str) -> date:
        """A day, written YYYY-MM-DD."""
        try:
            return parse_day(self.text(name))
        except UsageError as error:
            raise invalid(f"{name}: {error}") from None

    def span(self, *, most_seconds: int) -> tuple[int, int]:
        """`StartTime` and `EndTime` as epoch seconds, the later not included."""
        start, end = self.number("StartTime"), self.number("EndTime")
        if end <= start:
            raise invalid("EndTime must be later than StartTime")
        if end - start > most_seconds:
            raise invalid(f"StartTime and EndTime are more than {most_seconds // 3600} hours apart: ask for less")
        return start, end

    def page(self, size: int) -> Page:
        """`PageNumber` and `PageSize`; where one is missing, the first page of the usual size."""
        if not (self.has("PageNumber") and self.has("PageSize")):
            for name in ("PageNumber", "PageSize"):
                if self.has(name):
                    self._paging(name)
            return Page(number=0, size=size)
        return Page(number=self._paging("PageNumber"), size=self._paging("PageSize"))

    def _paging(self, name: str) -> int:
        if name == "PageNumber":
            return self.number(name, most=_MOST_PAGES)
        return self.number(name, least=1, most=_LARGEST_PAGE)

    def names(self, name: str) -> list[str]:
        """A list of 1 to 100 texts."""
        found = self.given.get(name)
        if not isinstance(found, list) or not 1 <= len(found) <= _MOST_NAMES:
            raise invalid(f"{name} must be a list of 1 to {_MOST_NAMES} texts")
        return [_text(name, each) for each in found]


def _text(name: str, found: Any) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_TEXT:
        raise invalid(f"{name} must be text of 1 to {_LONGEST_TEXT} characters")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise invalid(f"{name} is not text that UTF-8 can write") from None
    return found
