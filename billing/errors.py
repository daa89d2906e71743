"""Errors that a user can act on: the message says what is wrong and what to do next.

Anything else that is raised is a bug and crashes with its traceback.
"""


class BillingError(Exception):
    """An account, a file or a request failed, and the message says what to do next (exit code 1)."""


class UsageError(BillingError):
    """The command cannot be meant as it was given: an unknown account, an unfinished day (exit code 2)."""
