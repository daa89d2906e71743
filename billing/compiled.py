"""Compiled functions: machine code by numba, cached on disk, without the interpreter's lock.

Arrays are counted by reference wherever they are handed on, and threads that share them spend most of their time on
that (measured: three times the whole of metering). Compiled functions therefore do not count, which numba permits
where nothing is allocated: they make no arrays, they fill those that they are given. Small functions are made part of
their callers, because handing on a table costs more than most of them do.
"""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function compiled on its first call; where no cache can be written, anew in each process."""
    return _compiled(function, inline=False)


def inlined(function: _Function) -> _Function:
    """A compiled function that becomes part of every compiled function which calls it."""
    return _compiled(function, inline=True)


def _compiled(function: _Function, *, inline: bool) -> _Function:
    options = {"nogil": True, "forceinline": inline, "_nrt": False}
    try:
        made: _Function = njit(cache=True, **options)(function)  # type: ignore[call-overload]
    except RuntimeError:  # neither the package's directory nor the user's cache directory can be written
        made = njit(**options)(function)  # type: ignore[call-overload]
    return made
