"""Metering: from a span's events to seconds.

    events -> passes of keyed rows -> parts (whole rooms) -> stays (event by event, in order) -> edges -> windows

`meter` computes a span from zero: the events in it, the stays carried into it, and nothing else. Billing one span in
any number of cuts gives the same seconds, because what is open at the end of a cut is carried into the next.

Always true, and checked on every call, app by app: under an aggregate policy the seconds of all items are the seconds
of all stays; under a policy per stream, whose streams count side by side, the audio seconds and the seconds with any
video are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from billing.metering.engine.keyed_rows import NAMES, HashCollisionError, Hashing, Texts, Words, passes, texts_of
from billing.metering.engine.parts import Share, by_room, metered_shares
from billing.metering.engine.room_tables import ALONE, ANY_VIDEO, FIRST_VIDEO, GRACE, NO_VIDEO, Rules
from billing.metering.findings import concurrent_rooms, findings, named_stays, suspected_stays
from billing.metering.schemas import FINDINGS_SCHEMA, USAGE_SCHEMA, Metered
from billing.metering.state import carried_state
from billing.metering.tiers import AUDIO, TierRule
from billing.metering.windows import window_seconds
from billing.read_ahead import prefetched

USER_USAGE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "item": pl.String,
        "reason": pl.String,
        "seconds": pl.Int64,
    }
)

_AUDIO_REASONS = {GRACE: "disconnect_grace", ALONE: "alone_in_room", NO_VIDEO: "no_video_received"}
_VIDEO_REASONS = ("camera", "screen_share")
_ANY_AREA = 2**62

_Result = TypeVar("_Result")


def meter(
    events: pl.LazyFrame,
    carried: pl.DataFrame,
    start: int,
    end: int,
    rules: Mapping[int, TierRule],
    *,
    ranges: int = 1,
) -> Metered:
    """Meters the span `[start, end)` (epoch seconds) of the apps in `rules`.

    `events`: the columns of the event schema; those outside the span are ignored. `carried`: the stays open at `start`
    (`STATE_SCHEMA`). Every app that occurs must have a rule. Events that come with keys may lie in so many equal
    `ranges` of room keys: then these are taken one after the other.
    """

    def compute(hashing: Hashing) -> Metered:
        span = _span(events, carried, start, end, rules, hashing, ranges=ranges)
        suspected = suspected_stays(span.all("stays"))
        words = span.words(suspected["source"])
        return span.metered(words, concurrent_rooms(named_stays(suspected, words), start))

    return _without_collisions(compute)


def meter_rooms(
    events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> tuple[Metered, pl.DataFrame]:
    """As `meter`, for some of the rooms of a span: without the findings across rooms, which follow from the stays of
    all rooms together (`STAY_SCHEMA`, `findings.concurrent_rooms`)."""

    def compute(hashing: Hashing) -> tuple[Metered, pl.DataFrame]:
        span = _span(events, carried, start, end, rules, hashing)
        stays = span.all("stays")
        words = span.words(stays["source"])
        return span.metered(words), named_stays(stays, words)

    return _without_collisions(compute)


def meter_by_user(
    events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> pl.DataFrame:
    """The seconds of the span per app, room, user, item and reason (`USER_USAGE_SCHEMA`): they sum to those of
    `meter`."""

    def compute(hashing: Hashing) -> pl.DataFrame:
        span = _span(events, carried, start, end, rules, hashing, by_user=True)
        users = span.all("users")
        who = span.texts.read(NAMES, users["source"]).of(users["source"], "app_id", "room_id", "user_id")
        places = pl.DataFrame({"app_id": sorted(rules)}, schema={"app_id": pl.Int64}).with_row_index("app")
        by_app = pl.concat([users, who], how="horizontal").join(places, on="app_id").drop("app_id")
        named = _named(_checked(by_app, span.shares, rules), rules)
        return named.select(*USER_USAGE_SCHEMA).sort(list(USER_USAGE_SCHEMA)[:-1])

    return _without_collisions(compute)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """What was found out about the rooms of a span, by the numbers of the rows: see `Share`."""

    shares: Sequence[Share]
    texts: Texts
    start: int
    rules: Mapping[int, TierRule]

    def all(self, name: str) -> pl.DataFrame:
        """One kind of what the shares hold."""
        frames: list[pl.DataFrame] = [getattr(share, name) for share in self.shares]
        return pl.concat(frames)

    def words(self, *more: pl.Series) -> Words:
        """The names in the rows that the results name, and in `more`."""
        return self.texts.read(NAMES, self.all("findings")["source"], self.all("open_stays")["stay"], *more)

    def metered(self, words: Words, *more_findings: pl.DataFrame) -> Metered:
        """The results in words."""
        sums = window_seconds([share.sums for share in self.shares], self.start)
        seconds = _named(_checked(sums, self.shares, self.rules), self.rules)
        streams = self.all("open_streams")
        said = self.texts.read(("stream", "width", "height"), streams["source"])
        received = pl.concat([streams, said.of(streams["source"], *said.frame.columns)], how="horizontal")
        found = [findings(self.all("findings"), words), *more_findings]
        return Metered(
            usage=seconds.select(*USAGE_SCHEMA).sort("app_id", "window_start", "item", "reason"),
            state=carried_state(self.all("open_stays"), received, words, self.start),
            findings=pl.concat(found).sort(list(FINDINGS_SCHEMA)),
        )


def _span(
    events: pl.LazyFrame,
    carried: pl.DataFrame,
    start: int,
    end: int,
    rules: Mapping[int, TierRule],
    hashing: Hashing,
    *,
    ranges: int = 1,
    by_user: bool = False,
) -> _Span:
    texts = texts_of(events, carried, start, hashing)
    in_passes = (by_room(rows, start) for rows in passes(texts, start, end, hashing, ranges))
    shares = [
        share
        for pass_events in prefetched(in_passes)
        for share in metered_shares(pass_events, texts, _compiled(rules), start, end, by_user=by_user)
    ]
    return _Span(shares=shares, texts=texts, start=start, rules=rules)


def _without_collisions(compute: Callable[[Hashing], _Result]) -> _Result:
    seed = 0
    while True:
        try:
            return compute(Hashing(seed=seed))
        except HashCollisionError:
            seed += 1


def _compiled(rules: Mapping[int, TierRule]) -> Rules:
    """The rules as arrays, by app id."""
    apps = sorted(rules)
    tiers = max((len(rule.tiers) for rule in rules.values()), default=1)
    tops = np.full((len(apps), tiers), _ANY_AREA, np.int64)
    for place, app_id in enumerate(apps):
        bounds = rules[app_id].bounds
        tops[place, : len(bounds)] = bounds
    return Rules(
        app_id=np.array(apps, np.int64),
        per_stream=np.array([rules[app].per_stream for app in apps], np.bool_),
        tops=tops,
    )


def _checked(seconds: pl.DataFrame, shares: Sequence[Share], rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """`seconds` (`app, class, seconds`) without the class that only serves this check; crashes where a second was lost
    or made."""
    per_stream = pl.Series([rules[app].per_stream for app in sorted(rules)], dtype=pl.Boolean)
    once = (pl.col("class") < FIRST_VIDEO) | ~per_stream.gather(seconds["app"])
    classified = dict(seconds.filter(once).group_by("app").agg(pl.col("seconds").sum()).iter_rows())
    for app, stay_seconds in enumerate(np.sum([share.sums.stay_seconds for share in shares], axis=0)):
        if classified.get(app, 0) != stay_seconds:
            raise AssertionError(f"{classified.get(app, 0)} seconds were classified, but the stays have {stay_seconds}")
    return seconds.filter(pl.col("class") != ANY_VIDEO)


def _named(seconds: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The seconds with `app_id, item, reason` in place of `app, class`."""
    names = [
        (place, code, app_id, item, reason)
        for place, app_id in enumerate(sorted(rules))
        for code, (item, reason) in _classes(rules[app_id]).items()
    ]
    schema = {"app": pl.UInt32, "class": pl.UInt8, "app_id": pl.Int64, "item": pl.String, "reason": pl.String}
    return seconds.join(pl.DataFrame(names, schema=schema, orient="row"), on=["app", "class"])


def _classes(rule: TierRule) -> dict[int, tuple[str, str]]:
    """The item and reason of every class that is billed."""
    audio = {code: (AUDIO, reason) for code, reason in _AUDIO_REASONS.items()}
    video = [(item, reason) for item in rule.items for reason in _VIDEO_REASONS]
    return audio | dict(enumerate(video, FIRST_VIDEO))
