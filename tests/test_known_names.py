"""Completion by a shell: what it asks the program, and what it is answered."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from billing.cli.main import main
from tests.commands import ROOT, Commands


def completions(billing: Commands, line: str, **environment: str) -> list[str]:
    """The names that a shell offers for the last word of a line."""
    words = line.split(" ")
    asked = {
        "_BILLING_COMPLETE": "bash_complete",
        "COMP_WORDS": f"billing {line}",
        "COMP_CWORD": str(len(words)),
        "BILLING_HOME": str(billing.home),
        **environment,
    }
    result = CliRunner(env=asked).invoke(main, [], prog_name="billing", catch_exceptions=False)
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("charges ac", ["academy"]),
        ("charges x", []),
        ("charges ", ["academy"]),
        ("packages ", ["academy"]),
        ("findings ", ["academy"]),
        ("rebill a", ["academy"]),
        ("nightly --account ", ["academy"]),
        ("estimate call --account ", ["academy"]),
        ("invoice export a", ["academy"]),
        ("usage 14", ["1400000001"]),
        ("findings --app ", ["1400000001"]),
        ("catalog remove package ", ["starter"]),
        ("catalog remove app ", ["1400000001"]),
        ("catalog remove account ", ["academy"]),
    ],
)
def test_names_of_the_catalog_are_completed(billing: Commands, line: str, names: list[str]) -> None:
    assert completions(billing, line) == names


def test_the_home_that_the_line_names_is_asked(billing: Commands) -> None:
    assert completions(billing, f"--home {billing.home} charges ", BILLING_HOME="nowhere") == ["academy"]


def test_without_a_home_there_are_no_names_and_no_error(billing: Commands) -> None:
    assert completions(billing, "charges ", BILLING_HOME="nowhere") == []
    assert completions(billing, "charges ", BILLING_DATABASE_URL="mysql://x/y") == []


def test_a_process_completes_and_says_nothing_else(billing: Commands) -> None:
    asked = {"_BILLING_COMPLETE": "zsh_complete", "COMP_WORDS": "billing usage ", "COMP_CWORD": "2"}
    environment = {**os.environ, **asked, "BILLING_HOME": str(billing.home)}
    program = "from billing.cli import main; main(prog_name='billing')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["plain", "1400000001", "Classroom"], "")
