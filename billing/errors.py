"""Errors that a user can act on: the message says what is wrong and what to do next.

Anything else that is raised is a bug and crashes with its traceback.
"""

import difflib
from collections.abc import Iterable
from itertools import islice

_MOST_LISTED, _MOST_COMPARED = 50, 10_000


class BillingError(Exception):
    """An account, a file or a request failed, and the message says what to do next (exit code 1)."""


class UsageError(BillingError):
    """The command cannot be meant as it was given: an unknown account, an unfinished day (exit code 2)."""


class UnknownNameError(UsageError):
    """A name or a number that nothing has: over HTTP it is not found."""


class DatabaseError(BillingError):
    """The database failed or cannot be reached: the same may succeed later."""


def missing_row(table: str, key: str) -> BillingError:
    """The error of a row that the database must have, but somebody has removed."""
    return BillingError(f"the row of {key} in the table {table} is missing: restore the database from a backup")


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist: it suggests the closest known name, or lists all of them."""
    names = list(islice(known, _MOST_COMPARED))
    close = difflib.get_close_matches(name, names, n=1)
    more = ", …" if len(names) > _MOST_LISTED else ""
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names[:_MOST_LISTED])}{more}"
    return f"unknown {noun} {name!r}; {hint}"
