"""Homes that somebody has changed behind the program's back, and bundles."""

import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.commands import Commands
from tests.documents_home import APP, audio, catalog, home, ingest, ok

PACKAGE = """
[[package]]
id = "old"
account = "acme"
minutes = 60
purchased_at = "2026-03-01T08:00:00+09:00"
price = "24.00"

[[package]]
id = "new"
account = "acme"
minutes = 30
purchased_at = "2026-04-01T08:00:00+09:00"
price = "12.00"
"""


def intact_home(folder: Path) -> Commands:
    """An account with a contract, a package, a stay over midnight, two issued months with files, and a late event that
    was corrected."""
    row = {"app_id": APP, "room_id": "night", "user_id": "owl"}
    night = [("2026-03-31T23:50:00+09:00", "enter"), ("2026-04-01T00:20:00+09:00", "exit")]
    days = [audio("2026-03-10", 100), audio("2026-03-31", 10), audio("2026-04-10", 50)]
    days += [json.dumps({**row, "at": at, "type": kind}) + "\n" for at, kind in night]
    run = home(folder, catalog('tax = "jp-10"', PACKAGE), days, now="2026-05-01T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    ok(run, f"invoice export R-2026-000001 -o {folder / 'invoice.pdf'}")
    ingest(run, folder, audio("2026-04-11", 5, name="late"))
    ok(run, "nightly")
    ok(run, "invoice finalize acme --month 2026-04")
    return run


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder of an unpacked bundle."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def checked(folder: Path) -> tuple[int, list[str]]:
    """How the program of a bundle ends, and the lines that it prints; it says nothing else."""
    program = [sys.executable, "-I", "verify.py"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


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
