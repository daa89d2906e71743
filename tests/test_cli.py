"""The command line: a whole story, what wrong input gets, and how the program behaves as a process."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.commands import ROOT, Commands

SAMPLE = ROOT / "sample_data"
BILLING = Path(sys.executable).with_name("billing")
APP = 1400000001
DAYS = "--from 2026-03-10 --to 2026-03-10"
EVENT = {"app_id": APP, "at": "2026-03-10T10:00:00+09:00", "room_id": "r", "user_id": "u", "type": "enter"}


@pytest.fixture(scope="module")
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


def seconds_by_item(usage: list[dict[str, Any]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in usage:
        sums[row["item"]] += row["seconds"]
    return sums


def test_every_view_and_the_workbook_sum_to_the_same_bill(billed: Commands, tmp_path: Path) -> None:
    charges = rows(billed, "charges academy --month 2026-03")
    for by in ("window", "day", "room", "user"):
        assert seconds_by_item(rows(billed, f"usage {APP} {DAYS} --by {by}")) == seconds_by_item(charges)
    for by in ("window", "day"):
        minutes = rows(billed, f"usage {APP} {DAYS} --by {by} --unit minutes")
        assert sum(row["minutes"] for row in minutes) == sum(row["minutes"] for row in charges)
    assert billed(f"invoice export academy --month 2026-03 -o {tmp_path}/invoice.xlsx").exit_code == 0
    book = load_workbook(tmp_path / "invoice.xlsx", data_only=True)
    total = next(row[-1] for row in book["Invoice"].values if str(row[0]).startswith("Total"))
    assert Decimal(str(total)) == round(sum(Decimal(row["amount"]) for row in charges), 2)
    assert book["Checks"]["C2"].value == "PASS"


def test_the_fields_of_every_report_are_those_that_are_documented(billed: Commands) -> None:
    usage = f"usage {APP} {DAYS}"
    origin = "kind run settled"
    fields = {
        usage: f"app_id start item reason seconds {origin}",
        f"{usage} --by day": f"app_id day item reason seconds {origin}",
        f"{usage} --by room": f"app_id day room_id item reason seconds {origin}",
        f"{usage} --by user": f"app_id day room_id user_id item reason seconds {origin}",
        f"{usage} --unit minutes": f"app_id start item minutes {origin}",
        f"{usage} --by day --unit minutes": f"app_id day item minutes {origin}",
        "charges academy --month 2026-03": "day app_id item seconds minutes deducted_minutes payable_minutes unit_price"
        " amount currency kind run corrects_run posted_on cause deducted_by settled",
        "packages academy": "id app_id valid_from expires_at granted deducted lapsed remaining settled",
        "runs": "id command account day from_day cause started_at finished_at engine_version policy policy_hash"
        " price_hash ingest_id log_version counts result detail",
        "refresh": "account day through result detail",
        f"ingest {SAMPLE}/events.ndjson": "file read accepted duplicates quarantined",
        f"ingest --source janus --app {APP} {SAMPLE}/janus/events.jsonl.gz": "file read accepted duplicates"
        " quarantined lines",
        "quarantine list": "id file line reason detail raw",
        "nightly": "account day result run detail",
        f"catalog apply {SAMPLE}/catalog.toml": "kind id action detail",
        "estimate call --policy trtc-cn --calls-per-day 1 --users 3 --minutes 30": "items free_minutes_used"
        " pay_as_you_go currency packages",
    }
    assert {line: " ".join(rows(billed, line)[0]) for line in fields} == fields
    assert billed("findings --format csv").stdout == "day,app_id,room_id,user_id,at,finding,detail\n"


def test_a_second_night_changes_nothing(billed: Commands) -> None:
    before = database(billed.home)
    assert [row["result"] for row in rows(billed, "nightly")] == ["already_billed"]
    assert database(billed.home) == before


def test_a_night_without_events_names_the_accounts(billing: Commands) -> None:
    done = billing("nightly --format json")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "[]\n", "no events yet: academy\n")


def test_an_account_that_fails_is_named_and_the_others_are_billed(billing: Commands, tmp_path: Path) -> None:
    """The day of `poor` cannot be settled: the database refuses it."""
    catalog = tmp_path / "more.toml"
    catalog.write_text(
        '[[account]]\nid = "poor"\nname = "Poor"\ncurrency = "USD"\ntimezone = "Asia/Tokyo"\npolicy = "trtc-intl"\n'
        '[[app]]\nid = 7\naccount = "poor"\nname = "Seven"\n'
    )
    events = tmp_path / "events.ndjson"
    events.write_text(json.dumps(EVENT) + "\n" + json.dumps(EVENT | {"app_id": 7}) + "\n")
    assert billing(f"catalog apply {catalog}").exit_code == 0
    assert billing(f"ingest {events}").exit_code == 0
    with sqlite3.connect(billing.home / "billing.db") as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON settled_day WHEN NEW.account_id = 'poor'"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    connection.close()
    done = billing("nightly --format json")
    assert done.exit_code == 1
    assert {row["account"]: row["result"] for row in json.loads(done.stdout)} == {"academy": "billed", "poor": "failed"}
    assert "Error: poor, 2026-03-10: " in done.stderr
    assert "no room" in done.stderr
    failed = [row for row in rows(billing, "runs") if row["result"] == "failed"]
    assert [(row["account"], row["day"], row["policy"]) for row in failed] == [("poor", "2026-03-10", "trtc-intl")]
    assert "no room" in failed[0]["detail"]


def test_a_run_says_what_it_did_with_what(billed: Commands) -> None:
    (run,) = rows(billed, "runs 1")
    assert (run["command"], run["account"], run["day"], run["result"]) == ("nightly", "academy", "2026-03-10", "billed")
    assert (run["ingest_id"], run["log_version"], run["policy"]) == (1, 1, "trtc-intl")
    assert len(run["policy_hash"]) == len(run["price_hash"]) == 64
    assert run["counts"]["seconds"] == 4225
    assert run["started_at"] == run["finished_at"] == "2026-03-11T00:00:00.000+00:00"
    assert "4225" in billed("runs 1").stdout
    done = billed("runs 99")
    assert (done.exit_code, done.stderr) == (2, "Error: there is no run 99: see `billing runs`\n")


def test_messages_may_be_json_one_object_a_line(billed: Commands) -> None:
    done = billed("--log-format json nightly --format json")
    assert json.loads(done.stdout)[0]["result"] == "already_billed"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"], line["account"]) for line in lines] == [("info", "nightly", "academy")]
    failed = billed("--log-format json charges nobody --month 2026-03")
    assert failed.exit_code == 2
    (line,) = map(json.loads, failed.stderr.splitlines())
    assert line["level"] == "error"
    assert "nobody" in line["message"]


def test_a_watch_goes_on_until_it_is_stopped(billed: Commands) -> None:
    environment = {**os.environ, "BILLING_HOME": str(billed.home), "PYTHONUNBUFFERED": "1"}
    program = [sys.executable, "-m", "cli", "refresh", "--watch", "--format", "csv"]
    watch = subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout is not None
    assert watch.stdout.readline().startswith(b"account,day,through")
    assert watch.poll() is None
    watch.send_signal(signal.SIGINT)
    watch.communicate()
    assert watch.returncode == 130


def test_a_file_that_fails_is_named_and_the_others_are_read(billing: Commands, tmp_path: Path) -> None:
    done = billing(f"ingest {tmp_path}/missing.ndjson {SAMPLE}/events.ndjson --format json")
    assert done.exit_code == 1
    assert [row["accepted"] for row in json.loads(done.stdout)] == [28]
    assert done.stderr.splitlines()[-1] == f"Error: {tmp_path}/missing.ndjson: there is no such file"


def test_a_corrected_row_leaves_the_quarantine(billed: Commands, tmp_path: Path) -> None:
    listed = rows(billed, "quarantine list")
    assert [row["reason"] for row in listed] == ["no_offset"]
    listed[0]["raw"] = listed[0]["raw"].replace("T10:13:30", "T10:13:30+09:00")
    (tmp_path / "rows.json").write_text(json.dumps(listed))
    (report,) = rows(billed, f"quarantine retry --fixed {tmp_path}/rows.json")
    assert (report["read"], report["accepted"], report["quarantined"]) == (1, 1, 0)
    assert rows(billed, "quarantine list") == []


def test_rows_that_are_handed_back_as_they_were_stay_in_quarantine(billed: Commands, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(billed("quarantine list --format json").stdout)
    before = rows(billed, "quarantine list")
    (report,) = rows(billed, f"quarantine retry --fixed {tmp_path}/rows.json")
    assert (report["read"], report["quarantined"]) == (1, 1)
    assert rows(billed, "quarantine list") == before


def test_quarantined_rows_are_found_by_reason_and_file(billed: Commands) -> None:
    assert len(rows(billed, "quarantine list --reason no_offset --reason future")) == 1
    assert rows(billed, "quarantine list --reason future") == []
    assert len(rows(billed, f"quarantine list --file {SAMPLE}/events.ndjson")) == 1
    done = billed("quarantine list --reason future")
    assert (done.stdout, done.stderr) == ("", "no such rows in quarantine\n")


def test_a_dry_run_says_what_would_change_and_changes_nothing(billing: Commands, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text((SAMPLE / "catalog.toml").read_text().replace("Classroom", "Lecture hall"))
    before = contents(billing.home)
    changes = rows(billing, f"catalog apply {catalog} --dry-run")
    assert [(row["id"], row["detail"]) for row in changes if row["action"] == "changed"] == [
        (str(APP), "name: Classroom → Lecture hall")
    ]
    assert contents(billing.home) == before


def test_convert_needs_no_home_and_ingest_takes_what_it_wrote(billing: Commands, tmp_path: Path) -> None:
    trace = f"--source janus --app {APP} {SAMPLE}/janus/events.jsonl.gz"
    nowhere = Commands(home=tmp_path / "nowhere")
    done = nowhere(f"convert {trace} -o {tmp_path}/events.ndjson")
    assert (done.exit_code, done.stderr) == (0, "16 events from 797 lines, 0 of which could not be read\n")
    assert not nowhere.home.exists()
    later = Commands(home=billing.home, now="2027-01-01T00:00:00Z")
    assert rows(later, f"ingest {tmp_path}/events.ndjson")[0]["accepted"] == 16
    assert rows(later, f"ingest {trace}")[0]["duplicates"] == 16


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
def test_a_row_with_a_mistake_is_set_aside_and_said(billed: Commands, tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "bad.ndjson").write_text(line + "\n")
    before = contents(billed.home)
    done = billed(f"ingest {tmp_path}/bad.ndjson")
    assert (done.exit_code, done.stderr) == (0, "rows were set aside: see `billing quarantine list`\n")
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
    "a day that is none": ("usage 1400000001 --from 2026-02-30 --to 2026-03-10", 2, "is not a day such as 2026-03-01"),
    "days the wrong way round": ("usage 1400000001 --from 2026-03-11 --to 2026-03-10", 2, "give the earlier day first"),
    "minutes by user": ("usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by user --unit minutes", 2, "no minutes"),
    "a month that is none": ("charges academy --month 2026-13", 2, "is not a month such as 2026-03"),
    "a month that is not billed": ("invoice export academy --month 2026-05 -o {tmp}/a.xlsx", 1, "`billing nightly`"),
    "a workbook in no directory": ("invoice export academy --month 2026-03 -o {tmp}/no/a.xlsx", 1, "does not exist"),
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
    before = contents(billed.home)
    done = billed(line.format(tmp=tmp_path, sample=SAMPLE))
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
    done = billed(command.format(tmp=tmp_path))
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "damaged: restore it from a backup" in done.stderr


def test_a_clock_that_cannot_be_read_is_wrong_usage(billed: Commands) -> None:
    done = Commands(home=billed.home, now="noon")("nightly")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: BILLING_NOW: 'noon' is not")


def start(home: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The installed program, from a directory that is not the project's."""
    environment = {**os.environ, "BILLING_NOW": "2026-03-11T09:00:00+09:00", "BILLING_HOME": str(home)}
    return subprocess.Popen(
        [BILLING, *arguments],
        env=environment,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_installed_program_keeps_json_alone_on_stdout(billed: Commands) -> None:
    process = start(billed.home, "ingest", "--format", "json", str(SAMPLE / "events.ndjson"))
    stdout, stderr = process.communicate()
    assert [row["duplicates"] for row in json.loads(stdout)] == [29]
    assert stderr == "rows were set aside: see `billing quarantine list`\n"


def test_events_come_from_standard_input_in_any_format(billing: Commands) -> None:
    process = start(billing.home, "ingest", "-", "--stdin-format", "csv", "--format", "csv", stdin=subprocess.PIPE)
    stdout, _ = process.communicate(",".join(EVENT) + "\n" + ",".join(map(str, EVENT.values())) + "\n")
    assert stdout.splitlines()[1] == "-,1,1,0,0"


def test_an_interrupted_program_ends_quietly(billing: Commands) -> None:
    process = start(billing.home, "ingest", "-", stdin=subprocess.PIPE)
    assert process.stdin
    # More than a pipe holds: when all of it is written, the program is reading.
    process.stdin.write(" " * 1_000_000)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "")


def test_a_reader_that_has_enough_makes_no_noise(billed: Commands) -> None:
    process = start(billed.home, "usage", str(APP), *DAYS.split(), "--by", "user")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() in (0, 1)


def test_help_and_version_load_nothing_slow(tmp_path: Path) -> None:
    program = (
        "import sys, cli\n"
        "for word in ('--help', '--version'):\n"
        "    cli.main([word], standalone_mode=False)\n"
        "slow = {'polars', 'sqlalchemy', 'deltalake', 'openpyxl', 'pandas', 'pyarrow', 'numpy', 'tqdm'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
