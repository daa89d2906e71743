"""Messages on stderr: what a terminal would obey is escaped, and a log collector gets JSON whatever happens."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from billing.cli.main import main
from tests.commands import Commands
from tests.sample_home import APP

ESCAPE = "\x1b]0;title\x07\x1b[31m\u202e"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "--source", "janus", "--app", str(APP), f"{ESCAPE}.jsonl", "-o", "-"],
        ["convert", "--source", ESCAPE, "--app", str(APP), "x", "-o", "-"],
        ["convert", f"--{ESCAPE}"],
        [f"--{ESCAPE}"],
        [ESCAPE],
        ["--home", f"/dev/null/{ESCAPE}", "init"],
    ],
    ids=["file", "value", "option", "option of the program", "command", "home"],
)
def test_a_terminal_is_not_controlled_by_what_a_message_quotes(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert "\\x1b" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


def test_an_ingested_file_of_a_hostile_name_is_named_in_safe_text(billed: Commands, tmp_path: Path) -> None:
    done = billed(f"ingest '{tmp_path}/{ESCAPE}.ndjson'")
    assert "\\x1b]0;title\\x07\\x1b[31m\\u202e.ndjson: there is no such file" in done.stderr
    assert done.output.replace("\n", "").isprintable()


def test_a_line_break_in_a_name_begins_no_line_of_a_message(billed: Commands) -> None:
    done = billed("ingest 'gone\nError: a made-up one' missing")
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: gone\\nError: a made-up one: there is no such file")
    assert second.startswith("Error: missing: there is no such file")


@pytest.mark.parametrize("line", [["usage"], ["nightly", "--format", "xml"], ["bill"], ["convert", ESCAPE]])
def test_invalid_usage_is_one_json_object_too(line: list[str]) -> None:
    done = run("--log-format", "json", *line)
    (message,) = map(json.loads, done.stderr.splitlines())
    assert (done.exit_code, message["level"]) == (2, "error")


def test_invalid_usage_shows_the_usage_and_where_help_is() -> None:
    usage, hint, empty, error = run("usage").stderr.splitlines()
    assert usage.startswith("Usage: main usage [OPTIONS] APP")
    assert (hint, empty) == ("Try 'main usage --help' for help.", "")
    assert error == "Error: Missing argument 'APP'."


def test_a_stopped_clock_is_said_once_by_each_command(billed: Commands) -> None:
    environment = {"BILLING_HOME": str(billed.home), "BILLING_NOW": billed.now}
    for line in ("packages academy", "quarantine list", "nightly"):
        done = CliRunner(env=environment).invoke(main, line.split())
        assert done.stderr.count("BILLING_NOW") == 1
        assert done.stderr.startswith(billed.clock)
    running = CliRunner(env=environment | {"BILLING_NOW": ""}).invoke(main, ["packages", "academy"])
    assert running.stderr == ""
