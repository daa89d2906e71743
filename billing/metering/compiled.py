"""Compiled functions: numba, cached on disk, without the interpreter's lock."""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The function compiled to machine code on its first call; where no cache can be written, anew in each process."""
    try:
        made: _Function = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's directory nor the user's cache directory can be written
        made = njit(nogil=True)(function)
    return made
