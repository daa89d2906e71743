"""Tells the story of a seed, and shows one that fails, cut down to what it takes: python -m tests.late SEED"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.late.story import Story, story
from tests.late.telling import check_story


def failure(tale: Story) -> str:
    """What is wrong with a story, or nothing."""
    with TemporaryDirectory() as directory:
        try:
            check_story(tale, Path(directory))
        except AssertionError as error:
            return str(error)
    return ""


def cut_down(tale: Story) -> Story:
    """A part of a failing story that fails too; its last command stays."""
    for name in ("steps", "arrivals", "packages", "contracts"):
        size = len(getattr(tale, name))
        while size := size // 2:
            start = 0
            while start < len(getattr(tale, name)):
                shorter = _without(tale, name, start, size)
                if shorter.steps[-1:] == tale.steps[-1:] and failure(shorter):
                    tale = shorter
                else:
                    start += size
    return tale


def _without(tale: Story, name: str, start: int, size: int) -> Story:
    entries = getattr(tale, name)
    part: dict[str, Any] = {name: (*entries[:start], *entries[start + size :])}
    return replace(tale, **part)


if __name__ == "__main__":
    told = story(int(sys.argv[1]))
    if failure(told):
        told = cut_down(told)
        sys.exit(f"{told}\n{failure(told)}")
