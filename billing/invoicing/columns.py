"""Columns that several sheets share, and the account, month and app that every row begins with."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from billing.invoicing.invoice import Invoice
from billing.invoicing.table import Column, Kind, Table
from billing.periods import time_zone

KEYS = (
    Column(header="Account", width=12),
    Column(header="Month", width=9),
    Column(header="App", width=12, kind=Kind.CODE),
)
DAY = Column(header="Day", width=11, kind=Kind.DAY)
ITEM = Column(header="Item", width=8)
WINDOW = Column(header="Window start", width=26)

# `Table` with the row limit of the workbook.
MakeTable = Callable[..., Table]

# A spreadsheet keeps 15 digits of a number; a longer app id is text.
_LONGEST_NUMBER = 10**15


def keys(invoice: Invoice, app_id: int | None) -> tuple[str, str, str | int]:
    """The account, the month and the app (None: all of them) of a row."""
    app = "all apps" if app_id is None else app_id if app_id < _LONGEST_NUMBER else str(app_id)
    return invoice.facts.account.id, invoice.facts.month.isoformat()[:7], app


def zone_of(invoice: Invoice) -> ZoneInfo:
    """The time zone whose local days are billed."""
    return time_zone(invoice.facts.account.timezone)
