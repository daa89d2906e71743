"""Accounts, and what stands in the books about them."""

from typing import Any

from litestar import Request, Response, Router, get

from billing.ledger.tokens import Caller
from billing.reports.balances import account_rows
from billing.reports.row_formats import Report
from billing.web.access import needs
from billing.web.answers import report_answer
from billing.web.installation import Installation

_ACCOUNT_FIELDS = ("id", "name", "currency", "timezone", "policy", "seller", "tax", "apps")


@get("/", sync_to_thread=True)
def list_accounts(request: Request[Caller, Any, Any], installation: Installation) -> Response[bytes]:
    """The accounts that the caller sees."""
    mine = [] if request.user.account_id is None else [request.user.account_id]
    return report_answer(Report(fields=_ACCOUNT_FIELDS, rows=account_rows(installation.engine, mine)))


@get("/{account_id:str}", sync_to_thread=True)
def one_account(request: Request[Caller, Any, Any], installation: Installation, account_id: str) -> Response[bytes]:
    """One account, and its terms."""
    account = installation.account(request.user, account_id)
    return report_answer(Report(fields=_ACCOUNT_FIELDS, rows=account_rows(installation.engine, [account.id])))


account_router = Router("/v1/accounts", route_handlers=[list_accounts, one_account], guards=[needs("read")])
