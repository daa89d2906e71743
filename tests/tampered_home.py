"""Homes that somebody has changed behind the program's back."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.commands import Commands


def changed(run: Commands, *statements: str) -> None:
    """Changes the database of a home, which has no triggers any more."""
    with sqlite3.connect(run.home / "billing.db") as conn:
        for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            done = conn.execute(statement)
            assert done.rowcount, f"it changes nothing: {statement}"
    conn.close()


def log_file(run: Commands, day: str) -> Path:
    """The file of a day (UTC) in the log."""
    (file,) = (run.home / "events").glob(f"*{day}*/*.parquet")
    return file


def rewritten(run: Commands, day: str, change: Callable[[pl.DataFrame], pl.DataFrame], *, committed: bool) -> Path:
    """Writes the events of a day anew; `committed`: the log says the size and the number of rows of the new file."""
    file = log_file(run, day)
    before = pl.read_parquet(file)
    after = change(before)
    assert not after.equals(before)
    old_size = file.stat().st_size
    after.write_parquet(file, compression="zstd")
    if committed:
        _commit(run, file.name, {str(old_size): str(file.stat().st_size)}, after.height)
    return file


def _commit(run: Commands, name: str, sizes: dict[str, str], rows: int) -> None:
    for commit in (run.home / "events" / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for action in actions:
            added = action.get("add")
            if added and added["path"].endswith(name):
                added["size"] = int(sizes[str(added["size"])])
                added["stats"] = json.dumps({**json.loads(added["stats"]), "numRecords": rows})
        commit.write_text("".join(json.dumps(action) + "\n" for action in actions))
