"""The cut-off: what a run knows. Whatever arrives later is for the next run.

Every run begins by saying it: the catalog, and how far into the event log it reads.
"""

from dataclasses import dataclass
from typing import Any

from billing import __version__, periods
from billing.catalog.catalog import Catalog
from billing.catalog.terms import DayTerms
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import last_change, load_catalog
from billing.ledger.database import Connection
from billing.ledger.runs import Run, last_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """What a run knows. `ingest_id`: the last ingest that it reads, `ingest_commit` the identity of its commit;
    `started_at_ms`: when it looked."""

    log: EventLog
    ingest_id: int
    ingest_commit: str | None
    log_version: int | None
    catalog: Catalog
    catalog_change: int
    started_at_ms: int

    def ledger(self, conn: Connection, account_id: str) -> AccountLedger:
        """The ledger of an account, with the catalog of the run."""
        return AccountLedger(conn=conn, account_id=account_id, catalog=self.catalog)

    def run(self, command: str, terms: DayTerms | None = None, **what: Any) -> Run:
        """The record of what was done with it, ended now; `what`: further fields of `Run`."""
        return Run(
            command=command,
            started_at_ms=self.started_at_ms,
            finished_at_ms=max(self.started_at_ms, now_ms()),
            engine_version=__version__,
            policy_id=terms.policy.id if terms else None,
            policy_hash=terms.policy.hash if terms else None,
            price_hash=terms.price_hash if terms else None,
            ingest_id=self.ingest_id,
            ingest_commit=self.ingest_commit,
            log_version=self.log_version,
            **what,
        )


def cutoff_now(conn: Connection, home: Home) -> Cutoff:
    """What is known at this moment. A `BillingError` when the books rest on events that the log does not have."""
    log = EventLog(directory=home.events)
    if read := last_read(conn):
        log.check_holds(read)
    ingest_id = log.last_ingest_id()
    return Cutoff(
        log=log,
        ingest_id=ingest_id,
        ingest_commit=log.commit_identity(ingest_id),
        log_version=log.version(),
        catalog=load_catalog(conn),
        catalog_change=last_change(conn),
        started_at_ms=now_ms(),
    )


def now_ms() -> int:
    """This moment in epoch milliseconds."""
    return int(periods.now().timestamp() * 1000)
