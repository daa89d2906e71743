"""Allocation: which open invoices a credit pays.

The one invoice that the payment's reference names is paid first, then the one that is due earliest, then the first by
number; never more than is open. The rest stays credit and pays the next invoice by itself. A 100 (due 04-30), B 50
(due 05-31): 120 pays A 100 and B 20; 40 more pay B 30, and 10 stay.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInvoice:
    """An invoice of which `open` is not paid yet."""

    id: int
    number: str
    due_on: date
    open: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What is paid of an invoice."""

    invoice: OpenInvoice
    amount: Decimal


def allocate(credit: Decimal, invoices: Iterable[OpenInvoice], *, first: str | None = None) -> list[Allocation]:
    """What a credit pays of open invoices; `first` is the number of the one that goes before all others."""
    allocations = []
    for invoice in sorted(invoices, key=lambda each: (each.number != first, each.due_on, each.number)):
        amount = min(credit, invoice.open)
        if amount > 0:
            allocations.append(Allocation(invoice=invoice, amount=amount))
            credit -= amount
    return allocations


def named_in(reference: str, invoices: Sequence[OpenInvoice]) -> str | None:
    """The number of the one open invoice that a payment's reference names; None: it names none, or several."""
    named = [each.number for each in invoices if is_named(each.number, reference)]
    return named[0] if len(named) == 1 else None


def is_named(name: str, reference: str) -> bool:
    """Whether a name stands in a text by itself, whatever its capitals: INV-1 does not stand in INV-12."""
    return re.search(rf"(?<![0-9a-z]){re.escape(name.casefold())}(?![0-9a-z])", reference.casefold()) is not None
