"""The main job on the sample data: two classes, from a media server's events to an Excel invoice that is paid.

    python sample_data/demo.py DIRECTORY

runs the commands that a user would type, for each class in a new home and on a fixed day, writes the workbooks to
DIRECTORY, and compares them with what was worked out by hand. Exit code 1: they differ, or a command failed. At the end
both classes are in DIRECTORY/home, and it says how to look at them in a browser.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook

SAMPLE_DATA = Path(__file__).parent
BILLING = Path(sys.executable).with_name("billing")

ACADEMY = """
billing init
billing catalog apply {folder}/catalog.toml
billing ingest {folder}/events.ndjson
billing quarantine list
billing nightly
billing usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by window
billing usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by user
billing charges academy --month 2026-03
billing packages academy
billing invoice export academy --month 2026-03 -o {output}/academy-2026-03.xlsx
billing verify --full
"""
SCHOOL = """
billing init
billing catalog apply {folder}/catalog.toml
billing ingest --source janus --app 1400000002 {folder}/events.jsonl.gz
billing nightly
billing usage 1400000002 --from 2026-10-12 --to 2026-10-12 --by user
billing charges school --month 2026-10
billing invoice export school --month 2026-10 -o {output}/school-2026-10.xlsx
billing verify --full
"""

ISSUED = """
billing init
billing catalog apply {folder}/catalog.toml
billing ingest {events}
billing nightly
billing invoice finalize academy --month 2026-03
billing invoice show INV-2026-000001
billing invoice export INV-2026-000001 -o {output}/academy-issued.xlsx
billing invoice export INV-2026-000001 -o {output}/academy-issued.pdf
billing payment add academy 0.35 --id BANK-1 --reference INV-2026-000001
billing invoice list
billing status 1400000001
billing audit
billing verify --full
"""

# Both classes in one home, to be looked at in a browser.
KEPT_NOW = "2026-10-13T09:00:00Z"
KEPT = """
billing init
billing catalog apply {academy}/catalog.toml
billing catalog apply {school}/catalog.toml
billing ingest {events}
billing ingest --source janus --app 1400000002 {school}/events.jsonl.gz
billing nightly
billing invoice finalize academy --month 2026-03
"""
LOOK = """
To look at both classes in a browser, as of the day after the second:

    export BILLING_NOW={now}
    {billing} --home {home} token create --scope admin
    {billing} --home {home} serve

Log in at {site}/console with the token.
The two rooms: {site}/console/room?account=academy&day=2026-03-10&room=math
               {site}/console/room?account=school&day=2026-10-12&room=101
"""
SITE = "http://127.0.0.1:8080"
# What `billing` says where no font has the Japanese letters of the sample data.
NO_FONTS = "install fonts"

Table = list[list[Any]]  # the names of the columns, then the rows


def main(output: Path) -> None:
    """Bills both classes; what an earlier demo wrote is replaced."""
    output.mkdir(parents=True, exist_ok=True)
    bill("A class that can be checked by hand", SAMPLE_DATA, ACADEMY, output)
    bill("A class recorded on a Janus server", SAMPLE_DATA / "janus", SCHOOL, output)
    bill("The month of the first class is issued and paid", SAMPLE_DATA / "issued", ISSUED, output)
    print(LOOK.format(now=KEPT_NOW, billing=shown(BILLING), home=shown(keep(output / "home")), site=SITE))


def bill(title: str, folder: Path, commands: str, output: Path) -> None:
    """Runs the commands on a folder's events, and checks the workbooks that its `expected.json` names."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    print(f"\n=== {title}: {shown(folder)}/README.md ===", flush=True)
    with tempfile.TemporaryDirectory() as home:
        type_in(commands, Path(home), expected["now"], folder=folder, output=output)
    for name in (name for name in expected if name.startswith("workbook ")):
        _, account, month = name.split()
        workbook = output / f"{account}-{month}.xlsx"
        found = read_workbook(load_workbook(workbook, data_only=True), expected[name])
        if found != expected[name]:
            sys.exit(f"{workbook} is not what was expected.\nexpected: {expected[name]}\nfound:    {found}")
        print(f"\n{workbook}: total {found['total']}, and every line as worked out in {shown(folder)}/README.md")


def keep(home: Path) -> Path:
    """Makes the home that has both classes, in the place of an earlier one."""
    print("\n=== Both classes in one home, to look at ===", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    type_in(KEPT, home, KEPT_NOW, academy=SAMPLE_DATA / "issued", school=SAMPLE_DATA / "janus")
    return home


def type_in(commands: str, home: Path, now: str, **folders: Path) -> None:
    """Runs commands on a home at an instant, and shows each as a user types it."""
    environment = {**os.environ, "BILLING_HOME": str(home), "BILLING_NOW": now}
    environment.pop("BILLING_DATABASE_URL", None)
    named = {name: str(path) if name == "output" else shown(path) for name, path in folders.items()}
    paths = {
        name: shlex.quote(path) for name, path in {**named, "events": shown(SAMPLE_DATA / "events.ndjson")}.items()
    }
    for command in commands.strip().format(**paths).splitlines():
        print(f"\n$ {command}", flush=True)
        heard = subprocess.PIPE if command.endswith(".pdf") else None
        done = subprocess.run(  # noqa: S603
            [BILLING, *shlex.split(command)[1:]], env=environment, check=False, stderr=heard, text=True
        )
        complaint = done.stderr or ""
        print(complaint, end="", file=sys.stderr, flush=True)
        if done.returncode and NO_FONTS in complaint and "BILLING_REQUIRE_FONTS" not in environment:
            print("The demo goes on without this PDF.", flush=True)
        elif done.returncode:
            sys.exit(f"the command ended with exit code {done.returncode}: {command}")


def shown(path: Path) -> str:
    """A path from where the user stands."""
    return os.path.relpath(path)


def read_workbook(book: Workbook, expected: Mapping[str, Any]) -> dict[str, Any]:
    """What an invoice workbook shows of the sheets and columns in `expected`; `total` is what is to be paid."""
    return {
        name: total(book) if name == "total" else read_sheet(book, name, columns=table[0])
        for name, table in expected.items()
    }


def read_sheet(book: Workbook, name: str, *, columns: Sequence[str]) -> Table:
    """These columns of the table on a sheet: their names, then the rows down to the totals."""
    rows = book[name].iter_rows(values_only=True)
    header = next(row for row in rows if set(columns) <= set(row))
    places = [header.index(column) for column in columns]
    month = header.index("Month")  # every row has one, the totals have none
    return [list(columns), *([row[place] for place in places] for row in takewhile(lambda row: row[month], rows))]


def total(book: Workbook) -> object:
    """The amount to pay: the last value of the row that begins with `Total`."""
    lines = book["Lines"] if "Lines" in book.sheetnames else book["Invoice"]
    (row,) = (row for row in lines.iter_rows(values_only=True) if str(row[0]).startswith("Total "))
    return next(cell for cell in reversed(row) if cell is not None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
