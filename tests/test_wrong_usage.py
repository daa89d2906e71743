"""What wrong input gets on the command line: one clear line, and nothing is changed."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.sample_home import APP, EVENT, SAMPLE, contents, rows

CATALOG_MISTAKES = {
    "typo": ('[[account]]\nid = "x"\nnmae = "X"\n', "name"),
    "not TOML": ("[[account\n", "is not TOML"),
    "unknown time zone": (
        '[[account]]\nid = "x"\nname = "X"\ncurrency = "USD"\ntimezone = "Asia/Tokio"\npolicy = "trtc-intl"\n',
        "Asia/Tokio",
    ),
    "package for another account's app": (
        '[[account]]\nid = "x"\nname = "X"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n'
        f'[[package]]\nid = "p"\naccount = "x"\napp = {APP}\nminutes = 5\npurchased_at = "2026-03-01T00:00:00Z"\n',
        'belongs to account "academy"',
    ),
}


@pytest.mark.parametrize(("text", "message"), CATALOG_MISTAKES.values(), ids=CATALOG_MISTAKES)
def test_a_catalog_with_a_mistake_is_refused_whole(billed: Commands, tmp_path: Path, text: str, message: str) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text('[[app]]\nid = 99\naccount = "academy"\nname = "Good"\n' + text)
    before = contents(billed.home)
    done = billed(f"catalog apply {catalog}")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert contents(billed.home) == before


ROW_MISTAKES = {
    "broken JSON": ('{"app_id": ', "bad_json"),
    "wrong type": (json.dumps(EVENT | {"room_id": 1.5}), "bad_type"),
    "no offset": (json.dumps(EVENT | {"at": "2026-03-10T10:00:00"}), "no_offset"),
    "unknown app": (json.dumps(EVENT | {"app_id": 5}), "unknown_app"),
    "future": (json.dumps(EVENT | {"at": "2026-03-12T10:00:00+09:00"}), "future"),
    "huge line": (json.dumps(EVENT | {"note": "x" * 2_000_000}), "too_long"),
    "binary garbage": ("\x00\x01\x7f\x02", "bad_json"),
}


@pytest.mark.parametrize(("line", "reason"), ROW_MISTAKES.values(), ids=ROW_MISTAKES)
def test_a_row_with_a_mistake_is_quarantined_and_its_reason_said(
    billed: Commands, tmp_path: Path, line: str, reason: str
) -> None:
    (tmp_path / "bad.ndjson").write_text(line + "\n")
    before = contents(billed.home)
    done = billed(f"ingest {tmp_path}/bad.ndjson")
    assert (done.exit_code, done.stderr) == (0, f"rows were quarantined: 1 {reason}: see `billing quarantine list`\n")
    assert [row["reason"] for row in rows(billed, f"quarantine list --file {tmp_path}/bad.ndjson")] == [reason]
    after = contents(billed.home)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("quarantine/") for name in after.keys() - before.keys())


WRONG = {
    "a missing file": ("ingest {tmp}/missing.ndjson", 1, "there is no such file"),
    "a directory": ("ingest {tmp}", 1, "is a directory"),
    "an unknown kind of file": ("ingest {sample}/catalog.toml", 1, "unknown kind of file"),
    "a damaged archive": ("ingest {tmp}/garbage.ndjson.gz", 1, "damaged or cut off"),
    "a damaged Parquet file": ("ingest {tmp}/garbage.parquet", 1, "garbage.parquet"),
    "a missing catalog": ("catalog apply {tmp}/missing.toml", 1, "there is no such file"),
    "a catalog that is a directory": ("catalog apply {tmp}", 1, "irectory"),
    "a catalog that is no text": ("catalog apply {tmp}/garbage.parquet", 1, "is not text in UTF-8"),
    "corrections that are none": ("quarantine retry --fixed {sample}/catalog.toml", 1, "quarantine list --format json"),
    "a row that is not there": ("quarantine retry abc-1", 2, "no row abc-1 in quarantine"),
    "an unknown account": ("charges acadmy --month 2026-03", 2, "did you mean 'academy'?"),
    "an account without packages' name": ("packages nobody", 2, "unknown account 'nobody'"),
    "an unknown app": ("usage 14 --from 2026-03-10 --to 2026-03-10", 2, "unknown app '14'"),
    "an app that is no number": ("usage class --from 2026-03-10 --to 2026-03-10", 2, "'class'"),
    "an app by its name": ("usage klassroom --month 2026-03", 2, "there is 1400000001 (Classroom)"),
    "an app of no size": ("findings --app 9007199254740993", 2, "there is 1400000001 (Classroom)"),
    "a reason that does not exist": ("quarantine list --reason futur", 2, "did you mean 'future'?"),
    "a limit of a summary": ("quarantine list --limit 5", 2, "give --rows too"),
    "no days": ("usage 1400000001", 2, "give --from and --to, or --month, or --last-month"),
    "half of the days": ("usage 1400000001 --to 2026-03-10", 2, "give --from and --to, or --month, or --last-month"),
    "days and a month": ("findings --to 2026-03-10 --last-month", 2, "give either --from and --to, or --month"),
    "no month": ("charges academy", 2, "give either --month or --last-month"),
    "two months": ("charges academy --month 2026-03 --last-month", 2, "give either --month or --last-month"),
    "a workbook as a PDF": ("invoice export academy --month 2026-03 -o {tmp}/a.pdf", 2, "a name ending in .xlsx"),
    "a workbook of no kind": ("invoice export academy --month 2026-03 -o {tmp}/a", 2, "a name ending in .xlsx"),
    "events as CSV": ("convert --source janus --app 1 x -o {tmp}/y.csv", 2, "a name ending in - or .ndjson or .jsonl"),
    "no calls": (
        "estimate call --policy trtc-cn --calls-per-day 0 --users 2 --minutes 5", 2, "'--calls-per-day': 0 is not",
    ),
    "a day that is none": ("usage 1400000001 --from 2026-02-30 --to 2026-03-10", 2, "is not a day such as 2026-03-01"),
    "days the wrong way round": ("usage 1400000001 --from 2026-03-11 --to 2026-03-10", 2, "give the earlier day first"),
    "minutes by user": ("usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by user --unit minutes", 2, "no minutes"),
    "a month that is none": ("charges academy --month 2026-13", 2, "is not a month such as 2026-03"),
    "a month that is not billed": ("invoice export academy --month 2026-05 -o {tmp}/a.xlsx", 1, "`billing nightly`"),
    "a workbook in no directory": ("invoice export academy --month 2026-03 -o {tmp}/no/a.xlsx", 1, "does not exist"),
    "a workbook in place of the books": (
        "invoice export academy --month 2026-03 -o {home}/billing.xlsx", 1, "it is inside the home",
    ),
    "events in the home": (
        "convert --source janus --app 1 {sample}/janus/events.jsonl.gz -o {home}/x.ndjson", 1, "it is inside the home",
    ),
    "events in place of those read": (
        "convert --source janus --app 1 {tmp}/trace.jsonl -o {tmp}/trace.jsonl", 1, "the command reads it",
    ),
    "an unfinished day": ("nightly --date 2026-03-11", 2, "2026-03-11 is not over yet in Asia/Tokyo"),
    "a source without an app": ("ingest --source janus {tmp}/x", 2, "--source needs --app"),
    "an app without a source": ("ingest --app 1400000001 {tmp}/x", 2, "give --source too"),
    "an unknown source": ("ingest --source janis --app 1400000001 {tmp}/x", 2, "unknown source 'janis'"),
    "a trace of an unknown app": ("ingest --source janus --app 5 {tmp}/x", 2, "unknown app '5'"),
    "a trace that is not there": ("ingest --source janus --app 1400000001 {tmp}/x", 1, "there is no such file"),
    "a size that is none": ("convert --source janus --app 1 --camera-size 640 {tmp}/x -o {tmp}/y", 2, "1280x720"),
    "a size beyond the limit": ("convert --source janus --app 1 --camera-size 1x20000 x -o {tmp}/y", 2, "1280x720"),
    "two price lists": (
        "estimate call --policy trtc-cn --account academy --calls-per-day 1 --users 2 --minutes 5",
        2,
        "either --policy or --account",
    ),
    "no price list": ("estimate call --calls-per-day 1 --users 2 --minutes 5", 2, "either --policy or --account"),
    "an unknown policy": ("estimate call --policy trtc --calls-per-day 1 --users 2 --minutes 5", 2, "trtc"),
    "a call of a day and more": (
        "estimate call --policy trtc-cn --calls-per-day 1 --users 2 --minutes 1441", 2, "minutes: 1441",
    ),
    "a missing scenario": ("estimate scenario {tmp}/missing.toml", 1, "there is no such file"),
    "a scenario that is a directory": ("estimate scenario {tmp}", 1, "irectory"),
    "a scenario that is a catalog": ("estimate scenario {sample}/catalog.toml", 1, "[[room]]: write 1 to 200"),
    "an unknown command": ("bill", 2, "No such command 'bill'"),
    "an unknown format": ("nightly --format xml", 2, "'xml'"),
    "an unreadable URL": ("--database-url mysql://x nightly", 2, "no database of the kind 'mysql'"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "exit_code", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use_gets_a_clear_line_and_changes_nothing(
    billed: Commands, tmp_path: Path, line: str, exit_code: int, message: str
) -> None:
    for name in ("garbage.ndjson.gz", "garbage.parquet"):
        (tmp_path / name).write_bytes(b"\xff\x00 this is not it")
    (tmp_path / "trace.jsonl").write_bytes(gzip.decompress((SAMPLE / "janus" / "events.jsonl.gz").read_bytes()))
    before = contents(billed.home)
    done = billed(line.format(tmp=tmp_path, sample=SAMPLE, home=billed.home))
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.count("Error:") == 1
    assert contents(billed.home) == before


def test_an_empty_file_is_read_and_changes_nothing(billed: Commands, tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").touch()
    before = contents(billed.home)
    (report,) = rows(billed, f"ingest {tmp_path}/empty.ndjson")
    assert report | {"file": ""} == {"file": "", "read": 0, "accepted": 0, "duplicates": 0, "quarantined": 0}
    assert contents(billed.home) == before


@pytest.mark.parametrize(
    "line", ["nightly", "ingest x.ndjson", "quarantine list", "findings", "packages a", "catalog apply {catalog}"]
)
def test_without_a_home_every_command_says_what_to_run_first(tmp_path: Path, line: str) -> None:
    run = Commands(home=tmp_path / "home")
    done = run(line.format(catalog=SAMPLE / "catalog.toml"))
    assert done.exit_code == 1
    assert "run `billing init` first" in done.stderr
    assert not run.home.exists()


def test_a_home_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    done = Commands(home=tmp_path / "home")("init")
    assert (done.exit_code, done.stderr) == (
        1, f"Error: {tmp_path}/home cannot be created (File exists): choose another --home\n",
    )  # fmt: skip
    assert (tmp_path / "home").read_text() == "mine"


def test_a_damaged_database_is_said(billed: Commands) -> None:
    (billed.home / "billing.db").write_bytes(b"garbage" * 1000)
    done = billed("packages academy")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the database at sqlite:///")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("directory", "command"),
    [("events/day=2026-03-10", "usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by room"),
     ("events/day=2026-03-10", "ingest {tmp}/more.ndjson"),
     ("quarantine", "quarantine list"), ("quarantine", "quarantine retry")],
)  # fmt: skip
def test_a_damaged_file_of_the_home_is_said(billed: Commands, tmp_path: Path, directory: str, command: str) -> None:
    (tmp_path / "more.ndjson").write_bytes((SAMPLE / "events.ndjson").read_bytes() + b"{}\n")
    for file in (billed.home / directory).glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:300])
    shutil.rmtree(billed.home / "events/_keys")  # without the index, an ingest reads the day
    done = billed(command.format(tmp=tmp_path))
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "damaged: restore it from a backup" in done.stderr


def test_a_clock_that_cannot_be_read_is_wrong_usage(billed: Commands) -> None:
    done = Commands(home=billed.home, now="noon")("nightly")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: BILLING_NOW: 'noon' is not")
