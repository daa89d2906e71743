"""Asynchronous code, run from a test.

Playwright keeps an event loop in the thread of the tests until the last of them ends, and a thread runs one loop at
most. So a test that awaits something does so in a thread of its own, in whatever order the tests run.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def outcome(asked: Coroutine[Any, Any, _Result]) -> _Result:
    """What the coroutine returns, or raises, in an event loop of its own."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, asked).result()
