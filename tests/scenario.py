"""A scenario: a folder with a catalog, events and what they must come to, gone through on the command line.

`expected.json` holds `now` (the fixed clock), perhaps `source` (options of `ingest`), and commands in the order of
their running, each with the table that it must print: the names of some columns, then every row. `workbook ACCOUNT
MONTH` stands for the export of an invoice, with tables of its sheets and the `total` to pay. `ingest` and `nightly`
run first in any case.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from openpyxl import load_workbook

from billing.cli.main import main
from sample_data.demo import Table, read_workbook


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`billing` with one home, at one moment."""

    home: Path
    now: str

    def run(self, *arguments: str | Path) -> str:
        """What a command writes to stdout; it must succeed."""
        runner = CliRunner(env={"BILLING_NOW": self.now, "BILLING_HOME": str(self.home)})
        result = runner.invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        return result.stdout

    def rows(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """The rows that a command prints."""
        rows: list[dict[str, Any]] = json.loads(self.run(*arguments, "--format", "json"))
        return rows


def play(folder: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a scenario expects, and the same of what it really came to."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    program = Program(home=home, now=expected["now"])
    program.run("init")
    program.run("catalog", "apply", folder / "catalog.toml")
    events = sorted(folder.glob("events*"))
    ingested = program.rows("ingest", *shlex.split(expected.get("source", "")), *events)
    billed = program.rows("nightly")
    found = {name: expected[name] for name in ("now", "source") if name in expected}
    for command, table in expected.items():
        match command.split():
            case ["now" | "source"]:
                pass
            case ["ingest"]:
                found[command] = table_of(ingested, table[0])
            case ["nightly"]:
                found[command] = table_of(billed, table[0])
            case ["workbook", account, month]:
                found[command] = read_workbook(load_workbook(exported(program, account, month), data_only=True), table)
            case arguments:
                found[command] = table_of(program.rows(*arguments), table[0])
    assert {row["result"] for row in program.rows("nightly")} == {"already_billed"}
    assert program.rows("verify", "--full") == []
    return expected, found


def exported(program: Program, account: str, month: str) -> Path:
    """The workbook of an account's month."""
    path = program.home.parent / f"{account}-{month}.xlsx"
    program.run("invoice", "export", account, "--month", month, "-o", path)
    return path


def table_of(rows: Iterable[dict[str, Any]], columns: list[str]) -> Table:
    """These columns of rows, under their names."""
    return [columns, *([row[column] for column in columns] for row in rows)]
