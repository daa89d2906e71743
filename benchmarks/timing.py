"""Runs a command and says how long it took and how much memory it needed, by the account of the operating system."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

PROCESSORS = 2


class CommandFailedError(Exception):
    """A command that was to be timed failed; with what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`seconds` of wall time from start to exit; `cpu_seconds` of all threads; `peak_bytes` is the largest resident set
    of the process."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stdout: str


def use_few_processors() -> None:
    """Holds this process, and all that it starts, to `PROCESSORS` processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Timing:
    """Runs the command; raises `CommandFailedError` if it fails."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, **(environment or {})})
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode:
            raise CommandFailedError(
                f"{' '.join(command)}\nfailed with exit code {process.returncode}:\n{stdout.read()}{stderr.read()}"
            )
        return Timing(
            seconds=seconds,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_bytes=used.ru_maxrss * 1024,
            stdout=stdout.read(),
        )


def median_of(runs: int, run: Callable[[], Timing]) -> Timing:
    """Of several runs the one in the middle, by wall time."""
    return sorted((run() for _ in range(runs)), key=lambda timing: timing.seconds)[runs // 2]
