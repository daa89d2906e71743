"""Attention: what needs doing about accounts, as facts that a command or a page puts into words.

failed, held, due         a finished day is not billed
silent                    an app with open stays is not heard of
quarantine                rows could not be accepted
package                   a package lasts less than 7 days at its present pace
arrears                   the account's overdue policy counts it as in arrears
overdue                   documents are open after their due date
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Literal

from billing.errors import BillingError
from billing.home import Home
from billing.ledger.arrears import arrears_on_record
from billing.ledger.database import Engine, reading
from billing.ledger.documents import OVERDUE
from billing.money import EXACT
from billing.reports.balances import balance_rows
from billing.reports.burn_down import BurnDown, burn_downs
from billing.reports.documents import list_documents
from billing.reports.status import AccountStatus, Status, status

SHORT_DAYS = 7
Kind = Literal["error", "failed", "held", "due", "silent", "quarantine", "package", "arrears", "overdue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something to do. `subject` is what it is about: days, an app, a reason, a package; `amount` how much."""

    kind: Kind
    account: str | None = None
    subject: str = ""
    count: int = 0
    amount: Decimal | None = None
    currency: str = ""
    detail: str = ""
    run: int | None = None


def needs(home: Home, engine: Engine, accounts: Sequence[str] | None = None) -> list[Need]:
    """What needs doing, of some accounts or of all; rows in quarantine belong to none."""
    found = status(home, engine, accounts)
    listed = list(_of_home(found)) if accounts is None else []
    for each in found.accounts:
        listed += _of_account(each)
        listed += _of_packages(engine, each)
    named = [each.account.id for each in found.accounts]
    return [*listed, *_arrears(engine, named), *_overdue(engine, named)] if named else listed


def _of_home(found: Status) -> Iterator[Need]:
    for text in found.errors:
        yield Need(kind="error", detail=text)
    for reason, count in sorted(found.quarantined.items()):
        yield Need(kind="quarantine", subject=reason, count=count)


def _of_account(account: AccountStatus) -> Iterator[Need]:
    name, run, due = account.account.id, account.failed, account.due
    if run:
        yield Need(kind="failed", account=name, subject=str(run.day), detail=run.detail, run=run.id)
    if due:
        days = f"{due.first}" if due.first == due.last else f"{due.first} \N{EN DASH} {due.last}"
        yield Need(kind="held" if account.is_held else "due", account=name, subject=days, count=due.count)
    for app in account.silent:
        yield Need(kind="silent", account=name, subject=str(app.app_id), count=app.stays)


def _of_packages(engine: Engine, account: AccountStatus) -> Iterator[Need]:
    try:
        found = burn_downs(engine, account.account.id)
    except BillingError as error:
        yield Need(kind="error", account=account.account.id, detail=str(error))
        return
    for each in found:
        if each.package and _is_short(each):
            yield Need(
                kind="package", account=account.account.id, subject=each.balance.id, count=each.balance.remaining
            )


def _is_short(burn_down: BurnDown) -> bool:
    return burn_down.place is not None and burn_down.balance.remaining < SHORT_DAYS * burn_down.pace


def _arrears(engine: Engine, accounts: Sequence[str]) -> Iterator[Need]:
    with reading(engine) as conn:
        known = [account for account in accounts if arrears_on_record(conn, account)]
    for row in balance_rows(engine, known) if known else []:
        yield Need(kind="arrears", account=row["account"], amount=row["balance"], currency=row["currency"])


def _overdue(engine: Engine, accounts: Sequence[str]) -> Iterator[Need]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in list_documents(engine, accounts):
        if row["state"] == OVERDUE:
            found.setdefault(row["account"], []).append(row)
    with localcontext(EXACT):
        for account, rows in found.items():
            amount = sum((row["open"] for row in rows), Decimal(0))
            first = min(row["due_on"] for row in rows)
            yield Need(
                kind="overdue",
                account=account,
                subject=str(first),
                count=len(rows),
                amount=amount,
                currency=rows[0]["currency"],
            )
