"""Arrears on record: when they began, which notices were given, when they were cleared.

What is on record are these instants; which step an account has reached is computed from them whenever it is asked
(`billing.receivables.arrears`). They are recorded by the commands that change a balance, and by nightly and refresh.
"""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select

from billing.catalog.overdue import OverduePolicy
from billing.ledger import document_tables as tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.balances import account_balance
from billing.ledger.outbox import put
from billing.ledger.postings import open_invoices
from billing.money import plain, to_scaled
from billing.periods import day_start, local_day, local_iso_ms, time_zone
from billing.receivables.arrears import Arrears, Reached, reached

BEGAN, CLEARED = "began", "cleared"
_MESSAGES = {"suspended": "service.suspended"}
_NOTICE = "invoice.overdue"
_EVER = 2**62
_RESUMED = "service.resumed"


def arrears_on_record(conn: Connection, account_id: str) -> Arrears | None:
    """The arrears that are not cleared, with the notices that were recorded."""
    history = _history(conn, account_id, _EVER)
    return history[-1][0] if history and history[-1][1] == _EVER else None


def _history(conn: Connection, account_id: str, end_ms: int) -> list[tuple[Arrears, int]]:
    """All arrears of an account in their order, each with the instant of its end; `end_ms`: it has not ended."""
    table = tables.arrears_event.c
    events = select(table.event, table.at_ms).where(table.account_id == account_id).order_by(table.id)
    found: list[tuple[Arrears, int]] = []
    for event, at_ms in conn.execute(events):
        if event == BEGAN:
            found.append((Arrears(began_ms=at_ms, recorded_ms={}), end_ms))
        elif event == CLEARED:
            found[-1] = (found[-1][0], at_ms)
        else:
            arrears = found[-1][0]
            found[-1] = (replace(arrears, recorded_ms={**arrears.recorded_ms, event: at_ms}), end_ms)
    return found


def refusals(ledger: AccountLedger, policy: OverduePolicy, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """The times in `[start_ms, end_ms)` at which arrears refused entries, each half-open."""
    found = []
    for arrears, cleared_ms in _history(ledger.conn, ledger.account_id, end_ms):
        refused = [each.since_ms for each in reached(policy, arrears, cleared_ms) if not each.step.admit]
        if refused and refused[0] < cleared_ms and cleared_ms > start_ms:
            found.append((max(refused[0], start_ms), min(cleared_ms, end_ms)))
    return [each for each in found if each[0] < each[1]]


def last_cleared_ms(conn: Connection, account_id: str) -> int | None:
    """When the account's arrears ended last."""
    table = tables.arrears_event.c
    cleared = select(table.at_ms).where(table.account_id == account_id, table.event == CLEARED)
    at_ms: int | None = conn.execute(cleared.order_by(table.id.desc()).limit(1)).scalar()
    return at_ms


def steps_reached(ledger: AccountLedger, policy: OverduePolicy, now_ms: int) -> list[Reached]:
    """The steps that hold for an account now; none while it is held, by hand, until the end of a day."""
    arrears = arrears_on_record(ledger.conn, ledger.account_id)
    if arrears is None or is_held(ledger, now_ms):
        return []
    return list(reached(policy, arrears, now_ms))


def is_held(ledger: AccountLedger, now_ms: int) -> bool:
    """Whether the account's arrears have no consequence today, where its seller is."""
    table = tables.account_hold.c
    until: date | None = ledger.conn.execute(
        select(table.until).where(table.account_id == ledger.account_id).order_by(table.id.desc()).limit(1)
    ).scalar()
    return until is not None and _today(ledger, now_ms) <= until


def record_arrears(ledger: AccountLedger, *, at_ms: int) -> Decimal | None:
    """Records that arrears began or ended, and the notices that are due, each with its message.

    Under the writer's lock, at the end of whatever may have changed the balance, which is returned; None: the account
    has no overdue policy.
    """
    policy = ledger.catalog.overdue_policy_of(ledger.account)
    if policy is None:
        return None
    balance = account_balance(ledger).balance
    _record_changes(ledger, policy, balance, at_ms)
    return balance


def _record_changes(ledger: AccountLedger, policy: OverduePolicy, balance: Decimal, at_ms: int) -> None:
    began_ms = _began(ledger, policy, balance, at_ms)
    known = arrears_on_record(ledger.conn, ledger.account_id)
    if began_ms is None:
        if known:
            _clear(ledger, policy, known, balance, at_ms)
        return
    if known is None:
        _record(ledger, BEGAN, balance, began_ms)
    while not is_held(ledger, at_ms):
        due = [each for each in steps_reached(ledger, policy, at_ms) if not each.is_recorded]
        if not due:
            return
        state = due[0].step.state
        _record(ledger, state, balance, at_ms)
        _announce(ledger, _MESSAGES.get(state, _NOTICE), state, balance, at_ms)


def hold_account(conn: Connection, account_id: str, until: date, *, at_ms: int) -> None:
    """The account's arrears have no consequence until the end of a day."""
    conn.execute(insert(tables.account_hold).values(account_id=account_id, until=until, at_ms=at_ms))


def _began(ledger: AccountLedger, policy: OverduePolicy, balance: Decimal, at_ms: int) -> int | None:
    """The instant at which arrears began that are not on record yet; None: there are none."""
    if policy.basis == "balance":
        return at_ms if balance < 0 else None
    days = [each.due_on for each in open_invoices(ledger.conn, ledger.account_id)]
    began = day_start(min(days) + timedelta(days=1), _seller_zone(ledger)) * 1000 if days else at_ms + 1
    return began if began <= at_ms else None


def _clear(ledger: AccountLedger, policy: OverduePolicy, known: Arrears, balance: Decimal, at_ms: int) -> None:
    refused = [each for each in reached(policy, known, at_ms) if not each.step.admit]
    _record(ledger, CLEARED, balance, at_ms)
    if refused:
        _announce(ledger, _RESUMED, "active", balance, at_ms)


def _record(ledger: AccountLedger, event: str, balance: Decimal, at_ms: int) -> None:
    values = {"account_id": ledger.account_id, "event": event, "at_ms": at_ms, "balance_scaled": to_scaled(balance)}
    ledger.conn.execute(insert(tables.arrears_event).values(values))


def _announce(ledger: AccountLedger, event: str, state: str, balance: Decimal, at_ms: int) -> None:
    facts = {
        "state": state,
        "balance": plain(balance),
        "currency": ledger.account.currency,
        "at": local_iso_ms(at_ms, ledger.zone),
    }
    put(ledger.conn, event, ledger.account_id, f"{ledger.account_id} {state} {at_ms}", facts, at_ms=at_ms)


def _today(ledger: AccountLedger, now_ms: int) -> date:
    return local_day(now_ms // 1000, _seller_zone(ledger))


def _seller_zone(ledger: AccountLedger) -> ZoneInfo:
    seller = ledger.catalog.seller_of(ledger.account)
    return time_zone(seller.timezone) if seller else ledger.zone
