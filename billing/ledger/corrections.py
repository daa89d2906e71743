"""Corrections: what a replay of settled days found different, posted beside what is settled, never in its place.

Everything is signed: after minus before. Settled rows and the corrections to them add up to what one clean run over all
events known by then gives. One replay of one account is one run and one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
from sqlalchemy import Connection, Engine

from billing.catalog.policies import Policy
from billing.errors import BillingError
from billing.ledger import tables
from billing.ledger.database import writing
from billing.ledger.runs import Run, insert_run, last_run_of
from billing.ledger.settled_days import (
    DEDUCTIONS_SCHEMA,
    FINDINGS_SCHEMA,
    USAGE_SCHEMA,
    charge_row,
    check_catalog_change,
    insert_frame,
    insert_free_grant,
    insert_rows,
    insert_settled_day,
    insert_state,
    last_settled_day,
    read_rows,
    remaining_units,
    storable,
)
from billing.rating.charges import PostedCharge

FINDING_COUNTS_SCHEMA = pl.Schema({**FINDINGS_SCHEMA, "count": pl.Int64()})


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDifference:
    """What is different on one day.

    `usage`, `deductions`, `findings` have the columns of their tables, the last with a `count`. `charges` are complete
    but for the run. `burned` are package units and what is left at the end of the day, by payer. `state` is None when
    it is as it was. `policy` is set for a day that was not settled: one before the first billed day.
    """

    day: date
    usage: pl.DataFrame
    deductions: pl.DataFrame
    findings: pl.DataFrame
    charges: Sequence[PostedCharge]
    burned: Mapping[str, tuple[int, int]]
    lapses: Mapping[str, int]
    state: pl.DataFrame | None
    free_grant: int | None = None
    policy: Policy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What one replay posts. `last_run` and `last_day` are those of the account's books when they were read."""

    account_id: str
    posted_on: date
    run: Run
    catalog_change: int
    last_run: int
    last_day: date
    days: Sequence[DayDifference]


def post(engine: Engine, correction: Correction) -> int:
    """Writes all days of a replay and returns the run's number; nothing is written when the books have changed."""
    account_id = correction.account_id
    with writing(engine) as conn:
        books = (last_run_of(conn, account_id), last_settled_day(conn, account_id))
        if books != (correction.last_run, correction.last_day):
            raise BillingError(
                f'the books of account "{account_id}" were changed during this run: nothing was corrected, '
                "run the command again"
            )
        check_catalog_change(conn, correction.catalog_change)
        run_id = insert_run(conn, correction.run)
        for different in correction.days:
            _post_day(conn, account_id, different, run_id, correction.posted_on)
        for payer_id, units in remaining_units(conn, account_id).items():
            if units < 0:
                raise AssertionError(f"{payer_id} of {account_id} would have {units} units left")
    return run_id


def usage(
    conn: Connection,
    account_id: str,
    first: date,
    last: date,
    *,
    apps: Iterable[int] | None = None,
    runs: Iterable[int] | None = None,
) -> pl.DataFrame:
    """Corrected seconds: `day`, the columns of `USAGE_SCHEMA`, `run_id`; of a period, perhaps of some runs."""
    schema = pl.Schema({**USAGE_SCHEMA, "run_id": pl.Int64()})
    return read_rows(conn, tables.usage_correction, schema, account_id, first, last, apps, runs)


def deductions(
    conn: Connection, account_id: str, first: date, last: date, *, runs: Iterable[int] | None = None
) -> pl.DataFrame:
    """Corrected deductions: `day`, the columns of `DEDUCTIONS_SCHEMA`, `run_id`."""
    schema = pl.Schema({**DEDUCTIONS_SCHEMA, "run_id": pl.Int64()})
    return read_rows(conn, tables.deduction_correction, schema, account_id, first, last, None, runs)


def findings(
    conn: Connection, account_id: str, first: date, last: date, *, apps: Iterable[int] | None = None
) -> pl.DataFrame:
    """Findings that came (`count` above 0) or went: `day` and the columns of `FINDING_COUNTS_SCHEMA`."""
    return read_rows(conn, tables.finding_correction, FINDING_COUNTS_SCHEMA, account_id, first, last, apps)


def _post_day(conn: Connection, account_id: str, different: DayDifference, run_id: int, posted_on: date) -> None:
    day = different.day
    if different.policy is not None:
        insert_settled_day(conn, account_id, day, run_id, different.policy)
    if different.free_grant is not None:
        insert_free_grant(conn, account_id, day, different.free_grant, run_id, posted_on)
    key = {"account_id": account_id, "day": day, "run_id": run_id}
    insert_frame(conn, tables.usage_correction, key, different.usage)
    insert_frame(conn, tables.deduction_correction, key, different.deductions)
    insert_frame(conn, tables.finding_correction, key, storable(different.findings).with_row_index("id", offset=1))
    insert_rows(conn, tables.charge, [{**charge_row(account_id, line), "run_id": run_id} for line in different.charges])
    posted = {**key, "kind": "correction", "posted_on": posted_on}
    burned = [
        {**posted, "payer_id": payer_id, "package_units": units, "remaining": remaining}
        for payer_id, (units, remaining) in different.burned.items()
    ]
    lapses = [{**posted, "payer_id": payer_id, "package_units": units} for payer_id, units in different.lapses.items()]
    insert_rows(conn, tables.burn_down, burned)
    insert_rows(conn, tables.lapse, lapses)
    if different.state is not None:
        insert_state(conn, account_id, day, run_id, different.state)
