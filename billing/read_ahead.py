"""Read-ahead: the next value is computed in a thread of its own while the caller works on the current one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Value = TypeVar("_Value")


def read_ahead(values: Iterator[_Value]) -> Iterator[_Value]:
    """The same values, none of which is None."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, values, None)
        while (value := following.result()) is not None:
            following = reader.submit(next, values, None)
            yield value
