"""Settled facts: what the database has of an account's settled days, read by SQL that is nowhere else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    cast,
    func,
    select,
    true,
    union_all,
)

from billing.catalog.policies import builtin_policies, policy_source
from billing.ledger import document_tables, tables
from billing.ledger.proof_tables import day_seal

# The version of the program that sealed days first.
FIRST_WITH_SEALS = (0, 5)
# After every run.
LAST_RUN = 2**62
Windows = dict[tuple[int, int, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run that settled or corrected days."""

    id: int
    result: str
    from_day: date | None
    started_at_ms: int
    engine_version: str
    catalog_change: int | None  # where it sealed days

    @property
    def seals(self) -> bool:
        """Whether the version of the program that made it sealed what it wrote."""
        numbers = [int(part) for part in self.engine_version.split(".")[:2] if part.isdecimal()]
        return tuple(numbers) >= FIRST_WITH_SEALS


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFacts:
    """A settled day: the run that settled it, and the last one that computed it."""

    day: date
    settled_by: int
    computed_by: int
    start: int
    end: int
    policy_id: str
    policy_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """An account with its settled days, in their order, and its runs; `as_of`: as the runs up to this one knew it."""

    conn: Connection
    account_id: str
    currency: str
    timezone: str
    days: Sequence[DayFacts]
    runs: Mapping[int, RunFacts]
    as_of: int = LAST_RUN

    def known(self, table: Table) -> ColumnElement[bool]:
        """What the account's rows of a table must fulfil."""
        is_known = table.c.run_id <= self.as_of if "run_id" in table.c else true()
        return and_(table.c.account_id == self.account_id, is_known)

    def sums(
        self, table: Table, keys: Sequence[str], values: Sequence[str], day: date, **where: object
    ) -> dict[Any, Any]:
        """The sums of some columns of the rows of a day, by other columns."""
        columns = [table.c[key] for key in keys]
        sums = [cast(func.sum(table.c[value]), BigInteger) for value in values]
        selected: list[Any] = [*columns, *sums]
        query: Select[Any] = select(*selected).select_from(table).where(self.known(table)).filter_by(day=day, **where)
        rows = self.conn.execute(query.group_by(*columns))
        return {tuple(row[: len(keys)]): tuple(row[len(keys) :]) for row in rows}

    def windows(self, day: date) -> Windows:
        """The seconds of a day by window, app and item, corrections included."""
        parts = [
            select(table.c.window_start, table.c.app_id, table.c.item, table.c.seconds).where(
                self.known(table), table.c.day == day
            )
            for table in (tables.usage, tables.usage_correction)
        ]
        all_rows = union_all(*parts).subquery()
        keys = [all_rows.c[name] for name in ("window_start", "app_id", "item")]
        total: list[Any] = [*keys, cast(func.sum(all_rows.c.seconds), BigInteger)]
        query: Select[Any] = select(*total).group_by(*keys)
        return {
            (window, app_id, item): seconds for window, app_id, item, seconds in self.conn.execute(query) if seconds
        }

    def together(self, names: Sequence[Table], keys: Sequence[str], values: Sequence[str], day: date) -> dict[Any, Any]:
        """The sums over several tables; what comes to nothing is left out."""
        found: dict[Any, tuple[int, ...]] = {}
        for table in names:
            for key, sums in self.sums(table, keys, values, day).items():
                before = found.get(key, (0,) * len(values))
                found[key] = tuple(one + other for one, other in zip(before, sums, strict=True))
        return {key: sums for key, sums in found.items() if any(sums)}

    def units_before(self, day: date) -> dict[str, int]:
        """The package minutes that every payer has paid or lost before a day."""
        found: dict[str, int] = {}
        for table in (tables.burn_down, tables.lapse):
            query = select(table.c.payer_id, cast(func.sum(table.c.package_minutes), BigInteger))
            query = query.where(self.known(table), table.c.day < day).group_by(table.c.payer_id)
            for payer_id, units in self.conn.execute(query):
                found[payer_id] = found.get(payer_id, 0) + units
        return found

    def units_through(self, payer_id: str, day: date, run_id: int) -> int:
        """The package minutes that a payer has paid up to a day and lost before it, as the runs up to one knew it."""
        burned, lapse = tables.burn_down.c, tables.lapse.c
        total = 0
        for column, until in ((burned, burned.day <= day), (lapse, lapse.day < day)):
            query = select(func.coalesce(func.sum(column.package_minutes), 0)).where(
                column.account_id == self.account_id, column.payer_id == payer_id, column.run_id <= run_id, until
            )
            total += int(self.conn.execute(query).scalar_one())
        return total

    def grants(self) -> dict[date, int]:
        """The free minutes of each month (its first day)."""
        grant = tables.free_grant
        rows = self.conn.execute(select(grant.c.month, grant.c.minutes).where(self.known(grant)))
        return {row.month: row.minutes for row in rows}

    def refunds(self) -> dict[str, int]:
        """The package minutes that were refunded of each package."""
        refund = document_tables.package_refund.c
        rows = self.conn.execute(select(refund.package_id, refund.refunded).where(refund.account_id == self.account_id))
        return {row.package_id: row.refunded for row in rows}

    def free_minutes(self) -> list[tuple[date, int | None]]:
        """The free minutes a month that the account has from a day on; None: what the policy gives."""
        terms = tables.account_terms.c
        query = select(terms.valid_from, terms.free_minutes).where(terms.account_id == self.account_id)
        return [(row.valid_from, row.free_minutes) for row in self.conn.execute(query.order_by(terms.valid_from))]

    def posted_days(self, first: date, last: date) -> set[date]:
        """The days of the charges that were posted in a period."""
        charge = tables.charge
        posted = charge.c.posted_on.between(first, last)
        return set(self.conn.execute(select(charge.c.day).where(self.known(charge), posted).distinct()).scalars())

    def last_ingest(self, run_id: int) -> int:
        """The ingest up to which a run read events."""
        run = tables.run.c
        return int(self.conn.execute(select(run.ingest_id).where(run.id == run_id)).scalar_one())

    def rows(self, table: Table, day: date, **where: object) -> Sequence[Row[Any]]:
        """All rows of a table of a day, in the order of its key."""
        query = select(table).where(self.known(table)).filter_by(day=day, **where)
        return self.conn.execute(query.order_by(*table.primary_key)).all()


def account_facts(conn: Connection, account_id: str, as_of: int = LAST_RUN) -> AccountFacts | None:
    """The facts of an account, perhaps as the runs up to one knew them; None: it has no row."""
    account = conn.execute(select(tables.account).where(tables.account.c.id == account_id)).first()
    if account is None:
        return None
    runs = _runs(conn, account_id, as_of)
    settled = tables.settled_day
    of_account = select(settled).where(settled.c.account_id == account_id, settled.c.run_id <= as_of)
    days = [
        DayFacts(
            day=row.day,
            settled_by=row.run_id,
            computed_by=_computed_by(runs, row.day, row.run_id),
            start=row.starts_at,
            end=row.ends_at,
            policy_id=row.policy_id,
            policy_hash=row.policy_hash,
        )
        for row in conn.execute(of_account.order_by(settled.c.day))
    ]
    return AccountFacts(
        conn=conn,
        account_id=account_id,
        currency=account.currency,
        timezone=account.timezone,
        days=days,
        runs=runs,
        as_of=as_of,
    )


def accounts_on_record(conn: Connection) -> list[str]:
    """Every account that has a settled day or a row of its own."""
    found = {*conn.execute(select(tables.account.c.id)).scalars()}
    return sorted(found | {*conn.execute(select(tables.settled_day.c.account_id).distinct()).scalars()})


def policies_by_hash(conn: Connection) -> dict[str, Mapping[str, Any]]:
    """Every policy that days were billed with."""
    return {name: json.loads(source) for name, source in policy_sources(conn).items()}


def policy_sources(conn: Connection) -> dict[str, str]:
    """The texts of these policies, by hash; those of the first version of the database are built in."""
    found = {policy.hash: policy_source(policy) for policy in builtin_policies().values()}
    for table in (tables.policy, tables.used_policy):
        found |= {row.hash: row.source for row in conn.execute(select(table.c.hash, table.c.source))}
    return found


def _runs(conn: Connection, account_id: str, as_of: int) -> dict[int, RunFacts]:
    seal, run = day_seal.c, tables.run.c
    changes = dict(conn.execute(select(seal.run_id, seal.catalog_change).where(seal.account_id == account_id)).all())
    query = select(run.id, run.result, run.from_day, run.started_at_ms, run.engine_version)
    wrote = run.account_id == account_id, run.result.in_(["billed", "corrected"]), run.id <= as_of
    rows = conn.execute(query.where(*wrote))
    return {row.id: RunFacts(**row._mapping, catalog_change=changes.get(row.id)) for row in rows}


def _computed_by(runs: Mapping[int, RunFacts], day: date, settled_by: int) -> int:
    """A correction goes through every day from its first one to the last that was settled before it."""
    later = [
        run.id
        for run in runs.values()
        if run.result == "corrected" and run.from_day and run.from_day <= day and run.id >= settled_by
    ]
    return max([settled_by, *later])
