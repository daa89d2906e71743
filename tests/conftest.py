"""Fixtures for several folders, and how deep the tests go: Hypothesis profiles, beside the marker `thorough`.

`default` is for `make test` and tries fewer examples of slow laws (`tests/depth.py`); `all` is for `make test-all`, and
`property` for `make property`.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql_server import started_postgresql

# No deadline: a time limit in a test says something about the machine, not about the law.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("default", max_examples=100, **_COMMON)
settings.register_profile("all", max_examples=100, **_COMMON)
settings.register_profile("property", max_examples=5_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

pytest_plugins = ["tests.policies_home", "tests.sample_home", "tests.webhook_server"]

# A shell that starts the tests in the background has them ignore SIGINT; so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, a PostgreSQL server and each crash story are made for one worker only.

    The marker `xdist_group` would say so test by test, but pytest-xdist 3.8 ignores it under pytest 9.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if "postgresql" in nodeid:
                return "postgresql"
            return "crash" if nodeid.startswith("tests/crash/") else nodeid

    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is tried on PostgreSQL was tried on SQLite."""
    for item in items:
        if "[postgresql" in item.nodeid:
            item.add_marker(pytest.mark.thorough)


def pytest_report_header(config: pytest.Config) -> str | None:
    """States what is left out."""
    if config.option.markexpr == "not thorough":
        return "tests marked `thorough` and most examples of slow laws are left to `make test-all`"
    return None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of the database of a server that is started for these tests."""
    with started_postgresql("-c fsync=off") as url:
        if url is None:
            reason = "install PostgreSQL (initdb and pg_ctl on the PATH or in /usr/lib/postgresql) to test on it too"
            if os.environ.get("BILLING_REQUIRE_POSTGRESQL") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        yield url
