"""Every folder of `scenarios/`, end to end through the command line; its README shows the arithmetic."""

from pathlib import Path

import pytest

from tests.scenario import play

SCENARIOS = sorted(path.parent for path in (Path(__file__).parent / "scenarios").glob("*/expected.json"))


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_the_commands_show_what_was_worked_out_by_hand(folder: Path, tmp_path: Path) -> None:
    expected, found = play(folder, tmp_path / "home")
    assert found == expected
