"""What stands in the books about one account, in the names that the commands print: charges, packages, findings.

Every view is a polars frame: days are dates, instants RFC 3339 text in the account's time zone, prices and amounts
exact decimals.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from billing import periods
from billing.catalog.catalog import Account
from billing.catalog.packages import free_minutes_id, is_free_minutes
from billing.catalog.terms import DayTerms
from billing.errors import BillingError, UsageError
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import check_rows, load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.difference import summed
from billing.ledger.issued_charges import charge_key, live_documents
from billing.ledger.provisional_bills import ProvisionalBill, provisional_bills
from billing.money import SCALE_DIGITS, plain
from billing.rating.balances import PackageBalance
from billing.rating.charges import Charge, PostedCharge
from billing.rating.day import BilledDay

_MONEY = pl.Decimal(38, SCALE_DIGITS)
CHARGES_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "app_id": pl.Int64(),  # null: counted over all apps
        "item": pl.String(),
        "seconds": pl.Int64(),
        "minutes": pl.Int64(),
        "deducted_minutes": pl.Int64(),
        "payable_minutes": pl.Int64(),
        "unit_price": _MONEY,  # per minute
        "amount": _MONEY,
        "currency": pl.String(),
        "kind": pl.String(),  # "usage" or "correction"
        "document": pl.String(),  # the number of the live document it stands on
        "run": pl.Int64(),  # null: not settled
        "corrects_run": pl.Int64(),
        "posted_on": pl.Date(),
        "cause": pl.String(),
        "deducted_by": pl.List(pl.Struct({"payer_id": pl.String, "minutes": pl.Int64})),
        "settled": pl.Boolean(),
    }
)
_CELL = ["day", "app_id", "item"]
_OF_BILLS = pl.Schema({name: CHARGES_SCHEMA[name] for name in CHARGES_SCHEMA.names()[:9]})
PACKAGES_SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "app_id": pl.Int64,  # null: the whole account
        "valid_from": pl.String,
        "expires_at": pl.String,  # the first instant at which it no longer pays
        "granted": pl.Int64,  # package minutes, as all that follow
        "deducted": pl.Int64,
        "lapsed": pl.Int64,
        "refunded": pl.Int64,
        "remaining": pl.Int64,
        "settled": pl.Boolean,  # false: days that are not billed yet have taken from it
    }
)
FINDINGS_SCHEMA = pl.Schema(
    {
        "day": pl.Date,
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "at": pl.String,
        "finding": pl.String,
        "detail": pl.String,
    }
)


def charges(engine: Engine, account_id: str, month: date, *, provisional: bool = False) -> pl.DataFrame:
    """The charges of the month's billed days and the corrections posted in it, by day, app and item: `CHARGES_SCHEMA`.

    `provisional` includes the days that are not billed yet, up to the last refresh.
    """
    with reading(engine) as conn:
        return _charges(AccountLedger.at(conn, account_id), month, provisional)


def charges_of_all(
    engine: Engine, month_of: Callable[[Account], date], *, provisional: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """The charges of every account, with `account` before the columns of `CHARGES_SCHEMA`, and why some are missing.

    `month_of` gives the first day of the month of an account.
    """
    frames, errors = [pl.DataFrame(schema={"account": pl.String, **CHARGES_SCHEMA})], []
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        for account in sorted(catalog.accounts.values(), key=lambda account: account.id):
            ledger = AccountLedger(conn=conn, account_id=account.id, catalog=catalog)
            try:
                check_rows(conn, catalog, account.id)
                found = _charges(ledger, month_of(account), provisional)
            except BillingError as error:
                errors.append(f"account {account.id}: {error}")
            else:
                frames.append(found.select(pl.lit(account.id).alias("account"), *CHARGES_SCHEMA))
    return pl.concat(frames), errors


def _charges(ledger: AccountLedger, month: date, provisional: bool) -> pl.DataFrame:
    last = periods.month_days(month)[-1]
    open_days = provisional_bills(ledger) if provisional else []
    unsettled = [(bill.terms, bill.billed) for bill in open_days if month <= bill.day <= last]
    posted = charges_frame(ledger, ledger.charges(month, last))
    return pl.concat([posted, bills_frame(unsettled, ledger.account.currency)])


def charges_frame(ledger: AccountLedger, posted: Sequence[PostedCharge]) -> pl.DataFrame:
    """Charges that are posted, of whatever days: `CHARGES_SCHEMA`."""
    if not posted:
        return _charges_frame([])
    first, last = min(entry.day for entry in posted), max(entry.posted_on for entry in posted)
    deducted = ledger.deducted_minutes(first, last)
    on = live_documents(ledger.conn, ledger.account_id, first, last)
    return _charges_frame(
        [
            _charge_row(entry, _deducted_by(entry, deducted), settled=True, document=on.get(charge_key(entry)))
            for entry in posted
        ]
    )


def bills_frame(bills: Iterable[tuple[DayTerms, BilledDay]], currency: str) -> pl.DataFrame:
    """The charges of days that are billed but not posted: `CHARGES_SCHEMA`. There may be more than 100,000."""
    days = [(terms.day, billed) for terms, billed in bills]
    rows = [(day, *_figures(charge)) for day, billed in days for charge in billed.charges]
    varying = {name: pl.String() if dtype == _MONEY else dtype for name, dtype in _OF_BILLS.items()}
    alike = [
        pl.lit(currency).alias("currency"),
        pl.lit("usage").alias("kind"),
        *(pl.lit(None, CHARGES_SCHEMA[name]).alias(name) for name in ("document", "run", "corrects_run", "cause")),
        pl.col("day").alias("posted_on"),
        pl.lit(value=False).alias("settled"),
    ]
    frame = pl.DataFrame(rows, schema=varying, orient="row").cast({"unit_price": _MONEY, "amount": _MONEY})
    paid = frame.select(_CELL).join(_deducted(days), on=_CELL, how="left", nulls_equal=True, maintain_order="left")
    return frame.with_columns(*alike, paid["deducted_by"].fill_null([])).select(*CHARGES_SCHEMA)


def _deducted(days: Iterable[tuple[date, BilledDay]]) -> pl.DataFrame:
    """The minutes that each payer paid, by day, app and item. A frame of lists is slow to make of rows."""
    rows = [
        (day, each.app_id or None, each.item, each.payer_id, each.minutes)
        for day, billed in days
        for each in billed.deductions
    ]
    schema = {**{name: CHARGES_SCHEMA[name] for name in _CELL}, "payer_id": pl.String(), "minutes": pl.Int64()}
    by_payer = pl.DataFrame(rows, schema=schema, orient="row").group_by(*_CELL, "payer_id").agg(pl.col("minutes").sum())
    return by_payer.sort("payer_id").group_by(_CELL).agg(deducted_by=pl.struct("payer_id", "minutes"))


def correction_lines(
    lines: Iterable[PostedCharge],
    deducted: Mapping[tuple[date, int, str], Mapping[str, int]],
    *,
    run: int | None,
) -> pl.DataFrame:
    """Correction lines as `charges` shows them; `run` is None when they are not posted."""
    rows = [
        _charge_row(
            replace(line, run_id=run or 0),
            deducted.get((line.day, line.charge.app_id, line.charge.item), {}),
            settled=run is not None,
        )
        for line in lines
    ]
    return _charges_frame(rows).with_columns(run=pl.when(pl.col("settled")).then("run"))


def _deducted_by(
    posted: PostedCharge, deducted: Mapping[tuple[date, int, str, int | None], Mapping[str, int]]
) -> Mapping[str, int]:
    run = posted.run_id if posted.kind == "correction" else None
    return deducted.get((posted.day, posted.charge.app_id, posted.charge.item, run), {})


def _figures(charge: Charge) -> tuple[object, ...]:
    """The columns of `CHARGES_SCHEMA` from the app to the amount."""
    return (
        charge.app_id or None,
        charge.item,
        charge.seconds,
        charge.minutes,
        charge.deducted_minutes,
        charge.payable_minutes,
        plain(charge.unit_price),
        plain(charge.amount),
    )


def _payers(minutes: Mapping[str, int]) -> list[dict[str, object]]:
    return [{"payer_id": payer_id, "minutes": paid} for payer_id, paid in sorted(minutes.items())]


def _charge_row(
    posted: PostedCharge, deducted: Mapping[str, int], *, settled: bool, document: str | None = None
) -> tuple[object, ...]:
    return (
        posted.day,
        *_figures(posted.charge),
        posted.currency,
        posted.kind,
        document,
        posted.run_id if settled else None,
        posted.corrects_run_id,
        posted.posted_on,
        posted.cause,
        _payers(deducted),
        settled,
    )


def _charges_frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    """Rows of `_charge_row` in `CHARGES_SCHEMA`. (Decimals that come as text are as exact, and polars need not load
    numpy for them.)"""
    as_text = {name: pl.String() if dtype == _MONEY else dtype for name, dtype in CHARGES_SCHEMA.items()}
    return pl.DataFrame(rows, schema=as_text, orient="row").cast({"unit_price": _MONEY, "amount": _MONEY})


def packages(engine: Engine, account_id: str, *, provisional: bool = False) -> pl.DataFrame:
    """Every month's free minutes and every package as of the last billed day: `PACKAGES_SCHEMA`.

    `provisional` takes off what the days that are not billed yet have used, up to the last refresh.
    """
    with reading(engine) as conn:
        ledger = AccountLedger.at(conn, account_id)
        balances = ledger.package_balances()
        open_days = provisional_bills(ledger) if provisional else []
    zone = ledger.zone
    if open_days:
        balances = _after_open_days(balances, open_days)
    rows = [
        (
            balance.id,
            balance.app_id,
            periods.local_iso(periods.day_start(balance.valid_from, zone), zone),
            periods.local_iso(periods.day_start(balance.valid_to + timedelta(days=1), zone), zone),
            balance.granted,
            balance.deducted,
            balance.lapsed,
            balance.refunded,
            balance.remaining,
            not open_days,
        )
        for balance in balances
    ]
    return pl.DataFrame(rows, schema=PACKAGES_SCHEMA, orient="row")


def _after_open_days(balances: Sequence[PackageBalance], open_days: Sequence[ProvisionalBill]) -> list[PackageBalance]:
    """The balances with what the unsettled days took and let lapse, and the free minutes that they would be granted.

    A day that is not over lets nothing lapse yet.
    """
    known = {balance.id: balance for balance in balances}
    for bill in open_days:
        if bill.billed.free_grant is not None:
            month = bill.day.replace(day=1)
            free = PackageBalance(
                id=free_minutes_id(month),
                app_id=None,
                valid_from=month,
                valid_to=periods.month_days(month)[-1],
                granted=bill.billed.free_grant,
            )
            known.setdefault(free.id, free)
    after = open_days[-1].billed
    held = {} if open_days[-1].is_over else after.lapses
    found = [
        replace(
            balance,
            deducted=after.balances.deducted.get(balance.id, 0),
            lapsed=after.balances.lapsed.get(balance.id, 0) - held.get(balance.id, 0),
        )
        for balance in known.values()
    ]
    # Free minutes first.
    return sorted(found, key=lambda balance: (not is_free_minutes(balance.id), balance.valid_from, balance.id))


def findings(
    engine: Engine, *, account_id: str | None = None, app_id: int | None = None, first: date, last: date
) -> pl.DataFrame:
    """What was ignored or interpreted on the days `first` to `last`, both included: `FINDINGS_SCHEMA`.

    Of one account, of one app, or of all.
    """
    if last < first:
        raise UsageError(f"{first} is after {last}: give the earlier day first")
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        owner = catalog.app(app_id).account if app_id is not None else account_id
        accounts = catalog.accounts.values() if owner is None else [catalog.account(owner)]
        if account_id not in (None, owner):
            raise UsageError(f"app {app_id} belongs to account {owner!r}, not to {account_id!r}")
        frames = [pl.DataFrame(schema=FINDINGS_SCHEMA)]
        for account in accounts:
            ledger = AccountLedger(conn=conn, account_id=account.id, catalog=catalog)
            found = _findings(ledger, first, last, None if app_id is None else [app_id])
            at = [periods.local_iso_ms(at_ms, ledger.zone) for at_ms in found["at"]]
            frames.append(found.with_columns(pl.Series("at", at, pl.String)).select(*FINDINGS_SCHEMA))
    return pl.concat(frames)


def _findings(ledger: AccountLedger, first: date, last: date, apps: Sequence[int] | None) -> pl.DataFrame:
    """Those of the settled days, with those that corrections added and without those that they took away."""
    found = ledger.findings(first, last, apps=apps)
    corrected = ledger.corrected_findings(first, last, apps=apps)
    if corrected.is_empty():
        return found
    both = pl.concat([found.with_columns(count=pl.lit(1, pl.Int64)), corrected.select(*found.columns, "count")])
    net = summed(both, found.columns, ["count"])
    return net.select(pl.exclude("count").repeat_by("count").explode()).drop_nulls("day")
