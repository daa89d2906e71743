"""Drafts: the documents that an account's open months would be closed with, from what the ledger has now.

A month's draft has its charges, the corrections posted in it, the packages bought in it that are billed by invoice, and
what was refunded of packages that were billed elsewhere. What is late for its own month goes on the first open one. The
document that is issued is the draft of that moment, so the balance and the invoice cannot differ by a cent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import select

from billing.catalog.catalog import Account, Catalog
from billing.catalog.packages import Package, valid_days
from billing.catalog.sellers import Seller
from billing.catalog.taxes import Tax
from billing.errors import BillingError
from billing.invoicing.documents import (
    Document,
    DocumentLine,
    DocumentParty,
    Terms,
    group_of,
    groups,
    make_document,
    usage_line,
)
from billing.invoicing.invoice import make_header, month_lines
from billing.ledger import document_tables as tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.billed_months import billed_days, billed_month
from billing.ledger.closed_months import first_open_month
from billing.ledger.documents import billed_packages
from billing.money import from_scaled
from billing.periods import local_day, next_month
from billing.rating.charges import PostedCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A document that is not issued, with the charges, and the packages and their kinds, of its lines by number."""

    document: Document
    charges: Mapping[int, Sequence[PostedCharge]]
    packages: Mapping[int, tuple[str, str]]

    @property
    def is_due(self) -> bool:
        """Whether it is to be issued: a total of zero is not, unless a package or a refund stands on it."""
        return bool(self.document.total) or bool(self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A line before it has its number, and what it bills."""

    line: DocumentLine
    charges: Sequence[PostedCharge] = ()
    package: tuple[str, str] | None = None


def month_draft(ledger: AccountLedger, month: date) -> Draft:
    """The draft of a month (its first day)."""
    runs = billed_days(ledger, month)
    billed = billed_month(ledger, month, runs)
    tax = ledger.catalog.tax_of(ledger.account)
    drawn = [
        _Drawn(line=usage_line(line, tax), charges=charges)
        for line, charges in month_lines(
            billed, lambda posted: group_of(tax, posted.day) if posted.kind == "correction" else None
        )
    ]
    header = make_header(billed)
    terms = replace(
        terms_of(ledger.catalog, ledger.account),
        policies=header.policies,
        contract=header.contract,
        rounding=billed.rounding,
    )
    drawn += _packages_due(ledger, month, tax)
    return _draft(ledger, drawn, terms, month=month, purpose="usage")


def package_draft(ledger: AccountLedger, package: Package) -> Draft:
    """The draft of the invoice of one package."""
    tax = ledger.catalog.tax_of(ledger.account)
    terms = terms_of(ledger.catalog, ledger.account)
    return _draft(ledger, [_package(ledger, package, tax)], terms, month=None, purpose="package")


def open_drafts(ledger: AccountLedger) -> list[Draft]:
    """The drafts of the months that are not closed, up to the last one that has anything."""
    first = first_open_month(ledger)
    if first is None:
        return []
    drafts, month, last = [], first, _last_month(ledger, first)
    while month <= last:
        drafts.append(month_draft(ledger, month))
        month = next_month(month)
    return drafts


def seller_of(catalog: Catalog, account: Account) -> Seller:
    """Who issues an account's documents; a `BillingError` when the catalog does not say."""
    seller = catalog.seller_of(account)
    if seller is None:
        raise BillingError(
            f'account "{account.id}" has no seller, so nothing can be issued: add a [seller] to the catalog'
            if not catalog.sellers
            else f'account "{account.id}" names none of the {len(catalog.sellers)} sellers: give it seller = "…"'
        )
    return seller


def terms_of(catalog: Catalog, account: Account) -> Terms:
    """What every document of an account says."""
    seller = catalog.seller_of(account)
    return Terms(
        currency=account.currency,
        timezone=account.timezone,
        language=account.language,
        bank=seller.bank if seller else None,
        logo=seller.logo if seller else None,
    )


def parties(catalog: Catalog, account: Account) -> tuple[DocumentParty, DocumentParty]:
    """Seller and customer as they are now."""
    seller = catalog.seller_of(account)
    issuer = (
        DocumentParty(
            id=seller.id,
            name=seller.name,
            address=seller.address,
            country=seller.country,
            tax_id=seller.tax_id,
        )
        if seller
        else DocumentParty(id="", name="")
    )
    customer = DocumentParty(
        id=account.id, name=account.name, address=account.address, country=account.country, tax_id=account.tax_id
    )
    return issuer, customer


def taxes_of(catalog: Catalog) -> list[Tax]:
    """Every tax of the catalog."""
    return list(catalog.taxes.values())


def _draft(ledger: AccountLedger, drawn: Sequence[_Drawn], terms: Terms, *, month: date | None, purpose: str) -> Draft:
    lines = [each.line for each in drawn]
    seller, customer = parties(ledger.catalog, ledger.account)
    document = make_document(
        "package" if purpose == "package" else "usage",
        lines,
        groups(lines, taxes_of(ledger.catalog), terms.currency, terms.rounding),
        month=month,
        seller=seller,
        customer=customer,
        terms=terms,
    )
    return Draft(
        document=document,
        charges={number: each.charges for number, each in enumerate(drawn, 1) if each.charges},
        packages={number: each.package for number, each in enumerate(drawn, 1) if each.package},
    )


def _packages_due(ledger: AccountLedger, month: date, tax: Tax | None) -> Iterator[_Drawn]:
    """The packages and refunds that go on the document of a month: its own, and late ones on the first open month."""
    first, billed = first_open_month(ledger), billed_packages(ledger.conn, "package")
    for package in sorted(ledger.catalog.packages.values(), key=lambda package: (package.purchased_at, package.id)):
        if package.account == ledger.account_id and package.charge == "invoice" and package.id not in billed:
            bought = _purchase_day(ledger, package).replace(day=1)
            if bought == month or (month == first and bought < month):
                yield _package(ledger, package, tax)
    if month == first:
        yield from _refunds_due(ledger, tax)


def _package(ledger: AccountLedger, package: Package, tax: Tax | None) -> _Drawn:
    first, last = valid_days(package, ledger.zone)
    price = package.price or Decimal(0)
    return _Drawn(
        line=_plain_line("package", package.id, ledger, price, tax, days=(first, last)),
        package=(package.id, "package"),
    )


def _refunds_due(ledger: AccountLedger, tax: Tax | None) -> Iterator[_Drawn]:
    table, done = tables.package_refund, billed_packages(ledger.conn, "refund")
    refunds = select(table).where(table.c.account_id == ledger.account_id, table.c.number.is_(None))
    for row in ledger.conn.execute(refunds.order_by(table.c.id)):
        if row.package_id not in done and row.amount_scaled:
            amount = -from_scaled(row.amount_scaled)
            yield _Drawn(
                line=_plain_line("refund", row.package_id, ledger, amount, tax, days=(row.as_of, row.as_of)),
                package=(row.package_id, "refund"),
            )


def _plain_line(
    kind: str, package_id: str, ledger: AccountLedger, amount: Decimal, tax: Tax | None, *, days: tuple[date, date]
) -> DocumentLine:
    """A line without minutes; its tax is that of its first day."""
    package = ledger.catalog.packages[package_id]
    named, valid_from = group_of(tax, days[0])
    return DocumentLine(
        line=0,
        kind="refund" if kind == "refund" else "package",
        app_id=package.app,
        app_name=ledger.catalog.apps[package.app].name if package.app else None,
        package=package_id,
        first_day=days[0],
        last_day=days[1],
        list_amount=amount,
        amount=amount,
        tax=named,
        tax_from=valid_from,
    )


def _purchase_day(ledger: AccountLedger, package: Package) -> date:
    return local_day(int(package.purchased_at.timestamp()), ledger.zone)


def _last_month(ledger: AccountLedger, first: date) -> date:
    """The last month with a settled day, a posted correction, or a package to be billed; at least the first open one,
    on which stands what is late for its own month, and what is refunded."""
    days: Iterable[date | None] = (
        ledger.last_settled_day(),
        ledger.last_posting_day(),
        *(
            _purchase_day(ledger, package)
            for package in ledger.catalog.packages.values()
            if package.account == ledger.account_id and package.charge == "invoice"
        ),
    )
    return max([first, *(day.replace(day=1) for day in days if day)])
