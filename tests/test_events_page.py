"""`docs/events.md` tells the truth: an example is accepted, quarantined or a finding, as its heading says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import billing
from billing.events import validation
from billing.events.quarantine import Quarantine
from billing.events.rows import LINE_LIMIT_BYTES
from billing.events.schema import BILLED_COLUMNS, EVENT_SCHEMA, EVENT_TYPES, ORDERED_TYPES
from billing.front_door import Billing
from billing.home import Home
from billing.jobs.ingest import IngestContext, ingest_files
from billing.metering.engine.stays import STALE_SECONDS, WAIT_SECONDS
from billing.periods import parse_instant
from tests.commands import ROOT, Commands, blocks

APP = 1400000001
DAY = "2026-03-10"
NOW = "2026-03-14T09:00:00+09:00"
PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
REASONS = [  # in their order
    "bad_json",
    "too_long",
    "bad_type",
    "missing_field",
    "bad_value",
    "no_offset",
    "future",
    "unknown_app",
    "conflict",
]
FINDINGS = ["outside_stay", "reentered", "closed_connection", "implied_enter", "stale_stay", "concurrent_rooms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example: a file's content, under a heading."""

    heading: str
    language: str
    content: str


def shown() -> Iterator[Shown]:
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        for language in ("ndjson", "csv"):
            for content in blocks(text, language):
                yield Shown(heading=heading.strip("`"), language=language, content=content)


EXAMPLES = list(shown())


def headings(names: list[str]) -> list[str]:
    """Those of the names that are headings of the page, in its order."""
    return [name for name in re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE) if name in names]


def ingested(example: Shown, home: Path) -> tuple[dict[str, int], list[str]]:
    """The counts of an example's file, and the reasons of its rows in quarantine."""
    home.mkdir()
    path = home / f"example.{example.language}"
    path.write_text(example.content, encoding="utf-8")
    (report,) = ingest_files(IngestContext(home=Home.at(home), apps=[APP], now=parse_instant(NOW)), [str(path)])
    assert report.error is None
    counts = {name: getattr(report, name) for name in ("accepted", "duplicates", "quarantined")}
    return counts, Quarantine(directory=home / "quarantine").rows()["reason"].to_list()


def billed(path: Path, home: Path) -> Billing:
    """A home in which the days of a file are settled."""
    run = Commands(home=home, now=NOW)
    for line in ("init", f"catalog apply {ROOT}/sample_data/catalog.toml", f"ingest {path}", "nightly"):
        assert run(line).exit_code == 0
    return billing.open(home)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.heading)
def test_the_last_row_is_what_the_heading_says_and_the_others_are_accepted(example: Shown, tmp_path: Path) -> None:
    lines = len(example.content.splitlines()) - (example.language == "csv")
    counts, reasons = ingested(example, tmp_path / "home")
    expected = {"accepted": lines, "duplicates": 0, "quarantined": 0}
    if example.heading in REASONS:
        expected |= {"accepted": lines - 1, "quarantined": 1}
    elif example.heading == "Duplicates":
        expected |= {"accepted": lines - 1, "duplicates": 1}
    assert counts == expected
    assert reasons == [example.heading] * expected["quarantined"]


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_example_of_a_finding_makes_that_finding(finding: str, tmp_path: Path) -> None:
    (example,) = (example for example in EXAMPLES if example.heading == finding)
    path = tmp_path / "events.ndjson"
    path.write_text(example.content, encoding="utf-8")
    assert billed(path, tmp_path / "home").findings()["finding"].to_list() == [finding]


def test_the_first_example_is_billed_as_its_table_says(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(EXAMPLES[0].content, encoding="utf-8")
    table = re.findall(r"^\| (anna|ben) \| (\w+) \| (\w+) \| (\d+) \|", PAGE, re.MULTILINE)
    usage = billed(path, tmp_path / "home").usage(APP, DAY, DAY, by="user")
    found = usage.select("user_id", "item", "reason", "seconds").rows()
    assert found == [(user, item, reason, int(seconds)) for user, item, reason, seconds in table]


def test_the_parquet_example_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(PAGE, "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/events.md", "exec"), {})  # noqa: S102
    (report,) = ingest_files(
        IngestContext(home=Home.at(tmp_path), apps=[APP], now=parse_instant(NOW)), ["events.parquet"]
    )
    assert (report.accepted, report.error) == (2, None)


def test_every_type_reason_and_finding_has_its_heading_and_all_but_one_an_example() -> None:
    assert sorted(headings(list(EVENT_TYPES))) == sorted(EVENT_TYPES)
    assert headings(REASONS) == REASONS
    assert headings(FINDINGS) == FINDINGS
    without = {*EVENT_TYPES, *REASONS, *FINDINGS} - {example.heading for example in EXAMPLES}
    assert without == {"too_long"}  # a row of a megabyte has no place on a page
    for example in EXAMPLES:
        assert example.heading not in EVENT_TYPES or f'"type": "{example.heading}"' in example.content


def test_the_bounds_are_those_of_the_program() -> None:
    rows = {
        name: row
        for row in re.findall(r"^\| `.*$", PAGE.partition("## Columns")[2].partition("## Event types")[0], re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert rows.keys() == set(EVENT_SCHEMA.names())
    for name, bound in (
        ("app_id", f"1 to {validation.LARGEST_APP_ID:,} "),
        *((name, f"1 to {validation.NAME_BYTES} bytes") for name in ("room_id", "user_id", "stream")),
        ("connection", f"1 to {validation.CONNECTION_BYTES} bytes"),
        ("event_id", f"1 to {validation.EVENT_ID_CHARACTERS} characters"),
        ("width", f"1 to {validation.LONGEST_SIDE:,} pixels"),
    ):
        assert bound in rows[name]
    for sentence in (
        f"at most {validation.FUTURE_MS // 60_000} minutes ahead",
        f"at most 1 MiB ({LINE_LIMIT_BYTES:,} bytes)",
        f"for {WAIT_SECONDS} seconds after a lost connection",
        f"for 24 hours ({STALE_SECONDS:,} seconds)",
        f"{', '.join(f'`{name}`' for name in ORDERED_TYPES)}; then by `event_id`",
        f"{', '.join(f'`{name}`' for name in BILLED_COLUMNS[:-1])} and `{BILLED_COLUMNS[-1]}`",
    ):
        assert sentence in " ".join(PAGE.split())
