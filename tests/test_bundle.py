"""A bundle proves its total with the standard library alone, and notices whatever is changed in it."""

import ast
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.verify.bundle_source import bundle_source
from tests.commands import Commands
from tests.documents_home import APP, at, audio, ingest, ok, refused, rows
from tests.tampered_home import checked, intact_home, unpacked

MONTHS = ("2026-03", "2026-04")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return intact_home(tmp_path_factory.mktemp("acme"))


@pytest.fixture(scope="module")
def archives(acme: Commands, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle of each month."""
    folder = tmp_path_factory.mktemp("archives")
    for month in MONTHS:
        ok(acme, f"bundle acme --month {month} -o {folder / month}.zip")
    return {month: folder / f"{month}.zip" for month in MONTHS}


@pytest.fixture
def april(archives: dict[str, Path], tmp_path: Path) -> Path:
    """The unpacked bundle of April: with a stay that came over midnight, a package that runs out, and a correction."""
    return unpacked(archives["2026-04"], tmp_path / "april")


def test_the_last_line_is_the_total_of_the_sample(billed: Commands, tmp_path: Path) -> None:
    ok(billed, f"bundle academy --month 2026-03 -o {tmp_path / 'b.zip'}")
    exit_code, lines = checked(unpacked(tmp_path / "b.zip", tmp_path / "b"))
    assert (exit_code, lines) == (0, ["2026-03-10: 28 events in 2 rooms, seal 1", "total 0.22 USD"])


@pytest.mark.parametrize("month", MONTHS)
def test_the_total_is_that_of_the_invoice(
    acme: Commands, archives: dict[str, Path], month: str, tmp_path: Path
) -> None:
    (invoice,) = [row for row in rows(acme, "invoice list") if row["month"] == month]
    exit_code, lines = checked(unpacked(archives[month], tmp_path))
    assert (exit_code, lines[-1]) == (0, f"total {invoice['total']} USD")
    heads = [json.loads(line)["head"] for line in (tmp_path / "seals.ndjson").read_text().splitlines()]
    assert json.loads((tmp_path / "bill.json").read_text())["seal"] == heads[-1]


def test_a_closed_month_is_bundled_as_it_was_issued(acme: Commands, archives: dict[str, Path], tmp_path: Path) -> None:
    """A late event of April, and later nights, do not reach the bundle of March, byte by byte."""
    with zipfile.ZipFile(archives["2026-03"]) as archive:
        names = archive.namelist()
    assert not [name for name in names if "2026-04" in name]
    ok(acme, f"bundle acme --month 2026-03 -o {tmp_path / 'again.zip'}")
    assert (tmp_path / "again.zip").read_bytes() == archives["2026-03"].read_bytes()


def test_a_late_event_of_a_closed_month_stands_in_the_bundle_of_the_next(tmp_path: Path) -> None:
    run = intact_home(tmp_path)
    ingest(run, tmp_path, audio("2026-03-20", 30, name="later"))
    may = at(run, "2026-06-01T09:00:00+09:00")
    ok(may, "nightly")
    for month, day in (("2026-03", False), ("2026-05", True)):
        ok(may, f"bundle acme --month {month} -o {tmp_path / month}.zip")
        folder = unpacked(tmp_path / f"{month}.zip", tmp_path / month)
        assert (folder / "events-2026-03-20.ndjson").exists() == day
        assert checked(folder)[0] == 0
    ok(may, "invoice finalize acme --month 2026-05")
    (invoice,) = [row for row in rows(may, "invoice list") if row["month"] == "2026-05"]
    ok(may, f"bundle acme --month 2026-05 -o {tmp_path / 'issued.zip'}")
    assert checked(unpacked(tmp_path / "issued.zip", tmp_path / "issued"))[1][-1] == f"total {invoice['total']} USD"


# What is changed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_found(folder: Path, *named: str) -> str:
    exit_code, lines = checked(folder)
    assert (exit_code, len(lines)) == (1, 1), lines
    assert all(name in lines[0] for name in named), lines
    return lines[0]


def test_each_file_that_is_changed_or_missing_is_named(april: Path) -> None:
    assert len(names(april)) > 12
    for name in names(april):
        path = april / name
        before = path.read_bytes()
        for content in (before + b"\n", b"", before[:-1] + b"\xff"):
            if name == "verify.py" and content != before + b"\n":
                continue  # a program that is no program says nothing
            path.write_bytes(content)
            assert_found(april, name)
        if name != "verify.py":
            path.unlink()
            assert_found(april)
        path.write_bytes(before)
    assert checked(april)[0] == 0


def forged(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Changes a file of JSON or of lines, and the list of files with it, as somebody would who knows the format."""
    path = folder / name
    if name.endswith(".ndjson"):
        values = change([json.loads(line) for line in path.read_text().splitlines()])
        text = "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)
    else:
        text = json.dumps(change(json.loads(path.read_text())), sort_keys=True, indent=1) + "\n"
    assert text != path.read_text()
    path.write_text(text)
    contents = json.loads((folder / "contents.json").read_text())
    contents["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "contents.json").write_text(json.dumps(contents, sort_keys=True, indent=1) + "\n")


def first(**values: Any) -> Callable[[Any], Any]:
    """Other values in the first row."""
    return lambda rows: [{**rows[0], **values}, *rows[1:]]


def last(**values: Any) -> Callable[[Any], Any]:
    return lambda rows: [*rows[:-1], {**rows[-1], **values}]


def without(place: int) -> Callable[[Any], Any]:
    return lambda rows: [row for at, row in enumerate(rows) if at != place % len(rows)]


def with_line(**values: Any) -> Callable[[Any], Any]:
    return lambda bill: {**bill, "lines": [{**bill["lines"][0], **values}, *bill["lines"][1:]]}


EVENTS = "events-2026-04-10.ndjson"
CHANGES: list[tuple[str, Callable[[Any], Any], str]] = [
    (EVENTS, without(-1), "2026-04-10: the events under seal"),
    (EVENTS, first(at=1_775_783_000_000), "2026-04-10: the events under seal"),
    (EVENTS, first(user_id="somebody"), "2026-04-10: the events under seal"),
    ("state-2026-03-31.ndjson", first(user_id="somebody"), "2026-03-31"),
    ("state-2026-03-31.ndjson", without(0), "2026-03-31: the stays that stay open are under no seal"),
    ("usage.ndjson", last(seconds=1), "2026-04-"),
    ("usage.ndjson", without(0), "2026-04-01: usage under seal"),
    ("usage.ndjson", lambda rows: [*rows, {**rows[-1], "run_id": 99}], "of run 99, which has no seal"),
    ("deductions.ndjson", first(minutes=1), "deductions under seal"),
    ("charges.ndjson", first(amount_scaled=1), "charges under seal"),
    ("charges.ndjson", first(line=None), "stands on no line"),
    ("charges.ndjson", last(line=9), "of the bill"),
    ("days.ndjson", first(remaining={}), "2026-04-01"),
    ("days.ndjson", first(remaining={"new": 1000}), "2026-04-"),
    ("days.ndjson", first(ends_at=1), "2026-04-01: the ends_at of seal"),
    ("days.ndjson", without(3), "missing in days.ndjson"),
    ("seals.ndjson", without(3), "the number of a seal"),
    ("seals.ndjson", without(-1), "printed on the invoice"),
    ("seals.ndjson", first(root="00" * 32), "the root of seal 1"),
    ("seals.ndjson", first(head="00" * 32), "the head of seal 1"),
    ("seals.ndjson", last(events="00" * 32), "the root of seal"),
    ("seals.ndjson", last(said={}), "2026-04-11"),
    ("bill.json", lambda bill: {**bill, "total": "1"}, "the total of the bill"),
    ("bill.json", lambda bill: {**bill, "net": "1"}, "the net of the bill"),
    ("bill.json", lambda bill: {**bill, "seal": "00" * 32}, "printed on the invoice"),
    ("bill.json", with_line(amount="1.00000000"), "line 1 of the bill"),
    ("bill.json", with_line(kind="fee"), "lines that charges name"),
    ("bill.json", lambda bill: {**bill, "taxes": [{**bill["taxes"][0], "rate": "5"}]}, "the tax of 10 %"),
    ("terms.json", lambda terms: {**terms, "contracts": []}, "the price of a minute of audio"),
    ("terms.json", lambda terms: {**terms, "packages": []}, "what payers have left"),
    ("terms.json", lambda terms: {**terms, "policies": dict.fromkeys(terms["policies"], "{}")}, "the policy"),
    ("terms.json", lambda terms: {**terms, "account": "other"}, "other"),
    ("terms.json", lambda terms: {**terms, "currency": "JPY"}, "JPY"),
    ("terms.json", lambda terms: {**terms, "digits": 0}, "the tax of 10 %"),
]


@pytest.mark.parametrize(("name", "change", "named"), CHANGES)
def test_a_forger_who_knows_the_list_of_files_is_found(
    april: Path, name: str, change: Callable[[Any], Any], named: str
) -> None:
    forged(april, name, change)
    assert_found(april, named)


def test_the_whole_chain_made_anew_contradicts_the_invoice(april: Path) -> None:
    """Charges, seals, heads and the bill agree with each other: only the head that the customer has is another."""
    seals = [json.loads(line) for line in (april / "seals.ndjson").read_text().splitlines()]
    assert json.loads((april / "bill.json").read_text())["seal"] == seals[-1]["head"]
    forged(april, "seals.ndjson", lambda rows: rows[:-1])
    forged(april, "bill.json", lambda bill: {**bill, "seal": seals[-2]["head"]})
    assert_found(april, "which has no seal")


# The program and the command


def test_the_program_needs_the_standard_library_alone_and_defines_each_name_once() -> None:
    tree = ast.parse(bundle_source())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(module).split(".")[0] for module in modules} <= sys.stdlib_module_names
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    defined += [each.id for node in tree.body if isinstance(node, ast.Assign) for each in node.targets
                if isinstance(each, ast.Name)]  # fmt: skip
    assert sorted(defined) == sorted(set(defined))


@pytest.mark.parametrize(
    ("line", "exit_code", "said"),
    [
        ("bundle nobody --month 2026-03 -o {folder}/b.zip", 2, "nobody"),
        ("bundle acme --month 2025-03 -o {folder}/b.zip", 1, "run `billing nightly` first"),
        ("bundle acme --month 2026-13 -o {folder}/b.zip", 2, "is not a month"),
        ("bundle acme --month 2026-03", 2, "--output"),
        ("bundle acme --month 2026-03 -o {folder}", 1, "it is a directory"),
        ("bundle acme --month 2026-03 -o {folder}/no/b.zip", 1, "does not exist"),
    ],
)
def test_what_cannot_be_bundled_is_said(acme: Commands, tmp_path: Path, line: str, exit_code: int, said: str) -> None:
    assert said in refused(acme, line.format(folder=tmp_path), exit_code)
    assert not list(tmp_path.iterdir())


def test_events_that_are_missing_leave_no_half_a_bundle(tmp_path: Path) -> None:
    run = intact_home(tmp_path)
    for file in (run.home / "events").glob("day=2026-04-10/*.parquet"):
        file.unlink()
    assert "events" in refused(run, f"bundle acme --month 2026-04 -o {tmp_path / 'b.zip'}")
    assert not (tmp_path / "b.zip").exists()


def test_events_of_another_account_are_not_in_it(april: Path) -> None:
    lines = [json.loads(line) for path in april.glob("events-*") for line in path.read_text().splitlines()]
    assert {line["app_id"] for line in lines} == {APP}
