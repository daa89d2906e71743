"""The runs that metered a settled day: the one that settled it, and those that went through it again since.

Example: run 4 settles March 10, and run 9 corrects everything from March 8 on: runs 4 and 9, in this order. As known at
run 7: run 4.
"""

from datetime import date

from billing.ledger.account_ledger import AccountLedger
from billing.ledger.runs import Run


def runs_of_days(ledger: AccountLedger, first: date, last: date) -> dict[date, list[Run]]:
    """The runs of the settled days of a period, by day; the first has the policy of the day."""
    corrected = ledger.posting_runs()
    return {
        day: [run, *(later for later in corrected if _goes_through(later, day) and (later.id or 0) > (run.id or 0))]
        for day, run in ledger.settled_days(first, last).items()
    }


def _goes_through(run: Run, day: date) -> bool:
    return run.from_day is not None and run.from_day <= day
