"""The stories that are gone through once undisturbed, and then over and over with something going wrong."""

from collections.abc import Iterator

import pytest

from tests.crash.site import Launcher, Site, Story
from tests.crash.steps import unavailable
from tests.integration.conftest import postgresql_server as postgresql_server


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """What starts the commands."""
    if reason := unavailable():
        pytest.skip(reason)
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def story(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A home with SQLite."""
    return Story.told(Site(directory=tmp_path_factory.mktemp("story"), launcher=launcher))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many processes were killed in all."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    kills = sum(
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "kills"
    )
    if kills:
        terminalreporter.write_line(f"{kills} processes were killed")
