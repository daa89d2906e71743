"""The PDF of a document: PDF/A-3 with embedded fonts and the XML, the same bytes twice, and every word of the page."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import typst
from pypdf import PdfReader
from pypdf.generic import ContentStream

from billing.errors import BillingError
from billing.invoicing.documents import Document
from billing.invoicing.page import Page, make_page
from billing.invoicing.pdf import pdf_page
from billing.invoicing.ubl import ubl_xml
from tests.issued_facts import ACADEMY, BERLIN, CLASSROOM, JP_10, TOKYO, VAT_19, corrected, issued, piece, used

AT = datetime(2026, 4, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))
HAS_CJK = any(family.startswith("Noto Sans CJK") for family in typst.Fonts().families())
needs_cjk = pytest.mark.skipif(
    not HAS_CJK and os.environ.get("BILLING_REQUIRE_FONTS") != "1", reason="fonts-noto-cjk is not installed"
)

INVOICE = issued(
    used(1051, "0.99", "audio"),
    used(1234567, "3.99", deducted_minutes=250000),
    piece("package", "227"),
    corrected(-12, "3.99"),
    tax=VAT_19,
    customer=replace(BERLIN, id="kunde", name="Kunde & Söhne", tax_id=None),
    terms={"bank": "Bank of Berlin\nIBAN DE89 3704 0044 0532 0130 00"},
)
YEN = issued(
    *(replace(line, app_name="教室") for line in CLASSROOM),
    tax=JP_10,
    currency="JPY",
    seller=TOKYO,
    customer=ACADEMY,
    terms={"language": "ja", "timezone": "Asia/Tokyo", "bank": "三井住友銀行 渋谷支店"},
)
YUAN = replace(YEN, terms=replace(YEN.terms, language="zh"))
CREDIT = issued(corrected(-1234, "3.99"), tax=VAT_19, number="EAC-2026-000001", due_on=None, credits="EA-2026-000001")
DRAFT = replace(INVOICE, number=None, issued_on=None, due_on=None)


def pdf(document: Document, **named: Any) -> bytes:
    return pdf_page(make_page(document), issued_at=AT, **named)


def read(content: bytes) -> PdfReader:
    return PdfReader(BytesIO(content), strict=True)


def text(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in read(content).pages)


def words_of(page: Page) -> Iterator[str]:
    """All that a page says; the amounts as they are printed."""
    yield from (page.title, page.due.label, page.due.value, page.seller_label, page.customer_label, page.draft_mark)
    yield from (word for fact in page.facts for word in (fact.label, fact.value))
    yield from (*page.seller, *page.customer, *page.headers, *page.bank, *page.notes)
    yield from (word for line in page.lines for word in (line.text, f"{line.amount:,}", f"{line.minutes or 0:,}"))
    yield from (word for each in page.sums for word in (each.label, f"{each.amount:,}"))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(INVOICE, id="en"),
        pytest.param(YEN, id="ja", marks=needs_cjk),
        pytest.param(YUAN, id="zh", marks=needs_cjk),
        pytest.param(CREDIT, id="credit note"),
        pytest.param(DRAFT, id="draft"),
    ],
)
def test_every_word_of_the_page_can_be_read_back(document: Document) -> None:
    page = make_page(document)
    found = "".join(text(pdf_page(page, issued_at=AT)).split())
    missing = [word for word in words_of(page) if "".join(word.split()) not in found]
    assert missing == []


def test_the_lines_are_a_table() -> None:
    """What, minutes, paid by packages, price per 1,000 and amount; a package has the amount alone."""
    rows = text(pdf(INVOICE)).splitlines()
    assert "Audio, Classroom 1,051 0 0.99 1.04" in rows
    assert "HD video, Classroom 1,484,567 250,000 3.99 4,925.92" in rows
    assert "Corrections of earlier days, Classroom -12 0 3.99 -0.05" in rows
    assert "Total including tax EUR 6,133.15" in rows


def test_prices_keep_all_their_digits_and_have_at_least_those_of_the_currency() -> None:
    page = make_page(INVOICE)
    for price, shown in (("4", "4.00"), ("0.0125", "0.0125"), ("1350", "1,350.00"), ("1E+3", "1,000.00")):
        line = replace(
            page.lines[0], text="x", minutes=1, deducted_minutes=0, price=Decimal(price), amount=Decimal("1.50")
        )
        assert f"x 1 0 {shown} 1.50" in text(pdf_page(replace(page, lines=(line,)), issued_at=AT)).splitlines()


def test_it_says_that_it_is_pdf_a_3b() -> None:
    root = read(pdf(INVOICE)).trailer["/Root"]
    (intent,) = root["/OutputIntents"]
    assert intent.get_object()["/S"] == "/GTS_PDFA1"
    assert intent.get_object()["/DestOutputProfile"].get_object().get_data()[36:40] == b"acsp"
    metadata = root["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>" in metadata
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]


@pytest.mark.parametrize("document", [INVOICE, pytest.param(YEN, marks=needs_cjk), pytest.param(YUAN, marks=needs_cjk)])
def test_every_font_is_embedded_and_maps_to_letters(document: Document) -> None:
    fonts = [font.get_object() for page in read(pdf(document)).pages for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert {"/FontFile2", "/FontFile3"} & descriptor.keys()
        assert "/ToUnicode" in font


@needs_cjk
@pytest.mark.parametrize(("document", "family"), [(YEN, "NotoSansCJKjp"), (YUAN, "NotoSansCJKsc")])
def test_japanese_and_chinese_pages_have_their_own_forms_of_characters(document: Document, family: str) -> None:
    names = {font.get_object()["/BaseFont"] for font in read(pdf(document)).pages[0]["/Resources"]["/Font"].values()}
    assert all(family in name for name in names)


def test_the_xml_is_attached_as_the_same_document_in_another_form() -> None:
    xml = ubl_xml(INVOICE)
    reader = read(pdf(INVOICE, xml=xml))
    assert reader.attachments == {"invoice.xml": [xml]}
    (attached,) = reader.trailer["/Root"]["/AF"]
    assert attached.get_object()["/AFRelationship"] == "/Alternative"
    assert attached.get_object()["/EF"]["/F"].get_object()["/Subtype"] == "/text/xml"
    assert "/AF" not in read(pdf(INVOICE)).trailer["/Root"]


def test_the_same_page_gives_the_same_bytes_in_another_process_too() -> None:
    program = (
        "import sys, tests.test_pdf as t; from billing.invoicing.ubl import ubl_xml; "
        "sys.stdout.buffer.write(t.pdf(t.INVOICE, xml=ubl_xml(t.INVOICE)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TZ": "Asia/Tokyo"}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout
    first = pdf(INVOICE, xml=ubl_xml(INVOICE))
    assert first == pdf(INVOICE, xml=ubl_xml(INVOICE)) == printed
    assert first != pdf_page(make_page(INVOICE), xml=ubl_xml(INVOICE), issued_at=AT + timedelta(seconds=1))


def test_it_is_dated_by_the_moment_of_issue_and_named_after_the_document() -> None:
    facts = read(pdf(INVOICE)).metadata
    assert facts is not None
    assert facts.creation_date == facts.modification_date == AT.astimezone(UTC)
    assert facts.title == "Invoice EA-2026-000001"


def test_names_are_never_read_as_markup() -> None:
    name = '#image("x") $a^2$ *b* _c_ `d` @e <f> = g \\ "h" // i #{1+1} https://example.org --- ~'
    shown = issued(used(1, "3.99", app_name=name), customer=replace(BERLIN, name=name), terms={"bank": name})
    found = "".join(text(pdf(shown)).split())
    assert found.count("".join(name.split())) == 3


def test_a_draft_is_marked_and_a_document_is_not() -> None:
    assert text(pdf(DRAFT)).splitlines().count("Draft") >= 1
    assert "Draft" not in text(pdf(INVOICE))


def test_a_long_page_goes_on_under_the_same_header_and_counts_its_pages() -> None:
    page = make_page(INVOICE)
    reader = read(pdf_page(replace(page, lines=page.lines * 10), issued_at=AT))
    header = "Description Minutes Paid by packages Price per 1,000 Amount (EUR)"
    assert [page.extract_text().splitlines().count(header) for page in reader.pages] == [1, 1]
    assert [page.extract_text().splitlines()[-1] for page in reader.pages] == [
        "Invoice EA-2026-000001 1 / 2",
        "Invoice EA-2026-000001 2 / 2",
    ]
    width, height = reader.pages[0].mediabox[2:]
    assert (round(float(width)), round(float(height))) == (595, 842)


def test_a_word_wider_than_its_column_is_broken() -> None:
    """The name of an app may have 256 characters; it stays left of the numbers."""
    shown = text(pdf(issued(used(7, "3.99", app_name="~" * 200), tax=VAT_19))).replace("\u200b", "")
    parts = [line.count("~") for line in shown.splitlines()]
    assert sum(parts) == 200
    assert max(parts) < 60


def png(width: int, height: int) -> bytes:
    """A picture of one colour, half transparent."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + b"\x1f\x5f\x9e\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "drawn"),
    [(40, 20, (28, 14)), (20, 200, (1.4, 14)), (600, 20, (60, 2))],
)
def test_a_logo_is_14_mm_high_and_at_most_60_mm_wide(width: int, height: int, drawn: tuple[float, float]) -> None:
    reader = read(pdf(INVOICE, logo=png(width, height)))
    operations = ContentStream(reader.pages[0].get_contents(), reader).operations
    (at,) = (at for at, (_, name) in enumerate(operations) if name == b"Do")
    (wide, _, _, high, *_), name = operations[at - 1]
    assert name == b"cm"
    assert (float(wide) / 72 * 25.4, float(high) / 72 * 25.4) == pytest.approx(drawn)


def test_a_logo_that_is_no_picture_says_what_to_give() -> None:
    with pytest.raises(BillingError, match="the logo cannot be printed, give it as PNG, JPEG or SVG") as raised:
        pdf(INVOICE, logo=b"MZ no picture")
    assert "\n" not in str(raised.value)


def test_a_letter_that_no_font_has_says_which_fonts_to_install(tmp_path: Path) -> None:
    """A folder without fonts: what comes with the library has no Japanese."""
    assert text(pdf(INVOICE, font_folders=[tmp_path])).startswith("Invoice")
    with pytest.raises(BillingError, match=r"could not be displayed.*install fonts.*fonts-noto-cjk") as raised:
        pdf(YEN, font_folders=[tmp_path])
    assert "\n" not in str(raised.value)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(BillingError, match=r"install billing\[documents\]$"):
        pdf(INVOICE)
