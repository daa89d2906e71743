"""Runs a command and says how long it took and how much memory it needed, by the account of the operating system."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`seconds` of wall time from start to exit; `peak_bytes` is the largest resident set of the process."""

    seconds: float
    peak_bytes: int
    stdout: str


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Timing:
    """Runs the command; ends the benchmark with its messages if it fails."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, **(environment or {})})
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode:
            sys.exit(
                f"{' '.join(command)}\nfailed with exit code {process.returncode}:\n{stdout.read()}{stderr.read()}"
            )
        return Timing(seconds=seconds, peak_bytes=used.ru_maxrss * 1024, stdout=stdout.read())
