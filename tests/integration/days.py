"""A catalog and days to settle, for the tests of the database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import polars as pl
from sqlalchemy import Engine

from billing.catalog.changes import Change
from billing.catalog.policies import Policy, builtin_policies
from billing.catalog.reading import parse_catalog
from billing.ledger import catalog_store, settled_days
from billing.ledger.database import reading, writing
from billing.ledger.runs import Run
from billing.ledger.settled_days import DayBill, SettledDay, SpanBill
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, USAGE_SCHEMA, Metered
from billing.periods import day_bounds, time_zone
from billing.rating.balances import Balances
from billing.rating.charges import Charge
from billing.rating.day import BilledDay
from billing.rating.deductions import Deduction

CLASSROOM = 1400000001
FIRST = date(2026, 3, 1)
LIST_PRICES = {"audio": Decimal("0.00099"), "hd": Decimal("0.00399")}

ACME = """
[[account]]
id = "acme"
name = "Acme K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"

[[app]]
id = 1400000001
account = "acme"
name = "Classroom"

[[package]]
id = "pkg-1"
account = "acme"
minutes = 25000
purchased_at = "2026-03-01T18:00:00+09:00"
price = "24.00"
term = "month"
"""


def apply_catalog(engine: Engine, text: str) -> list[Change]:
    with writing(engine) as conn:
        new = parse_catalog(text, "catalog.toml")
        return catalog_store.apply(conn, new, applied_at_ms=1_772_300_000_000)


def settle(engine: Engine, bill: SpanBill) -> int:
    """Settles the bill of somebody who knows the catalog as it is."""
    with reading(engine) as conn:
        known = catalog_store.last_change(conn)
    return settled_days.settle(engine, replace(bill, catalog_change=known))


def run(
    day: date = FIRST, account_id: str = "acme", policy_id: str = "trtc-intl", policy_hash: str | None = None
) -> Run:
    return Run(
        command="nightly",
        account_id=account_id,
        day=day,
        started_at_ms=1_772_409_600_000,
        finished_at_ms=1_772_409_601_500,
        engine_version="0.1.0",
        policy_id=policy_id,
        policy_hash=policy_hash or builtin_policies()[policy_id].hash,
        price_hash="f00d",
        ingest_id=7,
        log_version=12,
        counts={"findings": 1},
    )


def charge(item: str, *, seconds: int, deducted_minutes: int = 0, app_id: int = CLASSROOM) -> Charge:
    """The charge for so many seconds at the list price."""
    minutes = -(-seconds // 60)
    return Charge(
        app_id=app_id,
        item=item,
        seconds=seconds,
        minutes=minutes,
        deducted_minutes=deducted_minutes,
        payable_minutes=minutes - deducted_minutes,
        unit_price=LIST_PRICES[item],
        amount=(minutes - deducted_minutes) * LIST_PRICES[item],
    )


def day_bill(
    run: Run,
    *,
    usage: Sequence[tuple[int, int, str, str, int]] = (),
    deductions: Sequence[Deduction] = (),
    charges: Sequence[Charge] = (),
    findings: Sequence[tuple[object, ...]] = (),
    state: pl.DataFrame | None = None,
    free_grant: int | None = None,
    lapses: dict[str, int] | None = None,
    policy: Policy | None = None,
) -> SpanBill:
    """The bill of one day; it is as long as a day in Tokyo."""
    known = {policy.hash: policy for policy in builtin_policies().values()}
    day = run.day or FIRST
    start, end = day_bounds(day, time_zone("Asia/Tokyo"))
    settled = SettledDay(day=day, start=start, end=end, policy=policy or known[str(run.policy_hash)])
    billed = BilledDay(
        charges=charges, deductions=deductions, free_grant=free_grant, lapses=lapses or {}, balances=Balances()
    )
    metered = Metered(
        usage=pl.DataFrame(usage, schema=USAGE_SCHEMA, orient="row"),
        findings=pl.DataFrame(findings, schema=FINDINGS_SCHEMA, orient="row"),
        state=pl.DataFrame(schema=STATE_SCHEMA) if state is None else state,
    )
    return SpanBill(
        account_id=str(run.account_id),
        currency="USD",
        run=run,
        catalog_change=0,
        days=[DayBill(settled=settled, list_prices=LIST_PRICES, billed=billed, metered=metered)],
    )
