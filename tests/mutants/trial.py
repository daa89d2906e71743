"""Trials: the tests of a module, run against one mutation of it.

A trial is a child of a process that has loaded the libraries and nothing of the program, so that it begins at once. The
module is compiled from the mutated text when the tests import it; no file is ever changed. Compiled functions run as
plain Python, on records whose fields are attributes as they are in machine code.
"""

import functools
import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
from collections.abc import Sequence
from enum import Enum
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import hypothesis
import numba
import numpy as np
import polars
import pytest
import xxhash
from numpy.typing import NDArray

from tests.mutants.mutations import Mutation

Array = NDArray[np.generic]

PRELOADED = (hypothesis, numba, polars, xxhash)
# Of the processor, for one test (the longest takes one second) and for loading the program; by the clock for all of
# them, for a mutant that waits for ever.
MOST_SECONDS = 4
MOST_SECONDS_BY_THE_CLOCK = 300
MOST_MEMORY = 4 * 2**30
# What numpy is told about numbers that overflow holds for one thread, so the warning is ignored as well.
OVERFLOW = "ignore:overflow encountered:RuntimeWarning"
PYTEST = ("-x", "-q", "--assert=plain", "-W", OVERFLOW, "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider")


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


def begin(mutation: Mutation, tests: Sequence[str]) -> int:
    """Starts a trial in a child process and gives the id of that."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        signal.alarm(MOST_SECONDS_BY_THE_CLOCK)
        _Limit.pytest_runtest_logstart()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.meta_path.insert(0, _Finder(mutation))
        if any("metering" in test for test in tests):
            _as_machine_code(mutation.module)
        code = int(pytest.main([*PYTEST, *tests], plugins=[_Limit]))
    finally:
        # Whatever went wrong was the mutant; what is buffered belongs to the parent.
        os._exit(code)


def outcome(status: int) -> Outcome:
    """What became of the mutant of a child that ended with this status."""
    if os.WIFSIGNALED(status):
        return Outcome.TIMED_OUT if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else Outcome.KILLED
    return Outcome.KILLED if os.WEXITSTATUS(status) else Outcome.SURVIVED


class _Limit:
    """A plug-in that kills the trial when one test takes too long."""

    @staticmethod
    def pytest_runtest_logstart() -> None:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, mutation: Mutation) -> None:
        super().__init__(name, str(Path(mutation.module).resolve()))
        self.mutation = mutation

    def get_code(self, _fullname: str) -> CodeType:
        return compile(self.mutation.code, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutation: Mutation) -> None:
        self.mutation = mutation
        self.name = mutation.module.removesuffix(".py").replace("/", ".")

    def find_spec(self, name: str, _path: object, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, loader=_Loader(name, self.mutation))


def _as_machine_code(module: str) -> None:
    """Makes plain Python do what machine code does: records have attributes, and numbers that overflow go round. Texts
    are hashed by the library of that hash, which is quicker, unless the hash is what is tried."""
    np.seterr(over="ignore")
    for place in ("room_tables", "subscription_tables"):
        tables = importlib.import_module(f"billing.metering.engine.{place}")
        for name, dtype in list(vars(tables).items()):
            if isinstance(dtype, np.dtype):
                record = type("Record", (np.void,), {field: _attribute(field) for field in dtype.names})
                setattr(tables, name, np.dtype((record, dtype)))
    if module != "billing/events/keys.py":
        event_keys = importlib.import_module("billing.events.keys")
        event_keys._hash_all = functools.partial(_hash_all, event_keys.CHECK)


def _hash_all(change: int, ends: Array, letters: Array, seeds: Array, hashes: Array, checks: Array) -> None:
    content = letters.tobytes()
    for number, seed in enumerate(seeds.tolist()):
        text = content[ends[number] : ends[number + 1]]
        hashes[number] = xxhash.xxh64_intdigest(text, seed)
        checks[number] = xxhash.xxh64_intdigest(text, seed ^ change)


def _attribute(field: str) -> property:
    def read(record: np.void) -> object:
        # In machine code a sum or a product with one of these is of 64 bits.
        value = record[field]
        return int(value) if isinstance(value, np.signedinteger) else value

    return property(read, lambda record, value: record.__setitem__(field, value))
