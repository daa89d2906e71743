"""Documents for the tests of their pages and workbooks: three apps in three currencies and languages, and a credit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing import documents
from billing.invoicing.annex import Annex
from billing.invoicing.credits import Credited, credit_note, whole
from billing.invoicing.documents import (
    Document,
    DocumentLine,
    DocumentParty,
    Terms,
    groups,
    make_document,
)
from billing.money import minor_digits
from tests.invoice_facts import Month

APPS = {1400000001: "Classroom", 1400000002: "Lobby", 1400000003: "Studio"}
YEN = {"audio": "150", "hd": "600", "fhd": "1350", "2k": "2400", "4k": "5400"}
ROOMS_JP = DocumentParty(
    id="rooms",
    name="ルームズ株式会社",
    address="〒100-0005\n東京都千代田区丸の内1-2-3",
    country="JP",
    tax_id="T1180301018771",
)
ROOMS_DE = DocumentParty(
    id="rooms", name="Rooms GmbH", address="Torstrasse 1\n10119 Berlin", country="DE", tax_id="DE136695976"
)
ROOMS_CN = DocumentParty(
    id="rooms",
    name="会议室科技有限公司",
    address="上海市浦东新区世纪大道1号",
    country="CN",
    tax_id="91310000775785552L",
)
BANKS = {
    "ja": "みずほ銀行 丸の内支店\n普通 1234567 ルームズ(カ",
    "en": "Berliner Bank, BIC BEBEDEBBXXX\nIBAN DE89 3704 0044 0532 0130 00",
    "zh": "中国银行上海分行\n账号 4350 0000 1234 5678",
}


def tax(
    rate: str, text: str, name: str, *, prices: Any = "exclusive", rounding: Any = "half_up", category: Any = "S"
) -> Tax:
    """A tax of one version."""
    version = TaxVersion(
        valid_from=date(2019, 10, 1),
        category=category,
        rate=Decimal(rate),
        prices=prices,
        rounding=rounding,
        text=text,
    )
    return Tax(id=name, versions=(version,))


JP_10 = tax("10", "消費税 10%", "jp-10", rounding="down")
DE_19 = tax("19", "VAT 19 %", "de-19")
CN_6 = tax("6", "增值税 6%", "cn-6", prices="inclusive")


def month_of_three_apps(**other: Any) -> Annex:
    """Audio 4,051, HD 1,751 and Full HD 703 minutes, of which a package pays 3,000 of audio: INVOICES' worked example
    in JPY, 157.65 + 1,050.60 + 949.05."""
    windows = [
        (1400000002, date(2026, 3, 1), 36_000, "audio", 3000 * 60),
        (1400000002, date(2026, 3, 2), 36_000, "audio", 1051 * 60),
        (1400000001, date(2026, 3, 2), 36_300, "hd", 900 * 60 - 30),
        (1400000001, date(2026, 3, 3), 36_300, "hd", 400 * 60),
        (1400000001, date(2026, 3, 3), 36_600, "hd", 451 * 60 - 59),
        (1400000003, date(2026, 3, 17), 43_200, "fhd", 703 * 60),
    ]
    fields = {"granted": {"pkg-1": 3000}, "currency": "JPY", "prices": YEN, "apps": APPS}
    return Month(windows=windows, **fields | other).annex()


def document_of(
    annex: Annex,
    tax: Tax | None = None,
    *,
    number: str | None = "EA-2026-000001",
    language: str = "en",
    seller: DocumentParty = ROOMS_DE,
    more: Sequence[DocumentLine] = (),
    **other: Any,
) -> Document:
    """The document of an annex's invoice; `more` lines join those of usage."""
    header = annex.invoice.header
    lines = [*(documents.usage_line(line, tax) for line in annex.invoice.lines), *more]
    made = make_document(
        "usage",
        lines,
        groups(lines, [tax] if tax else [], header.currency),
        month=header.month,
        seller=seller,
        customer=customer(),
        terms=Terms(
            currency=header.currency,
            timezone=header.timezone,
            language=language,
            bank=BANKS[language],
            policies=header.policies,
            contract=header.contract,
        ),
    )
    return issued(replace(made, **other), number)


def issued(document: Document, number: str | None) -> Document:
    """The document with its number and days; without number the draft."""
    if number is None:
        return document
    due_on = None if document.is_credit_note else date(2026, 4, 30)
    return replace(document, number=number, issued_on=date(2026, 4, 1), due_on=due_on)


def customer(**other: Any) -> DocumentParty:
    """The customer, in Tokyo."""
    fields = {"id": "acme", "name": "Acme K.K.", "address": "1-2-3 Shibuya\nTokyo 150-0002", "country": "JP"}
    return DocumentParty(**fields | other)


def credit_of(document: Document, *lines: int, number: str | None = "EAC-2026-000001") -> Document:
    """The credit note for lines of an invoice, for all if none are named."""
    credited = Credited(document=document)
    made = credit_note(credited, whole(credited, lines or None), reason="Recording was unusable")
    return issued(made, number)


def usage_line(line: int, amount: str, **other: Any) -> DocumentLine:
    """A line of usage at a price of 1 per 1,000 minutes, without tax."""
    fields: dict[str, Any] = {
        "kind": "usage",
        "app_id": 1,
        "app_name": "One",
        "item": "audio",
        "minutes": 1000,
        "payable_minutes": 1000,
        "unit_price": Decimal("0.001"),
        "first_day": date(2026, 3, 1),
        "last_day": date(2026, 3, 31),
    }
    return DocumentLine(line=line, list_amount=Decimal(amount), amount=Decimal(amount), **{**fields, **other})


def document_with(
    lines: Sequence[DocumentLine], taxes: Sequence[Tax] = (), *, currency: str = "USD", language: str = "en"
) -> Document:
    """An issued invoice of these lines."""
    made = make_document(
        "usage",
        lines,
        groups(lines, taxes, currency),
        month=date(2026, 3, 1),
        seller=ROOMS_DE,
        customer=customer(),
        terms=Terms(currency=currency, timezone="Asia/Tokyo", language=language),
    )
    return issued(made, "EA-2026-000001")


def smallest_unit(document: Document) -> Decimal:
    """The minor unit of its currency."""
    return Decimal(1).scaleb(-minor_digits(document.terms.currency))
