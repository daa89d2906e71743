"""An account's ledger: what is settled and posted for one account, as it is now or was known when a run had ended.

A settled day holds what it was billed from (usage by window), what paid for it (deductions), what it costs (charges),
what was interpreted (findings) and the stays that go on the next day (state). Corrections are signed rows beside it;
both together are what is right. All periods are local days, both ends included.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)

from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.items import ITEM_RANK
from billing.catalog.packages import free_minutes_app, free_minutes_id, valid_days
from billing.catalog.policies import Policy, builtin_policies, policy_from_source
from billing.catalog.quantities import ALL_APPS
from billing.catalog.terms import DayTerms, day_terms
from billing.errors import BillingError, missing_row
from billing.ledger import document_tables, tables
from billing.ledger.bulk import read_frame, schema_of, unpacked
from billing.ledger.catalog_store import check_rows, load_catalog, terms_history, terms_on
from billing.ledger.runs import CORRECTED, Run, last_run_at, run_of
from billing.metering.schemas import STATE_SCHEMA, as_state
from billing.money import from_scaled
from billing.periods import local_day, month_days, time_zone
from billing.rating.balances import Balances, PackageBalance
from billing.rating.charges import Charge, PostedCharge
from billing.rating.period_use import NOTHING, CellUse, PeriodUse, is_cumulative

Apps = Iterable[int] | None
_METERED = (
    tables.usage,
    tables.usage_correction,
    tables.finding,
    tables.finding_correction,
    tables.carried_state,
)
# Minutes by payer, by day, app, item and correcting run (None: as the day was settled).
DeductedMinutes = dict[tuple[date, int, str, int | None], dict[str, int]]


class ChargeRow(NamedTuple):
    """A charge or a correction; money is in 10^-8."""

    day: date
    app_id: int
    item: str
    kind: str
    run_id: int
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    unit_price_scaled: int
    amount_scaled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLedger:
    """The ledger of one account. `as_of`: a run, of which and of whose predecessors the rows are known; None: all.
    `as_of_ms` is the instant of that, for refunds, which no run has written; or `as_of_refund` is the last one known.

    `catalog` is the catalog of that moment: what asks for the account, its packages or its terms needs it.
    """

    conn: Connection
    account_id: str
    catalog: Catalog = field(default_factory=Catalog)
    as_of: int | None = None
    as_of_ms: int | None = None
    as_of_refund: int | None = None

    @classmethod
    def at(cls, conn: Connection, account_id: str, moment: datetime | None = None) -> "AccountLedger":
        """The ledger as it was known at an instant; None: now. A `UsageError` when there is no such account."""
        at_ms = None if moment is None else int(moment.timestamp() * 1000)
        catalog = load_catalog(conn, as_of_ms=at_ms)
        catalog.account(account_id)
        if moment is None:
            check_rows(conn, catalog, account_id)
        as_of = None if at_ms is None else last_run_at(conn, at_ms)
        return cls(conn=conn, catalog=catalog, account_id=account_id, as_of=as_of, as_of_ms=at_ms)

    @property
    def account(self) -> Account:
        """Who is billed."""
        return self.catalog.accounts[self.account_id]

    @property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        return time_zone(self.account.timezone)

    # Settled days -----------------------------------------------------------------------------------------------------

    def settled_days(self, first: date = date.min, last: date = date.max) -> dict[date, Run]:
        """The settled days of a period in order, each with the run that settled it and the policy of that day."""
        settled, columns = tables.settled_day, tables.run.c
        of_day = {"settled_on": settled.c.day, "policy_id": settled.c.policy_id, "policy_hash": settled.c.policy_hash}
        query = select(
            *(column for column in columns if column.name not in of_day),
            *(column.label(name) for name, column in of_day.items()),
        ).join(tables.run, settled.c.run_id == columns.id)
        rows = self.conn.execute(query.where(self._of_days(settled, first, last)).order_by(settled.c.day))
        return {row["settled_on"]: run_of(row) for row in rows.mappings()}

    def settled_bounds(self, first: date, last: date) -> dict[date, tuple[int, int]]:
        """The bounds `[start, end)` of settled days, in epoch seconds."""
        settled = tables.settled_day
        query = select(settled.c.day, settled.c.starts_at, settled.c.ends_at)
        rows = self.conn.execute(query.where(self._of_days(settled, first, last)))
        return {day: (start, end) for day, start, end in rows}

    def first_settled_day(self) -> date | None:
        """The first settled day."""
        return self._settled_day(func.min)

    def last_settled_day(self) -> date | None:
        """The last settled day."""
        return self._settled_day(func.max)

    def _settled_day(self, which: Any) -> date | None:
        settled = tables.settled_day
        day: date | None = self.conn.execute(
            select(which(settled.c.day)).where(self._of_days(settled, date.min, date.max))
        ).scalar()
        return day

    def state_after(self, day: date) -> pl.DataFrame:
        """The stays that were open at the end of `day`, in `STATE_SCHEMA`; none when that day is not settled."""
        state = tables.carried_state
        known = select(state.c.frame).where(self._of_days(state, day, day)).order_by(state.c.run_id.desc())
        frame = self.conn.execute(known.limit(1)).scalar()
        return pl.DataFrame(schema=STATE_SCHEMA) if frame is None else as_state(unpacked(frame))

    def state_before(self, day: date) -> pl.DataFrame:
        """The stays that are carried into `day`, in `STATE_SCHEMA`."""
        return self.state_after(day - timedelta(days=1))

    def days_in_use(self, first: date, last: date) -> set[date]:
        """The settled days of a period with anything metered on record: usage, findings, open stays, corrections."""
        settled = tables.settled_day
        has_rows = or_(
            *(
                exists().where(table.c.account_id == settled.c.account_id, table.c.day == settled.c.day)
                for table in _METERED
            )
        )
        query = select(settled.c.day).where(self._of_days(settled, first, last), has_rows)
        return set(self.conn.execute(query).scalars())

    def day_of(self, second: int) -> date:
        """The day that holds an epoch second: by the bounds of settled days, else by the account's time zone."""
        settled = tables.settled_day
        holds = (settled.c.starts_at <= second) & (settled.c.ends_at > second)
        query = select(settled.c.day).where(settled.c.account_id == self.account_id, holds)
        day: date | None = self.conn.execute(query).scalar()
        return day or local_day(second, self.zone)

    def posting_runs(self, first: date = date.min, last: date = date.max) -> list[Run]:
        """The runs that posted corrections in a period, in order."""
        run = tables.run
        wanted = (run.c.account_id == self.account_id) & (run.c.result == CORRECTED) & run.c.day.between(first, last)
        if self.as_of is not None:
            wanted &= run.c.id <= self.as_of
        return [run_of(row) for row in self.conn.execute(select(run).where(wanted).order_by(run.c.id)).mappings()]

    # Rows by day ------------------------------------------------------------------------------------------------------

    def usage(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """Settled seconds: `day, app_id, window_start, item, reason, seconds`, in that order."""
        return self._frame(tables.usage, first, last, apps)

    def deductions(self, first: date, last: date) -> pl.DataFrame:
        """Minutes that payers paid: `day, app_id, window_start, item, payer_id, minutes, package_minutes`."""
        return self._frame(tables.deduction, first, last)

    def findings(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """What was ignored or interpreted: `day`, then the columns of `FINDINGS_SCHEMA`, in the order of storing."""
        return self._frame(tables.finding, first, last, apps)

    def finding_count(self, day: date) -> int:
        """How many findings a day has, with what corrections added and took away."""
        found, correction = tables.finding, tables.finding_correction
        of_day = select(func.count()).select_from(found).where(self._of_days(found, day, day))
        changed = select(func.coalesce(func.sum(correction.c["count"]), 0)).where(self._of_days(correction, day, day))
        return int(self.conn.execute(of_day).scalar_one()) + int(self.conn.execute(changed).scalar_one())

    def corrected_usage(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """Signed seconds that corrections added to days: the columns of `usage` and `run_id`."""
        return self._frame(tables.usage_correction, first, last, apps)

    def usage_by_day(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """As `usage`, with one row for each day, app, item and reason: the database sums the windows (`window_start` is
        0)."""
        return self._day_sums(tables.usage, first, last, apps)

    def corrected_usage_by_day(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """As `corrected_usage`, summed in the same way."""
        return self._day_sums(tables.usage_correction, first, last, apps)

    def corrected_deductions(self, first: date, last: date) -> pl.DataFrame:
        """Signed deductions of corrections to days: the columns of `deductions` and `run_id`."""
        return self._frame(tables.deduction_correction, first, last)

    def corrected_findings(self, first: date, last: date, *, apps: Apps = None) -> pl.DataFrame:
        """Findings that came (`count` above 0) or went: the columns of `findings`, `run_id` and `count`."""
        return self._frame(tables.finding_correction, first, last, apps)

    def window_sums(self, day: date, start: int, end: int) -> dict[tuple[int, str], int]:
        """The seconds of the windows of a day from `start` to before `end`, summed by app and item, with what
        corrections added to them."""
        # By app the windows are found through the key; without, all of the day are looked at: where a policy counts all
        # apps together, its charges do not name them.
        charged = select(tables.charge.c.app_id).where(self._of_day(tables.charge, day)).distinct().subquery()
        of_all = self._of_day(tables.charge, day) & (tables.charge.c.app_id == ALL_APPS)
        is_over_apps = self.conn.execute(select(exists().where(of_all))).scalar()
        seconds: dict[tuple[int, str], int] = {}
        for table in (tables.usage, tables.usage_correction):
            keys = (table.c.app_id, table.c.item)
            sums = select(*keys, *_sum_of(table.c.seconds))
            if not is_over_apps:
                sums = sums.join_from(charged, table, charged.c.app_id == table.c.app_id)
            within = (table.c.window_start >= start) & (table.c.window_start < end)
            found = self.conn.execute(sums.where(self._of_day(table, day), within).group_by(*keys))
            for app_id, item, total in found.all():
                seconds[app_id, item] = seconds.get((app_id, item), 0) + total
        return {cell: total for cell, total in seconds.items() if total}

    def seconds_by_window(self, day: date, apps: Iterable[int]) -> dict[int, int]:
        """The seconds of some apps on a day as they were settled, by window."""
        usage = tables.usage.c
        query = select(usage.window_start, *_sum_of(usage.seconds)).group_by(usage.window_start)
        rows = self.conn.execute(query.where(self._of_day(tables.usage, day), usage.app_id.in_(list(apps))))
        return {row.window_start: row.total for row in rows}

    def charged_use(self, first: date, last: date) -> tuple[dict[date, dict[tuple[int, str], int]], int]:
        """The seconds of days by app and item, and what they cost in 10^-8, corrections included."""
        charge, amount = tables.charge.c, 0
        seconds: dict[date, dict[tuple[int, str], int]] = {}
        query = select(charge.day, charge.app_id, charge.item, charge.seconds, charge.amount_scaled)
        rows = self.conn.execute(query.where(self._of_days(tables.charge, first, last))).all()
        for day, app_id, item, used, cost in rows:
            of_day = seconds.setdefault(day, {})
            of_day[app_id, item] = of_day.get((app_id, item), 0) + used
            amount += cost
        return {day: {cell: used for cell, used in of_day.items() if used} for day, of_day in seconds.items()}, amount

    def charges(self, first: date, last: date) -> list[PostedCharge]:
        """The charges and corrections that are posted in a period, by day, app, item and run."""
        return self._charges(self._posted(tables.charge, first, last))

    def charge_rows(self, first: date, last: date, *, by: Literal["day", "posted_on"]) -> list[ChargeRow]:
        """Charges and corrections of a period as plain rows, in no order: those of its days, or those posted in it.

        A month of 1,000 apps has more than 100,000.
        """
        where = self._of_days if by == "day" else self._posted
        columns = [tables.charge.c[name] for name in ChargeRow._fields]
        return [ChargeRow(*row) for row in self.conn.execute(select(*columns).where(where(tables.charge, first, last)))]

    def last_posting_day(self) -> date | None:
        """The last day on which anything is posted."""
        charge = tables.charge
        day: date | None = self.conn.execute(
            select(func.max(charge.c.posted_on)).where(self._posted(charge, date.min, date.max))
        ).scalar()
        return day

    def charges_of_day(self, day: date) -> list[PostedCharge]:
        """Everything charged for the use of a day, corrections included."""
        return self._charges(self._of_days(tables.charge, day, day))

    def deducted_minutes(self, first: date, last: date) -> DeductedMinutes:
        """The minutes that each payer paid: of the days of a period, and of the corrections posted in it."""
        original, correction = tables.deduction, tables.deduction_correction
        keys = ("day", "app_id", "item", "payer_id")
        settled = select(*(original.c[key] for key in keys), *_sum_of(original.c.minutes)).group_by(
            *(original.c[key] for key in keys)
        )
        runs = [run.id for run in self.posting_runs(first, last)]
        by_run = [*(correction.c[key] for key in keys), correction.c.run_id]
        posted = select(*by_run, *_sum_of(correction.c.minutes)).group_by(*by_run)
        found: DeductedMinutes = {}
        for row in (
            *self.conn.execute(settled.where(self._of_days(original, first, last))),
            *self.conn.execute(posted.where(correction.c.run_id.in_(runs))),
        ):
            if row.total:
                run_id = row.run_id if "run_id" in row._fields else None
                found.setdefault((row.day, row.app_id, row.item, run_id), {})[row.payer_id] = row.total
        return found

    # Payers -----------------------------------------------------------------------------------------------------------

    def balances(self, *, before: date = date.max) -> Balances:
        """What the settled days before a day have left to every payer of the account, corrections included.

        What was refunded of a package it never pays, for days that are billed again neither.
        """
        package = tables.package.c
        granted = dict(
            self.conn.execute(select(package.id, package.minutes).where(package.account_id == self.account_id)).all()
        )
        for package_id, refunded in self._refunded().items():
            granted[package_id] -= refunded
        granted |= {free_minutes_id(month): minutes for month, minutes in self._free_grants(date.max).items()}
        days = (date.min, before - timedelta(days=1))
        return Balances(
            granted=granted,
            deducted=self._package_minutes(tables.burn_down, self._of_days(tables.burn_down, *days)),
            lapsed=self._package_minutes(tables.lapse, self._of_days(tables.lapse, *days)),
            use=self._period_use(before),
        )

    def _period_use(self, before: date) -> PeriodUse:
        """What the month of the last settled day before a day has since its policy changed, if that counts over it."""
        settled, charge, burned = tables.settled_day, tables.charge, tables.burn_down
        last = self.conn.execute(
            select(func.max(settled.c.day)).where(self._of_days(settled, date.min, before - timedelta(days=1)))
        ).scalar()
        run = self.settled_days(last, last)[last] if last else None
        policy = self.policy_of(run) if run else None
        if last is None or policy is None or not is_cumulative(policy.version_on(last)):
            return NOTHING
        month = last.replace(day=1)
        of_month = select(settled.c.day, settled.c.policy_id).where(self._of_days(settled, month, last))
        others = [
            row.day
            for row in self.conn.execute(of_month)
            if row.policy_id != policy.id or not is_cumulative(policy.version_on(row.day))
        ]
        first = max(others) + timedelta(days=1) if others else month
        of_charges = self._of_days(charge, first, last)
        counts = (charge.c.seconds, charge.c.minutes, charge.c.payable_minutes, charge.c.amount_scaled)
        query = select(charge.c.app_id, charge.c.item, *(_sum_of(count)[0].label(count.name) for count in counts))
        rows = self.conn.execute(query.where(of_charges).group_by(charge.c.app_id, charge.c.item)).all()
        free = self._package_minutes(burned, self._of_days(burned, first, last))
        return PeriodUse(
            month=month,
            policy_id=policy.id,
            cells={(row.app_id, row.item): CellUse(row.seconds, row.minutes, row.payable_minutes) for row in rows},
            free_units=free.get(free_minutes_id(month), 0),
            amount=from_scaled(sum(int(row.amount_scaled) for row in rows)),
        )

    def package_balances(self, *, on: date = date.max) -> list[PackageBalance]:
        """Every month's free minutes by month, then every package by its first day and id.

        As of what is posted up to the end of `on`, without what begins later.
        """
        deducted, lapsed = (
            self._package_minutes(table, self._posted(table, date.min, on))
            for table in (tables.burn_down, tables.lapse)
        )

        refunded = self._refunded()

        def balance(payer_id: str, app_id: int | None, days: tuple[date, date], granted: int) -> PackageBalance:
            return PackageBalance(
                id=payer_id,
                app_id=app_id,
                valid_from=days[0],
                valid_to=days[1],
                granted=granted,
                deducted=deducted.get(payer_id, 0),
                lapsed=lapsed.get(payer_id, 0),
                refunded=refunded.get(payer_id, 0),
            )

        own = sorted({of_app for payer_id in deducted if (of_app := free_minutes_app(payer_id))})
        free = [
            balance(free_minutes_id(month, app), app, (month, month_days(month)[-1]), minutes)
            for month, minutes in sorted(self._free_grants(on).items())
            for app in (*(app for of_month, app in own if of_month == month),) or (None,)
        ]
        packages = [package for package in self.catalog.packages.values() if package.account == self.account_id]
        bought = [
            balance(package.id, package.app, valid_days(package, self.zone), package.minutes) for package in packages
        ]
        bought.sort(key=lambda entry: (entry.valid_from, entry.id))
        return [entry for entry in (*free, *bought) if entry.valid_from <= on]

    def lapses_of_days(self, first: date, last: date) -> dict[date, dict[str, int]]:
        """The package minutes that lapsed at the end of each day, corrections included, by payer id."""
        lapse = tables.lapse
        query = select(lapse.c.day, lapse.c.payer_id, *_sum_of(lapse.c.package_minutes))
        rows = self.conn.execute(query.where(self._of_days(lapse, first, last)).group_by(lapse.c.day, lapse.c.payer_id))
        found: dict[date, dict[str, int]] = {}
        for day, payer_id, units in rows:
            found.setdefault(day, {})[payer_id] = units
        return found

    def _refunded(self) -> dict[str, int]:
        """The package minutes that were refunded, by package."""
        refund = document_tables.package_refund.c
        query = select(refund.package_id, refund.refunded).where(refund.account_id == self.account_id)
        if self.as_of_refund is not None:
            query = query.where(refund.id <= self.as_of_refund)
        elif self.as_of_ms is not None:
            query = query.where(refund.recorded_at_ms <= self.as_of_ms)
        return dict(self.conn.execute(query).all())

    def _free_grants(self, on: date) -> dict[date, int]:
        """The free minutes granted up to the end of `on`, by month (its first day)."""
        grants = tables.free_grant
        rows = select(grants.c.month, grants.c.minutes).where(self._posted(grants, date.min, on))
        return dict(self.conn.execute(rows).all())

    def _package_minutes(self, table: Table, where: ColumnElement[bool]) -> dict[str, int]:
        query = select(table.c.payer_id, *_sum_of(table.c.package_minutes)).where(where).group_by(table.c.payer_id)
        return dict(self.conn.execute(query).all())

    # Terms ------------------------------------------------------------------------------------------------------------

    def terms_on(self, *days: date) -> list[DayTerms]:
        """The terms of days that follow each other: the policy of a settled one is that with which it was billed."""
        settled = self.settled_days(days[0], days[-1]) if days else {}
        history = terms_history(self.conn, self.account_id)
        policies = known_policies(self.catalog)
        of_hash = {run.policy_hash: run for run in settled.values()}
        billed = {policy_hash: self.policy_of(run) for policy_hash, run in of_hash.items()}
        found = []
        for day in days:
            held = terms_on(history, day)
            policy = billed[settled[day].policy_hash] if day in settled else policies.get(held.policy)
            if policy is None:
                raise missing_row("policy", f"policy {held.policy!r} of account {self.account_id!r}")
            found.append(
                day_terms(self.catalog, self.account, self.zone, day, policy=policy, free_minutes=held.free_minutes)
            )
        return found

    def policy_of(self, run: Run) -> Policy:
        """The policy that a run billed with, whatever a later version of the program says."""
        used = tables.used_policy.c
        source = self.conn.execute(select(used.source).where(used.hash == run.policy_hash)).scalar()
        # Runs of the first version of the database did not keep it.
        first = {**self.catalog.policies, **builtin_policies()}
        policy = first.get(str(run.policy_id)) if source is None else policy_from_source(source)
        if policy is None or policy.hash != run.policy_hash:
            raise BillingError(
                f'the policy "{run.policy_id}" that run {run.id} billed with is in no row of used_policy, and not '
                "known as it was: use the version of this program that billed then"
            )
        return policy

    # Queries ----------------------------------------------------------------------------------------------------------

    def _of_days(self, table: Table, first: date, last: date) -> ColumnElement[bool]:
        """Rows about these days, as far as they are known."""
        return self._known(table, (table.c.account_id == self.account_id) & table.c.day.between(first, last))

    def _of_day(self, table: Table, day: date) -> ColumnElement[bool]:
        """The same about one day: as an equation, so that the rest of a key finds rows, too."""
        return self._known(table, (table.c.account_id == self.account_id) & (table.c.day == day))

    def _posted(self, table: Table, first: date, last: date) -> ColumnElement[bool]:
        """Rows that are posted in these days, as far as they are known."""
        return self._known(table, (table.c.account_id == self.account_id) & table.c.posted_on.between(first, last))

    def _known(self, table: Table, rows: ColumnElement[bool]) -> ColumnElement[bool]:
        """Those of the runs up to `as_of`; a table that does not name the run has the rows of the days settled then."""
        if self.as_of is None:
            return rows
        if "run_id" in table.c:
            return rows & (table.c.run_id <= self.as_of)
        settled = tables.settled_day.c
        days = select(settled.day).where(settled.account_id == self.account_id, settled.run_id <= self.as_of)
        return rows & table.c.day.in_(days)

    def _frame(self, table: Table, first: date, last: date, apps: Apps = None) -> pl.DataFrame:
        """The rows about a period, in the order of the table's key."""
        schema = schema_of(table, "id")
        columns: list[Column[Any]] = [table.c[name] for name in schema]
        query: Select[Any] = select(*columns).where(self._of_days(table, first, last)).order_by(*table.primary_key)
        if apps is not None:
            query = query.where(table.c.app_id.in_(list(apps)))
        return read_frame(self.conn, query, schema)

    def _day_sums(self, table: Table, first: date, last: date, apps: Apps) -> pl.DataFrame:
        schema = schema_of(table, "id")
        keys = [table.c[name] for name in schema if name not in ("window_start", "seconds")]
        summed = {"window_start": literal(0), "seconds": cast(func.sum(table.c.seconds), BigInteger)}
        columns = [summed[name].label(name) if name in summed else table.c[name] for name in schema]
        query = select(*columns).where(self._of_days(table, first, last)).group_by(*keys).order_by(*keys)
        if apps is not None:
            query = query.where(table.c.app_id.in_(list(apps)))
        return read_frame(self.conn, query, schema)

    def _charges(self, where: ColumnElement[bool]) -> list[PostedCharge]:
        posted = [_posted_charge(row) for row in self.conn.execute(select(tables.charge).where(where))]
        return sorted(
            posted,
            key=lambda entry: (
                entry.day,
                entry.charge.app_id,
                ITEM_RANK[entry.charge.item],
                entry.charge.slab,
                entry.run_id,
            ),
        )


def _sum_of(column: Column[Any]) -> tuple[Any]:
    """The sum of an integer column, as an integer on every database."""
    return (cast(func.sum(column), BigInteger).label("total"),)


def _posted_charge(row: Row[Any]) -> PostedCharge:
    return PostedCharge(
        day=row.day,
        kind=row.kind,
        run_id=row.run_id,
        corrects_run_id=row.corrects_run_id,
        posted_on=row.posted_on,
        cause=row.cause,
        currency=row.currency,
        list_price=None if row.list_price_scaled is None else from_scaled(row.list_price_scaled),
        charge=Charge(
            app_id=row.app_id,
            item=row.item,
            seconds=row.seconds,
            minutes=row.minutes,
            deducted_minutes=row.deducted_minutes,
            payable_minutes=row.payable_minutes,
            unit_price=from_scaled(row.unit_price_scaled),
            amount=from_scaled(row.amount_scaled),
            slab=row.slab,
        ),
    )
