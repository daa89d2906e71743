"""Columns that several sheets share, and the account, month and app that every row begins with."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.invoicing.invoice import Header, Line
from billing.invoicing.workbook.table import Column, Kind, Table
from billing.periods import time_zone
from billing.rating.charges import Charge

KEYS = (
    Column(header="Account", width=12),
    Column(header="Month", width=9),
    Column(header="App", width=12, kind=Kind.CODE),
)
DAY = Column(header="Day", width=11, kind=Kind.DAY)
ITEM = Column(header="Item", width=8)
WINDOW = Column(header="Window start", width=26)
# The kinds of the invoice's lines, and their column, which is there if anything was corrected.
USAGE, CORRECTION = "Usage", "Correction"
KIND_NAMES = {"usage": USAGE, "correction": CORRECTION}
KIND = Column(header="Kind", width=11)
# What a charge states, in seconds and minutes.
QUANTITIES = (
    Column(header="Seconds", width=13, kind=Kind.COUNT),
    Column(header="Minutes", width=11, kind=Kind.COUNT),
    Column(header="Deducted", width=11, kind=Kind.COUNT),
    Column(header="Payable", width=11, kind=Kind.COUNT),
)
LIST_PRICE = Column(header="List price per 1,000", width=11, kind=Kind.PRICE)
UNIT_PRICE = Column(header="Unit price per minute", width=12, kind=Kind.PRICE)
AMOUNT = Column(header="Amount", width=15, kind=Kind.AMOUNT)
# What a payer gave.
PAYMENT = (
    Column(header="Minutes", width=13, kind=Kind.COUNT),
    Column(header="Package minutes", width=17, kind=Kind.COUNT),
    Column(header="Package", width=24),
)

# `Table` with the row limit of the workbook.
MakeTable = Callable[..., Table]

# A spreadsheet keeps 15 digits of a number; a longer app id is text.
_LONGEST_NUMBER = 10**15


def keys(header: Header, app_id: int | None) -> tuple[str, str, str | int]:
    """The account, the month and the app (None: all of them) of a row."""
    return header.account_id, header.month.isoformat()[:7], "all apps" if app_id is None else app_cell(app_id)


def app_cell(app_id: int) -> str | int:
    """The id of an app."""
    return app_id if app_id < _LONGEST_NUMBER else str(app_id)


def quantities(charge: Charge | Line) -> tuple[int, int, int, int]:
    """The cells of `QUANTITIES`."""
    return charge.seconds, charge.minutes, charge.deducted_minutes, charge.payable_minutes


def quantity_totals(charges: Sequence[Charge] | Sequence[Line]) -> dict[str, int]:
    """The sums of `QUANTITIES`, by header."""
    return {
        column.header: sum(quantities(charge)[place] for charge in charges) for place, column in enumerate(QUANTITIES)
    }


def list_price_cell(list_price: Decimal | None) -> Decimal | str:
    """The cell of `LIST_PRICE`: a price of the contract's own has none."""
    return "contract" if list_price is None else list_price


def zone_of(header: Header) -> ZoneInfo:
    """The time zone whose local days are billed."""
    return time_zone(header.timezone)
