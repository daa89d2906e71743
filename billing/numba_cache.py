"""Compiled functions: compiled by numba, cached on disk, run without the interpreter's lock.

numba counts references to an array at every call that passes it, and threads that share arrays then spend most of their
time on the counters (measured: three times the whole of metering). Compiled functions therefore do not count
references, which numba permits where nothing is allocated: they fill arrays that they are given. Small functions are
inlined, because passing the tables costs more than most of them do.

numba uses its cache as long as the file of a function is unchanged, even if functions and constants of other files that
are inlined have changed. So there is one cache for each state of all files in `COMPILED_SOURCES`. Example: an edit of
`periods.py` changes the name of the cache directory, and all functions are compiled again.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast

from numba import config, njit
from numba.core.types import BaseNamedTuple
from numba.extending import overload

# The files whose functions and constants may become part of compiled functions: those that have any, and whatever these
# import.
COMPILED_SOURCES = (
    *("numba_cache.py", "errors.py", "limits.py", "periods.py"),
    *(
        "events/arrow_arrays.py",
        "events/coded_tables.py",
        "events/coded_texts.py",
        "events/key_runs.py",
        "events/keys.py",
        "events/room_leaves.py",
        "events/rows.py",
        "events/schema.py",
        "events/times.py",
    ),
    *("metering/engine/*.py", "metering/schemas.py"),
    *("sources/files/plain_lines.py", "sources/files/value_tables.py"),
)

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function, compiled on its first call; where no cache can be written, again in each process."""
    return _compiled(function, inline=False)


def inlined(function: _Function) -> _Function:
    """The function, compiled into every compiled function that calls it."""
    return _compiled(function, inline=True)


def only_with(field: str, function: _Function) -> _Function:
    """The function, where this field of its first argument is a named tuple; where it is an empty tuple, it is compiled
    to nothing and gives 0."""

    def chosen(*arguments: object) -> object:
        return function(*arguments) if getattr(arguments[0], field) else 0

    @overload(chosen, jit_options={"nogil": True, "_nrt": False})  # type: ignore[typeddict-unknown-key]
    def choose(*arguments):  # type: ignore[no-untyped-def]  # numba compares the arguments
        if isinstance(arguments[0].types[arguments[0].fields.index(field)], BaseNamedTuple):
            return lambda *arguments: function(*arguments)
        return lambda *arguments: 0  # noqa: ARG005 - numba compares the arguments

    return cast("_Function", chosen)


def _compiled(function: _Function, *, inline: bool) -> _Function:
    options = {"nogil": True, "forceinline": inline, "_nrt": False, "cache": _HAS_CACHE}
    dispatcher: _Function = njit(**options)(function)  # type: ignore[call-overload]
    return dispatcher


def _use_cache() -> bool:
    """Sets numba's cache directory, in the package or else in the user's cache; False where neither is writable."""
    package = Path(__file__).parent
    digest = sha256()
    for pattern in COMPILED_SOURCES:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    own = os.environ.get("NUMBA_CACHE_DIR")
    for place in (own,) if own else (package / "__pycache__", "~/.cache/billing"):
        try:
            directory = Path(place).expanduser() / f"numba-{digest.hexdigest()[:16]}"
            directory.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # not writable; no home directory
            continue
        if os.access(directory, os.W_OK):
            config.CACHE_DIR = str(directory)  # type: ignore[attr-defined]  # defined while numba is loaded
            return True
    return False


_HAS_CACHE = _use_cache()
