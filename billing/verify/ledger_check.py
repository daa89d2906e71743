"""The ledger once more: every settled day from its windows to its amounts, and what payers have left.

Each day, billed anew from the seconds on record (`billing.verify.account_bills`), is compared with the sums of what is
on record, corrections included. Then every row of its own: what a run charged are the seconds and deductions that this
run wrote.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Table

from billing.ledger import tables
from billing.periods import time_zone
from billing.verify.account_bills import AccountBills, ExpectedDay
from billing.verify.day_bill import ALL_APPS, BASE_FEE, MINIMUM_FEE
from billing.verify.mismatches import Days, Mismatch
from billing.verify.money import Slab, free_payer, granted_to, list_prices_on, validity
from billing.verify.policy_rules import PolicyRules
from billing.verify.settled_facts import AccountFacts, DayFacts

_log = logging.getLogger(__name__)
_CHARGED = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount_scaled")
_FEES = (BASE_FEE, MINIMUM_FEE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheck:
    """One account, looked at with the catalogs and policies on record."""

    bills: AccountBills

    @property
    def facts(self) -> AccountFacts:
        """What the database has of it."""
        return self.bills.facts

    def mismatches(self, days: Days) -> Iterator[Mismatch]:
        """Everything on these days that does not agree."""
        yield from self._gaps()
        yield from self._grants(days)
        for day in self.facts.days:
            if day.day in days and self.bills.rules(day) is None:
                yield from self._unknown(day)
        for expected in self.bills.expected(days):
            yield from self._rows_of_runs(expected.day, expected.terms.rules)
            yield from self._prices(expected.day, expected.terms.rules)
            yield from self._payments(expected)

    def _unknown(self, day: DayFacts) -> Iterator[Mismatch]:
        if day.policy_hash not in self.bills.policies:
            detail = f"the policy {day.policy_id} with which the day was settled"
            yield self._of(day.day, "policy", day.policy_hash, "none with this hash", detail)
        else:
            _log.warning("%s: policy %s is of a kind that is not computed again", day.day, day.policy_id)

    # Days and grants

    def _gaps(self) -> Iterator[Mismatch]:
        """Days follow each other, in dates and in bounds, and each has its run."""
        before: DayFacts | None = None
        for day in self.facts.days:
            if before and (day.day != before.day + timedelta(days=1) or day.start != before.end):
                expected = f"{before.day + timedelta(days=1)}, from {before.end}"
                yield self._of(day.day, "day", expected, f"{day.day}, from {day.start}", "a day before it is missing")
            if day.settled_by not in self.facts.runs:
                yield self._of(day.day, "run", f"run {day.settled_by}", "none", "the run that settled the day")
            before = day

    def _grants(self, days: Days) -> Iterator[Mismatch]:
        """A month's free minutes are those that hold on one of its settled days."""
        grants, by_month = self.facts.grants(), dict[date, set[int]]()
        for day in self.facts.days:
            rules = self.bills.rules(day)
            if rules is not None:
                by_month.setdefault(day.day.replace(day=1), set()).add(self._free_minutes(rules, day.day))
        for month, allowed in by_month.items():
            found = grants.get(month, 0)
            if (month in days or month.replace(day=28) in days) and found not in allowed:
                yield self._of(month, "grant", max(allowed), found, "the free minutes of the month")
        for month in sorted(grants.keys() - by_month.keys()):
            if month in days:
                yield self._of(month, "grant", 0, grants[month], "free minutes of a month without a settled day")

    def _free_minutes(self, rules: PolicyRules, day: date) -> int:
        own = [minutes for first, minutes in self.facts.free_minutes() if first <= day][-1:]
        return rules.free_minutes if not own or own[0] is None else own[0]

    # A day

    def _payments(self, expected: ExpectedDay) -> Iterator[Mismatch]:
        """Who paid, what is payable, and what is left."""
        facts, day, bill = self.facts, expected.day, expected.bill
        deductions = facts.together(
            (tables.deduction, tables.deduction_correction),
            ("window_start", "app_id", "item", "payer_id"),
            ("minutes", "package_minutes"),
            day.day,
        )
        yield from self._apart(day, "deduction", dict(bill.paid), deductions, "minutes and package minutes")
        yield from self._charges(expected)
        units = {(payer_id,): (taken,) for payer_id, taken in bill.package_minutes().items()}
        burned = facts.together((tables.burn_down,), ("payer_id",), ("package_minutes",), day.day)
        yield from self._apart(day, "balance", _some(units), burned, "package minutes")
        lapsed = facts.together((tables.lapse,), ("payer_id",), ("package_minutes",), day.day)
        yield from self._apart(day, "balance", self._ending(expected), lapsed, "package minutes that lapse")
        yield from self._remaining(day)

    def _charges(self, expected: ExpectedDay) -> Iterator[Mismatch]:
        """Charges by app, item and slab; of fees, which change by lines of one unit, the amounts."""
        day, bill = expected.day, expected.bill
        found = self.facts.sums(tables.charge, ("app_id", "item", "slab"), _CHARGED, day.day)
        fees = {(ALL_APPS, item): (amount,) for item, amount in bill.fees.items()}
        charged_fees = {key[:2]: sums[-1:] for key, sums in found.items() if key[1] in _FEES}
        yield from self._apart(day, "charge", fees, _some(charged_fees), "amount")
        charged = {_named(key): sums for key, sums in found.items() if key[1] not in _FEES}
        wanted = {_named(key): tuple(each) for key, each in bill.charges.items()}
        what = "seconds, minutes, deducted, payable and amount"
        yield from self._apart(day, "charge", _some(wanted), _some(charged), what)

    def _ending(self, expected: ExpectedDay) -> dict[tuple[str], tuple[int]]:
        """The package minutes that lapse with a day: of packages that are over, and of the month's free minutes."""
        day, rules = expected.day, expected.terms.rules
        zone, units = time_zone(self.facts.timezone), expected.bill.package_minutes()
        ending = [each["id"] for each in self.bills.packages(day) if validity(each, zone)[1] <= day.day]
        if (day.day + timedelta(days=1)).day == 1:
            free = free_payer(day.day)
            used = {*self.facts.units_before(day.day), *units} if rules.free_by_app else set()
            ending += [name for name in used if name.startswith(f"{free}:")] if rules.free_by_app else [free]
        left = {name: expected.left.get(name, 0) - units.get(name, 0) for name in ending}
        return {(name,): (minutes,) for name, minutes in left.items() if minutes > 0}

    def _remaining(self, day: DayFacts) -> Iterator[Mismatch]:
        """What a row says is left of a payer: what was granted less all that the runs up to it have burned so far."""
        facts, refunds = self.facts, self.facts.refunds()
        granted = self.bills.granted(self.bills.packages(day))
        for row in facts.rows(tables.burn_down, day.day):
            used = facts.units_through(row.payer_id, day.day, row.run_id)
            known = granted_to(row.payer_id, granted)
            allowed = {known - used, known + refunds.get(row.payer_id, 0) - used}
            if row.remaining not in allowed:
                detail = f"what is left of {row.payer_id} after run {row.run_id}"
                yield self._of(day.day, "balance", known - used, row.remaining, detail)

    def _prices(self, day: DayFacts, rules: PolicyRules) -> Iterator[Mismatch]:
        listed, slabs = list_prices_on(rules, self.facts.currency), dict[int, list[Slab]]()
        for row in self.facts.rows(tables.charge, day.day):
            if row.run_id not in slabs:
                slabs[row.run_id] = self.bills.slabs(day, row.run_id, rules)
            price = _price(row, slabs[row.run_id])
            where = f"{row.item} in app {row.app_id}, {row.kind} of run {row.run_id}"
            if row.unit_price_scaled != price:
                detail = f"the price of a minute of {where}, as 10^-8"
                yield self._of(day.day, "price", price, row.unit_price_scaled, detail, row.app_id)
            if row.list_price_scaled is not None and row.list_price_scaled != listed.get(row.item):
                detail = f"the list price of a minute of {where}, as 10^-8"
                yield self._of(day.day, "price", listed.get(row.item), row.list_price_scaled, detail, row.app_id)
            if row.currency != self.facts.currency:
                yield self._of(day.day, "charge", self.facts.currency, row.currency, f"currency of {where}", row.app_id)

    def _rows_of_runs(self, day: DayFacts, rules: PolicyRules) -> Iterator[Mismatch]:
        """What each run charged, against the seconds and deductions that it wrote. The minutes of a run are those that
        the day itself adds; where they depend on the month, only the sums of the day are known."""
        usage = self._by_run(day, (tables.usage, tables.usage_correction), "seconds", rules)
        paid = self._by_run(day, (tables.deduction, tables.deduction_correction), "minutes", rules)
        charged = self.facts.sums(tables.charge, ("app_id", "item", "run_id"), _CHARGED, day.day)
        seconds: dict[tuple[int, str], int] = {}
        for app_id, item, run_id in sorted(usage.keys() | paid.keys() | charged.keys(), key=lambda key: (key[2], *key)):
            if item in _FEES:
                continue
            key, found = (app_id, item, run_id), charged.get((app_id, item, run_id), (0, 0, 0, 0, 0))
            used, before = usage.get(key, 0), seconds.get((app_id, item), 0)
            seconds[app_id, item] = before + used
            minutes = rules.unit.units(before + used) - rules.unit.units(before)
            if item in rules.monthly_items or rules.unit.over_items:
                minutes = found[1]
            deducted = paid.get(key, 0)
            expected = (used, minutes, deducted, minutes - deducted)
            if tuple(found[:4]) != expected:
                detail = f"seconds, minutes, deducted and payable of {item}, run {run_id}"
                yield self._of(day.day, "charge", _numbers(expected), _numbers(found[:4]), detail, app_id)

    def _by_run(
        self, day: DayFacts, both: tuple[Table, Table], column: str, rules: PolicyRules
    ) -> dict[tuple[int, str, int], int]:
        """The sums of what was settled and of what was corrected, by app (as it is counted), item and run."""
        settled, corrected = both
        sums = {(*key, day.settled_by): of for key, of in self._sums(settled, ("app_id", "item"), column, day).items()}
        sums |= self._sums(corrected, ("app_id", "item", "run_id"), column, day)
        found: dict[tuple[int, str, int], int] = {}
        for (app_id, item, run_id), (total,) in sums.items():
            key = (ALL_APPS if rules.unit.over_apps else app_id, item, run_id)
            found[key] = found.get(key, 0) + total
        return found

    def _sums(self, table: Table, keys: tuple[str, ...], column: str, day: DayFacts) -> dict[Any, Any]:
        return self.facts.sums(table, keys, (column,), day.day)

    def _apart(
        self, day: DayFacts, check: str, expected: Mapping[Any, Any], found: Mapping[Any, Any], what: str
    ) -> Iterator[Mismatch]:
        for key in sorted(expected.keys() | found.keys(), key=str):
            one, other = expected.get(key), found.get(key)
            if one is None or other is None or tuple(one) != tuple(other):
                app_id = next((part for part in key if isinstance(part, int) and part != key[0]), None)
                app_id = key[0] if check == "charge" else app_id
                detail = f"{what} of {', '.join(map(str, key))}"
                yield self._of(day.day, check, _numbers(one), _numbers(other), detail, app_id)

    def _of(
        self, day: date, check: str, expected: object, found: object, detail: str, app_id: int | None = None
    ) -> Mismatch:
        return Mismatch(
            check=check,
            account=self.facts.account_id,
            day=day,
            app_id=app_id or None,
            expected=str(expected),
            found=str(found),
            detail=detail,
        )


def _numbers(values: Any) -> str:
    return "none" if values is None else ", ".join(map(str, values))


def _some(sums: Mapping[Any, Any]) -> dict[Any, Any]:
    """Those that are not all nothing."""
    return {key: tuple(each) for key, each in sums.items() if any(each)}


def _named(key: tuple[int, str, int]) -> tuple[int | str, ...]:
    """A slab after the first one is said."""
    return key if key[2] else key[:2]


def _price(row: Any, slabs: Sequence[Slab]) -> int | None:
    """The price of a unit; a fee is one unit, whatever it is."""
    if row.item in _FEES:
        return abs(int(row.amount_scaled))
    return slabs[row.slab].prices.get(row.item) if row.slab < len(slabs) else None
