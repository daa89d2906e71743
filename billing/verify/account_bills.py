"""Account bills: the settled days of an account billed once more, from the seconds on record.

    usage windows -> units -> who pays (in order, with what the days before left) -> payable units x price

Each day is computed with the policy that it was settled with and the catalog that its last run knew. Where the days of
a month depend on each other, a month is computed from its first settled day on, whatever days are asked for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.periods import time_zone
from billing.verify.applied_catalogs import AppliedCatalog, CatalogHistory
from billing.verify.day_bill import DayBill, DayTerms, MonthSoFar, bill_of, counted
from billing.verify.mismatches import Days
from billing.verify.money import Slab, fees_on, free_payer, granted_to, slabs_on, sources_on
from billing.verify.policy_rules import PolicyRules, rules_on
from billing.verify.settled_facts import AccountFacts, DayFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDay:
    """A day as it must have been billed: what payers had left and its month had before it, and its bill."""

    day: DayFacts
    terms: DayTerms
    left: Mapping[str, int]
    so_far: MonthSoFar
    bill: DayBill


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBills:
    """One account, with the catalogs and policies on record."""

    facts: AccountFacts
    history: CatalogHistory
    policies: Mapping[str, Mapping[str, Any]]

    def expected(self, days: Days | Collection[date]) -> Iterator[ExpectedDay]:
        """Those of these days whose policy is known, in their order."""
        so_far, months = MonthSoFar(), {f"{day.day:%Y-%m}" for day in self.facts.days if day.day in days}
        for day in self.facts.days:
            rules = self.rules(day)
            is_wanted = day.day in days
            if rules is None or not (is_wanted or (rules.is_cumulative and f"{day.day:%Y-%m}" in months)):
                so_far = MonthSoFar()
                continue
            so_far = so_far.at(day.day, day.policy_id)
            found = self._expected(day, rules, so_far)
            if is_wanted:
                yield found
            so_far = found.bill.so_far

    def _expected(self, day: DayFacts, rules: PolicyRules, so_far: MonthSoFar) -> ExpectedDay:
        facts = self.facts
        packages, windows = self.packages(day), facts.windows(day.day)
        apps = {app_id for _, app_id, _ in counted(windows, rules.unit)} if rules.free_by_app else set()
        remaining = self._left(day, self.granted(packages), apps)
        terms = DayTerms(
            day=day.day,
            rules=rules,
            sources=sources_on(day.day, rules, packages, time_zone(facts.timezone), remaining, apps),
            slabs=self.slabs(day, day.computed_by, rules),
            fees=fees_on(rules, facts.currency),
        )
        bill = bill_of(terms, windows, so_far)
        return ExpectedDay(day=day, terms=terms, so_far=so_far, bill=bill, left=remaining)

    def _left(self, day: DayFacts, granted: Mapping[str, int], apps: Iterable[int]) -> dict[str, int]:
        """The package minutes that each payer has left before a day; `apps` may have free minutes of their own."""
        before = self.facts.units_before(day.day)
        payers = {*granted, *before, *(free_payer(day.day, app_id) for app_id in apps)}
        return {payer_id: granted_to(payer_id, granted) - before.get(payer_id, 0) for payer_id in payers}

    def rules(self, day: DayFacts) -> PolicyRules | None:
        """What its policy says on a day; None: it is not known, or counts what is not counted here."""
        return rules_on(self.policies.get(day.policy_hash), day.day)

    def slabs(self, day: DayFacts, run_id: int, rules: PolicyRules) -> list[Slab]:
        """The price on a day as a run knew it."""
        contracts = self.catalog(run_id).contracts_of(self.facts.account_id)
        return slabs_on(rules, self.facts.currency, contracts, day.day)

    def catalog(self, run_id: int) -> AppliedCatalog:
        """The catalog that a run knew."""
        run = self.facts.runs.get(run_id)
        if run is None:
            return self.history.last
        if run.catalog_change is not None:
            return self.history.at_change(run.catalog_change)
        return self.history.at(run.started_at_ms)

    def packages(self, day: DayFacts) -> Sequence[Mapping[str, Any]]:
        """The packages that the last run of a day knew."""
        return self.catalog(day.computed_by).packages_of(self.facts.account_id)

    def granted(self, packages: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """What each payer was granted, refunds taken off."""
        refunds = self.facts.refunds()
        granted = {each["id"]: each["minutes"] - refunds.get(each["id"], 0) for each in packages}
        return granted | {f"free-{month:%Y-%m}": minutes for month, minutes in self.facts.grants().items()}
