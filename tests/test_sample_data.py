"""The sample data: what its pages say is what the program does, and the demo that shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sample_data.demo import SAMPLE_DATA, SCHOOL, bill
from tests.commands import Commands
from tests.scenario import play
from tests.web.browsing import logged_in, text_of
from tests.web.site import serving


@pytest.mark.parametrize("folder", [SAMPLE_DATA, SAMPLE_DATA / "janus"], ids=["academy", "janus"])
def test_the_commands_show_what_its_page_says(folder: Path, tmp_path: Path) -> None:
    expected, found = play(folder, tmp_path / "home")
    assert found == expected


@pytest.mark.thorough  # `make demo`, and its commands were compared one by one above
def test_the_demo_writes_its_workbooks_in_the_place_of_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "academy-2026-03.xlsx").write_text("of an earlier demo")
    demo = [sys.executable, str(SAMPLE_DATA / "demo.py"), str(tmp_path)]
    done = subprocess.run(demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "academy-2026-03.xlsx: total 0.22, and every line as worked out" in done.stdout
    assert "school-2026-10.xlsx: total 0.04, and every line as worked out" in done.stdout
    names = {"academy-2026-03.xlsx", "school-2026-10.xlsx", "academy-issued.xlsx", "academy-issued.pdf", "home"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert_both_classes_are_shown(tmp_path / "home", done.stdout)


def assert_both_classes_are_shown(home: Path, said: str) -> None:
    """What the demo says at its end is so: a token, the service, and the two rooms."""
    look = said.partition("To look at both classes in a browser")[2]
    (now,) = re.findall(r"export BILLING_NOW=(\S+)", look)
    assert re.findall(r"--home (\S+) (token create --scope admin|serve)\n", look) == [
        (os.path.relpath(home), "token create --scope admin"),
        (os.path.relpath(home), "serve"),
    ]
    rooms = re.findall(r"http://127\.0\.0\.1:8080(/console/room\S+)", look)
    with serving(Commands(home=home, now=now)) as site:
        client = logged_in(site)
        overview = text_of(client.get("/console"))
        assert "Academy K.K." in overview
        assert "Evening School" in overview
        pages = [client.get(path) for path in rooms]
        assert [page.status_code for page in pages] == [200, 200]
        assert all('class="chart lanes"' in page.text for page in pages)


def test_the_demo_fails_when_the_invoice_is_not_what_was_expected(tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLE_DATA / "janus", tmp_path / "janus")
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    expected["workbook school 2026-10"]["total"] = 0.05
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
    with pytest.raises(SystemExit, match="is not what was expected"):
        bill("A wrong expectation", folder, SCHOOL, tmp_path)


def test_the_demo_stops_at_a_command_that_fails(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exit code 1: billing catalog apply"):
        bill("A missing file", SAMPLE_DATA, "billing init\nbilling catalog apply missing.toml", tmp_path)
