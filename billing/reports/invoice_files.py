"""Invoices as workbooks: issued documents, made again at any time as they were issued, and drafts.

The first page is kept with the document; its annex is read from the settled rows as of the run that the document knows
of last, with the catalog of that moment. So neither late events, nor another catalog, nor a payment reaches it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from billing.catalog.catalog import Account
from billing.errors import BillingError
from billing.invoicing.page import make_page, page_from_table
from billing.invoicing.workbook.excel_file import Front, write_document, write_workbook
from billing.invoicing.workbook.xml_rows import Progress
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.annexes import NothingBilled, issued_annex, read_annex
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.documents import StoredDocument, contents, documents, find, find_file
from billing.ledger.drafts import month_draft
from billing.output_files import Output

# What is replaced in the name of a file: a first dot or minus, and all but letters, digits and `_ . -`.
_UNSAFE = re.compile(r"^[.-]|[^\w.-]")
_LONGEST_NAME = 60  # characters, of up to 4 bytes each: a file name has 255 bytes at most

Detail = Literal["none", "daily", "full"]


def export_document(
    engine: Engine, number: str, output: Output, *, detail: Detail = "full", progress: Progress | None = None
) -> None:
    """Writes the workbook of an issued document."""
    with reading(engine) as conn:
        stored = find(conn, number)
        front = document_front(conn, stored, detail)
        annex = issued_annex(conn, stored) if detail != "none" else None
    write_document(front, annex, output, progress=progress)


def document_front(conn: Connection, stored: StoredDocument, detail: Detail = "full") -> Front:
    """The first page of an issued document, as it was issued."""
    document, table = contents(conn, stored.number)
    logo = find_file(conn, stored.id, "logo")
    return Front(page=page_from_table(table), document=document, logo=logo, detail=detail)


def closing_document(conn: Connection, account_id: str, month: date) -> str | None:
    """The number of the live document of a closed month: the last invoice in the place of the one that closed it."""
    issued = [each for each in documents(conn, accounts=[account_id], month=month) if each.credits is None]
    return issued[-1].number if issued else None


def export_invoice(
    engine: Engine,
    account_id: str,
    month: date,
    output: Output,
    *,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes the workbook of the month's draft invoice, as it is now or was known at an instant; of a closed month the
    document that stands for it now.

    A `BillingError` when no day of the month is, or was then, billed.
    """
    with reading(engine) as conn:
        number = None if as_of else closing_document(conn, account_id, month)
    if number is not None:
        export_document(engine, number, output, progress=progress)
        return
    with reading(engine) as conn:
        ledger = AccountLedger.at(conn, account_id, as_of)
        annex = read_annex(ledger, month, as_of=as_of)
        draft = month_draft(ledger, month).document if ledger.account.tax and as_of is None else None
    if draft:
        write_document(Front(page=make_page(draft), document=draft), annex, output, progress=progress)
    else:
        write_workbook(annex, output, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What became of an account's month: its workbook; or why it failed; or neither, because no day of it is billed."""

    account: str
    month: date
    workbook: Path | None = None
    error: str | None = None


def export_invoices(
    engine: Engine, month_of: Callable[[Account], date], output: Output, *, as_of: datetime | None = None
) -> Iterator[Exported]:
    """Writes a workbook of the month of every account into the directory `output`, `ACCOUNT-YYYY-MM.xlsx`.

    `month_of` gives the first day of the month of an account. An account that fails does not stop the others.
    """
    with reading(engine) as conn:
        catalog = load_catalog(conn, as_of_ms=None if as_of is None else int(as_of.timestamp() * 1000))
    names = file_names(catalog.accounts)
    for account_id, name in names.items():
        month = month_of(catalog.accounts[account_id])
        workbook = Path(output.path) / f"{name}-{month:%Y-%m}.xlsx"
        try:
            export_invoice(engine, account_id, month, replace(output, path=workbook), as_of=as_of)
        except NothingBilled:
            yield Exported(account=account_id, month=month)
        except BillingError as error:
            yield Exported(account=account_id, month=month, error=str(error))
        else:
            yield Exported(account=account_id, month=month, workbook=workbook)


def file_names(ids: Iterable[str]) -> dict[str, str]:
    """A name for a file of each id, different also where capitals do not count: `a/b` is `a_b`.

    Of ids that would have the same name, all but one that needs no change get a part of their hash too.
    """
    plain = {each: _UNSAFE.sub("_", each)[:_LONGEST_NAME] for each in sorted(ids)}
    taken = Counter(name.casefold() for name in plain.values())
    unchanged = {name.casefold(): name for each, name in plain.items() if each == name}
    return {
        each: name
        if taken[name.casefold()] == 1 or unchanged.get(name.casefold()) == each
        else f"{name}-{hashlib.sha256(each.encode()).hexdigest()[:8]}"
        for each, name in plain.items()
    }
