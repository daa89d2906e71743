"""The built-in policies figure by figure, and what a policy file may not say."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.catalog.policies import Policy, PolicyVersion, builtin_policies, policy_from_source, policy_source
from billing.catalog.reading import read_catalog
from billing.errors import BillingError
from tests.commands import ROOT

GENERAL_PACKAGES_USD = {25_000: 24, 250_000: 227, 1_000_000: 856, 3_000_000: 2_416}
GENERAL_PACKAGES_CNY = {25_000: 168, 250_000: 1_588, 1_000_000: 5_968, 3_000_000: 16_888}

OWN = """
id = "house"
name = "House rules"

[[version]]
valid_from = 2026-01-01
method = "per_stream"
tiers = [{ item = "sd", top_area = 307200 }, { item = "hd" }]
ratios = { audio = 1, sd = 2, hd = 4 }
free_minutes = 100
prices.EUR = { audio = "0.90", sd = "1.80", hd = "3.6" }
package_prices.EUR = { 1000 = "0.8", 250 = "0.21" }
"""


def own(**changes: Any) -> dict[str, Any]:
    """The table of `OWN` with keys of its version replaced; None removes one."""
    table = tomllib.loads(OWN)
    table["version"][0].update(changes)
    table["version"][0] = {key: value for key, value in table["version"][0].items() if value is not None}
    return table


def parse_policy(table: dict[str, Any]) -> Policy:
    """The only policy of a catalog."""
    (policy,) = read_catalog({"policy": [table]}, "catalog.toml").policies.values()
    return policy


def mistakes(table: dict[str, Any]) -> list[str]:
    """What is said about a policy that is refused, without the place of the policy in its file."""
    with pytest.raises(BillingError) as refused:
        parse_policy(table)
    return [re.sub(r'^\[\[policy\]\] #1( "house"| "")?: ', "", line) for line in str(refused.value).splitlines()[1:]]


def version_of(policy: str, day: str = "2026-03-01") -> PolicyVersion:
    return builtin_policies()[policy].version_on(date.fromisoformat(day))


def tops(version: PolicyVersion) -> list[tuple[str, int | None]]:
    return [(tier.item, tier.top_area) for tier in version.tiers]


def test_the_policies_that_are_built_in() -> None:
    vendors = ["agora-2025", "alibaba-artc", "byteplus", "livekit-cloud", "vonage"]
    assert list(builtin_policies()) == [*vendors[:4], "trtc-cn", "trtc-intl", "trtc-intl-2021", *vendors[4:]]


@pytest.mark.parametrize("day", ["2022-05-18", "2026-03-01"])
def test_trtc_intl_sums_areas_and_has_hd_fhd_2k_and_4k(day: str) -> None:
    version = version_of("trtc-intl", day)
    assert version.method == "aggregate"
    assert tops(version) == [("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)]
    assert version.ratios == {"audio": 1, "hd": 4, "fhd": 9, "2k": 16, "4k": 36}
    assert version.free_minutes == 10_000
    assert version.prices == {
        "USD": {
            "audio": Decimal("0.99"),
            "hd": Decimal("3.99"),
            "fhd": Decimal("8.99"),
            "2k": Decimal("15.99"),
            "4k": Decimal("35.99"),
        }
    }
    assert dict(version.package_prices["USD"]) == GENERAL_PACKAGES_USD


def test_trtc_intl_takes_free_minutes_at_ratios_since_2023_01_12_and_one_to_one_before() -> None:
    before, since = version_of("trtc-intl", "2023-01-11"), version_of("trtc-intl", "2023-01-12")
    assert before.free_ratios == {"audio": 1, "hd": 1, "fhd": 1, "2k": 1, "4k": 1}
    assert since.free_ratios == since.ratios


def test_trtc_intl_2021_sums_areas_and_has_sd_hd_and_fhd() -> None:
    version = version_of("trtc-intl-2021")
    assert (version.method, version.free_minutes) == ("aggregate", 0)
    assert tops(version) == [("sd", 307_200), ("hd", 921_600), ("fhd", None)]
    assert version.ratios == {"audio": 1, "sd": 2, "hd": 4, "fhd": 15}
    assert version.prices == {
        "USD": {"audio": Decimal("0.99"), "sd": Decimal("1.99"), "hd": Decimal("3.99"), "fhd": Decimal("14.99")}
    }
    assert dict(version.package_prices["USD"]) == GENERAL_PACKAGES_USD


def test_trtc_cn_bills_every_stream_in_its_own_tier() -> None:
    version = version_of("trtc-cn")
    assert (version.method, version.free_minutes) == ("per_stream", 0)
    assert tops(version) == [("sd", 307_200), ("hd", 921_600), ("fhd", None)]
    assert version.ratios == {"audio": 1, "sd": 2, "hd": 4, "fhd": 15}
    assert version.prices == {"CNY": {"audio": 7, "sd": 14, "hd": 28, "fhd": 105}}
    assert dict(version.package_prices["CNY"]) == GENERAL_PACKAGES_CNY


@pytest.mark.parametrize("file", sorted((ROOT / "billing/catalog/policies").glob("*.toml")), ids=lambda file: file.stem)
def test_the_built_in_policies_would_pass_as_own_ones(file: Path) -> None:
    """They are not checked when they are loaded."""
    assert parse_policy(tomllib.loads(file.read_text(encoding="utf-8"))) == builtin_policies()[file.stem]


@pytest.mark.parametrize(
    ("policy", "begins"),
    [("trtc-cn", "536755178e55"), ("trtc-intl", "5a5839532d39"), ("trtc-intl-2021", "455007110911")],
)
def test_the_hash_of_a_built_in_policy_never_changes(policy: str, begins: str) -> None:
    """Settled days refer to it."""
    assert builtin_policies()[policy].hash.startswith(begins)


def test_a_day_before_the_first_version_uses_the_first() -> None:
    assert version_of("trtc-intl", "2015-01-01") == version_of("trtc-intl", "2022-05-18")


def test_an_own_policy_has_the_shape_of_the_built_in_ones() -> None:
    """Free minutes are taken at the ratios of packages unless the policy says otherwise; package sizes are sorted."""
    [version] = parse_policy(own()).versions
    assert version.items == ("audio", "sd", "hd")
    assert version.free_ratios == version.ratios
    assert version.package_prices == {"EUR": ((250, Decimal("0.21")), (1000, Decimal("0.8")))}


@pytest.mark.parametrize("policy", [*builtin_policies().values(), parse_policy(own())], ids=lambda policy: policy.id)
def test_a_policy_survives_its_way_through_text(policy: Policy) -> None:
    again = policy_from_source(policy_source(policy))
    assert again == policy
    assert again.hash == policy.hash


def test_the_hash_follows_from_the_rules_not_from_how_they_are_written() -> None:
    """Comments, order of keys, trailing zeros and text instead of a date change nothing."""
    rewritten = """
    name = "House rules"  # ours
    id = "house"
    [[version]]
    prices.EUR = { hd = "3.60", sd = "1.8", audio = "0.9" }
    package_prices.EUR = { 250 = "0.210", 1000 = "0.80" }
    free_minutes = 1_00
    ratios = { hd = 4, sd = 2, audio = 1 }
    tiers = [{ top_area = 307_200, item = "sd" }, { item = "hd" }]
    method = "per_stream"
    valid_from = "2026-01-01"
    """
    assert parse_policy(tomllib.loads(rewritten)).hash == parse_policy(own()).hash


def test_the_hash_does_not_depend_on_the_order_of_currencies() -> None:
    euro, dollar = {"audio": "1", "sd": "2", "hd": "3"}, {"audio": "2", "sd": "3", "hd": "4"}
    one, other = own(prices={"EUR": euro, "USD": dollar}), own(prices={"USD": dollar, "EUR": euro})
    assert parse_policy(one).hash == parse_policy(other).hash


def test_the_text_of_a_policy_is_ascii_in_any_language() -> None:
    """So that its hash does not depend on how a database or a terminal encodes it."""
    policy = parse_policy(own() | {"name": "自社規則"})
    assert policy_source(policy).isascii()
    assert policy_from_source(policy_source(policy)) == policy


def test_the_largest_figures_a_policy_may_have() -> None:
    """Free minutes and package sizes to 10^12, a tier's area to 2^53, a ratio to 10^6; and an area from 1 pixel on."""
    tiers = [{"item": "sd", "top_area": 1}, {"item": "hd", "top_area": 2**53}, {"item": "fhd"}]
    items = {"audio": 1, "sd": 1, "hd": 1, "fhd": 1_000_000}
    prices = {"EUR": dict.fromkeys(items, "1")}
    sizes = {"EUR": {str(10**12): "1000000000"}}
    policy = parse_policy(
        own(tiers=tiers, ratios=items, free_minutes=10**12, prices=prices, package_prices=sizes)
    ).versions[0]
    assert tops(policy) == [("sd", 1), ("hd", 2**53), ("fhd", None)]
    assert (policy.ratios["fhd"], policy.free_minutes) == (1_000_000, 10**12)
    assert policy.package_prices["EUR"] == ((10**12, Decimal(10**9)),)


def test_the_hash_changes_with_any_figure() -> None:
    hashes = {
        parse_policy(table).hash
        for table in (
            own(),
            own(free_minutes=101),
            own(ratios={"audio": 1, "sd": 2, "hd": 5}),
            own(free_ratios={"audio": 1, "sd": 1, "hd": 1}),
            own(tiers=[{"item": "sd", "top_area": 307_201}, {"item": "hd"}]),
            own(method="aggregate"),
            own(valid_from="2026-01-02"),
            own(prices={"EUR": {"audio": "0.91", "sd": "1.80", "hd": "3.60"}}),
            own(package_prices={"EUR": {"250": "0.22"}}),
        )
    }
    assert len(hashes) == 9


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": "sum"}, "version[1].method: 'sum' is not 'aggregate' or 'per_stream'"),
        ({"method": None}, "version[1].method: is missing"),
        ({"freeminutes": 5}, "version[1]: unknown key 'freeminutes'; did you mean 'free_minutes'?"),
        (
            {"tiers": [{"item": "sd", "toparea": 9}, {"item": "hd"}]},
            "version[1].tiers[1]: unknown key 'toparea'; did you mean 'top_area'?",
        ),
        ({"valid_from": "2026-1-1"}, "version[1].valid_from: '2026-1-1' is not a day such as 2026-03-01"),
        ({"free_minutes": -1}, "version[1].free_minutes: -1 is too small; write 0 or more"),
        ({"free_minutes": True}, "version[1].free_minutes: true is not a whole number"),
        ({"tiers": []}, "version[1].tiers: every tier needs its top_area but the last"),
        ({"tiers": [{"item": "sd", "top_area": 9}]}, "version[1].tiers: every tier needs its top_area but the last"),
        ({"tiers": [{"item": "sd"}, {"item": "hd"}]}, "version[1].tiers: every tier needs its top_area but the last"),
        (
            {"tiers": [{"item": "sd", "top_area": 9}, {"item": "hd", "top_area": 9}, {"item": "fhd"}]},
            "version[1].tiers: each top_area must be larger than the one before",
        ),
        (
            {"tiers": [{"item": "hd", "top_area": 9}, {"item": "sd"}]},
            "version[1].tiers: the tiers must come in the order sd, hd, fhd, 2k, 4k, each at most once",
        ),
        (
            {"tiers": [{"item": "sd", "top_area": 9}, {"item": "sd"}]},
            "version[1].tiers: the tiers must come in the order sd, hd, fhd, 2k, 4k, each at most once",
        ),
        (
            {"tiers": [{"item": "sd", "top_area": 0}, {"item": "hd"}]},
            "version[1].tiers[1].top_area: 0 is too small; write 1 or more",
        ),
        (
            {"tiers": [{"item": "sd", "top_area": 2**53 + 1}, {"item": "hd"}]},
            "version[1].tiers[1].top_area: 9007199254740993 is too large; write 9007199254740992 or less",
        ),
        (
            {"free_minutes": 10**12 + 1},
            "version[1].free_minutes: 1000000000001 is too large; write 1000000000000 or less",
        ),
        (
            {"package_prices": {"EUR": {str(10**13): "1"}}},
            "version[1].package_prices.EUR: '10000000000000' is not a number of minutes",
        ),
        ({"tiers": [{"item": "audio"}]}, "version[1].tiers[1].item: 'audio' is none of sd, hd, fhd, 2k, 4k"),
        ({"tiers": "sd"}, "version[1].tiers: is not a list"),
        ({"ratios": {"audio": 1, "sd": 2}}, "version[1].ratios: hd is missing"),
        (
            {"ratios": {"audio": 1, "sd": 2, "hd": 4, "4k": 9}},
            "version[1].ratios: 4k has no tier in this version",
        ),
        ({"ratios": {"audio": 0, "sd": 2, "hd": 4}}, "version[1].ratios.audio: 0 is too small; write 1 or more"),
        (
            {"ratios": {"audio": 1, "sd": 2, "hd": 1_000_001}},
            "version[1].ratios.hd: 1000001 is too large; write 1000000 or less",
        ),
        ({"ratios": {"audio": 1, "sd": 2, "hd": 4.0}}, "version[1].ratios.hd: 4.0 is not a whole number"),
        ({"free_ratios": {"audio": 1}}, "version[1].free_ratios: sd is missing"),
        ({"free_ratios": {}}, "version[1].free_ratios: audio is missing"),
        ({"prices": {"EUR": {"audio": "1"}}}, "version[1].prices.EUR: sd is missing"),
        (
            {"prices": {"EUR": {"audio": 0.9, "sd": "1", "hd": "2"}}},
            "version[1].prices.EUR.audio: 0.9 is a floating-point number, which is not exact; write it in quotes",
        ),
        (
            {"prices": {"EUR": {"audio": "0,9", "sd": "1", "hd": "2"}}},
            "version[1].prices.EUR.audio: '0,9' is not a decimal number in quotes",
        ),
        (
            {"prices": {"EUR": {"audio": "0.123456789", "sd": "1", "hd": "2"}}},
            "version[1].prices.EUR.audio: 0.123456789 has more than 8 decimals",
        ),
        (
            {"prices": {"IDR": {"audio": "1", "sd": 600_001, "hd": "2"}}},
            "version[1].prices.IDR.sd: 600001 is not from 0 to 600000",
        ),
        ({"prices": {"euro": {}}}, "version[1].prices: currency 'euro' is not a three-letter"),
        ({"prices": ["EUR"]}, "version[1].prices: is not a table"),
        (
            {"package_prices": {"EUR": {"a lot": "1"}}},
            "version[1].package_prices.EUR: 'a lot' is not a number of minutes",
        ),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(changes: dict[str, Any], line: str) -> None:
    said = mistakes(own(**changes))
    assert any(mistake.startswith(line) for mistake in said), said


def test_versions_must_follow_each_other() -> None:
    table = own()
    table["version"] *= 2
    assert mistakes(table) == ["version: the versions must follow each other by valid_from, the oldest first"]
    without = {"id": "house", "name": "House rules", "version": []}
    assert mistakes(without) == ["version: at least one version is needed"]


def test_every_mistake_of_a_policy_is_named_at_once() -> None:
    assert mistakes({"id": "", "version": [{"method": 3}]}) == [
        "id: must have 1 to 128 characters, without spaces at its ends",
        "name: is missing",
        "version[1].valid_from: is missing",
        "version[1].method: 3 is not 'aggregate' or 'per_stream'",
        "version[1].tiers: is missing",
        "version[1].ratios: is missing",
        "version[1].free_minutes: is missing",
    ]


def test_only_reading_a_catalog_file_loads_pydantic() -> None:
    """It would add 0.15 s to every command."""
    program = """
import sys
import billing.cli.main, billing.jobs.nightly, billing.jobs.ingest, billing.reports.account, billing.reports.estimate
from billing.catalog.policies import builtin_policies, policy_from_source, policy_source
for policy in builtin_policies().values():
    assert policy_from_source(policy_source(policy)) == policy
print("pydantic" in sys.modules)
import billing.catalog.reading
print("pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "True"]
