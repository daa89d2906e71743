"""Issued charges: on which document each charge stands, and what corrections have changed of it since."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, and_, func, select

from billing.ledger import tables
from billing.ledger.document_tables import document, document_charge
from billing.money import from_scaled

# Day, app, item, kind and run of a charge of an account.
ChargeKey = tuple[date, int, str, str, int]


def live_documents(conn: Connection, account_id: str, first: date, last: date) -> dict[ChargeKey, str]:
    """The number of the document on which each charge stands that was posted in a period; a reissued one is not live."""
    on, charge = document_charge.c, tables.charge.c
    key = (on.day, on.app_id, on.item, on.kind, on.run_id)
    joined = document_charge.join(document, document.c.id == on.document_id).join(
        tables.charge,
        and_(
            charge.account_id == on.account_id,
            charge.day == on.day,
            charge.app_id == on.app_id,
            charge.item == on.item,
            charge.kind == on.kind,
            charge.run_id == on.run_id,
        ),
    )
    query = select(*key, document.c.number).select_from(joined).order_by(on.generation)
    rows = conn.execute(query.where(on.account_id == account_id, charge.posted_on.between(first, last)))
    return {(row.day, row.app_id, row.item, row.kind, row.run_id): row.number for row in rows}


def corrected_amounts(conn: Connection, document_id: int) -> dict[int, Decimal]:
    """By line of a document, what corrections that stand on no line of it have changed of its charges.

    A correction is of the charge of its day, app and item.
    """
    on, charge = document_charge.c, tables.charge.c
    lines = select(on.account_id, on.day, on.app_id, on.item, func.min(on.line).label("line")).where(
        on.document_id == document_id
    )
    billed = lines.group_by(on.account_id, on.day, on.app_id, on.item).subquery()
    own = select(on.run_id, on.day, on.app_id, on.item).where(on.document_id == document_id, on.kind == "correction")
    standing = {tuple(row) for row in conn.execute(own)}
    same = and_(
        charge.account_id == billed.c.account_id,
        charge.day == billed.c.day,
        charge.app_id == billed.c.app_id,
        charge.item == billed.c.item,
        charge.kind == "correction",
    )
    columns = (billed.c.line, charge.run_id, charge.day, charge.app_id, charge.item, charge.amount_scaled)
    rows = conn.execute(select(*columns).select_from(billed.join(tables.charge, same)))
    return _sums(
        (row.line, from_scaled(row.amount_scaled))
        for row in rows
        if (row.run_id, row.day, row.app_id, row.item) not in standing
    )


def _sums(amounts: Iterable[tuple[int, Decimal]]) -> dict[int, Decimal]:
    sums: dict[int, Decimal] = {}
    for line, amount in amounts:
        sums[line] = sums.get(line, Decimal(0)) + amount
    return sums
