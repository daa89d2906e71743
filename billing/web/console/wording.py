"""The words of the console: one flat file for each language, `words/en.toml`, and which language a browser gets.

    Cookie: billing_language=ja      chosen on a page, goes first
    Accept-Language: zh-CN, en;q=0.8

All files have the same keys. Names in braces are filled in: `{count} rooms`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from billing.invoicing.words import LANGUAGES

LANGUAGE_COOKIE = "billing_language"
_FOLDER = Path(__file__).with_name("words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The words of one language."""

    language: str
    words: Mapping[str, str]

    def __call__(self, key: str, **facts: object) -> str:
        """A text with its facts filled in; a `KeyError` where there is none."""
        return self.words[key].format(**facts) if facts else self.words[key]

    def named(self, kind: str, name: object) -> str:
        """The word for a name that the program gives, such as `reason.camera`; else the name itself."""
        service, _, item = str(name).rpartition(":")
        if kind == "item" and service:
            return self("item.of_service", service=self.named("item", service), item=self.named("item", item))
        return self.words.get(f"{kind}.{name}", str(name))


@cache
def wording(language: str) -> Wording:
    """The words of one of `LANGUAGES`."""
    return Wording(language=language, words=tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8")))


def chosen_language(cookie: str | None, accepted: str) -> str:
    """The language of the cookie; else the first of `Accept-Language` by its weights; else English.

    `fr, ja;q=0.9, en;q=0.8` is Japanese.
    """
    if cookie in LANGUAGES:
        return str(cookie)
    wanted = sorted((_accepted(part) for part in accepted.split(",")), key=lambda each: -each[1])
    return next((language for language, weight in wanted if weight > 0 and language in LANGUAGES), "en")


def _accepted(part: str) -> tuple[str, float]:
    name, _, weight = part.partition(";")
    value = weight.strip().removeprefix("q=") or "1"
    is_number = value.replace(".", "", 1).isdecimal() and value.isascii()
    return name.strip().lower().split("-")[0], float(value) if is_number else 0.0
