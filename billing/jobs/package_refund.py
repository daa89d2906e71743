"""Package refunds: what is left of a package is given back, as of the last settled day, once.

The refund is a credit note of the package's invoice; a package that was billed elsewhere is refunded on the next one of
its account. From then on the package never pays more than it has paid, for days that are billed again neither.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.catalog.packages import Package
from billing.errors import BillingError
from billing.home import Home
from billing.invoicing.credits import Credited, spread
from billing.invoicing.documents import group_amounts
from billing.jobs.credit import credited_so_far, write_credit_note
from billing.jobs.issuing import Issuer
from billing.jobs.standing import publish
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, writing
from billing.ledger.documents import StoredDocument, package_document
from billing.ledger.package_refunds import PackageRefund, is_refunded, record_refund
from billing.rating.balances import PackageBalance
from billing.rating.refunds import refund, used_price


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """What was refunded of a package: `amount` is net; `number` is that of the credit note, None when there is none."""

    id: str
    account: str
    used: int
    unit_price: Decimal
    amount: Decimal
    tax: Decimal
    total: Decimal
    currency: str
    number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Invoiced:
    """The invoice on which a package stands, what was credited of it, and the package's line."""

    document: StoredDocument
    credited: Credited
    line: int

    @property
    def left(self) -> Decimal:
        """What is left of the package's price."""
        return next(each.left for each in self.credited.lines() if each.line.line == self.line)


def refund_package(home: Home, engine: Engine, package_id: str) -> Refunded:
    """Refunds a package; a `BillingError`, and nothing is written, when that was done or cannot be."""
    with writing(engine) as conn:
        package = load_catalog(conn).package(package_id)
        issuer = Issuer.of(home, conn, package.account)
        ledger = AccountLedger(conn=conn, account_id=package.account, catalog=issuer.catalog)
        balance, as_of = _refundable(ledger, package)
        invoiced = _invoiced(ledger, package)
        unit_price = _unit_price(ledger, package, balance.deducted)
        paid = invoiced.left if invoiced else package.price or Decimal(0)
        amount = refund(paid, balance.deducted, unit_price, issuer.account.currency)
        net, tax, number = _give_back(issuer, package, invoiced, amount, as_of)
        record_refund(
            conn,
            PackageRefund(
                package_id=package_id,
                account_id=package.account,
                as_of=as_of,
                used=balance.deducted,
                refunded=balance.remaining,
                unit_price=unit_price,
                amount=amount,
                tax=tax,
                number=number,
                recorded_at_ms=issuer.moment.at_ms,
            ),
        )
        issuer.settle()
    publish(home, engine, [package.account])
    return Refunded(
        id=package_id,
        account=package.account,
        used=balance.deducted,
        unit_price=unit_price,
        amount=net,
        tax=tax,
        total=net + tax,
        currency=issuer.account.currency,
        number=number,
    )


def _refundable(ledger: AccountLedger, package: Package) -> tuple[PackageBalance, date]:
    """The balance of a package that can be refunded, and the last settled day."""
    if is_refunded(ledger.conn, package.id):
        raise BillingError(f"package {package.id!r} was refunded already")
    if package.price is None:
        raise BillingError(f"package {package.id!r} has no price in the catalog: there is nothing to refund")
    as_of = ledger.last_settled_day()
    if as_of is None:
        raise BillingError(f'no day of account "{ledger.account_id}" is billed: run `billing nightly` first')
    balance = next(each for each in ledger.package_balances() if each.id == package.id)
    if balance.lapsed:
        raise BillingError(f"package {package.id!r} has lapsed on {balance.valid_to}: there is nothing to refund")
    return balance, as_of


def _invoiced(ledger: AccountLedger, package: Package) -> _Invoiced | None:
    """The invoice on which a package was billed; None: there is none that can be credited."""
    if package.charge == "external":
        return None
    found = package_document(ledger.conn, package.id)
    if found is None:
        raise BillingError(f"package {package.id!r} is not invoiced yet: finalize the month of its purchase first")
    document, line = found
    if not document.is_invoice:
        return None  # it stands on a month's credit note, which cannot be credited
    return _Invoiced(document=document, credited=credited_so_far(ledger.conn, document), line=line)


def _unit_price(ledger: AccountLedger, package: Package, used: int) -> Decimal:
    """The price of one used package minute, by the price list of the account's policy on the day of purchase."""
    terms = ledger.terms_on(ledger.day_of(int(package.purchased_at.timestamp())))[0]
    currency = ledger.account.currency
    audio = terms.list_prices.get("audio", terms.prices["audio"])
    return used_price(terms.version.package_prices.get(currency, ()), audio, used)


def _give_back(
    issuer: Issuer, package: Package, invoiced: _Invoiced | None, amount: Decimal, as_of: date
) -> tuple[Decimal, Decimal, str | None]:
    """Net, tax and the number of the credit note, if there is one."""
    if not amount:
        return amount, Decimal(0), None
    if invoiced is None:
        tax = issuer.catalog.tax_of(issuer.account)
        return *group_amounts(amount, tax.version_on(as_of) if tax else None, issuer.account.currency), None
    amounts = spread(invoiced.credited, amount, [invoiced.line])
    issued_by = Issuer.of(issuer.home, issuer.conn, package.account, seller_id=invoiced.document.seller_id)
    reason = f"refund of package {package.id}"
    note = write_credit_note(issued_by, invoiced.document, invoiced.credited, amounts, reason=reason, purpose="refund")
    return note.net, note.tax, note.number
