"""Admissions: whether the users of an app may enter a room now, and why not.

The first that fits: the app is unknown; it was disabled by hand; its account is in arrears, at a step that admits
nobody, or pays in advance and its balance is below zero; the account pays for nothing beyond its minutes, and none
are left; else it is admitted. Sessions that run are never cut. Clients are refused with -100013, on the web 10006
(TRTC).

An answer is valid for 15 minutes; after that a media server admits: an outage of billing must not stop calls.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select

from billing.catalog.catalog import Catalog
from billing.catalog.packages import free_minutes_id
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.arrears import is_held, last_cleared_ms, steps_reached
from billing.ledger.balances import account_balance
from billing.ledger.document_tables import app_switch
from billing.ledger.provisional_bills import provisional_bills
from billing.money import plain
from billing.periods import local_day, local_iso_ms, time_zone
from billing.rating.payers import payers_on
from billing.receivables.arrears import ACTIVE

CODE_NATIVE, CODE_WEB = -100013, 10006
VALID_MS = 15 * 60 * 1000
SUSPENDED = "suspended"
ARREARS, DISABLED, NO_MINUTES, UNKNOWN_APP = "arrears", "disabled", "no_minutes", "unknown_app"


ADMISSION_FIELDS = (
    *("account", "app_id", "admit", "state", "reason", "since", "balance", "currency"),
    *("code_native", "code_web", "as_of", "valid_until"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether users may enter; `since_ms` is when the state began, None where that is not on record."""

    account_id: str | None
    app_id: int
    admit: bool
    state: str
    reason: str | None = None
    since_ms: int | None = None
    balance: Decimal | None = None
    currency: str | None = None
    as_of_ms: int

    @property
    def valid_until_ms(self) -> int:
        """Until when the answer may be used."""
        return self.as_of_ms + VALID_MS


def admissions(
    ledger: AccountLedger, apps: list[int], now_ms: int, *, balance: Decimal | None = None
) -> list[Admission]:
    """The admissions of some apps of one account; `balance` is its own, if it is known."""
    balance = account_balance(ledger).balance if balance is None else balance
    policy = ledger.catalog.overdue_policy_of(ledger.account)
    steps = steps_reached(ledger, policy, now_ms) if policy else []
    found = []
    for app_id in apps:
        admit, state, reason = True, ACTIVE, None
        enabled_ms, disabled_ms = last_switched(ledger.conn, app_id)
        since_ms = max(filter(None, (last_cleared_ms(ledger.conn, ledger.account_id), enabled_ms)), default=None)
        if disabled_ms is not None:
            admit, state, reason, since_ms = False, DISABLED, DISABLED, disabled_ms
        elif steps and not all(each.step.admit for each in steps):
            admit, state, reason, since_ms = False, steps[-1].step.state, ARREARS, steps[-1].since_ms
        elif ledger.account.mode == "prepaid" and balance < 0 and not is_held(ledger, now_ms):
            admit, state, reason, since_ms = False, SUSPENDED, ARREARS, steps[-1].since_ms if steps else None
        elif not ledger.account.pay_as_you_go and not _has_minutes(ledger, app_id, now_ms):
            admit, state, reason, since_ms = False, NO_MINUTES, NO_MINUTES, None
        elif steps:
            state, reason, since_ms = steps[-1].step.state, ARREARS, steps[-1].since_ms
        found.append(
            Admission(
                account_id=ledger.account_id,
                app_id=app_id,
                admit=admit,
                state=state,
                reason=reason,
                since_ms=since_ms,
                balance=balance,
                currency=ledger.account.currency,
                as_of_ms=now_ms,
            )
        )
    return found


def unknown_app(app_id: int, now_ms: int) -> Admission:
    """The answer for an app that no catalog has."""
    return Admission(
        account_id=None, app_id=app_id, admit=False, state=UNKNOWN_APP, reason=UNKNOWN_APP, as_of_ms=now_ms
    )


def admission_row(admission: Admission, catalog: Catalog) -> dict[str, Any]:
    """An admission in plain values, as `status.json` and `billing status` have it: instants in the account's time."""
    account = catalog.accounts.get(admission.account_id or "")
    zone = time_zone(account.timezone if account else "UTC")
    since, as_of, until = (
        None if each is None else local_iso_ms(each, zone)
        for each in (admission.since_ms, admission.as_of_ms, admission.valid_until_ms)
    )
    return {
        "account": admission.account_id,
        "app_id": admission.app_id,
        "admit": admission.admit,
        "state": admission.state,
        "reason": admission.reason,
        "since": since,
        "balance": None if admission.balance is None else plain(admission.balance),
        "currency": admission.currency,
        "code_native": None if admission.admit else CODE_NATIVE,
        "code_web": None if admission.admit else CODE_WEB,
        "as_of": as_of,
        "valid_until": until,
    }


def switch_app(conn: Connection, app_id: int, *, is_enabled: bool, at_ms: int) -> None:
    """Disables or enables an app by hand."""
    if (last_switched(conn, app_id)[1] is None) != is_enabled:
        conn.execute(insert(app_switch).values(app_id=app_id, is_enabled=int(is_enabled), at_ms=at_ms))


def last_switched(conn: Connection, app_id: int) -> tuple[int | None, int | None]:
    """Since when an app is enabled, and since when it is disabled, by hand; both None: nobody ever switched it."""
    last = select(app_switch.c.is_enabled, app_switch.c.at_ms).where(app_switch.c.app_id == app_id)
    row = conn.execute(last.order_by(app_switch.c.id.desc()).limit(1)).first()
    if row is None:
        return None, None
    return (row.at_ms, None) if row.is_enabled else (None, row.at_ms)


def _has_minutes(ledger: AccountLedger, app_id: int, now_ms: int) -> bool:
    """Whether free minutes or a package have anything left for an app today, as far as is known."""
    today = local_day(now_ms // 1000, ledger.zone)
    open_days = provisional_bills(ledger)
    terms = ledger.terms_on(today)[0]
    balances = open_days[-1].billed.balances if open_days else ledger.balances()
    free_id = free_minutes_id(today)
    if free_id not in balances.granted:
        balances = balances.after(granted={free_id: terms.free_minutes})
    payers = payers_on(terms, {payer_id: balances.remaining(payer_id) for payer_id in balances.granted})
    return any(payer.app in (None, app_id) for payer in payers)
