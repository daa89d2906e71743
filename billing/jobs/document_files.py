"""Document files: the PDF and the XML of an issued document, made once, kept as they were made, and given out since.

The XML is issued with the verdict of the official rules alone; the PDF has it attached, where the document has one.
"""

import logging
from datetime import UTC, datetime
from typing import Literal

from billing.invoicing.page import page_from_table
from billing.invoicing.pdf import pdf_page
from billing.invoicing.ubl import NoUbl, ubl_xml
from billing.invoicing.ubl_check import check_ubl, failed_rules
from billing.ledger.database import Engine, reading, writing
from billing.ledger.documents import StoredDocument, contents, find, find_file, put_file
from billing.output_files import Output

_log = logging.getLogger(__name__)

Format = Literal["pdf", "xml"]


def write_file(engine: Engine, number: str, file_format: Format, output: Output) -> None:
    """Writes the PDF or XML of a document; a `BillingError` when it has none, or what makes it is not installed."""
    content = document_file(engine, number, file_format)
    with output.open() as file:
        file.write(content)


def document_file(engine: Engine, number: str, file_format: Format) -> bytes:
    """The file as it was made first, which is now if it was not made before."""
    with reading(engine) as conn:
        stored = find(conn, number)
        known = find_file(conn, stored.id, file_format)
    if known is not None:
        return known
    content = _xml(engine, stored) if file_format == "xml" else _pdf(engine, stored)
    with writing(engine) as conn:
        known = find_file(conn, stored.id, file_format)  # another process was quicker
        if known is None:
            put_file(conn, stored.id, file_format, content)
    return content if known is None else known


def _xml(engine: Engine, stored: StoredDocument) -> bytes:
    with reading(engine) as conn:
        document, _ = contents(conn, stored.number)
    xml = ubl_xml(document)
    check_ubl(xml)
    return xml


def _attachable(engine: Engine, stored: StoredDocument) -> bytes | None:
    """The XML that the PDF has attached; None: the document can have none, or it breaks a rule, which is said."""
    with reading(engine) as conn:
        document, _ = contents(conn, stored.number)
    try:
        xml = ubl_xml(document)
    except NoUbl:
        return None
    if broken := failed_rules([xml])[0]:
        _log.warning("%s has no XML attached: it breaks %s of EN 16931", stored.number, broken[0].rule)
        return None
    return document_file(engine, stored.number, "xml")


def _pdf(engine: Engine, stored: StoredDocument) -> bytes:
    with reading(engine) as conn:
        _, table = contents(conn, stored.number)
        logo = find_file(conn, stored.id, "logo")
    xml = _attachable(engine, stored)
    issued_at = datetime.fromtimestamp(stored.issued_at_ms // 1000, UTC)
    return pdf_page(page_from_table(table), logo=logo, xml=xml, issued_at=issued_at)
