"""Lists of records that hold the numbers of their neighbours, `before` and `after`; -1 is none.

Whoever has a list knows its first record. Example: of the list 4, 7 the first is 4; with 9 linked before it, the first
is 9, and with 4 unlinked the list is 9, 7.
"""

from billing.metering.engine.subscription_tables import Records
from billing.numba_cache import inlined


@inlined
def link(records: Records, number: int, first: int) -> int:
    """Puts a record before the first of a list; the first of the list then."""
    records[number].before, records[number].after = -1, first
    if first >= 0:
        records[first].before = number
    return number


@inlined
def unlink(records: Records, number: int, first: int) -> int:
    """Takes a record out of a list; the first of the list then."""
    before, after = records[number].before, records[number].after
    if after >= 0:
        records[after].before = before
    if before < 0:
        return int(after)
    records[before].after = after
    return first
