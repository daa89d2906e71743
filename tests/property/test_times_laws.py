"""Times in words are what Python's calendar says they are."""

import re
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.events.times import epoch_ms

TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def expected_ms(text: str) -> int | None:
    """As Python reads it; years 0001 to 9999."""
    found = TIME.fullmatch(text)
    if not found or (found[9] and int(found[9]) > 23) or (found[10] and int(found[10]) > 59):
        return None
    offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0)) * (-1 if found[8] == "-" else 1)
    try:
        clock = datetime(*map(int, found.groups()[:6]), tzinfo=UTC)
    except ValueError:
        return None
    return (clock - EPOCH - offset) // timedelta(milliseconds=1) + int((found[7] or "")[:3].ljust(3, "0"))


@given(
    st.datetimes(timezones=ZONES),
    st.sampled_from(["T", "t", " "]),
    st.integers(0, 12),
    st.integers(0, 35),
    st.text("0123456789:-+TZz. \u0660", max_size=3),
    st.integers(0, 3),
)
def test_times_in_words_are_those_of_the_calendar(
    instant: datetime, letter: str, decimals: int, begin: int, instead: str, cut: int
) -> None:
    text = instant.isoformat(sep=letter, timespec="microseconds")[:26] + "123456"
    text = text[: 19 + decimals] + instant.isoformat()[-6:]
    damaged = text[:begin] + instead + text[begin + cut :]
    texts = [text, damaged, None, text[:-6] + "Z", damaged[:-6] + "z"]
    assume(not any(each and each.startswith("0000") for each in texts))
    found = epoch_ms(pl.Series(texts, dtype=pl.String)).to_list()
    assert found == [None if each is None else expected_ms(each) for each in texts]


@given(st.lists(st.none() | st.text(max_size=30)))
def test_any_text_is_a_time_or_none(texts: list[str | None]) -> None:
    found = epoch_ms(pl.Series(texts, dtype=pl.String)).to_list()
    assert found == [None if text is None else expected_ms(text) for text in texts]
