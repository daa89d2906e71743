"""The front door for Python: the reports of one home, as typed methods that return polars frames.

    home = billing.open("billing-data")
    home.charges("academy", "2026-03")

The methods only read. Days are `date` or `"2026-03-01"`, months `"2026-03"` or any `date` in the month, both local to
the account. In a frame days are dates, instants RFC 3339 text, prices and amounts exact decimals. A `BillingError` says
what is wrong: there is no such home, account, app or day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from billing import periods
from billing.home import Home
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, open_database, reading
from billing.output_files import Output
from billing.reports import account as account_report
from billing.reports import invoice_files, run_list
from billing.reports import usage as usage_report
from billing.reports.estimate import Estimate, estimate, tariff_of_account
from billing.reports.planned_rooms import Room, live_room

__all__ = ["Billing", "Estimate", "Room", "live_room", "open_home"]

Day = date | str
Month = date | str

_COUNTS = pl.List(pl.Struct({"name": pl.String, "count": pl.Int64}))
RUNS_SCHEMA = pl.Schema(
    {
        "id": pl.Int64(),
        "command": pl.String(),
        "account": pl.String(),  # null: all accounts
        "day": pl.Date(),
        "from_day": pl.Date(),
        "cause": pl.String(),
        "started_at": pl.String(),
        "finished_at": pl.String(),
        "engine_version": pl.String(),
        "policy": pl.String(),
        "policy_hash": pl.String(),
        "price_hash": pl.String(),
        "ingest_id": pl.Int64(),
        "log_version": pl.Int64(),
        "counts": _COUNTS,
        "result": pl.String(),
        "detail": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """The reports of one home; with `provisional`, including the days not settled yet, up to the last refresh."""

    home: Home
    engine: Engine
    provisional: bool = False

    def charges(self, account: str, month: Month) -> pl.DataFrame:
        """The charges of the month's settled days and the corrections posted in the month."""
        return account_report.charges(self.engine, account, _month(month), provisional=self.provisional)

    def usage(
        self,
        app: int,
        first: Day,
        last: Day,
        *,
        by: usage_report.By = "window",
        unit: usage_report.Unit = "seconds",
        run: int | None = None,
    ) -> pl.DataFrame:
        """The usage of the days `first` to `last`, both included; with `run`, as known at the end of that run.

        Minutes exist by window and by day only. What was known at a run has no provisional days.
        """
        return usage_report.app_usage(
            self.home,
            self.engine,
            app,
            _day(first),
            _day(last),
            by=by,
            unit=unit,
            provisional=self.provisional and run is None,
            run=run,
        )

    def packages(self, account: str) -> pl.DataFrame:
        """The package minutes granted, deducted, lapsed and remaining, by package and by month of free minutes."""
        return account_report.packages(self.engine, account, provisional=self.provisional)

    def findings(
        self,
        account: str | None = None,
        *,
        app: int | None = None,
        first: Day = "1970-01-01",
        last: Day = "2999-12-31",
    ) -> pl.DataFrame:
        """The findings of settled days `first` to `last`, both included: of an account, of an app, or of all."""
        return account_report.findings(self.engine, account_id=account, app_id=app, first=_day(first), last=_day(last))

    def runs(self, *, limit: int = 20) -> pl.DataFrame:
        """The last runs, the newest first: `RUNS_SCHEMA`."""
        rows = run_list.runs(self.engine, limit=limit)
        return pl.DataFrame([row | {"counts": _counts(row["counts"])} for row in rows], schema=RUNS_SCHEMA)

    def export_invoice(
        self, account: str, month: Month, path: str | Path, *, as_of: datetime | str | None = None
    ) -> Path:
        """Writes the workbook of the month's draft invoice, as known at `as_of` if given, and returns its path."""
        instant = periods.parse_instant(as_of) if isinstance(as_of, str) else as_of
        invoice_files.export_invoice(
            self.engine, account, _month(month), Output(path=path, home=self.home.directory), as_of=instant
        )
        return Path(path)

    def estimate(self, account: str, room: Room, *, rooms_per_day: int, minutes: int, days: int = 30) -> Estimate:
        """The cost of a month of such rooms, under the account's policy, contract and free minutes of today."""
        with reading(self.engine) as conn:
            tariff = tariff_of_account(load_catalog(conn), account, periods.now())
        return estimate(room, tariff, rooms_per_day=rooms_per_day, minutes=minutes, days=days)


def open_home(directory: str | Path, *, database_url: str | None = None, provisional: bool = False) -> Billing:
    """The home at `directory`; a `BillingError` if `billing init` has not created it, or not for this version."""
    home = Home.at(Path(directory), database_url)
    return Billing(home=home, engine=open_database(home.database), provisional=provisional)


def _day(day: Day) -> date:
    # A datetime or a pandas timestamp is a date too, and stands for its day.
    return periods.parse_day(day) if isinstance(day, str) else date(day.year, day.month, day.day)


def _month(month: Month) -> date:
    return periods.parse_month(month) if isinstance(month, str) else date(month.year, month.month, 1)


def _counts(counts: object) -> list[dict[str, object]]:
    assert isinstance(counts, Mapping)  # noqa: S101 - a report's rows are not typed by column
    return [{"name": name, "count": count} for name, count in counts.items()]
