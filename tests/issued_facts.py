"""Documents as they are issued, for the tests of their XML and PDF: few words, real groups and sums."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing.documents import (
    Document,
    DocumentLine,
    DocumentParty,
    Purpose,
    Terms,
    group_of,
    groups,
    make_document,
)

MARCH = date(2026, 3, 1)
BERLIN = DocumentParty(
    id="east", name="East GmbH", address="Lange Straße 1\n10115 Berlin", country="DE", tax_id="DE136695976"
)
PARIS = DocumentParty(
    id="ecole", name="École & Fils", address="1 rue <de> Rivoli\nBât. B\n3e étage\n75001 Paris", country="FR",
    tax_id="40303265045",
)  # fmt: skip
TOKYO = DocumentParty(
    id="tokyo", name="株式会社リアルタイム", address="東京都渋谷区1-2-3", country="JP", tax_id="T5835678256246"
)
ACADEMY = DocumentParty(id="academy", name="アカデミー", address="大阪市北区4-5-6\n梅田ビル", country="JP")


def a_tax(
    category: Literal["S", "AE", "O", "E", "Z", "G"] = "S",
    rate: str = "10",
    rounding: Literal["half_up", "up", "down"] = "half_up",
    **named: Any,
) -> Tax:
    """A tax of one version."""
    named = {"valid_from": date(2019, 10, 1), "text": f"VAT {rate}%", **named}
    version = TaxVersion(category=category, rate=Decimal(rate), rounding=rounding, **named)
    return Tax(id=f"{category}-{rate}", versions=(version,))


JP_10 = a_tax("S", "10", "down", text="消費税 10%")
VAT_19 = a_tax("S", "19", text="USt. 19%")


def used(payable: int, per_thousand: str, item: str = "hd", **named: Any) -> DocumentLine:
    """A usage line; `deducted_minutes` come on top of the payable ones."""
    price = Decimal(per_thousand) / 1000
    deducted = named.get("deducted_minutes", 0)
    values = {
        "kind": "usage",
        "app_id": 1400000001,
        "app_name": "Classroom",
        "first_day": date(2026, 3, 1),
        "last_day": date(2026, 3, 31),
        "seconds": 60 * (payable + deducted),
        "minutes": payable + deducted,
        **named,
    }
    amount = payable * price
    return DocumentLine(
        line=0, item=item, payable_minutes=payable, list_price=Decimal(per_thousand), unit_price=price,
        list_amount=amount, amount=amount, **values,
    )  # fmt: skip


def corrected(payable: int, per_thousand: str, item: str = "hd", **named: Any) -> DocumentLine:
    """A correction of a day in February."""
    days = {"first_day": date(2026, 2, 3), "last_day": date(2026, 2, 3)}
    return used(payable, per_thousand, item, **{"kind": "correction", **days, **named})


def piece(kind: Literal["package", "service", "fee", "refund", "discount"], amount: str, **named: Any) -> DocumentLine:
    """A line with nothing but an amount."""
    values = {"package": "pkg-250k", "first_day": date(2026, 3, 9), "last_day": date(2026, 3, 9), **named}
    return DocumentLine(line=0, kind=kind, list_amount=Decimal(amount), amount=Decimal(amount), **values)


CLASSROOM = (used(1051, "150", "audio"), used(1751, "600", "hd"), used(703, "1350", "fhd"))


def issued(
    *lines: DocumentLine,
    tax: Tax | None = None,
    taxes: Sequence[Tax | None] | None = None,
    currency: str = "EUR",
    seller: DocumentParty = BERLIN,
    customer: DocumentParty = PARIS,
    purpose: Purpose = "usage",
    terms: dict[str, Any] | None = None,
    **named: Any,
) -> Document:
    """The document of lines under one tax (or each under its own), issued on 2026-04-01 and due on 2026-05-01."""
    each = taxes if taxes is not None else [tax] * len(lines)
    placed = [
        replace(line, tax=key[0], tax_from=key[1])
        for line, one in zip(lines, each, strict=True)
        for key in [group_of(one, line.last_day or MARCH)]
    ]
    known = list({one.id: one for one in each if one}.values())
    words = {"timezone": "Europe/Berlin", "language": "en", **(terms or {})}
    drafted = make_document(
        purpose, placed, groups(placed, known, currency),
        month=MARCH, seller=seller, customer=customer, terms=Terms(currency=currency, **words),
    )  # fmt: skip
    dated = {"number": "EA-2026-000001", "issued_on": date(2026, 4, 1), "due_on": date(2026, 5, 1), **named}
    return replace(drafted, **dated)
