"""Homes: where they may lie, who may read them, and that each has a database of its own."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from billing.errors import BillingError, UsageError
from billing.home import Home
from tests.commands import Commands

CATALOG = """
[[account]]
id = "{name}"
name = "A"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
"""
# Each of them means something in a URL.
NAMES = ["lab?1", "lab?2", "x y", "x%20y", "a#b", "a%23b", "100%", "key=1&mode=ro", "file:x", "été", "[x]"]


def accounts(home: Path) -> list[str]:
    """The accounts in the database of a home."""
    connection = sqlite3.connect(home / "billing.db")
    with connection:
        found = [account for (account,) in connection.execute("SELECT id FROM account")]
    connection.close()
    return found


def test_homes_of_any_names_have_books_of_their_own(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        billing = Commands(home=tmp_path / name, now="2026-03-10T00:00:00Z")
        assert billing("init").exit_code == 0
        file = tmp_path / "catalog.toml"
        file.write_text(CATALOG.format(name=f"account-{number}"))
        assert billing(f"catalog apply {file}").exit_code == 0
    assert {name: accounts(tmp_path / name) for name in NAMES} == {
        name: [f"account-{number}"] for number, name in enumerate(NAMES)
    }
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(NAMES)


def test_only_the_owner_may_read_a_new_home_and_its_database(tmp_path: Path) -> None:
    """Also the files in which SQLite keeps what it has not moved into the database yet."""
    home = tmp_path / "above" / "home"
    before = os.umask(0o022)
    try:
        assert Commands(home=home, now="2026-03-10T00:00:00Z")("init").exit_code == 0
        connection = sqlite3.connect(home / "billing.db")
        connection.execute("CREATE TABLE own (id INTEGER)")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.glob("billing.db*")]}
        connection.close()
    finally:
        os.umask(before)
    assert modes == {"home": 0o700, "billing.db": 0o600, "billing.db-wal": 0o600, "billing.db-shm": 0o600}


def test_a_home_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Home.at(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_home_that_cannot_be_made_or_whose_name_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BillingError, match=r"file cannot be created \(File exists\): choose another --home"):
        Home.at(tmp_path / "file").create()
    with pytest.raises(UsageError, match=r"\\xff: the name of a home must be UTF-8"):
        Home.at(tmp_path / os.fsdecode(b"\xff"))
