"""`billing catalog show` and `catalog remove`: what is set up comes out again, and only mistakes can be taken back."""

import json
from pathlib import Path

import pytest

from tests.commands import ROOT, Commands

CATALOG = ROOT / "sample_data" / "catalog.toml"
SPARE = """
[[account]]
id = "spare"
name = "Entered by mistake"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 7
account = "spare"
name = "Nobody's"

[[package]]
id = "free-trial"
account = "spare"
app = 7
minutes = 10
purchased_at = "2026-03-01T00:00:00Z"

[[contract]]
account = "spare"
valid_from = "2026-03-01"
discount = "0.5"
"""


@pytest.fixture
def billing(tmp_path: Path) -> Commands:
    """A home with the sample catalog and an account beside it."""
    commands = Commands(home=tmp_path / "home")
    (tmp_path / "spare.toml").write_text(SPARE)
    for line in ("init", f"catalog apply {CATALOG}", f"catalog apply {tmp_path / 'spare.toml'}"):
        assert commands(line).exit_code == 0
    return commands


def shown(billing: Commands) -> str:
    done = billing("catalog show")
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_what_is_shown_can_be_applied_and_changes_nothing(billing: Commands, tmp_path: Path) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(shown(billing))
    done = billing(f"catalog apply {file} --format json")
    actions = {change["id"]: change["action"] for change in json.loads(done.stdout)}
    accounts, apps, packages = ("academy", "spare"), ("1400000001", "7"), ("starter", "free-trial")
    assert actions == dict.fromkeys(["seller", *accounts, *apps, *packages, "spare from 2026-03-01"], "unchanged")


def test_a_home_without_a_catalog_shows_nothing(tmp_path: Path) -> None:
    commands = Commands(home=tmp_path / "home")
    commands("init")
    assert shown(commands) == ""


def test_what_was_entered_by_mistake_is_removed_from_its_end(billing: Commands, tmp_path: Path) -> None:
    """The package first, then the app, then the account with its contract."""
    refused = billing("catalog remove account spare")
    assert refused.exit_code == 1
    assert 'package "free-trial" belongs to it; remove the package first' in refused.stderr
    for entry in ("package free-trial", "app 7", "account spare"):
        done = billing(f"catalog remove {entry}")
        assert (done.exit_code, done.stderr) == (0, f"removed: {entry}\n")
    alone = Commands(home=tmp_path / "alone")
    for line in ("init", f"catalog apply {CATALOG}"):
        assert alone(line).exit_code == 0
    assert shown(billing) == shown(alone)


def test_what_is_billed_stays(billing: Commands) -> None:
    assert billing(f"ingest {ROOT / 'sample_data' / 'events.ndjson'}").exit_code == 0
    assert billing("nightly").exit_code == 0
    before = shown(billing)
    for entry, reason in (
        ("package starter", 'package "starter": it pays from 2026-03-10 on, and that is billed up to 2026-03-10'),
        ("app 1400000001", "app 1400000001: it is billed up to 2026-03-10"),
        ("account academy", 'account "academy": it is billed up to 2026-03-10'),
    ):
        done = billing(f"catalog remove {entry}")
        assert done.exit_code == 1
        assert reason in done.stderr
    assert shown(billing) == before


def test_an_app_whose_events_were_accepted_stays(billing: Commands) -> None:
    """They would never be billed."""
    assert billing(f"ingest {ROOT / 'sample_data' / 'events.ndjson'}").exit_code == 0
    done = billing("catalog remove app 1400000001")
    assert done.exit_code == 1
    assert "app 1400000001 cannot be removed: events of it were accepted, and will be billed" in done.stderr
    assert "1400000001" in shown(billing)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("account academi", "unknown account 'academi'; did you mean 'academy'?"),
        ("package start", "unknown package 'start'; did you mean 'starter'?"),
        ("app 1400000002", "unknown app '1400000002'; did you mean '1400000001'?"),
        ("app classroom", "'classroom' is not the number of an app; there is 1400000001 (Classroom)"),
        (f"app {'9' * 5000}", "is not the number of an app"),
        ("app -- -1", "'-1' is not the number of an app"),
        ("contract academy", "'contract' is not one of 'account', 'app', 'package'"),
    ],
)
def test_what_does_not_exist_is_a_wrong_command(billing: Commands, entry: str, said: str) -> None:
    done = billing(f"catalog remove {entry}")
    assert done.exit_code == 2
    assert said in done.stderr
