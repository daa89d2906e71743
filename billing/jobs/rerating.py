"""A replay: settled days of one account gone through again, from zero, with everything that is known now.

Late events, or a command, make a replay begin; it goes from that day to the last settled one, because stays, free
minutes and packages carry a difference on from day to day. Each day is billed as if it were the first time, compared
with what the books hold of it, and every difference becomes a signed correction: seconds by window, minutes by payer,
money by app and item, findings, what lapses. What is settled stays as it is, and both together are what one clean run
would have given.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

import polars as pl

from billing.catalog.packages import free_minutes_id
from billing.catalog.terms import DayTerms
from billing.jobs.cutoff import Cutoff
from billing.jobs.metered_days import Task
from billing.ledger import corrections
from billing.ledger import settled_days as bills
from billing.ledger.corrections import FINDING_COUNTS_SCHEMA, Correction, DayDifference
from billing.ledger.database import Connection
from billing.ledger.opening import AccountDay, account_days, balances_before, carried_into
from billing.ledger.runs import CORRECTED, last_run_of, read_through
from billing.ledger.settled_days import DEDUCTIONS_SCHEMA, FINDINGS_SCHEMA, USAGE_SCHEMA
from billing.metering.meter import Metered
from billing.metering.windows import window_usage
from billing.money import EXACT
from billing.periods import day_start, local_day, time_zone
from billing.rating.charges import Charge, PostedCharge
from billing.rating.day import Balances, BilledDay, bill_day

_USAGE_KEY = ["app_id", "window_start", "item", "reason"]
_DEDUCTION_KEY = ["window_start", "app_id", "item", "payer_id"]


@dataclass(slots=True, kw_only=True)
class Replay:
    """A replay on its way: `days` are still to come, `found` is what was different so far.

    Its corrections are posted on `posted_on`. `balances` and `state` are those at the end of the last replayed day.
    """

    command: str
    account_id: str
    first: date
    last: date
    posted_on: date
    cause: str
    last_run: int
    balances: Balances
    state: pl.DataFrame | None = None
    found: list[DayDifference] = field(default_factory=list)
    terms: DayTerms | None = None

    def days(self, cutoff: Cutoff) -> list[AccountDay]:
        """The days to go through, in order."""
        return account_days(cutoff.catalog, self.account_id, self.first, self.last)

    def carried(self, conn: Connection, each: AccountDay) -> pl.DataFrame:
        """The stays that go on into the next day."""
        return carried_into(conn, each) if self.state is None else self.state

    def add(self, conn: Connection, task: Task, metered: Metered) -> None:
        """Bills the next day and compares it with the books."""
        billed = bill_day(task.terms, window_usage(metered.usage), self.balances)
        self.balances = self.balances.after(task.each.day, billed)
        self.state, self.terms = metered.state, task.terms
        different = _compared(conn, task, metered, billed, self)
        if different is not None:
            self.found.append(different)

    def correction(self, cutoff: Cutoff) -> Correction:
        """What is to be posted."""
        return Correction(
            account_id=self.account_id,
            posted_on=self.posted_on,
            catalog_change=cutoff.catalog_change,
            last_run=self.last_run,
            last_day=self.last,
            days=self.found,
            run=cutoff.run(
                self.command,
                account_id=self.account_id,
                day=self.posted_on,
                from_day=self.first,
                terms=self.terms,
                result=CORRECTED,
                cause=self.cause,
                detail=self.summary(),
                counts={
                    "days": (self.last - self.first).days + 1,
                    "lines": len(self.lines()),
                    "usage_rows": sum(different.usage.height for different in self.found),
                    "deductions": sum(different.deductions.height for different in self.found),
                    "findings": sum(int(different.findings["count"].sum()) for different in self.found),
                },
            ),
        )

    def lines(self) -> list[PostedCharge]:
        """The correction lines, by day, app and item."""
        return [line for different in self.found for line in different.charges]

    def deducted_by(self) -> dict[tuple[date, int, str], dict[str, int]]:
        """The minutes that payers pay more or less, by day, app and item."""
        return {
            (different.day, app_id, item): minutes
            for different in self.found
            for (app_id, item), minutes in _minutes_by_payer(different.deductions).items()
        }

    def summary(self) -> str:
        """What it comes to, in a few words."""
        if not self.found:
            return f"nothing different from {self.first}"
        with localcontext(EXACT):
            amount = sum((line.charge.amount for line in self.lines()), Decimal(0))
        currency = next((line.currency for line in self.lines()), "")
        return f"{len(self.lines()):,} lines from {self.first}, {amount.normalize():+f} {currency}".strip()


class LateDays(NamedTuple):
    """The oldest day for which an account has late events, and the ingests that brought them."""

    first: date
    first_ingest: int
    last_ingest: int

    def together(self, other: "LateDays") -> "LateDays":
        """Those of two apps."""
        return LateDays(
            min(self.first, other.first),
            min(self.first_ingest, other.first_ingest),
            max(self.last_ingest, other.last_ingest),
        )

    @property
    def cause(self) -> str:
        """Why there is a correction."""
        if self.first_ingest == self.last_ingest:
            return f"late events of ingest {self.last_ingest}"
        return f"late events of ingests {self.first_ingest} to {self.last_ingest}"


def open_replay(conn: Connection, account_id: str, first: date, *, command: str, posted_on: date, cause: str) -> Replay:
    """A replay of the settled days from `first` on (which may be before the first settled one)."""
    last = bills.last_settled_day(conn, account_id)
    if last is None:
        raise ValueError(f"{account_id} has no settled day")
    return Replay(
        command=command,
        account_id=account_id,
        first=first,
        last=last,
        posted_on=max(posted_on, last),
        cause=cause,
        last_run=last_run_of(conn, account_id),
        balances=balances_before(conn, account_id, first),
    )


def signed_difference(
    before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str], values: Sequence[str]
) -> pl.DataFrame:
    """What is to be added to `before` to give `after`: sums of `values` by `key`, without rows that are zero in all."""
    minus = before.select(*key, *(-pl.col(value) for value in values))
    sums = pl.concat([after.select(*key, *values), minus]).group_by(key).agg(pl.col(*values).sum())
    return sums.filter(pl.any_horizontal(pl.col(*values) != 0)).sort(key)


def _compared(
    conn: Connection, task: Task, metered: Metered, billed: BilledDay, replay: Replay
) -> DayDifference | None:
    """What is different from the books on a day; None when nothing is."""
    account_id, day = task.each.account.id, task.each.day
    run = bills.settled_days(conn, account_id, day, day).get(day)
    usage = _difference_of_usage(conn, account_id, day, metered.usage)
    deductions = _difference_of_deductions(conn, account_id, day, billed)
    findings = _difference_of_findings(conn, account_id, day, metered.findings)
    lapses = Counter(billed.lapses)
    lapses.subtract(bills.lapses_of_day(conn, account_id, day))
    state = bills.carried_state(conn, account_id, day)
    different = DayDifference(
        day=day,
        usage=usage,
        deductions=deductions,
        findings=findings,
        charges=list(_correction_lines(conn, task, billed, deductions, replay, run.id if run else None)),
        burned=_burned(deductions, task.terms, replay.balances),
        lapses={payer_id: units for payer_id, units in lapses.items() if units},
        state=None if state is not None and state.equals(metered.state) else metered.state,
        free_grant=billed.free_grant,
        policy=None if run else task.terms.policy,
    )
    changed = (usage.height, deductions.height, findings.height, different.charges, different.lapses)
    if any(changed) or different.state is not None or different.policy or different.free_grant is not None:
        return different
    return None


def _difference_of_usage(conn: Connection, account_id: str, day: date, usage: pl.DataFrame) -> pl.DataFrame:
    names = USAGE_SCHEMA.names()
    before = pl.concat(
        [
            bills.usage(conn, account_id, day, day).select(names),
            corrections.usage(conn, account_id, day, day).select(names),
        ]
    )
    return signed_difference(before, usage, _USAGE_KEY, ["seconds"])


def _difference_of_deductions(conn: Connection, account_id: str, day: date, billed: BilledDay) -> pl.DataFrame:
    names = DEDUCTIONS_SCHEMA.names()
    before = pl.concat(
        [
            bills.deductions(conn, account_id, day, day).select(names),
            corrections.deductions(conn, account_id, day, day).select(names),
        ]
    )
    after = pl.DataFrame(billed.deductions, schema=DEDUCTIONS_SCHEMA, orient="row")
    return signed_difference(before, after, _DEDUCTION_KEY, ["minutes", "package_units"])


def _difference_of_findings(conn: Connection, account_id: str, day: date, found: pl.DataFrame) -> pl.DataFrame:
    one = pl.lit(1, pl.Int64).alias("count")
    before = pl.concat(
        [
            bills.findings(conn, account_id, day, day).select(*FINDINGS_SCHEMA, one),
            corrections.findings(conn, account_id, day, day).select(*FINDING_COUNTS_SCHEMA),
        ]
    )
    after = bills.storable(found).select(*FINDINGS_SCHEMA, one)
    return signed_difference(before, after, FINDINGS_SCHEMA.names(), ["count"])


def _correction_lines(
    conn: Connection, task: Task, billed: BilledDay, deductions: pl.DataFrame, replay: Replay, corrects: int | None
) -> Iterator[PostedCharge]:
    """A line for each app and item whose seconds, minutes or payers are different."""
    before = _sums([posted.charge for posted in bills.charges_of_day(conn, replay.account_id, task.each.day)])
    after = _sums(billed.charges)
    payers = _minutes_by_payer(deductions)
    for app_id, item in sorted(before.keys() | after.keys() | payers.keys()):
        old, new = (sums.get((app_id, item), (0, 0, 0)) for sums in (before, after))
        seconds, minutes, deducted = (now - then for now, then in zip(new, old, strict=True))
        if not (seconds or minutes or deducted or payers.get((app_id, item))):
            continue
        unit_price = task.terms.prices[item]
        with localcontext(EXACT):
            amount = (minutes - deducted) * unit_price
        yield PostedCharge(
            day=task.each.day,
            kind="correction",
            run_id=0,  # known when it is posted
            corrects_run_id=corrects,
            posted_on=replay.posted_on,
            cause=replay.cause,
            currency=task.each.account.currency,
            list_price=task.terms.list_prices.get(item),
            charge=Charge(
                app_id=app_id,
                item=item,
                seconds=seconds,
                minutes=minutes,
                deducted_minutes=deducted,
                payable_minutes=minutes - deducted,
                unit_price=unit_price,
                amount=amount,
            ),
        )


def _sums(charges: Iterable[Charge]) -> dict[tuple[int, str], tuple[int, int, int]]:
    """Seconds, minutes and deducted minutes by app and item."""
    sums: dict[tuple[int, str], tuple[int, int, int]] = {}
    for charge in charges:
        seconds, minutes, deducted = sums.get((charge.app_id, charge.item), (0, 0, 0))
        sums[charge.app_id, charge.item] = (
            seconds + charge.seconds,
            minutes + charge.minutes,
            deducted + charge.deducted_minutes,
        )
    return sums


def _minutes_by_payer(deductions: pl.DataFrame) -> dict[tuple[int, str], dict[str, int]]:
    """Minutes by app and item, and in them by payer, without payers that pay as much as before."""
    sums = deductions.group_by("app_id", "item", "payer_id").agg(pl.col("minutes").sum())
    found: dict[tuple[int, str], dict[str, int]] = {}
    for app_id, item, payer_id, minutes in sums.filter(pl.col("minutes") != 0).sort(pl.all()).iter_rows():
        found.setdefault((app_id, item), {})[payer_id] = minutes
    return found


def _burned(deductions: pl.DataFrame, terms: DayTerms, balances: Balances) -> Mapping[str, tuple[int, int]]:
    """Package units more or less, and what is left at the end of the day, by payer."""
    granted = {package.id: package.minutes for package in terms.packages}
    granted |= {free_minutes_id(month): minutes for month, minutes in balances.granted.items()}
    sums = deductions.group_by("payer_id").agg(pl.col("package_units").sum())
    return {
        payer_id: (units, granted[payer_id] - balances.used.get(payer_id, 0))
        for payer_id, units in sums.sort("payer_id").iter_rows()
        if units
    }


def late_days(conn: Connection, cutoff: Cutoff, settled: Mapping[str, date]) -> dict[str, LateDays]:
    """The late days of every account that has any: events for settled days that none of the account's runs has read.

    `settled`: the last settled day by account.
    """
    through = read_through(conn)
    catalog = cutoff.catalog
    zones = {account_id: time_zone(catalog.accounts[account_id].timezone) for account_id in settled}
    ends = {account_id: day_start(day + timedelta(days=1), zones[account_id]) for account_id, day in settled.items()}
    late: dict[str, LateDays] = {}
    for after in sorted({through[account_id] for account_id in settled}):
        before = max(ends[account_id] for account_id in settled if through[account_id] == after)
        for app_id, events in cutoff.log.late_events(after=after, upto=cutoff.ingest_id, before=before).items():
            account_id = catalog.apps[app_id].account
            second = events.first_at // 1000
            if account_id in settled and through[account_id] == after and second < ends[account_id]:
                found = LateDays(local_day(second, zones[account_id]), events.first_ingest, events.last_ingest)
                late[account_id] = found.together(late.get(account_id, found))
    return late
