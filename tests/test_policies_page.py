"""`docs/policies.md` tells the truth: every example is read, and every key stands in one."""

import json
import re
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from billing.catalog import rule_tables
from billing.catalog.models import MeteredVersionTable, keys
from billing.catalog.policies import Policy, builtin_policies, policy_from_source, policy_source
from billing.catalog.reading import parse_catalog
from tests.commands import ROOT
from tests.test_presets import Vendor, hours_of_audio

PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def policies() -> dict[str, Policy]:
    return {
        policy.id: policy for text in EXAMPLES for policy in parse_catalog(text, "docs/policies.md").policies.values()
    }


def test_every_example_is_a_policy_that_can_be_stored_and_read_back() -> None:
    read = policies()
    assert len(read) == len(EXAMPLES) == 10
    for policy in read.values():
        assert policy_from_source(policy_source(policy)) == policy


def test_every_key_stands_in_an_example() -> None:
    text = "\n".join(EXAMPLES)
    tables = [
        each
        for each in vars(rule_tables).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
    ]
    for table in (MeteredVersionTable, *tables):
        for key in keys(table):
            assert re.search(rf"\b{key}\b *[=\]]|\.{key}\b", text), f"{key} of {table.__name__} has no example"


def test_every_built_in_policy_is_named() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| (?:TRTC|the same|Agora|Ali|Byte|Live|Von)", PAGE, flags=re.MULTILINE) == [
        *("trtc-intl", "trtc-intl-2021", "trtc-cn"),
        *sorted(each for each in builtin_policies() if not each.startswith("trtc")),
    ]


def test_a_total_is_rounded_down_as_the_page_says(tmp_path: Path) -> None:
    """91 minutes at 7 CNY per 1,000 are 0.637: 0.63 to pay."""
    (example,) = [text for text in EXAMPLES if 'id = "floor"' in text]
    vendor = Vendor(tmp_path, "trtc-cn", currency="CNY")
    vendor.write(
        "policy.toml",
        example + '\n[[account]]\nid = "a"\nname = "A"\ncurrency = "CNY"\ntimezone = "UTC"\n'
        'policy = "floor"\n[seller]\nname = "S"\n',
    )
    vendor.run(f"catalog apply {tmp_path / 'policy.toml'}")
    vendor.ingest(hours_of_audio(91, day=2))
    (row,) = vendor.charges()
    assert Decimal(row["amount"]) == Decimal("0.637")
    finalized = vendor.run("invoice finalize a --month 2026-03 --format json")
    assert '"total": "0.63"' in finalized
    vendor.run(f"invoice export a --month 2026-03 -o {tmp_path / 'invoice.xlsx'}")
    vendor.run("audit")  # exit 0: everything agrees


def test_fees_stand_on_the_last_day_and_follow_late_events(tmp_path: Path) -> None:
    """100 minutes cost 0.099; with late ones 0.198: what is missing to the minimum is less."""
    (example,) = [text for text in EXAMPLES if 'id = "plan"' in text]
    vendor = Vendor(tmp_path, "trtc-intl")
    account = '\n[[account]]\nid = "a"\nname = "A"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "plan"\n'
    vendor.write("policy.toml", example + account)
    vendor.run(f"catalog apply {tmp_path / 'policy.toml'}")
    vendor.ingest(hours_of_audio(100, day=2))
    rows = vendor.charges()
    assert [(row["day"], row["item"], Decimal(row["amount"])) for row in rows] == [
        ("2026-03-02", "audio", Decimal("0.099")),
        ("2026-03-31", "base_fee", Decimal(49)),
        ("2026-03-31", "minimum_fee", Decimal("50.901")),
    ]
    vendor.ingest(hours_of_audio(100, day=3))
    rows = vendor.charges()
    assert [(row["item"], Decimal(row["amount"])) for row in rows if row["kind"] == "correction"] == [
        ("audio", Decimal("0.099")),
        ("minimum_fee", Decimal("-0.099")),
    ]
    assert sum(Decimal(row["amount"]) for row in rows) == 100
    vendor.run(f"invoice export a --month 2026-03 -o {tmp_path / 'invoice.xlsx'}")
    (difference,) = json.loads(vendor.run("diff a 2026-03 2026-03@policy:trtc-intl --format json"))
    assert {cause["cause"]: Decimal(cause["amount"]) for cause in difference["causes"]}["fee"] == Decimal("-99.901")
