"""The first page of a document."""

from typing import Any

from billing.invoicing.documents import Document


def make_page(document: Document) -> Document:
    """The page."""
    return document


def page_table(page: Document) -> dict[str, Any]:
    """The page as plain values."""
    return {"number": page.number}
