"""Compiled functions: machine code by numba, cached on disk, without the interpreter's lock.

Arrays are counted by reference wherever they are handed on, and threads that share them spend most of their time on
that (measured: three times the whole of metering). Compiled functions therefore do not count, which numba permits
where nothing is allocated: they make no arrays, they fill those that they are given. Small functions are made part of
their callers, because handing on a table costs more than most of them do.

numba takes code from its cache as long as the file of a function has not changed, whatever became of the functions and
constants of other files that are part of it. So there is one cache for each state of all files in `MACHINE_CODE`.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from numba import config, njit

# What compiled functions are made of, beside numba.
MACHINE_CODE = ("numba_cache.py", "periods.py", "events/*.py", "metering/**/*.py", "sources/files/*.py")

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function compiled on its first call; where no cache can be written, anew in each process."""
    return _compiled(function, inline=False)


def inlined(function: _Function) -> _Function:
    """A compiled function that becomes part of every compiled function which calls it."""
    return _compiled(function, inline=True)


def _compiled(function: _Function, *, inline: bool) -> _Function:
    options = {"nogil": True, "forceinline": inline, "_nrt": False, "cache": _HAS_CACHE}
    made: _Function = njit(**options)(function)  # type: ignore[call-overload]
    return made


def _use_cache() -> bool:
    """Names the cache to numba: in the package, or the user's; False where neither can be written."""
    package = Path(__file__).parent
    digest = sha256()
    for pattern in MACHINE_CODE:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    own = os.environ.get("NUMBA_CACHE_DIR")
    for place in (own,) if own else (package / "__pycache__", "~/.cache/billing"):
        try:
            directory = Path(place).expanduser() / f"machine-code-{digest.hexdigest()[:16]}"
            directory.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # cannot be written; there is no home
            continue
        if os.access(directory, os.W_OK):
            config.CACHE_DIR = str(directory)  # type: ignore[attr-defined]  # made while numba is loaded
            return True
    return False


_HAS_CACHE = _use_cache()
