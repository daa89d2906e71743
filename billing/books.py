"""What stands in the books about one account, in the names that the commands print: charges, packages, findings.

Every view is a polars frame: days are dates, instants RFC 3339 text in the account's time zone, prices and amounts
exact decimals.
"""

from datetime import date, timedelta

import polars as pl

from billing import periods
from billing.errors import UsageError
from billing.money import SCALE_DIGITS
from billing.storage import bills
from billing.storage.catalog_store import load_catalog
from billing.storage.database import Engine, reading

_MONEY = pl.Decimal(38, SCALE_DIGITS)
CHARGES_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "app_id": pl.Int64(),
        "item": pl.String(),
        "seconds": pl.Int64(),
        "minutes": pl.Int64(),
        "deducted_minutes": pl.Int64(),
        "payable_minutes": pl.Int64(),
        "unit_price": _MONEY,  # per minute
        "amount": _MONEY,
        "currency": pl.String(),
        "kind": pl.String(),
    }
)
PACKAGES_SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "app_id": pl.Int64,  # null: the whole account
        "valid_from": pl.String,
        "expires_at": pl.String,  # the first instant at which it no longer pays
        "granted": pl.Int64,  # package minutes, as all that follow
        "deducted": pl.Int64,
        "lapsed": pl.Int64,
        "remaining": pl.Int64,
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


def charges(engine: Engine, account_id: str, month: date) -> pl.DataFrame:
    """The charges of the month's billed days, by day, app and item: `CHARGES_SCHEMA`."""
    with reading(engine) as conn:
        load_catalog(conn).account(account_id)
        posted = bills.charges(conn, account_id, month, periods.month_days(month)[-1])
    rows = [
        (
            entry.day,
            entry.charge.app_id,
            entry.charge.item,
            entry.charge.seconds,
            entry.charge.minutes,
            entry.charge.deducted_minutes,
            entry.charge.payable_minutes,
            entry.charge.unit_price,
            entry.charge.amount,
            entry.currency,
            entry.kind,
        )
        for entry in posted
    ]
    return pl.DataFrame(rows, schema=CHARGES_SCHEMA, orient="row")


def packages(engine: Engine, account_id: str) -> pl.DataFrame:
    """Every month's free minutes and every package as of the last billed day: `PACKAGES_SCHEMA`."""
    with reading(engine) as conn:
        zone = periods.time_zone(load_catalog(conn).account(account_id).timezone)
        balances = bills.package_balances(conn, account_id)
    rows = [
        (
            balance.id,
            balance.app_id,
            periods.local_iso(periods.day_start(balance.valid_from, zone), zone),
            periods.local_iso(periods.day_start(balance.valid_to + timedelta(days=1), zone), zone),
            balance.granted,
            balance.deducted,
            balance.lapsed,
            balance.remaining,
        )
        for balance in balances
    ]
    return pl.DataFrame(rows, schema=PACKAGES_SCHEMA, orient="row")


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
            found = bills.findings(conn, account.id, first, last, apps=None if app_id is None else [app_id])
            zone = periods.time_zone(account.timezone)
            at = [periods.local_iso_ms(at_ms, zone) for at_ms in found["at"]]
            frames.append(found.with_columns(pl.Series("at", at, pl.String)).select(*FINDINGS_SCHEMA))
    return pl.concat(frames)
