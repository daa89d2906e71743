"""The command line: a whole story, and how the program behaves as a process."""

import json
import os
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
from tests.sample_home import APP, EVENT, SAMPLE, contents, database, rows

BILLING = Path(sys.executable).with_name("billing")
DAYS = "--from 2026-03-10 --to 2026-03-10"


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
        " amount currency kind document run corrects_run posted_on cause deducted_by settled",
        "packages academy": "id app_id valid_from expires_at granted deducted lapsed refunded remaining settled",
        "runs": "id command account day from_day cause started_at finished_at engine_version policy policy_hash"
        " price_hash ingest_id log_version counts result detail",
        "refresh": "account day through result detail",
        f"ingest {SAMPLE}/events.ndjson": "file read accepted duplicates quarantined",
        f"ingest --source janus --app {APP} {SAMPLE}/janus/events.jsonl.gz": "file read accepted duplicates"
        " quarantined lines ignored",
        "quarantine list": "id file line reason detail raw",
        "nightly": "account day result run detail",
        f"catalog apply {SAMPLE}/catalog.toml": "kind id action detail",
        "estimate call --policy trtc-cn --calls-per-day 1 --users 3 --minutes 30": "items free_minutes_used"
        " pay_as_you_go currency packages",
        f"estimate scenario {SAMPLE}/scenario.toml": "items free_minutes_used pay_as_you_go currency packages",
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
    assert [(line["level"], line["message"], line.get("account")) for line in lines] == [
        ("warning", f"the clock stands at {billed.now} (BILLING_NOW)", None),
        ("info", "nightly", "academy"),
    ]
    failed = billed("--log-format json charges nobody --month 2026-03")
    assert failed.exit_code == 2
    _, line = map(json.loads, failed.stderr.splitlines())
    assert line["level"] == "error"
    assert "nobody" in line["message"]


def test_a_watch_goes_on_until_it_is_stopped(billed: Commands) -> None:
    environment = {**os.environ, "BILLING_HOME": str(billed.home), "BILLING_NOW": billed.now, "PYTHONUNBUFFERED": "1"}
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


def test_the_quarantine_is_summed_up_by_file_and_reason_and_lists_rows_on_request(
    billed: Commands, tmp_path: Path
) -> None:
    future = [json.dumps(EVENT | {"at": "2026-03-13T10:00:00+09:00", "user_id": str(user)}) for user in range(3)]
    (tmp_path / "bad.ndjson").write_text("\n".join([*future, "{"]))
    later = Commands(home=billed.home, now="2026-03-12T09:00:00+09:00")
    done = later(f"ingest {tmp_path}/bad.ndjson")
    assert done.stderr == "rows were quarantined: 3 future, 1 bad_json: see `billing quarantine list`\n"
    lines = [line.split()[-4:] for line in later("quarantine list").stdout.splitlines()]
    first, then = "2026-03-11T00:00Z", "2026-03-12T00:00Z"
    assert sorted(lines[2:-2]) == [
        ["bad_json", "1", then, then],
        ["future", "3", then, then],
        ["no_offset", "1", first, first],
    ]
    assert lines[-1] == ["total", "5"]
    assert len(later(f"quarantine list --file {tmp_path}/bad.ndjson --rows --limit 2").stdout.splitlines()) == 6
    assert [row["line"] for row in rows(later, "quarantine list --reason future --limit 2")] == [1, 2]


def test_the_last_month_is_the_one_before_today_where_the_account_is(billed: Commands) -> None:
    """In Tokyo April begins nine hours earlier than in UTC."""
    for command in ("charges academy", f"usage {APP}", "findings academy"):
        april = Commands(home=billed.home, now="2026-03-31T15:00:00Z")(f"{command} --last-month --format csv")
        march = Commands(home=billed.home, now="2026-03-31T14:59:59Z")(f"{command} --last-month --format csv")
        assert april.stdout == billed(f"{command} --month 2026-03 --format csv").stdout
        assert march.stdout == billed(f"{command} --month 2026-02 --format csv").stdout


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
    before = database(billing.home)
    assert rows(later, f"ingest {trace}")[0]["accepted"] == 797
    assert later("ingests --format csv").stdout.count("\n") == 2  # no event of it is new
    assert rows(later, f"ingest {trace}")[0]["duplicates"] == 797
    assert database(billing.home) == before


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
    assert stderr == billed.clock + "rows were quarantined: 1 no_offset: see `billing quarantine list`\n"


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
    assert (process.returncode, stdout, stderr) == (130, "", billing.clock)


def test_a_reader_that_has_enough_makes_no_noise(billed: Commands) -> None:
    process = start(billed.home, "usage", str(APP), *DAYS.split(), "--by", "user")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == billed.clock
    process.stderr.close()
    assert process.wait() in (0, 1)


def test_help_and_version_load_nothing_slow(tmp_path: Path) -> None:
    program = (
        "import sys, cli\n"
        "for word in ('--help', '--version'):\n"
        "    cli.main([word], standalone_mode=False)\n"
        "slow = {'polars', 'sqlalchemy', 'deltalake', 'openpyxl', 'pandas', 'pyarrow', 'numpy', 'rich'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


NEVER = {"numba", "numpy", "pandas", "pyarrow", "openpyxl", "alembic", "rich"}


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("runs", {"polars", "deltalake"}),
        ("catalog show", {"polars", "deltalake"}),
        ("charges academy --month 2026-03", {"deltalake"}),
        ("charges --all --month 2026-03", {"deltalake"}),
        ("packages academy", {"deltalake"}),
        ("findings academy", {"deltalake"}),
        ("quarantine list", {"deltalake"}),
        ("status", set()),
        ("ingests", set()),
        (f"usage {APP} --month 2026-03 --by day", set()),
        (f"usage {APP} --month 2026-03 --by window --unit minutes", set()),
    ],
)
def test_a_command_that_only_reads_loads_no_more_than_it_needs(line: str, more: set[str], billed: Commands) -> None:
    program = (
        "import sys, cli\n"
        f"cli.main({line.split()!r}, standalone_mode=False)\n"
        f"loaded = {NEVER | more!r} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    environment = {**os.environ, "BILLING_HOME": str(billed.home), "BILLING_NOW": billed.now}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr
