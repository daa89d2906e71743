"""The stories that are gone through once undisturbed, and then over and over with something going wrong."""

from collections.abc import Iterator

import pytest

from tests.crash.site import Launcher, ServerDatabase, Site, Story


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """What starts the commands."""
    launcher = Launcher()
    if launcher.unavailable:
        launcher.close()
        pytest.skip(launcher.unavailable)
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def story(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A home with SQLite."""
    return Story.told(Site(directory=tmp_path_factory.mktemp("story"), launcher=launcher))


@pytest.fixture(scope="session")
def server_story(launcher: Launcher, postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A home with PostgreSQL."""
    database = ServerDatabase(server_url=postgresql_server)
    return Story.told(Site(directory=tmp_path_factory.mktemp("server"), launcher=launcher, database=database))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many processes were killed in all."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    kills = sum(
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "kills"
    )
    if kills:
        terminalreporter.write_line(f"{kills} processes were killed")
