"""Prefetch: values that are made one ahead, in a thread of their own, while the one before is worked on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Value = TypeVar("_Value")


def prefetched(values: Iterator[_Value]) -> Iterator[_Value]:
    """The same values, none of which is None."""
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, values, None)
        while (value := following.result()) is not None:
            following = maker.submit(next, values, None)
            yield value
