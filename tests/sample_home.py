"""Homes with the sample data, as fixtures, and what tests look at in them."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, Commands

SAMPLE = ROOT / "sample_data"
APP = 1400000001
EVENT = {"app_id": APP, "at": "2026-03-10T10:00:00+09:00", "room_id": "r", "user_id": "u", "type": "enter"}


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the sample catalog, and one after the sample's night: to be copied."""
    directory = tmp_path_factory.mktemp("homes")
    for name, lines in (("new", ()), ("billed", (f"ingest {SAMPLE}/events.ndjson", "nightly"))):
        run = Commands(home=directory / name)
        for line in ("init", f"catalog apply {SAMPLE}/catalog.toml", *lines):
            assert run(line).exit_code == 0
    return directory


@pytest.fixture
def billing(homes: Path, tmp_path: Path) -> Commands:
    """A home with the sample catalog."""
    return Commands(home=Path(shutil.copytree(homes / "new", tmp_path / "home")))


@pytest.fixture
def billed(homes: Path, tmp_path: Path) -> Commands:
    """The same after the sample's night."""
    return Commands(home=Path(shutil.copytree(homes / "billed", tmp_path / "home")))


def rows(run: Commands, line: str) -> list[dict[str, Any]]:
    done = run(f"{line} --format json")
    assert done.exit_code == 0, done.output
    assert done.stdout.isascii()
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def contents(home: Path) -> dict[str, bytes]:
    """All that a home holds, without locks and SQLite's files of the moment."""
    passing = (".lock", "-wal", "-shm")
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.endswith(passing))
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def database(home: Path) -> list[str]:
    """The whole database as statements."""
    connection = sqlite3.connect(home / "billing.db")
    dump = list(connection.iterdump())
    connection.close()
    return dump
