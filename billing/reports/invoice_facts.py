"""An account's month: what the books hold of its billed days, as an invoice states it.

A draft of an unfinished month covers the days that are billed so far; balances of packages are those at the end of the
last of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog.contracts import Contract, contract_on
from billing.catalog.items import ITEMS
from billing.catalog.policies import PolicyVersion
from billing.errors import BillingError
from billing.invoicing.invoice import (
    BilledAccount,
    CorrectedDeduction,
    Correction,
    CorrectionWindow,
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
from billing.invoicing.workbook.excel_file import Progress, write_workbook
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import Engine, reading
from billing.ledger.runs import BILLED, Run
from billing.money import plain
from billing.rating.charges import PostedCharge


def export_invoice(
    engine: Engine,
    account_id: str,
    month: date,
    path: Path,
    *,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes the workbook of the month's draft invoice, as it is now or was known at an instant.

    A `BillingError` when no day of the month is, or was then, billed.
    """
    with reading(engine) as conn:
        facts = month_facts(AccountLedger.at(conn, account_id, as_of), month, as_of=as_of)
    write_workbook(make_invoice(facts), path, progress=progress)


def month_facts(ledger: AccountLedger, month: date, *, as_of: datetime | None = None) -> Facts:
    """Everything that the invoice of an account and month (its first day) states."""
    catalog, account, account_id = ledger.catalog, ledger.account, ledger.account_id
    runs = _billed_days(ledger, month)
    if not runs:
        then = f" at {as_of.isoformat()}" if as_of else ""
        raise BillingError(
            f'no day of {month:%Y-%m} is billed for account "{account_id}"{then}: run `billing nightly` first'
        )
    # Days that were billed later are not known.
    last = max(runs)
    contracts = [contract for contract in catalog.contracts.values() if contract.account == account_id]
    usage = ledger.usage(month, last)
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
        for row in ledger.deductions(month, last).iter_rows(named=True)
    ]
    posted = ledger.charges(month, periods.month_days(month)[-1])
    posting_runs = [run.id for run in ledger.posting_runs(month, periods.month_days(month)[-1])]
    corrected = _corrected_deductions(ledger, posting_runs)
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
        charges=[_day_charge(entry, contracts) for entry in posted if entry.kind == "usage"],
        windows=[WindowSeconds(*row) for row in _sums(usage, WindowSeconds._fields)],
        reasons=[ReasonSeconds(*row) for row in _sums(usage, ReasonSeconds._fields)],
        deductions=deductions,
        corrections=[_correction(entry, contracts, corrected) for entry in posted if entry.kind == "correction"],
        correction_windows=list(_correction_windows(ledger, posting_runs)),
        packages=list(_balances(ledger, month, last, deductions, corrected)),
        balances_on=last,
        policies=list(_policies(ledger, runs)),
        contract=list(_terms_in_words(contracts, runs)),
    )


def _billed_days(ledger: AccountLedger, month: date) -> dict[date, Run]:
    """The days of the month that were billed when their time came: others, from before the first billed day, came with
    a correction, which is in the month in which it was posted."""
    settled = ledger.settled_days(month, periods.month_days(month)[-1])
    return {day: run for day, run in settled.items() if run.result == BILLED}


def _corrected_deductions(
    ledger: AccountLedger, posting_runs: Sequence[int | None]
) -> dict[tuple[int, date, int, str], list[CorrectedDeduction]]:
    """What the corrections posted in the month say of payers, by run, day, app and item."""
    rows = ledger.corrected_deductions(date.min, date.max).filter(pl.col("run_id").is_in(posting_runs))
    sums = rows.group_by("run_id", "day", "app_id", "item", "payer_id").agg(pl.col("minutes", "package_units").sum())
    found: dict[tuple[int, date, int, str], list[CorrectedDeduction]] = {}
    for run, day, app_id, item, payer_id, minutes, units in (
        sums.filter(pl.col("minutes") != 0).sort(pl.all()).iter_rows()
    ):
        found.setdefault((run, day, app_id, item), []).append(CorrectedDeduction(payer_id, minutes, units))
    return found


def _correction_windows(ledger: AccountLedger, posting_runs: Sequence[int | None]) -> Iterator[CorrectionWindow]:
    """The signed seconds of the corrections posted in the month, by window."""
    rows = ledger.corrected_usage(date.min, date.max).filter(pl.col("run_id").is_in(posting_runs))
    rows = rows.rename({"run_id": "run"})
    keys = [name for name in CorrectionWindow._fields if name != "seconds"]
    sums = rows.group_by(keys).agg(pl.col("seconds").sum()).filter(pl.col("seconds") != 0).sort(keys)
    for row in sums.select(CorrectionWindow._fields).iter_rows():
        yield CorrectionWindow(*row)


def _sums(usage: pl.DataFrame, fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Seconds by the other fields, which come in the order of `fields`."""
    keys = [field for field in fields if field != "seconds"]
    sums = usage.group_by(keys, maintain_order=True).agg(pl.col("seconds").sum())
    return sums.select(fields).iter_rows()


def _list_price(posted: PostedCharge, contracts: Sequence[Contract]) -> Decimal | None:
    """Per 1,000 minutes; None where the contract sets a price of its own."""
    contract = contract_on(posted.day, contracts)
    has_own_price = contract is not None and posted.charge.item in contract.prices
    return None if has_own_price or posted.list_price is None else posted.list_price * 1000


def _day_charge(posted: PostedCharge, contracts: Sequence[Contract]) -> DayCharge:
    charge = posted.charge
    return DayCharge(
        day=posted.day,
        app_id=charge.app_id,
        item=charge.item,
        seconds=charge.seconds,
        minutes=charge.minutes,
        deducted_minutes=charge.deducted_minutes,
        payable_minutes=charge.payable_minutes,
        list_price=_list_price(posted, contracts),
        unit_price=charge.unit_price,
        amount=charge.amount,
    )


def _correction(
    posted: PostedCharge,
    contracts: Sequence[Contract],
    corrected: Mapping[tuple[int, date, int, str], Sequence[CorrectedDeduction]],
) -> Correction:
    charge = posted.charge
    return Correction(
        day=posted.day,
        app_id=charge.app_id,
        item=charge.item,
        seconds=charge.seconds,
        minutes=charge.minutes,
        deducted_minutes=charge.deducted_minutes,
        payable_minutes=charge.payable_minutes,
        list_price=_list_price(posted, contracts),
        unit_price=charge.unit_price,
        amount=charge.amount,
        run=posted.run_id,
        corrects_run=posted.corrects_run_id,
        posted_on=posted.posted_on,
        cause=posted.cause or "",
        deducted=tuple(corrected.get((posted.run_id, posted.day, charge.app_id, charge.item), ())),
    )


def _balances(
    ledger: AccountLedger,
    month: date,
    on: date,
    deductions: Sequence[WindowDeduction],
    corrected: Mapping[tuple[int, date, int, str], Sequence[CorrectedDeduction]],
) -> Iterator[PackageBalance]:
    """What was valid in the month or corrected in it, as of the end of `on`."""
    deducted: Counter[str] = Counter()
    for deduction in deductions:
        deducted[deduction.payer_id] += deduction.package_units
    for correction in (each for several in corrected.values() for each in several):
        deducted[correction.payer_id] += correction.package_units
    for balance in ledger.package_balances(on=on):
        if balance.valid_to >= month or balance.id in deducted:
            yield PackageBalance(
                id=balance.id,
                app_id=balance.app_id,
                valid_from=_start(balance.valid_from, ledger.zone),
                expires_at=_start(balance.valid_to + timedelta(days=1), ledger.zone),
                granted=balance.granted,
                deducted=balance.deducted,
                lapsed=balance.lapsed,
                remaining=balance.remaining,
                deducted_this_month=deducted[balance.id],
            )


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(periods.day_start(day, zone), UTC)


def _policies(ledger: AccountLedger, runs: Mapping[date, Run]) -> Iterator[PolicyPrices]:
    """The policy versions that billed days of the month, in the order of their use."""
    policies = {run.policy_hash: ledger.policy_of(run) for run in runs.values()}
    used = dict.fromkeys(
        (run.policy_hash, policies[run.policy_hash].version_on(day).valid_from) for day, run in runs.items()
    )
    for policy_hash, valid_from in used:
        policy = policies[policy_hash]
        version = policy.version_on(valid_from)
        yield PolicyPrices(
            id=policy.id,
            name=policy.name,
            valid_from=valid_from,
            hash=policy.hash,
            items=tuple(_item_price(version, item, ledger.account.currency) for item in version.items),
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
