"""An account's month: what the books hold of its billed days, as an invoice states it.

A draft of an unfinished month covers the days that are billed so far; balances of packages are those at the end of the
last of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog import Account, Catalog, known_policies
from billing.errors import BillingError
from billing.invoicing.invoice import (
    BilledAccount,
    DayCharge,
    Facts,
    ItemPrice,
    PackageBalance,
    Party,
    PolicyPrices,
    ReasonSeconds,
    WindowDeduction,
    WindowSeconds,
    make_invoice,
)
from billing.invoicing.workbook import Progress, write_workbook
from billing.money import plain
from billing.rating.contracts import Contract, contract_on
from billing.rating.items import ITEMS
from billing.rating.policies import PolicyVersion
from billing.storage import bills
from billing.storage.bills import PostedCharge, Run
from billing.storage.catalog_store import load_catalog
from billing.storage.database import Connection, Engine, reading


def export_invoice(
    engine: Engine, account_id: str, month: date, path: Path, *, progress: Progress | None = None
) -> None:
    """Writes the workbook of the month's draft invoice; a `BillingError` when no day of the month is billed."""
    with reading(engine) as conn:
        facts = month_facts(conn, account_id, month)
    write_workbook(make_invoice(facts), path, progress=progress)


def month_facts(conn: Connection, account_id: str, month: date) -> Facts:
    """Everything that the invoice of an account and month (its first day) states."""
    catalog = load_catalog(conn)
    account = catalog.account(account_id)
    zone = periods.time_zone(account.timezone)
    last = periods.month_days(month)[-1]
    runs = bills.settled_days(conn, account_id, month, last)
    if not runs:
        raise BillingError(f'no day of {month:%Y-%m} is billed for account "{account_id}": run `billing nightly` first')
    contracts = [contract for contract in catalog.contracts.values() if contract.account == account_id]
    usage = bills.usage(conn, account_id, month, last)
    deductions = [
        WindowDeduction(
            row["day"],
            row["app_id"],
            row["window_start"],
            row["item"],
            row["minutes"],
            row["package_units"],
            row["payer_id"],
        )
        for row in bills.deductions(conn, account_id, month, last).iter_rows(named=True)
    ]
    return Facts(
        account=BilledAccount(
            id=account.id,
            name=account.name,
            address=account.address,
            currency=account.currency,
            timezone=account.timezone,
        ),
        seller=Party(name=catalog.seller.name, address=catalog.seller.address) if catalog.seller else None,
        month=month,
        days=list(runs),
        item_order=ITEMS,
        apps={
            app.id: app.name
            for app in sorted(catalog.apps.values(), key=lambda app: app.id)
            if app.account == account_id
        },
        charges=[_day_charge(posted, contracts) for posted in bills.charges(conn, account_id, month, last)],
        windows=[WindowSeconds(*row) for row in _sums(usage, WindowSeconds._fields)],
        reasons=[ReasonSeconds(*row) for row in _sums(usage, ReasonSeconds._fields)],
        deductions=deductions,
        packages=list(_balances(conn, account_id, month, max(runs), zone, deductions)),
        balances_on=max(runs),
        policies=list(_policies(catalog, account, runs)),
        contract=list(_terms_in_words(contracts, runs)),
    )


def _sums(usage: pl.DataFrame, fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Seconds by the other fields, which come in the order of `fields`."""
    keys = [field for field in fields if field != "seconds"]
    sums = usage.group_by(keys, maintain_order=True).agg(pl.col("seconds").sum())
    return sums.select(fields).iter_rows()


def _day_charge(posted: PostedCharge, contracts: Sequence[Contract]) -> DayCharge:
    charge = posted.charge
    contract = contract_on(posted.day, contracts)
    has_own_price = contract is not None and charge.item in contract.prices
    return DayCharge(
        day=posted.day,
        app_id=charge.app_id,
        item=charge.item,
        seconds=charge.seconds,
        minutes=charge.minutes,
        deducted_minutes=charge.deducted_minutes,
        payable_minutes=charge.payable_minutes,
        list_price=None if has_own_price or posted.list_price is None else posted.list_price * 1000,
        unit_price=charge.unit_price,
        amount=charge.amount,
    )


def _balances(
    conn: Connection, account_id: str, month: date, on: date, zone: ZoneInfo, deductions: Sequence[WindowDeduction]
) -> Iterator[PackageBalance]:
    """What was valid in the month, as of the end of `on`."""
    deducted: Counter[str] = Counter()
    for deduction in deductions:
        deducted[deduction.payer_id] += deduction.package_units
    for balance in bills.package_balances(conn, account_id, on):
        if balance.valid_to >= month:
            yield PackageBalance(
                id=balance.id,
                app_id=balance.app_id,
                valid_from=_start(balance.valid_from, zone),
                expires_at=_start(balance.valid_to + timedelta(days=1), zone),
                granted=balance.granted,
                deducted=balance.deducted,
                lapsed=balance.lapsed,
                remaining=balance.remaining,
                deducted_this_month=deducted[balance.id],
            )


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(periods.day_start(day, zone), UTC)


def _policies(catalog: Catalog, account: Account, runs: Mapping[date, Run]) -> Iterator[PolicyPrices]:
    """The policy versions that billed days of the month, in the order of their use."""
    policies = known_policies(catalog)
    used = dict.fromkeys(
        (run.policy_id, run.policy_hash, policies[run.policy_id].version_on(day).valid_from)
        for day, run in runs.items()
    )
    for policy_id, policy_hash, valid_from in used:
        policy = policies[policy_id]
        version = policy.version_on(valid_from)
        yield PolicyPrices(
            id=policy.id,
            name=policy.name,
            valid_from=valid_from,
            hash=policy_hash,
            items=tuple(_item_price(version, item, account.currency) for item in version.items),
        )


def _item_price(version: PolicyVersion, item: str, currency: str) -> ItemPrice:
    return ItemPrice(
        item=item,
        top_area=next((tier.top_area for tier in version.tiers if tier.item == item), None),
        price=version.prices.get(currency, {}).get(item),
        ratio=version.ratios.get(item),
        free_ratio=version.free_ratios.get(item),
    )


def _terms_in_words(contracts: Sequence[Contract], days: Iterable[date]) -> Iterator[str]:
    """One line for each contract that held on one of the days."""
    held = {contract.valid_from: contract for day in days if (contract := contract_on(day, contracts))}
    for valid_from, contract in sorted(held.items()):
        terms = [f"list prices x {plain(contract.discount)}"] if contract.discount is not None else []
        terms += [f"{item} {plain(price)} per 1,000 minutes" for item, price in contract.prices.items()]
        yield f"from {valid_from}: {', '.join(terms)}"
