"""Accounts, and what stands in the books about them."""

from datetime import date

from litestar import Response, Router, get

from billing.catalog.catalog import Account
from billing.reports.account import charges, findings, packages
from billing.reports.account_reports import charges_report, findings_report, packages_report
from billing.reports.balances import accounts_report, balances_report
from billing.reports.row_formats import Report
from billing.web import parameters, row_schemas
from billing.web.access import needs
from billing.web.inquiries import Asked, Inquiry, offers
from billing.web.parameters import APP, FROM, MONTH, PROVISIONAL, TO, days_of

_ALWAYS = (date(1970, 1, 1), date(2999, 12, 31))
_MONTH = parameters.month("The month.", is_required=True)


@get("/", sync_to_thread=True, opt=offers(rows=row_schemas.ACCOUNT))
def list_accounts(inquiry: Asked) -> Response[bytes]:
    """The accounts that the caller sees, with their terms."""
    mine = [] if inquiry.caller.account_id is None else [inquiry.caller.account_id]
    return inquiry.rows(lambda _: _accounts(inquiry, *mine))


@get("/{account_id:str}", sync_to_thread=True, opt=offers(rows=row_schemas.ACCOUNT))
def one_account(inquiry: Asked) -> Response[bytes]:
    """One account, and its terms."""
    return inquiry.rows(lambda account: _accounts(inquiry, account.id))


def _accounts(inquiry: Inquiry, *accounts: str) -> Report:
    return accounts_report(inquiry.engine, accounts, is_nested=inquiry.form == "json")


@get("/{account_id:str}/charges", sync_to_thread=True, opt=offers(_MONTH, PROVISIONAL, rows=row_schemas.CHARGE))
def account_charges(inquiry: Asked) -> Response[bytes]:
    """The daily charges of a month, with the corrections posted in it. Minutes used, minutes that free minutes and
    packages paid, and what the rest costs."""
    return inquiry.rows(lambda account: _charges(inquiry, account))


def _charges(inquiry: Inquiry, account: Account) -> Report:
    rows = charges(inquiry.engine, account.id, inquiry["month"], provisional=inquiry["provisional"])
    return charges_report(rows)


@get("/{account_id:str}/packages", sync_to_thread=True, opt=offers(PROVISIONAL, rows=row_schemas.PACKAGE))
def account_packages(inquiry: Asked) -> Response[bytes]:
    """What is left of packages and free minutes, in package minutes, as of the last billed day."""
    return inquiry.rows(lambda account: _packages(inquiry, account))


def _packages(inquiry: Inquiry, account: Account) -> Report:
    rows = packages(inquiry.engine, account.id, provisional=inquiry["provisional"])
    return packages_report(rows, account.id)


@get(
    "/{account_id:str}/findings",
    sync_to_thread=True,
    opt=offers(APP, FROM, TO, MONTH, rows=row_schemas.FINDING),
)
def account_findings(inquiry: Asked) -> Response[bytes]:
    """What was ignored or interpreted on billed days, such as a user who left without having entered."""
    return inquiry.rows(lambda account: _findings(inquiry, account))


def _findings(inquiry: Inquiry, account: Account) -> Report:
    app_id = inquiry["app"]
    if app_id is not None:
        inquiry.own_app(app_id, account)
    first, last = days_of(inquiry.values, default=_ALWAYS)
    return findings_report(findings(inquiry.engine, account_id=account.id, app_id=app_id, first=first, last=last))


@get("/{account_id:str}/balance", sync_to_thread=True, opt=offers(rows=row_schemas.BALANCE))
def account_balance(inquiry: Asked) -> Response[bytes]:
    """What the account has or owes: its credit, less what is open of its invoices, less the drafts of the months that
    are not closed, with tax."""
    return inquiry.rows(lambda account: balances_report(inquiry.engine, [account.id]), follows="clock")


account_router = Router(
    "/v1/accounts",
    route_handlers=[
        list_accounts,
        one_account,
        account_charges,
        account_packages,
        account_findings,
        account_balance,
    ],
    guards=[needs("read")],
    tags=["accounts"],
)
