"""The `billing` command in tests: what it prints and how it ends; and the examples of the documents."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from billing.cli.main import main

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended; `output` is what stands on a terminal."""

    exit_code: int
    stdout: str
    stderr: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """`billing` in one home, at one moment."""

    home: Path
    now: str = "2026-03-11T09:00:00+09:00"

    def __call__(self, line: str) -> Done:
        """Runs a command line, without its first word."""
        runner = CliRunner(env={"BILLING_HOME": str(self.home), "BILLING_NOW": self.now, "COLUMNS": "80"})
        result = runner.invoke(main, shlex.split(line), catch_exceptions=False)
        stderr, output = (text.replace(self.clock, "", 1) for text in (result.stderr, result.output))
        return Done(exit_code=result.exit_code, stdout=result.stdout, stderr=stderr, output=output)

    @property
    def clock(self) -> str:
        """The line on stderr that says of every command here that the clock is stopped; it is left out of `Done`."""
        return f"the clock stands at {self.now} (BILLING_NOW)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A command line as a document shows it, with what it prints there (None: the document does not say)."""

    line: str
    output: str | None = None


def examples(text: str) -> Iterator[Example]:
    """The lines that begin with `billing` in the blocks of a Markdown text; in `console` blocks after `$ `."""
    for language, block in _BLOCK.findall(text):
        block = block.replace("\\\n", " ")
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, output = part.partition("\n")
                if line.startswith("billing "):
                    yield Example(line=line.removeprefix("billing "), output=output)
        elif language in ("sh", "bash", "shell"):
            for line in block.splitlines():
                if line.startswith("billing "):
                    yield Example(line=line.removeprefix("billing "))


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a Markdown text that are marked as of this language."""
    return [block for marked, block in _BLOCK.findall(text) if marked == language]
