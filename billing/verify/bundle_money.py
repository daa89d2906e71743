"""The money of a bundle's day: who paid, what is charged, and what is left, against what was settled.

A day begins with what the day before has left: of each payer, and, where the days of a month depend on each other, of
the month. For the first day of a bundle this is said in `days.ndjson`; every other day must agree with the one before.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from billing.verify.bundle_bill import by_key, must_be_equal
from billing.verify.day_bill import (
    BASE_FEE,
    MINIMUM_FEE,
    NOTHING_SO_FAR,
    CellSum,
    DayBill,
    DayTerms,
    MonthSoFar,
    bill_of,
    counted,
)
from billing.verify.money import fees_on, slabs_on, sources_on
from billing.verify.policy_rules import PolicyRules
from billing.verify.room_people import Row

CHARGED = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount_scaled")


def check_money(
    terms: Row,
    day: Row,
    before: tuple[Row, DayBill] | None,
    rules: PolicyRules,
    seconds: Mapping[Any, tuple[int, ...]],
    rows: Mapping[str, Sequence[Row]],
) -> DayBill:
    """The bill of a day, which agrees with the `rows` of its deductions and charges."""
    name, on = day["day"], date.fromisoformat(day["day"])
    windows: dict[tuple[int, int, str], int] = {}
    for (app_id, window, item, _), (count,) in seconds.items():
        windows[window, app_id, item] = windows.get((window, app_id, item), 0) + count
    apps = {app_id for _, app_id, _ in counted(windows, rules.unit)} if rules.free_by_app else set()
    day_terms = DayTerms(
        day=on,
        rules=rules,
        sources=sources_on(on, rules, terms["packages"], None, day["remaining"], apps),
        slabs=slabs_on(rules, terms["currency"], terms["contracts"], on),
        fees=fees_on(rules, terms["currency"]),
    )
    known = {source.payer_id: source.remaining for source in day_terms.sources}
    must_be_equal(f"{name}: what payers have left", known, day["remaining"])
    so_far = _month_before(day, before, rules)
    bill = bill_of(day_terms, windows, so_far)
    keys = ("window_start", "app_id", "item", "payer_id")
    deductions = summed(rows["deductions"], keys, ("minutes", "package_minutes"))
    compare(f"{name}: minutes that are paid", bill.paid, deductions)
    _check_charges(terms, name, day_terms, bill, rows["charges"])
    return bill


def so_far_row(so_far: MonthSoFar) -> dict[str, Any]:
    """What a month has before a day, as it stands in `days.ndjson`."""
    cells = [[*cell, *used] for cell, used in sorted(so_far.cells.items())]
    return {"cells": cells, "free_units": so_far.free_units, "amount": so_far.amount}


def _month_before(day: Row, before: tuple[Row, DayBill] | None, rules: PolicyRules) -> MonthSoFar:
    name, on = day["day"], date.fromisoformat(day["day"])
    is_next = before is not None and date.fromisoformat(before[0]["day"]) + timedelta(days=1) == on
    if before is not None and is_next:
        _check_left(before, day)
    if not rules.is_cumulative:
        return NOTHING_SO_FAR
    said = day["so_far"]
    cells = {(app_id, item): CellSum(*used) for app_id, item, *used in said["cells"]}
    so_far = MonthSoFar(name[:7], day["policy"], cells, said["free_units"], said["amount"])
    if is_next or on.day == 1:
        known = before[1].so_far if before is not None and is_next else NOTHING_SO_FAR
        must_be_equal(f"{name}: what the month has so far", so_far_row(known.at(on, day["policy"])), so_far_row(so_far))
    return so_far


def _check_left(before: tuple[Row, DayBill], day: Row) -> None:
    """A payer has left what it had the day before, less what it paid then."""
    earlier, bill = before
    units = bill.package_minutes()
    for payer_id in earlier["remaining"].keys() & day["remaining"].keys():
        expected = earlier["remaining"][payer_id] - units.get(payer_id, 0)
        must_be_equal(f"{day['day']}: what {payer_id} has left", expected, day["remaining"][payer_id])


def _check_charges(terms: Row, name: str, day_terms: DayTerms, bill: DayBill, rows: Sequence[Row]) -> None:
    """Of fees, which change by lines of one unit, the amounts; of everything else all figures, and the prices."""
    fees = [row for row in rows if row["item"] in (BASE_FEE, MINIMUM_FEE)]
    others = [row for row in rows if row["item"] not in (BASE_FEE, MINIMUM_FEE)]
    charged_fees = summed(fees, ("app_id", "item"), ("amount_scaled",))
    compare(f"{name}: charges", {(0, item): (fee,) for item, fee in bill.fees.items()}, charged_fees)
    charges = {key: tuple(each) for key, each in bill.charges.items() if any(each)}
    compare(f"{name}: charges", charges, summed(others, ("app_id", "item", "slab"), CHARGED))
    for row in others:
        slab = day_terms.slabs[row["slab"]]
        must_be_equal(
            f"{name}: the price of a minute of {row['item']}", slab.prices.get(row["item"]), row["unit_price_scaled"]
        )
    for row in rows:
        must_be_equal(f"{name}: the currency of {row['item']}", terms["currency"], row["currency"])


def summed(rows: Sequence[Row], keys: Sequence[str], values: Sequence[str]) -> dict[Any, tuple[int, ...]]:
    """The sums of some columns; what comes to nothing is left out."""
    found = {key: tuple(sum(row[value] for row in of) for value in values) for key, of in by_key(rows, *keys).items()}
    return {key: sums for key, sums in found.items() if any(sums)}


def compare(what: str, expected: Mapping[Any, Sequence[int]], found: Mapping[Any, Sequence[int]]) -> None:
    """Stops at the first key whose numbers differ."""
    for key in sorted(expected.keys() | found.keys(), key=str):
        one, other = (list(of[key]) if key in of else None for of in (expected, found))
        must_be_equal(f"{what} of {', '.join(map(str, key))}", one, other)
