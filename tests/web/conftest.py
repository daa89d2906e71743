"""The console's home, built once, and a service on it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.web.console_home import build
from tests.web.site import Site, serving


@pytest.fixture(scope="session")
def console_home(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A home with something on every screen; it is not changed."""
    return build(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="session")
def console(console_home: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on a copy of that home; tests may add to it, and take nothing away."""
    copy = Path(shutil.copytree(console_home.home, tmp_path_factory.mktemp("served") / "home"))
    with serving(replace(console_home, home=copy)) as site:
        yield site
