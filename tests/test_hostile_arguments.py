"""Arguments that nobody means: each command answers with one clear line and its exit code, never with a traceback.

Arguments reach the program as the shell gives them: bytes that are not UTF-8 become lone surrogates.
No system passes on a NUL.
"""

import re

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.cli.main import main
from tests.commands import Commands
from tests.sample_home import APP

NUMBERS = [str(2**63 - 1), str(2**63), str(-(2**63) - 1), "9" * 60, "9" * 5000, "0", "-1", "1e3", "٣", "1.0", ""]
TEXTS = ["\udcff", "a\udc80b", "\x1b[2J", "\u2028", "a\nb", "é", "…", "-", "--", "x" * 300, "%s", "'; --", ""]
INSTANTS = [
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z", "3000-01-01T00:00:00Z",
    "2999-12-31T23:59:59-23:59", "1970-01-01T00:00:00+23:59", "2026-03-10T10:00:00", "\udcff", "",
]  # fmt: skip
DAYS = ["0001-01-01", "9999-12-31", "1970-01-01", "2999-12-31", "\udcff", "", "2026-3-1"]
MONTHS = ["0001-01", "9999-12", "1970-01", "2999-12", "\udcff", "", "2026-13"]
SLOTS = {"number": NUMBERS, "text": TEXTS, "instant": INSTANTS, "day": DAYS, "month": MONTHS}
LINES = [
    "runs {number}",
    "runs --limit {number}",
    "quarantine list --rows --limit {number}",
    "quarantine list --rows --file {text}",
    "quarantine list --reason {text}",
    "quarantine retry {text}",
    "usage {number} --month 2026-03",
    f"usage {APP} --month {{month}}",
    f"usage {APP} --from {{day}} --to {{day}}",
    f"usage {APP} --month 2026-03 --run {{number}}",
    "findings {text}",
    "findings --app {number}",
    "findings --from {day} --to {day}",
    "charges {text} --month 2026-03",
    "charges academy --month {month}",
    "charges --all --month {month}",
    "packages {text}",
    "invoice export {text} --month 2026-03 -o {out}",
    "invoice export academy --month {month} -o {out}",
    "invoice export academy --month 2026-03 --as-of {instant} -o {out}",
    "invoice export academy --month 2026-03 -o {text}",
    "nightly --account {text}",
    "nightly --date {day}",
    "rebill {text} --from 2026-03-10 --reason x",
    "rebill academy --from 2026-03-10 --reason {text} --dry-run",
    "rebill academy --from {day} --reason x --dry-run",
    f"retract --app {APP} --event-id {{text}} --reason {{text}}",
    f"retract --app {APP} --ingest {{number}} --reason x",
    f"retract --app {APP} --event-id e --day {{day}} --reason x",
    "catalog apply {text}",
    "catalog remove package {text}",
    "catalog remove app {number}",
    "catalog remove {text} x",
    "ingest {text}",
    "ingest --source {text} --app 1400000001 x",
    "ingest --source janus --app {number} x",
    "ingest --stdin-format {text} x",
    "convert --source janus --app 1 {text} -o {text}",
    "estimate call --account {text} --calls-per-day 1 --users 2 --minutes 5",
    "estimate call --policy {text} --calls-per-day 1 --users 2 --minutes 5",
    "estimate call --account academy --calls-per-day {number} --users {number} --minutes {number} --days {number}",
    "estimate scenario {text}",
    "status --format {text}",
    "{text}",
]
ENVIRONMENT = {"BILLING_NOW": INSTANTS, "BILLING_DATABASE_URL": TEXTS[:-1], "BILLING_LOG_FORMAT": TEXTS[:-1]}


def answered(run: Commands, arguments: list[str], **environment: str) -> tuple[int, str]:
    """How a command ended, and stderr; whatever is raised is a bug."""
    env = {"BILLING_HOME": str(run.home), "BILLING_NOW": run.now, "COLUMNS": "80"} | environment
    result = CliRunner(env=env).invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 1, 2), arguments
    assert "Traceback" not in result.stderr
    if result.exit_code:
        *_, message = result.stderr.partition("Error: ")
        assert message.count("Error:") == 0, result.stderr
        # A line break in an argument, such as the name of a file, breaks the line.
        assert len(message.splitlines()) == 1 or any("\n" in argument for argument in arguments), result.stderr
        assert message.replace("\n", "").isprintable()
    return result.exit_code, result.stderr


@given(line=st.sampled_from(LINES), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_argument_gives_a_traceback(billed: Commands, line: str, data: st.DataObject) -> None:
    arguments = [
        word.replace("{out}", str(billed.home.parent / "a.xlsx"))
        if not (slot := re.fullmatch(r"\{(number|text|instant|day|month)\}", word))
        else data.draw(st.sampled_from(SLOTS[slot[1]]), label=slot[1])
        for word in line.split()
    ]
    answered(billed, arguments)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ENVIRONMENT for value in ENVIRONMENT[name]])
def test_no_setting_gives_a_traceback(billed: Commands, name: str, value: str) -> None:
    answered(billed, ["status"], **{name: value})


@pytest.mark.parametrize("number", [str(2**63), "9" * 60])
@pytest.mark.parametrize("line", ["runs", "runs --limit", "quarantine list --rows --limit", f"usage {APP} --run"])
def test_a_number_that_no_database_holds_is_wrong_usage(billed: Commands, line: str, number: str) -> None:
    exit_code, stderr = answered(billed, [*line.split(), number])
    assert (exit_code, number in stderr) == (2, True)


@pytest.mark.parametrize(
    "line", ["packages {}", "nightly --account {}", "rebill academy --from 2026-03-10 --reason {}"]
)
def test_text_that_is_not_utf8_is_wrong_usage(billed: Commands, line: str) -> None:
    exit_code, stderr = answered(billed, [word.replace("{}", "a\udcff") for word in line.split()])
    assert (exit_code, stderr.splitlines()[-1]) == (2, "Error: 'a\\udcff' is not text in UTF-8")


@pytest.mark.parametrize("instant", INSTANTS[:4])
def test_a_clock_or_moment_outside_of_the_calendar_is_wrong_usage(billed: Commands, instant: str) -> None:
    for exit_code, stderr in (
        answered(billed, ["nightly"], BILLING_NOW=instant),
        answered(billed, [*f"invoice export academy --month 2026-03 -o {billed.home}.xlsx --as-of".split(), instant]),
    ):
        assert exit_code == 2
        assert "is not a time of the years 1970 to 2999" in stderr
