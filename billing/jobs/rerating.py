"""A rerating: settled days of one account billed once more, from zero, with everything that is known now.

Late events, or a command, make a rerating begin; it goes from that day to the last settled one, because stays, free
minutes and packages carry a difference on from day to day. Each day is billed as if for the first time, compared with
the ledger, and every difference becomes a signed correction: seconds by window, minutes by payer, money by app and
item, findings, what lapses. What is settled is not changed, and both together are what one clean run would have given.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

import polars as pl

from billing.catalog.items import FEES
from billing.catalog.terms import DayTerms
from billing.errors import missing_row
from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.jobs.cutoff import Cutoff
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.bulk import storable
from billing.ledger.corrections import Correction, DayDifference, summary_of
from billing.ledger.database import Connection
from billing.ledger.difference import signed_difference
from billing.ledger.opening import ENTERED_SUSPENDED, ZONE_CHANGED, AccountDay, Opening, account_days, opening_of
from billing.ledger.runs import CORRECTED, Run, last_run_of, read_through
from billing.ledger.settled_days import SettledDay, deduction_frame
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, USAGE_SCHEMA, Metered, window_usage
from billing.money import EXACT
from billing.periods import day_start
from billing.rating.balances import Balances
from billing.rating.charges import Charge, PostedCharge
from billing.rating.day import BilledDay
from billing.rating.fees import fee_charge
from billing.rating.span import DayUsage, bill_span

_USAGE_KEY = ["app_id", "window_start", "item", "reason"]
_DEDUCTION_KEY = ["window_start", "app_id", "item", "payer_id"]
_NOTHING = Metered(
    usage=pl.DataFrame(schema=USAGE_SCHEMA),
    state=pl.DataFrame(schema=STATE_SCHEMA),
    findings=pl.DataFrame(schema=FINDINGS_SCHEMA),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Why an account's days are rerated: the command, the day on which corrections are posted, and their cause."""

    command: str
    posted_on: date
    cause: str


@dataclass(slots=True, kw_only=True)
class Rerating:
    """A rerating on its way. `balances` and `state` are those at the end of the last rerated day; `found` is what was
    different so far, and `events` from which events each day was metered."""

    account_id: str
    posting: Posting
    days: Sequence[AccountDay]
    in_use: set[date]
    settled: Mapping[date, Run]
    lapsed: Mapping[date, Mapping[str, int]]
    last_run: int
    balances: Balances
    state: pl.DataFrame
    found: list[DayDifference] = field(default_factory=list)
    events: dict[date, EventsRoot] = field(default_factory=dict)
    terms: DayTerms | None = None

    @property
    def first(self) -> date:
        """The first day that is rerated."""
        return self.days[0].day

    @property
    def last(self) -> date:
        """The last settled day."""
        return self.days[-1].day

    def opening(self, ledger: AccountLedger, account_day: AccountDay) -> Opening:
        """The next day, with the stays that the rerated day before has left."""
        return opening_of(ledger, account_day, self.state)

    def is_quiet(self, account_day: AccountDay) -> bool:
        """Whether the next day has neither open stays nor anything metered on record; what the log has is not asked."""
        return self.state.is_empty() and account_day.day not in self.in_use

    def add(self, ledger: AccountLedger, opening: Opening, metered: Metered, events: EventsRoot = NO_EVENTS) -> None:
        """Bills the next day and compares it with the ledger."""
        self.events[opening.account_day.day] = events
        (billed,) = bill_span([DayUsage(terms=opening.terms, usage=window_usage(metered.usage))], self.balances)
        different = _compared(ledger, self, opening, metered, billed)
        self.balances, self.state, self.terms = billed.balances, metered.state, opening.terms
        if not different.is_empty:
            self.found.append(different)

    def add_quiet(self, ledger: AccountLedger, quiet: Sequence[AccountDay]) -> None:
        """Bills days on which nothing happened: what they grant and let lapse may be different."""
        terms_of_days = ledger.terms_on(*(account_day.day for account_day in quiet))
        bills = bill_span((DayUsage(terms=terms) for terms in terms_of_days), self.balances)
        for account_day, terms, billed in zip(quiet, terms_of_days, bills, strict=True):
            different = replace(
                _different(self, account_day, terms, billed),
                charges=list(_correction_lines(ledger, self, terms, billed, deduction_frame([]))),
            )
            self.events[account_day.day] = NO_EVENTS
            self.balances, self.terms = billed.balances, terms
            if not different.is_empty:
                self.found.append(different)

    def correction(self, cutoff: Cutoff) -> Correction:
        """What is to be posted."""
        return Correction(
            account_id=self.account_id,
            posted_on=self.posting.posted_on,
            catalog_change=cutoff.catalog_change,
            last_run=self.last_run,
            last_day=self.last,
            days=self.found,
            events=self.events,
            run=cutoff.run(
                self.posting.command,
                self.terms,
                account_id=self.account_id,
                day=self.posting.posted_on,
                from_day=self.first,
                result=CORRECTED,
                cause=self.posting.cause,
                detail=self.summary(),
                counts={
                    "days": len(self.days),
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
        lines, comma, amount = summary_of(self.lines()).partition(", ")
        return f"{lines} from {self.first}{comma}{amount}"


class LateDays(NamedTuple):
    """The oldest day for which an account has late events, the ingests that brought or retracted them, and whether some
    were brought and some retracted."""

    first: date
    first_ingest: int
    last_ingest: int
    brought: bool
    retracted: bool

    def together(self, other: "LateDays") -> "LateDays":
        """Those of two apps."""
        return LateDays(
            min(self.first, other.first),
            min(self.first_ingest, other.first_ingest),
            max(self.last_ingest, other.last_ingest),
            self.brought or other.brought,
            self.retracted or other.retracted,
        )

    @property
    def cause(self) -> str:
        """Why there is a correction."""
        kinds = " and ".join(["late"] * self.brought + ["retracted"] * self.retracted)
        if self.first_ingest == self.last_ingest:
            return f"{kinds} events of ingest {self.last_ingest}"
        return f"{kinds} events of ingests {self.first_ingest} to {self.last_ingest}"


def open_rerating(ledger: AccountLedger, first: date, posting: Posting) -> Rerating:
    """A rerating of the settled days from `first` on (which may be before the first settled one)."""
    last = ledger.last_settled_day()
    if last is None:
        raise ValueError(f"{ledger.account_id} has no settled day")
    return Rerating(
        account_id=ledger.account_id,
        posting=Posting(command=posting.command, posted_on=max(posting.posted_on, last), cause=posting.cause),
        days=account_days(ledger, first, last),
        in_use=ledger.days_in_use(first, last),
        settled=ledger.settled_days(first, last),
        lapsed=ledger.lapses_of_days(first, last),
        last_run=last_run_of(ledger.conn, ledger.account_id),
        balances=ledger.balances(before=first),
        state=ledger.state_before(first),
    )


def late_days(conn: Connection, cutoff: Cutoff, settled: Mapping[str, date]) -> dict[str, LateDays]:
    """The late days of every account that has any: events, or retractions of events, for settled days that none of the
    account's runs has read.

    `settled`: the last settled day by account.
    """
    through = read_through(conn)
    if unread := sorted(settled.keys() - through.keys()):
        raise missing_row("run", f"the last run of account {unread[0]!r}")
    ledgers = {account_id: cutoff.ledger(conn, account_id) for account_id in settled}
    ends = {account_id: _end_of(ledgers[account_id], day) for account_id, day in settled.items()}
    late: dict[str, LateDays] = {}
    for after in sorted({through[account_id] for account_id in settled}):
        before = max(ends[account_id] for account_id in settled if through[account_id] == after)
        for app_id, events in cutoff.log.late_events(after=after, upto=cutoff.ingest_id, before=before).items():
            app = cutoff.catalog.apps.get(app_id)
            account_id, second = app.account if app else "", events.first_at // 1000
            if account_id in settled and through[account_id] == after and second < ends[account_id]:
                first = ledgers[account_id].day_of(second)
                found = LateDays(first, events.first_ingest, events.last_ingest, events.brought, events.retracted)
                late[account_id] = found.together(late.get(account_id, found))
    return late


def _end_of(ledger: AccountLedger, day: date) -> int:
    bounds = ledger.settled_bounds(day, day)
    return bounds[day][1] if day in bounds else day_start(day + timedelta(days=1), ledger.zone)


def _different(rerating: Rerating, account_day: AccountDay, terms: DayTerms, billed: BilledDay) -> DayDifference:
    """What is different on a day on which nothing happened."""
    day = account_day.day
    lapses = Counter(billed.lapses)
    lapses.subtract(rerating.lapsed.get(day, {}))
    settles = SettledDay(day=day, start=account_day.start, end=account_day.end, policy=terms.policy)
    return DayDifference(
        day=day,
        usage=_NOTHING.usage,
        deductions=deduction_frame([]),
        findings=_NOTHING.findings.with_columns(count=pl.lit(1, pl.Int64)),
        charges=(),
        burned={},
        lapses={payer_id: units for payer_id, units in lapses.items() if units},
        free_grant=billed.free_grant,
        settles=None if day in rerating.settled else settles,
    )


def _compared(
    ledger: AccountLedger, rerating: Rerating, opening: Opening, metered: Metered, billed: BilledDay
) -> DayDifference:
    """What is different from the ledger on a day."""
    day = opening.account_day.day
    deductions = signed_difference(
        pl.concat(
            [
                ledger.deductions(day, day).select(*_DEDUCTION_KEY, "minutes", "package_minutes"),
                ledger.corrected_deductions(day, day).select(*_DEDUCTION_KEY, "minutes", "package_minutes"),
            ]
        ),
        deduction_frame(billed.deductions),
        _DEDUCTION_KEY,
        ["minutes", "package_minutes"],
    )
    return replace(
        _different(rerating, opening.account_day, opening.terms, billed),
        usage=_difference_of_usage(ledger, day, metered.usage),
        deductions=deductions,
        findings=_difference_of_findings(ledger, day, metered.findings),
        charges=list(_correction_lines(ledger, rerating, opening.terms, billed, deductions)),
        burned=_burned(deductions, billed.balances),
        state=None if ledger.state_after(day).equals(metered.state) else metered.state,
    )


def _difference_of_usage(ledger: AccountLedger, day: date, usage: pl.DataFrame) -> pl.DataFrame:
    known = [ledger.usage(day, day), ledger.corrected_usage(day, day)]
    before = pl.concat([frame.select(*USAGE_SCHEMA) for frame in known])
    return signed_difference(before, usage, _USAGE_KEY, ["seconds"])


def _difference_of_findings(ledger: AccountLedger, day: date, found: pl.DataFrame) -> pl.DataFrame:
    one = pl.lit(1, pl.Int64).alias("count")
    before = pl.concat(
        [
            ledger.findings(day, day).select(*FINDINGS_SCHEMA, one),
            ledger.corrected_findings(day, day).select(*FINDINGS_SCHEMA, "count"),
        ]
    )
    before = before.filter(~pl.col("finding").is_in([ZONE_CHANGED, ENTERED_SUSPENDED]))
    after = storable(found).select(*FINDINGS_SCHEMA, one)
    return signed_difference(before, after, FINDINGS_SCHEMA.names(), ["count"])


def _correction_lines(
    ledger: AccountLedger, rerating: Rerating, terms: DayTerms, billed: BilledDay, deductions: pl.DataFrame
) -> Iterator[PostedCharge]:
    """A line for each app, item and slab whose seconds, minutes or payers are different."""
    day = terms.day
    known = [posted.charge for posted in ledger.charges_of_day(day)]
    lines = [*_changed_charges(known, billed.charges, terms, deductions), *_changed_fees(known, billed.charges)]
    run = rerating.settled.get(day)
    for charge in lines:
        yield PostedCharge(
            day=day,
            kind="correction",
            run_id=0,  # known when it is posted
            corrects_run_id=run.id if run else None,
            posted_on=rerating.posting.posted_on,
            cause=rerating.posting.cause,
            currency=ledger.account.currency,
            list_price=terms.list_prices.get(charge.item),
            charge=charge,
        )


def _changed_fees(known: Iterable[Charge], billed: Iterable[Charge]) -> Iterator[Charge]:
    """What is different of fees."""
    changes = dict.fromkeys(FEES, Decimal(0))
    with localcontext(EXACT):
        for sign, charges in ((-1, known), (1, billed)):
            for charge in charges:
                if charge.item in FEES:
                    changes[charge.item] += sign * charge.amount
    return (fee_charge(item, change) for item, change in changes.items() if change)


def _changed_charges(
    known: Iterable[Charge], billed: Iterable[Charge], terms: DayTerms, deductions: pl.DataFrame
) -> Iterator[Charge]:
    """What is different of each app, item and slab."""
    before, after = (_sums(each for each in charges if each.item not in FEES) for charges in (known, billed))
    first_slabs = {cell[:2]: cell[2] for cell in sorted(before.keys() | after.keys(), reverse=True)}
    payers = {(*cell, first_slabs.get(cell, 0)) for cell in _minutes_by_payer(deductions)}
    for app_id, item, slab in sorted(before.keys() | after.keys() | payers):
        old, new = (sums.get((app_id, item, slab), (0, 0, 0)) for sums in (before, after))
        seconds, minutes, deducted = (now - then for now, then in zip(new, old, strict=True))
        if not (seconds or minutes or deducted or (app_id, item, slab) in payers):
            continue
        unit_price = terms.price_of(item, slab)
        with localcontext(EXACT):
            amount = (minutes - deducted) * unit_price
        yield Charge(
            app_id=app_id,
            item=item,
            seconds=seconds,
            minutes=minutes,
            deducted_minutes=deducted,
            payable_minutes=minutes - deducted,
            unit_price=unit_price,
            amount=amount,
            slab=slab,
        )


def _sums(charges: Iterable[Charge]) -> dict[tuple[int, str, int], tuple[int, int, int]]:
    """Seconds, minutes and deducted minutes by app, item and slab."""
    sums: dict[tuple[int, str, int], tuple[int, int, int]] = {}
    for charge in charges:
        seconds, minutes, deducted = sums.get((charge.app_id, charge.item, charge.slab), (0, 0, 0))
        sums[charge.app_id, charge.item, charge.slab] = (
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


def _burned(deductions: pl.DataFrame, balances: Balances) -> Mapping[str, tuple[int, int]]:
    """Package minutes more or less, and what is left at the end of the day before anything lapses, by payer."""
    sums = deductions.group_by("payer_id").agg(pl.col("package_minutes").sum())
    return {
        payer_id: (units, balances.remaining(payer_id) + balances.lapsed.get(payer_id, 0))
        for payer_id, units in sums.sort("payer_id").iter_rows()
        if units
    }
