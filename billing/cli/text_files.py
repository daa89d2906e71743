"""Text files that a user names."""

import sys
from pathlib import Path

from billing.errors import BillingError


def read_text(file: Path) -> str:
    """The text of a file in UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BillingError(f"{file}: there is no such file") from None
    except UnicodeDecodeError:
        raise BillingError(f"{file}: is not text in UTF-8") from None


def read_text_or_stdin(file: Path) -> tuple[str, str]:
    """The text of a file in UTF-8, or of standard input for `-`, and what messages call it."""
    if str(file) != "-":
        return read_text(file), str(file)
    try:
        return sys.stdin.buffer.read().decode(), "standard input"
    except UnicodeDecodeError:
        raise BillingError("standard input: is not text in UTF-8") from None


def is_text(argument: str) -> bool:
    """Whether an argument of the command line was UTF-8: Python keeps other bytes as lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)
