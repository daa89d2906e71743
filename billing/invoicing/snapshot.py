"""Snapshots: what of a document is kept, as one canonical JSON text, and the chain of their hashes.

A snapshot holds the document and the cells of its first page. Its hash covers the text and the hash of the document
before it in its series, behind a prefix that names the version of the rule: `1:` + hex of SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from billing.invoicing.documents import Document
from billing.money import HALF_UP

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_VERSION = 1
# The first document of a series follows this.
NO_HASH = ""


def snapshot(document: Document, page: Any) -> str:
    """The canonical JSON of a document and its first page (plain values): keys are sorted, decimals are exact text."""
    return canonical({"version": _VERSION, "document": document_table(document), "page": page})


def document_table(document: Document) -> dict[str, Any]:
    """A document as plain values. The usual rounding is left out, as in the documents that were issued first."""
    table: dict[str, Any] = _stored().dump_python(document, mode="json")
    if document.terms.rounding == HALF_UP:
        del table["terms"]["rounding"]
    return table


def document_from_table(table: Mapping[str, Any]) -> Document:
    """The document that `document_table` wrote; a `ValueError` when it is none."""
    return _stored().validate_json(json.dumps(table), strict=True)


def parse_snapshot(text: str) -> tuple[Document, Any]:
    """The document and the first page of a snapshot; a `ValueError` when it is none."""
    table = json.loads(text)
    return document_from_table(table["document"]), table["page"]


def chained_hash(text: str, before: str) -> str:
    """The hash of a snapshot that follows a document with the hash `before` (`NO_HASH`: none)."""
    chained = "\n".join((before, text))
    return f"{_VERSION}:{hashlib.sha256(chained.encode()).hexdigest()}"


def canonical(table: Mapping[str, Any]) -> str:
    """Equal values give equal texts."""
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@cache
def _stored() -> "TypeAdapter[Document]":
    from pydantic import TypeAdapter

    return TypeAdapter(Document)
