"""Annexes: an account's month as the ledger holds it, down to every window, as it is now or as a document has it.

A draft of an unfinished month covers the days that are settled so far; balances of packages are those at the end of the
last of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from billing.catalog.catalog import Catalog
from billing.catalog.feeds import assumptions_in_words
from billing.catalog.items import WindowUsage
from billing.catalog.quantities import ALL_APPS
from billing.errors import BillingError
from billing.invoicing.annex import Annex, DayDetail, ReasonSeconds
from billing.invoicing.invoice import make_invoice
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.billed_months import billed_days, billed_month
from billing.ledger.catalog_store import catalog_of_change
from billing.ledger.database import Connection
from billing.ledger.documents import StoredDocument
from billing.ledger.runs import Run
from billing.periods import month_days
from billing.rating.deductions import Deduction

_BY_WINDOW = ["window_start", "app_id", "item"]
_BY_REASON = ["app_id", "item", "reason"]


class NothingBilled(BillingError):  # noqa: N818 - a state, not a fault
    """No day of the month is billed."""


def issued_annex(conn: Connection, stored: StoredDocument, catalog: Catalog | None = None) -> Annex | None:
    """The annex of a month's document as it was when that was issued; None: it has none.

    `catalog` is that of the document's last change, if it is known.
    """
    if stored.month is None or not has_annex(stored):
        return None
    ledger = AccountLedger(
        conn=conn,
        account_id=stored.account_id,
        catalog=catalog or catalog_of_change(conn, stored.catalog_change),
        as_of=stored.run_id,
        as_of_refund=stored.refund_id,
    )
    return read_annex(ledger, stored.month, number=stored.number)


def has_annex(stored: StoredDocument) -> bool:
    """Whether a document is that of a month, and so has an annex."""
    return stored.month is not None and stored.credits is None


def read_annex(
    ledger: AccountLedger, month: date, *, as_of: datetime | None = None, number: str | None = None
) -> Annex:
    """The invoice of an account and month (its first day), with everything that its sheets show."""
    runs = billed_days(ledger, month)
    billed = billed_month(ledger, month, runs)
    if not runs and not billed.charges:
        then = f" at {as_of.isoformat()}" if as_of else ""
        raise NothingBilled(
            f'no day of {month:%Y-%m} is billed for account "{ledger.account_id}"{then}: run `billing nightly` first'
        )
    settled, corrected = list(_settled_days(ledger, runs)), list(_corrected_days(ledger, month))
    paid = {row.payer_id for detail in (*settled, *corrected) for row in detail.deductions}
    balances = ledger.package_balances(on=max(runs, default=month_days(month)[-1]))
    packages = ledger.catalog.packages
    return Annex(
        invoice=make_invoice(billed),
        month=billed,
        settled=settled,
        corrected=corrected,
        packages=[each for each in balances if each.valid_to >= month or each.id in paid],
        deducted=_deducted(ledger, month),
        number=number,
        elsewhere=sorted(
            each.id for each in balances if each.id in packages and packages[each.id].charge in (None, "external")
        ),
        assumptions=list(_assumptions(ledger, {posted.charge.app_id for posted in billed.charges} - {ALL_APPS})),
    )


def _assumptions(ledger: AccountLedger, billed: Collection[int]) -> Iterator[str]:
    """A sentence for each app billed for which the catalog says that something is assumed."""
    for app_id in sorted(billed):
        app = ledger.catalog.apps[app_id]
        if words := assumptions_in_words(app.feed, app.assume):
            yield f"App {app.name} ({app.id}): {words}."


def _settled_days(ledger: AccountLedger, runs: Mapping[date, Run]) -> Iterator[DayDetail]:
    """Each settled day with what it was settled with."""
    if not runs:
        return
    first, last = min(runs), max(runs)
    usage, deductions = ledger.usage(first, last), ledger.deductions(first, last)
    windows = _parts(_seconds_by(usage, ["day", *_BY_WINDOW]), "day")
    reasons = _parts(_seconds_by(usage, ["day", *_BY_REASON]), "day")
    paid = _parts(deductions, "day")
    for day, run in runs.items():
        yield DayDetail(
            day=day,
            run_id=run.id or 0,
            usage=[WindowUsage._make(row) for row in _rows(windows, (day,), WindowUsage._fields)],
            reasons=[ReasonSeconds._make(row) for row in _rows(reasons, (day,), ReasonSeconds._fields)],
            deductions=[Deduction._make(row) for row in _rows(paid, (day,), Deduction._fields)],
        )


def _corrected_days(ledger: AccountLedger, month: date) -> Iterator[DayDetail]:
    """What each run that posted in the month found different in each day."""
    posted = pl.col("run_id").is_in([run.id for run in ledger.posting_runs(month, month_days(month)[-1])])
    usage = ledger.corrected_usage(date.min, date.max).filter(posted)
    deductions = ledger.corrected_deductions(date.min, date.max).filter(posted)
    windows = _parts(_seconds_by(usage, ["run_id", "day", *_BY_WINDOW]).filter(pl.col("seconds") != 0), "run_id", "day")
    paid = _parts(deductions, "run_id", "day")
    for key in sorted(windows.keys() | paid.keys()):
        run_id, day = key
        yield DayDetail(
            day=day,
            run_id=run_id,
            usage=[WindowUsage._make(row) for row in _rows(windows, key, WindowUsage._fields)],
            deductions=[Deduction._make(row) for row in _rows(paid, key, Deduction._fields)],
        )


def _seconds_by(usage: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    return usage.group_by(keys, maintain_order=True).agg(pl.col("seconds").sum())


_Parts = dict[tuple[Any, ...], pl.DataFrame]


def _parts(rows: pl.DataFrame, *keys: str) -> _Parts:
    return rows.partition_by(*keys, as_dict=True, include_key=False, maintain_order=True)


def _rows(parts: _Parts, key: tuple[Any, ...], fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of one part, none if it is not there."""
    return parts[key].select(fields).iter_rows() if key in parts else iter(())


def _deducted(ledger: AccountLedger, month: date) -> dict[str, int]:
    """The package minutes that each payer gave in the month: a difference of balances, not a sum of deductions."""
    before = {each.id: each.deducted for each in ledger.package_balances(on=month - timedelta(days=1))}
    after = ledger.package_balances(on=month_days(month)[-1])
    return {each.id: each.deducted - before.get(each.id, 0) for each in after}
