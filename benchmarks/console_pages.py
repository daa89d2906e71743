"""`python -m benchmarks.console_pages`: how long pages of the console take on a home with a full month.

One made-up day of ten million events is billed; its settled rows are then copied to every other day of the month, so
that the books are as large as those of 31 such days. (The log keeps the one day: pages of what is settled do not read
it, and the pages of rooms are asked about that day.) A service of its own answers on 127.0.0.1. Of several requests the
least counts, by the clock and by the processor seconds of the service: other programs only add to both.
"""

import argparse
import html
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import httpx
from tabulate import tabulate

from benchmarks.days import ACCOUNTS, Billing, Day
from benchmarks.rooms import Shape
from billing.periods import month_days

TARGET_MS, ROOM_TARGET_MS = 150, 1000
_COPIED = ("settled_day", "usage", "charge", "deduction", "finding", "burn_down")
_DAYS, _SECONDS = ("day", "posted_on"), ("window_start", "starts_at", "ends_at")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console_pages", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="of the day")
    parser.add_argument("--runs", type=int, default=7, help="of each page; the least counts")
    options = parser.parse_args()
    day = Day(Shape(events=options.events))
    billing = _home(day)
    token = json.loads(_said(billing, "token", "create", "--scope", "read", "--format", "json"))[0]["token"]
    with _service(billing) as (client, process):
        _log_in(client, token)
        rows = [_row(client, process, path, target, options.runs) for path, target in _pages(client, day)]
    headers = ("page", "kB", "ms", "CPU ms", "target")
    print(tabulate(rows, headers=headers, tablefmt="github", colalign=("left", *["right"] * 4)))


def _home(day: Day) -> Billing:
    """A home whose month is full."""
    billing = day.billing("console")
    if not (billing.home / "billing.db").exists():
        day.ingest(home="console")
        billing.run("nightly")
        with closing(sqlite3.connect(billing.home / "billing.db")) as books:
            for other in month_days(day.shape.day.replace(day=1)):
                if other != day.shape.day:
                    _copy(books, day.shape.day, other - day.shape.day)
            books.commit()
    after = max(month_days(day.shape.day.replace(day=1))) + timedelta(days=1)
    return Billing(home=billing.home, now=billing.now.replace(month=after.month, day=after.day))


def _copy(books: sqlite3.Connection, day: date, by: timedelta) -> None:
    """The settled rows of a day as those of another."""
    for table in _COPIED:
        names = [row[1] for row in books.execute(f"PRAGMA table_info({table})")]
        moved = (
            f"date({name}, '{by.days:+d} days')"
            if name in _DAYS
            else f"{name} + {by.days * 86_400}"
            if name in _SECONDS
            else f'"{name}"'
            for name in names
        )
        books.execute(f"INSERT INTO {table} SELECT {', '.join(moved)} FROM {table} WHERE day = ?", (str(day),))


def _environment(billing: Billing) -> dict[str, str]:
    return {**os.environ, "BILLING_NOW": billing.now.isoformat()}


def _command(billing: Billing, *words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("billing")), "--home", str(billing.home), *words]


def _said(billing: Billing, *words: str) -> str:
    done = subprocess.run(
        _command(billing, *words), env=_environment(billing), capture_output=True, text=True, check=True
    )
    return done.stdout


@contextmanager
def _service(billing: Billing) -> Iterator[tuple[httpx.Client, int]]:
    """A client, and the number of the process that answers."""
    words = _command(billing, "serve", "--port", "0")
    with subprocess.Popen(words, env=_environment(billing), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = (line for line in process.stderr if line.startswith("listening on "))
        address = next(lines).removeprefix("listening on ").split(";")[0].strip()
        try:
            with httpx.Client(base_url=address, timeout=300) as client:
                yield client, process.pid
        finally:
            process.terminate()


def _log_in(client: httpx.Client, token: str) -> None:
    form = client.get("/console/login").text
    csrf = re.findall(r'name="csrf" value="(\w+)"', form)[0]
    client.post("/console/login", data={"csrf": csrf, "token": token})


def _pages(client: httpx.Client, day: Day) -> Iterator[tuple[str, int]]:
    """Pages with their targets in milliseconds: of what is settled, then of rooms."""
    account, app = f"account={ACCOUNTS[0]}", f"app={day.shape.app_ids[0]}"
    month, first, last = f"{day.shape.day:%Y-%m}", day.shape.day.replace(day=1), month_days(day.shape.day)[-1]
    of_day = f"{account}&{app}&day={day.shape.day}"
    settled = (
        *("", f"/month?{account}&month={month}", f"/usage?{of_day}", f"/usage?{of_day}&by=reason&unit=seconds"),
        *(f"/usage?{account}&{app}&from={first}&to={last}", f"/usage?{account}&{app}&month={month}"),
        *(f"/packages?{account}", f"/invoices?{account}", f"/draft?{account}&month={month}"),
        *(f"/explain?{account}&month={month}", "/runs", "/catalog", "/calculator"),
    )
    yield from ((f"/console{path}", TARGET_MS) for path in settled)
    listed = client.get(f"/console/rooms?{of_day}").text
    largest = html.unescape(re.findall(r'href="(/console/room\?[^"]+)"', listed)[0])
    yield from ((path, ROOM_TARGET_MS) for path in (f"/console/rooms?{of_day}", largest, f"/console/explain?{of_day}"))


def _row(client: httpx.Client, process: int, path: str, target: int, runs: int) -> tuple[object, ...]:
    times = []
    for _ in range(runs):
        started, used = time.perf_counter(), _cpu_ms(process)
        answer = client.get(path)
        if answer.status_code != 200:
            sys.exit(f"{path}: {answer.status_code}")
        times.append(((time.perf_counter() - started) * 1000, _cpu_ms(process) - used))
    least = [round(min(each)) for each in zip(*times, strict=True)]
    shown = re.sub(r"room=[^&]+", "room=…", path)
    return f"`{shown}`", len(answer.content) // 1024, *least, f"≤ {target}"


def _cpu_ms(process: int) -> float:
    """What a process has used, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
