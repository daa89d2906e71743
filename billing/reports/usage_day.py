"""A day of an app for reading: its windows, the run that settled it, and the runs that may have known it otherwise."""

from dataclasses import dataclass
from datetime import date

from billing import periods
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import Run, runs_of_account

_MOST_RUNS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFacts:
    """The bounds of a day (epoch seconds, `[start, end)`), the run that settled it, the last settled day, and the last
    runs that wrote into the account's books, the newest first."""

    day: date
    start: int
    end: int
    run: Run | None
    settled_through: date | None
    runs: tuple[Run, ...]

    @property
    def windows(self) -> int:
        """How many windows it has: 288, on odd days 252 to 324."""
        return -(-(self.end - self.start) // periods.WINDOW_SECONDS)


def day_facts(engine: Engine, app_id: int, day: date | None = None) -> DayFacts:
    """A day of an app; None: the last settled day of its account, or else today."""
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        ledger = AccountLedger(conn=conn, account_id=catalog.app(app_id).account, catalog=catalog)
        through = ledger.last_settled_day()
        chosen = day or through or periods.local_day(int(periods.now().timestamp()), ledger.zone)
        start, end = ledger.settled_bounds(chosen, chosen).get(chosen) or periods.day_bounds(chosen, ledger.zone)
        return DayFacts(
            day=chosen,
            start=start,
            end=end,
            run=ledger.settled_days(chosen, chosen).get(chosen),
            settled_through=through,
            runs=tuple(runs_of_account(conn, ledger.account_id, _MOST_RUNS)),
        )
