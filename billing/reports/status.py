"""Status: how far every account is billed, when its apps were last heard, and what needs doing.

The state of an app is the first of these that holds; the first three are of its account as a whole:

- `failed`: the last run of the account failed, and its day waits;
- `held`: a finished day is not billed, because an app was silent at its end (`hold_if_silent`);
- `due`: a finished day is not billed yet;
- `silent`: stays are open as far as is known (by the last refresh, or at the end of the last billed day), the last
  event is older than two hours;
- `no_events`: no event of the app was ever accepted (also: the account has no app, and nothing is billed);
- `ok`.
"""

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext

import polars as pl

from billing import periods
from billing.catalog.catalog import Account, Catalog
from billing.errors import BillingError
from billing.events.last_events import last_event_at
from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import check_rows, load_catalog, missing_accounts
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.opening import account_days, first_due_day
from billing.ledger.provisional_bills import ProvisionalBill, provisional_bills
from billing.ledger.runs import Run, failed_runs, last_settled_days
from billing.metering.silence import SilentApp, silent_apps
from billing.money import EXACT

FAILED, HELD, DUE, SILENT, NO_EVENTS, OK = "failed", "held", "due", "silent", "no_events", "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """One app, or an account without any. `provisional_amount`: of the days that are refreshed but not billed."""

    account: str
    app_id: int | None
    state: str
    billed_through: date | None
    last_event_at: str | None
    quarantined: int
    provisional_amount: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDays:
    """The finished days of an account that are not billed."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many there are."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """The apps of an account, and what needs doing about it. `findings`: of its last billed day."""

    account: Account
    apps: list[AppStatus]
    failed: Run | None
    due: DueDays | None
    is_held: bool
    silent: list[SilentApp]
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All accounts by id, how many rows are quarantined for each reason, and why the status of accounts is missing."""

    accounts: list[AccountStatus]
    quarantined: Mapping[str, int]
    errors: list[str]


def status(home: Home, engine: Engine, accounts: Collection[str] | None = None) -> Status:
    """The status of everything in a home, or of some accounts."""
    quarantined = Quarantine(directory=home.quarantine).rows()
    found = []
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        errors = list(missing_accounts(conn, catalog).values())
        facts = _facts(conn, home, catalog, quarantined)
        for account_id in sorted(catalog.accounts if accounts is None else accounts):
            try:
                check_rows(conn, catalog, account_id)
                ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog)
                found.append(_account_status(facts, ledger))
            except BillingError as error:
                errors.append(f"account {account_id}: {error}")
    return Status(accounts=found, quarantined=Counter(quarantined["reason"]), errors=errors)


def quarantined_by_app(rows: pl.DataFrame) -> dict[int, int]:
    """How many quarantined rows name an app in their text, by app; a row without one counts for none."""
    texts = rows.filter(pl.col("format") == "ndjson")["raw"].str.extract(r'"app_id"\s*:\s*([0-9]{1,16})\b')
    apps = Counter(texts.drop_nulls().cast(pl.Int64).to_list())
    for header, raw in rows.filter(pl.col("format") == "csv").select("header", "raw").iter_rows():
        names, values = ([*next(csv.reader([text or ""]), [])] for text in (header, raw))
        app = dict(zip(names, values, strict=False)).get("app_id", "")
        if re.fullmatch("[0-9]{1,16}", app):
            apps[int(app)] += 1
    return apps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What is known of all accounts and apps at an instant; events in epoch ms."""

    now: datetime
    settled: Mapping[str, date]
    failed: Mapping[str, Run]
    first_events: Mapping[int, int]  # of apps whose accounts are not billed yet
    last_events: Mapping[int, int]
    quarantined: Mapping[int, int]

    @property
    def second(self) -> int:
        """The instant as an epoch second."""
        return int(self.now.timestamp())

    def last_events_of(self, _apps: Collection[int]) -> Mapping[int, int]:
        """As `silent_apps` asks for them."""
        return self.last_events


def _facts(conn: Connection, home: Home, catalog: Catalog, quarantined: pl.DataFrame) -> _Facts:
    log, settled = EventLog(directory=home.events), last_settled_days(conn)
    return _Facts(
        now=periods.now(),
        settled=settled,
        failed=failed_runs(conn),
        first_events=log.first_event_at([app.id for app in catalog.apps.values() if app.account not in settled]),
        last_events=last_event_at(log, catalog.apps),
        quarantined=quarantined_by_app(quarantined),
    )


def _account_status(facts: _Facts, ledger: AccountLedger) -> AccountStatus:
    account, settled = ledger.account, facts.settled.get(ledger.account_id)
    apps = sorted(app.id for app in ledger.catalog.apps.values() if app.account == account.id)
    open_days = provisional_bills(ledger)
    due = _due_days(facts, ledger, apps)
    found = AccountStatus(
        account=account,
        apps=[],
        failed=facts.failed.get(account.id),
        due=due,
        is_held=due is not None and _is_held(facts, ledger, due, apps, open_days),
        silent=_silent_apps(facts, ledger, open_days),
        findings=0 if settled is None else ledger.finding_count(settled),
    )
    amounts = _amounts(open_days)
    for app in apps or (None,):
        heard = None if app is None else facts.last_events.get(app)
        row = AppStatus(
            account=account.id,
            app_id=app,
            state=_state(found, app, is_heard=heard is not None or (app is None and settled is not None)),
            billed_through=settled,
            last_event_at=None if heard is None else periods.local_iso_ms(heard, ledger.zone),
            quarantined=0 if app is None else facts.quarantined.get(app, 0),
            provisional_amount=amounts.get(app or 0, Decimal(0)) if open_days else None,
            currency=account.currency,
        )
        found.apps.append(row)
    return found


def _state(account: AccountStatus, app: int | None, *, is_heard: bool) -> str:
    if account.failed:
        return FAILED
    if account.due:
        return HELD if account.is_held else DUE
    if any(silent.app_id == app for silent in account.silent):
        return SILENT
    return OK if is_heard else NO_EVENTS


def _due_days(facts: _Facts, ledger: AccountLedger, apps: Collection[int]) -> DueDays | None:
    """The finished days of an account that are not billed."""
    last = periods.last_finished_day(facts.now, ledger.zone)
    oldest = min((facts.first_events[app] // 1000 for app in apps if app in facts.first_events), default=None)
    first = first_due_day(ledger, settled=facts.settled.get(ledger.account_id), oldest=oldest)
    return DueDays(first=first, last=last) if first and first <= last else None


def _is_held(
    facts: _Facts, ledger: AccountLedger, due: DueDays, apps: Collection[int], open_days: Sequence[ProvisionalBill]
) -> bool:
    """Whether the nightly would hold the first due day. If its open stays are not known from a refresh, an app with an
    event in the 24 hours before the day's end may have some."""
    if ledger.account.hold_if_silent is None:
        return False
    seconds = periods.parse_duration(ledger.account.hold_if_silent)
    end = account_days(ledger, due.first, due.first)[0].end
    for bill in open_days:
        if bill.day == due.first and bill.stored and bill.is_over:
            return bool(silent_apps(bill.stored.state, end, facts.last_events_of, seconds=seconds))
    oldest, newest = (end - periods.STALE_SECONDS) * 1000, (end - seconds) * 1000
    return any(oldest <= facts.last_events[app] < newest for app in apps if app in facts.last_events)


def _silent_apps(facts: _Facts, ledger: AccountLedger, open_days: Sequence[ProvisionalBill]) -> list[SilentApp]:
    """The apps that are silent now, by the open stays that are known last and have not ended since."""
    settled = facts.settled.get(ledger.account_id)
    stored = [bill.stored for bill in open_days if bill.stored]
    if stored:
        stays = stored[-1].state
    elif settled:
        stays = ledger.state_after(settled)
    else:
        return []
    is_open = (pl.col("last_event") + periods.STALE_SECONDS > facts.second) & (
        pl.col("wait_ends").is_null() | (pl.col("wait_ends") > facts.second)
    )
    return silent_apps(stays.filter(is_open), facts.second, facts.last_events_of)


def _amounts(open_days: Sequence[ProvisionalBill]) -> dict[int, Decimal]:
    """What the days that are not billed cost so far, by app."""
    amounts: dict[int, Decimal] = {}
    with localcontext(EXACT):
        for bill in open_days:
            for charge in bill.billed.charges:
                amounts[charge.app_id] = amounts.get(charge.app_id, Decimal(0)) + charge.amount
    return amounts
