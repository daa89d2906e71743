"""Tiers: which item a picture belongs to, and rules that cannot be."""

from datetime import date

import pytest

from billing.catalog.policies import builtin_policies
from billing.metering.meter import meter
from billing.metering.tiers import TierRule, tier_rule
from tests.metering_facts import CN, INTL, START, frame, nobody, seen, span, usage_of


@pytest.mark.parametrize(
    "tiers",
    [
        pytest.param((), id="no tier at all"),
        pytest.param((("sd", 9),), id="a bound on the only tier"),
        pytest.param((("sd", 9), ("hd", 10)), id="a bound on the last tier"),
        pytest.param((("sd", None), ("hd", 9)), id="no bound on the first tier but on the last"),
        pytest.param((("sd", 9), ("hd", None), ("fhd", None)), id="two tiers without a bound"),
        pytest.param((("sd", 9), ("hd", 9), ("fhd", None)), id="one bound twice"),
        pytest.param((("sd", 10), ("hd", 9), ("fhd", None)), id="descending bounds"),
    ],
)
def test_tiers_ascend_and_only_the_last_has_no_bound(tiers: tuple[tuple[str, int | None], ...]) -> None:
    with pytest.raises(ValueError, match="tiers must ascend and end with one without a bound"):
        TierRule(per_stream=False, tiers=tiers)


def test_a_rule_may_have_one_tier_only() -> None:
    rule = TierRule(per_stream=False, tiers=(("hd", None),))
    assert (rule.bounds, rule.items) == ((), ("hd",))
    rows = seen("0 r ann enter", "0 r bob enter", "0 r ann video_on x/screen 16384x16384")
    usage = usage_of(meter(frame(rows), nobody(), span(end=START + 300, rules={1: rule})))
    assert usage == {(1, START, "hd", "screen_share"): 300, (1, START, "audio", "no_video_received"): 300}


@pytest.mark.parametrize(("policy", "rule"), [("trtc-intl", INTL), ("trtc-cn", CN)])
def test_a_rule_has_the_method_and_the_tiers_of_its_policy(policy: str, rule: TierRule) -> None:
    assert tier_rule(builtin_policies()[policy].version_on(date(2026, 3, 1))) == rule


@pytest.mark.parametrize(
    ("size", "aggregate", "per_stream"),
    [
        ("1x1", "hd", "sd"),
        ("640x480", "hd", "sd"),
        ("307201x1", "hd", "hd"),
        ("1280x720", "hd", "hd"),
        ("921601x1", "fhd", "fhd"),
        ("1920x1080", "fhd", "fhd"),
        ("2073601x1", "2k", "fhd"),
        ("2560x1440", "2k", "fhd"),
        ("3686401x1", "4k", "fhd"),
        ("16384x16384", "4k", "fhd"),
    ],
)
def test_the_top_of_a_tier_belongs_to_it_and_one_pixel_more_to_the_next(
    size: str, aggregate: str, per_stream: str
) -> None:
    for rule, item in ((INTL, aggregate), (CN, per_stream)):
        rows = seen("0 r ann enter", "0 r bob enter", f"0 r ann video_on x/camera {size}")
        usage = usage_of(meter(frame(rows), nobody(), span(end=START + 300, rules={1: rule})))
        assert usage == {(1, START, item, "camera"): 300, (1, START, "audio", "no_video_received"): 300}
