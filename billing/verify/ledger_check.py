"""The ledger once more: every settled day from its windows to its amounts, and what payers have left.

    usage windows -> minutes -> who pays (in order, with what the days before left) -> payable minutes x price

Each day is computed anew from the seconds on record, with the policy that it was settled with and the catalog that its
last run knew, and compared with the sums of what is on record, corrections included. Then every row of its own: what a
run charged are the seconds and deductions that this run wrote.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from billing.ledger import tables
from billing.periods import time_zone
from billing.verify.applied_catalogs import AppliedCatalog, CatalogHistory
from billing.verify.mismatches import Days, Mismatch
from billing.verify.money import (
    day_charges,
    list_prices_on,
    minutes_of,
    paid_minutes,
    prices_on,
    sources_on,
    validity,
    version_on,
)
from billing.verify.settled_facts import AccountFacts, DayFacts

_log = logging.getLogger(__name__)
_CHARGED = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount_scaled")
_KNOWN_SHAPE = ("method", "tiers", "ratios")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheck:
    """One account, looked at with the catalogs and policies on record."""

    facts: AccountFacts
    history: CatalogHistory
    policies: Mapping[str, Mapping[str, Any]]

    def mismatches(self, days: Days) -> Iterator[Mismatch]:
        """Everything on these days that does not agree."""
        yield from self._gaps()
        yield from self._grants(days)
        for day in self.facts.days:
            if day.day in days:
                yield from self._day(day)

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
            version = self._version(day)
            if version is not None:
                by_month.setdefault(day.day.replace(day=1), set()).add(self._free_minutes(version, day.day))
        for month, allowed in by_month.items():
            found = grants.get(month, 0)
            if (month in days or month.replace(day=28) in days) and found not in allowed:
                yield self._of(month, "grant", max(allowed), found, "the free minutes of the month")
        for month in sorted(grants.keys() - by_month.keys()):
            if month in days:
                yield self._of(month, "grant", 0, grants[month], "free minutes of a month without a settled day")

    def _free_minutes(self, version: Mapping[str, Any], day: date) -> int:
        own = [minutes for first, minutes in self.facts.free_minutes() if first <= day][-1:]
        return int(version["free_minutes"] if not own or own[0] is None else own[0])

    def _version(self, day: DayFacts) -> Mapping[str, Any] | None:
        policy = self.policies.get(day.policy_hash)
        version = version_on(policy, day.day) if policy else None
        return version if version and all(name in version for name in _KNOWN_SHAPE) else None

    def _catalog(self, run_id: int) -> AppliedCatalog:
        """The catalog that a run knew."""
        run = self.facts.runs.get(run_id)
        if run is None:
            return self.history.last
        if run.catalog_change is not None:
            return self.history.at_change(run.catalog_change)
        return self.history.at(run.started_at_ms)

    # A day

    def _day(self, day: DayFacts) -> Iterator[Mismatch]:
        version = self._version(day)
        # Of a policy that counts otherwise a day is not rounded by itself.
        if version is not None:
            yield from self._rows_of_runs(day)
        if day.policy_hash not in self.policies:
            detail = f"the policy {day.policy_id} with which the day was settled"
            yield self._of(day.day, "policy", day.policy_hash, "none with this hash", detail)
            return
        if version is None:
            _log.warning("%s: policy %s is of a kind that is not computed again", day.day, day.policy_id)
            return
        yield from self._prices(day, version)
        yield from self._payments(day, version)

    def _payments(self, day: DayFacts, version: Mapping[str, Any]) -> Iterator[Mismatch]:
        """Who paid, what is payable, and what is left."""
        facts, catalog = self.facts, self._catalog(day.computed_by)
        packages, zone = catalog.packages_of(facts.account_id), time_zone(facts.timezone)
        granted = self._granted(packages)
        remaining = self._left(day, granted)
        windows = facts.windows(day.day)
        paid = paid_minutes(windows, sources_on(day.day, version, packages, zone, remaining))
        prices = prices_on(version, facts.currency, catalog.contracts_of(facts.account_id), day.day)
        charges = day_charges(windows, paid, prices)
        deductions = facts.together(
            (tables.deduction, tables.deduction_correction),
            ("window_start", "app_id", "item", "payer_id"),
            ("minutes", "package_minutes"),
            day.day,
        )
        yield from self._apart(day, "deduction", dict(paid), deductions, "minutes and package minutes")
        charged = facts.sums(tables.charge, ("app_id", "item"), _CHARGED, day.day)
        expected = {key: (*each[:4], each[5]) for key, each in charges.items()}
        found = {key: tuple(sums) for key, sums in charged.items() if any(sums)}
        yield from self._apart(day, "charge", expected, found, "seconds, minutes, deducted, payable and amount")
        units: dict[tuple[str], tuple[int]] = {}
        for (_, _, _, payer_id), (_, taken) in paid.items():
            units[(payer_id,)] = (units.get((payer_id,), (0,))[0] + taken,)
        burned = facts.together((tables.burn_down,), ("payer_id",), ("package_minutes",), day.day)
        yield from self._apart(day, "balance", units, burned, "package minutes")
        ending = [each["id"] for each in packages if validity(each, zone)[1] <= day.day]
        ending += [f"free-{day.day:%Y-%m}"] if (day.day + timedelta(days=1)).day == 1 else []
        left = {name: remaining.get(name, 0) - units.get((name,), (0,))[0] for name in ending}
        lapsed = facts.together((tables.lapse,), ("payer_id",), ("package_minutes",), day.day)
        gone = {(name,): (minutes,) for name, minutes in left.items() if minutes > 0}
        yield from self._apart(day, "balance", gone, lapsed, "package minutes that lapse")
        yield from self._remaining(day, granted)

    def remaining_before(self, day: DayFacts) -> dict[str, int]:
        """The package minutes that each payer has left before a day."""
        return self._left(day, self._granted(self._catalog(day.computed_by).packages_of(self.facts.account_id)))

    def _granted(self, packages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        refunds = self.facts.refunds()
        granted = {each["id"]: each["minutes"] - refunds.get(each["id"], 0) for each in packages}
        return granted | {f"free-{month:%Y-%m}": minutes for month, minutes in self.facts.grants().items()}

    def _left(self, day: DayFacts, granted: Mapping[str, int]) -> dict[str, int]:
        before = self.facts.units_before(day.day)
        return {payer_id: minutes - before.get(payer_id, 0) for payer_id, minutes in granted.items()}

    def _remaining(self, day: DayFacts, granted: Mapping[str, int]) -> Iterator[Mismatch]:
        """What a row says is left of a payer: what was granted less all that the runs up to it have burned so far."""
        facts, refunds = self.facts, self.facts.refunds()
        for row in facts.rows(tables.burn_down, day.day):
            used = facts.units_through(row.payer_id, day.day, row.run_id)
            known = granted.get(row.payer_id, 0)
            allowed = {known - used, known + refunds.get(row.payer_id, 0) - used}
            if row.remaining not in allowed:
                detail = f"what is left of {row.payer_id} after run {row.run_id}"
                yield self._of(day.day, "balance", known - used, row.remaining, detail)

    def _prices(self, day: DayFacts, version: Mapping[str, Any]) -> Iterator[Mismatch]:
        listed = list_prices_on(version, self.facts.currency)
        for row in self.facts.rows(tables.charge, day.day):
            contracts = self._catalog(row.run_id).contracts_of(self.facts.account_id)
            price = prices_on(version, self.facts.currency, contracts, day.day).get(row.item)
            where = f"{row.item} in app {row.app_id}, {row.kind} of run {row.run_id}"
            if row.unit_price_scaled != price:
                detail = f"the price of a minute of {where}, as 10^-8"
                yield self._of(day.day, "price", price, row.unit_price_scaled, detail, row.app_id)
            if row.list_price_scaled is not None and row.list_price_scaled != listed.get(row.item):
                detail = f"the list price of a minute of {where}, as 10^-8"
                yield self._of(day.day, "price", listed.get(row.item), row.list_price_scaled, detail, row.app_id)
            if row.currency != self.facts.currency:
                yield self._of(day.day, "charge", self.facts.currency, row.currency, f"currency of {where}", row.app_id)

    def _rows_of_runs(self, day: DayFacts) -> Iterator[Mismatch]:
        """What each run charged, against the seconds and deductions that it wrote."""
        facts, by_item = self.facts, ("app_id", "item")
        usage = {
            (*key, day.settled_by): sums
            for key, sums in facts.sums(tables.usage, by_item, ("seconds",), day.day).items()
        }
        usage |= facts.sums(tables.usage_correction, (*by_item, "run_id"), ("seconds",), day.day)
        paid = {
            (*key, day.settled_by): sums
            for key, sums in facts.sums(tables.deduction, by_item, ("minutes",), day.day).items()
        }
        paid |= facts.sums(tables.deduction_correction, (*by_item, "run_id"), ("minutes",), day.day)
        charged = facts.sums(tables.charge, (*by_item, "run_id"), _CHARGED, day.day)
        seconds: dict[tuple[int, str], int] = {}
        for app_id, item, run_id in sorted(usage.keys() | paid.keys() | charged.keys(), key=lambda key: (key[2], *key)):
            key, found = (app_id, item, run_id), charged.get((app_id, item, run_id), (0, 0, 0, 0, 0))
            used, before = usage.get(key, (0,))[0], seconds.get((app_id, item), 0)
            seconds[app_id, item] = before + used
            minutes, deducted = minutes_of(before + used) - minutes_of(before), paid.get(key, (0,))[0]
            expected = (used, minutes, deducted, minutes - deducted)
            if tuple(found[:4]) != expected:
                detail = f"seconds, minutes, deducted and payable of {item}, run {run_id}"
                yield self._of(day.day, "charge", _numbers(expected), _numbers(found[:4]), detail, app_id)

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
            app_id=app_id,
            expected=str(expected),
            found=str(found),
            detail=detail,
        )


def _numbers(values: Any) -> str:
    return "none" if values is None else ", ".join(map(str, values))
