"""Refunds of packages on record, each once."""

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, insert, select

from billing.ledger.document_tables import package_refund
from billing.money import to_scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRefund:
    """`used` and `refunded` are package minutes as of the end of a day; `amount` is what the refund's line has.

    `number`: its credit note. None: a package that was billed elsewhere, refunded on the next invoice.
    """

    package_id: str
    account_id: str
    as_of: date
    used: int
    refunded: int
    unit_price: Decimal
    amount: Decimal
    tax: Decimal
    number: str | None
    recorded_at_ms: int


def is_refunded(conn: Connection, package_id: str) -> bool:
    """Whether a package was refunded."""
    return (
        conn.execute(select(package_refund.c.id).where(package_refund.c.package_id == package_id)).first() is not None
    )


def record_refund(conn: Connection, refund: PackageRefund) -> None:
    """Writes a refund, under the writer's lock."""
    values = {field.name: getattr(refund, field.name) for field in fields(refund)}
    for name in ("unit_price", "amount", "tax"):
        values[f"{name}_scaled"] = to_scaled(values.pop(name))
    conn.execute(insert(package_refund).values(values))
