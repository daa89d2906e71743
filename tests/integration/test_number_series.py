"""Numbers of documents: no gap and no double, with many processes of which half are killed, on both databases."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from billing.invoicing.snapshot import NO_HASH, chained_hash
from billing.ledger.database import open_database, reading
from billing.ledger.document_tables import closed_month, document, document_charge, number_series, outbox, transfer
from tests.commands import ROOT

pytestmark = pytest.mark.thorough

PROCESSES = 8
ACCOUNTS = [f"account-{number:02}" for number in range(16)]
MONTHS = [date(2026, 2, 1), date(2026, 3, 1)]
# Of each process: few enough that some are left to the rerun, when those that had them were killed.
ACCOUNTS_OF_ONE = 6
SELLERS = {"east": "EA", "west": "WE"}
# Clocks differ: the date of a document must not go back although that of the process that writes it does.
CLOCKS = [f"2026-04-{day:02}T09:00:00+00:00" for day in range(2, 10)]
# Killing begins with the first document, and ends before a process has written all of its own.
KILLED_WITHIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A home and its database, in which commands are run by processes of their own."""

    home: Path
    database_url: str

    def start(self, *arguments: str, now: str = CLOCKS[0]) -> "subprocess.Popen[str]":
        """A command that runs."""
        given = {"BILLING_HOME": str(self.home), "BILLING_DATABASE_URL": self.database_url, "BILLING_NOW": now}
        return subprocess.Popen(
            [sys.executable, "-m", "billing.cli", *arguments],
            env={**os.environ, **given},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, now: str = CLOCKS[0]) -> str:
        """What a command prints that must succeed."""
        process = self.start(*arguments, now=now)
        printed, said = process.communicate()
        assert process.returncode == 0, said
        return printed

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """A table in the order of its key."""
        engine = open_database(self.database_url)
        with reading(engine) as conn:
            found = conn.execute(select(table).order_by(*table.primary_key.columns)).mappings().all()
        engine.dispose()
        return [dict(row) for row in found]


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    """Sixteen accounts of two sellers, with usage in two months that are billed and not closed."""
    catalog = [
        f'[[seller]]\nid = "{seller}"\nname = "{seller}"\ninvoice = {{ prefix = "{prefix}" }}\n'
        f'credit_note = {{ prefix = "{prefix}C" }}\n'
        for seller, prefix in SELLERS.items()
    ]
    events = []
    for number, account in enumerate(ACCOUNTS):
        seller = sorted(SELLERS)[number % 2]
        catalog.append(
            f'[[account]]\nid = "{account}"\nname = "{account}"\ncurrency = "USD"\ntimezone = "UTC"\n'
            f'policy = "trtc-intl"\nfree_minutes = 0\nseller = "{seller}"\n'
            f'[[app]]\nid = {number + 1}\naccount = "{account}"\nname = "App"\n'
        )
        for day in ("2026-02-26", "2026-03-10"):
            at_room = {"app_id": number + 1, "room_id": "r", "user_id": "u"}
            events.append({**at_room, "type": "enter", "at": f"{day}T10:00:00Z"})
            events.append({**at_room, "type": "exit", "at": f"{day}T{11 + number % 8}:{number:02}:00Z"})
    (tmp_path / "catalog.toml").write_text("\n".join(catalog), encoding="utf-8")
    (tmp_path / "events.ndjson").write_text("".join(f"{json.dumps(each)}\n" for each in events), encoding="utf-8")
    made = Site(home=tmp_path / "home", database_url=database_url)
    made.run("init")
    made.run("catalog", "apply", str(tmp_path / "catalog.toml"))
    made.run("ingest", str(tmp_path / "events.ndjson"))
    made.run("nightly")
    return made


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_numbers_have_no_gap_and_no_double_when_half_of_the_processes_are_killed(site: Site, seed: int) -> None:
    draw = random.Random(seed)
    killed = [fate for month in MONTHS for fate in _finalize_under_fire(site, month, draw)]
    assert killed.count(-signal.SIGKILL) >= PROCESSES // 2, "the processes had ended before they were killed"
    _check(site)
    before = site.rows(document)

    for month in MONTHS:
        site.run("invoice", "finalize", "--all", "--month", f"{month:%Y-%m}", now=draw.choice(CLOCKS))
    _check(site)
    documents = site.rows(document)
    assert documents[: len(before)] == before
    months = Counter((each["account_id"], each["month"]) for each in documents)
    assert months == dict.fromkeys(((account, month) for account in ACCOUNTS for month in MONTHS), 1)

    for month in MONTHS:
        again = site.run("invoice", "finalize", "--all", "--month", f"{month:%Y-%m}", "--format", "json")
        assert {row["result"] for row in json.loads(again)} == {"already_issued"}
    assert site.rows(document) == documents


def _finalize_under_fire(site: Site, month: date, draw: random.Random) -> list[int]:
    """Eight processes finalize a month of some accounts each; half of them are killed at random moments, from the first
    document on. How those ended."""
    before = len(site.rows(document))
    processes = [
        site.start(
            *("invoice", "finalize", *draw.sample(ACCOUNTS, ACCOUNTS_OF_ONE), "--month", f"{month:%Y-%m}"),
            now=draw.choice(CLOCKS),
        )
        for _ in range(PROCESSES)
    ]
    try:
        _wait_for_a_document(site, before, processes)
        killed = processes[: PROCESSES // 2]
        moments = sorted((draw.uniform(0, KILLED_WITHIN_SECONDS), at) for at in range(len(killed)))
        for (earlier, _), (moment, at) in pairwise([(0.0, -1), *moments]):
            time.sleep(moment - earlier)
            killed[at].kill()
    finally:
        ends = [process.communicate() for process in processes]
    for process, (_, said) in zip(processes, ends, strict=True):
        # An account fails whose month before is not closed, because all of its processes were killed.
        assert process.returncode in (0, 1, -signal.SIGKILL), said
        assert "Traceback" not in said, said
        errors = [line for line in said.splitlines() if line.startswith("Error: ")]
        assert all(line.endswith(": 2026-02 is not closed: finalize it first") for line in errors), said
    return [process.returncode for process in killed]


def _wait_for_a_document(site: Site, before: int, processes: Sequence["subprocess.Popen[str]"]) -> None:
    engine = open_database(site.database_url)
    while any(process.poll() is None for process in processes):
        with reading(engine) as conn:
            if conn.execute(select(func.count()).select_from(document)).scalar_one() > before:
                break
        time.sleep(0.005)
    engine.dispose()


def _check(site: Site) -> None:
    """What holds after every crash."""
    documents = site.rows(document)
    for seller, prefix in SELLERS.items():
        _check_series([each for each in documents if each["seller_id"] == seller], prefix)
    last = {row["seller_id"]: row["last"] for row in site.rows(number_series)}
    assert last == Counter(each["seller_id"] for each in documents)
    _check_contents(site, documents)


def _check_series(series: Sequence[dict[str, Any]], prefix: str) -> None:
    """Documents of a series in the order of their writing."""
    assert [each["sequence"] for each in series] == list(range(1, len(series) + 1))
    assert [each["number"] for each in series] == [f"{prefix}-2026-{at:06}" for at in range(1, len(series) + 1)]
    days = [each["issued_on"] for each in series]
    assert days == sorted(days)
    before = NO_HASH
    for each in series:
        assert each["hash"] == chained_hash(each["snapshot"], before)
        assert json.loads(each["snapshot"])["document"]["number"] == each["number"]
        before = each["hash"]


def _check_contents(site: Site, documents: Sequence[dict[str, Any]]) -> None:
    """A document is written whole or not at all: it closes its month, bills charges, is owed, and tells of itself."""
    totals = {each["id"]: each["total_scaled"] for each in documents}
    months = {(each["account_id"], each["month"]): each["id"] for each in documents}
    assert len(months) == len(documents)
    assert {(row["account_id"], row["month"]): row["document_id"] for row in site.rows(closed_month)} == months
    owed: Counter[int] = Counter()
    for moved in site.rows(transfer):
        assert (moved["debit"], moved["document_id"]) == ("receivable", moved["receivable_id"])
        owed[moved["document_id"]] += moved["amount_scaled"]
    assert owed == totals
    assert all(totals.values())
    assert {row["document_id"] for row in site.rows(document_charge)} == totals.keys()
    told = Counter(
        json.loads(row["payload"])["data"]["number"] for row in site.rows(outbox) if row["event"] == "invoice.issued"
    )
    assert told == dict.fromkeys((each["number"] for each in documents), 1)
