"""`make test` leaves out only what is marked `thorough`; `make test-all`, which CI runs, leaves out nothing."""

import re
import tomllib

from hypothesis import settings

from tests.commands import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def recipe(target: str) -> str:
    """The commands of a target, without the variables for pytest."""
    (commands,) = re.findall(rf"^{target}: install\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return commands.strip()


def test_make_test_leaves_out_only_what_is_thorough() -> None:
    assert recipe("test") == '$(PYTEST) -m "not thorough"'


def test_make_test_all_leaves_out_nothing() -> None:
    """Neither the command nor a setting selects tests; what the machine lacks is skipped with a reason."""
    assert recipe("test-all") == "HYPOTHESIS_PROFILE=all $(PYTEST)"
    assert "\nPYTEST := $(BIN)/pytest -n 2 --dist loadgroup\n" in MAKEFILE
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests"]
    assert options["addopts"] == "-ra --strict-markers --strict-config"
    assert options.keys().isdisjoint({"norecursedirs", "python_files", "python_functions"})
    assert settings.get_profile("all").max_examples >= settings.get_profile("default").max_examples >= 100


def test_ci_runs_everything() -> None:
    """What needs LibreOffice, PostgreSQL, hledger or Spark is not skipped there but fails."""
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make check test-all demo spark-test" in commands
    required = (
        "BILLING_REQUIRE_LIBREOFFICE=1 BILLING_REQUIRE_POSTGRESQL=1 BILLING_REQUIRE_HLEDGER=1 BILLING_REQUIRE_FONTS=1"
        " BILLING_REQUIRE_CHROMIUM=1"
    )
    assert f"export {required}" in commands
    assert "BILLING_REQUIRE_SPARK=1" in MAKEFILE


def test_a_test_that_awaits_something_does_so_in_a_thread_of_its_own() -> None:
    """Or it fails after one with a browser, which leaves a loop in its thread: see tests/web/event_loops.py."""
    own = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"asyncio\.(run|Runner|new_event_loop)|run_until_complete", path.read_text(encoding="utf-8"))
    }
    assert own == {"tests/test_suite.py", "tests/web/event_loops.py"}
