"""Issued charges: on which document each charge stands, and what corrections have changed of it since."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import accumulate

from sqlalchemy import Connection, and_, func, select

from billing.ledger import tables
from billing.ledger.document_tables import document, document_charge
from billing.money import from_scaled
from billing.rating.charges import PostedCharge

# Day, app, item, slab, kind and run of a charge of an account.
ChargeKey = tuple[date, int, str, int, str, int]


def charge_key(posted: PostedCharge) -> ChargeKey:
    """What a charge of an account is known by."""
    charge = posted.charge
    return posted.day, charge.app_id, charge.item, charge.slab, posted.kind, posted.run_id


def live_documents(conn: Connection, account_id: str, first: date, last: date) -> dict[ChargeKey, str]:
    """The number of the live document of each charge that was posted in a period; a reissued document is not live."""
    on, charge = document_charge.c, tables.charge.c
    key = (on.day, on.app_id, on.item, on.slab, on.kind, on.run_id)
    joined = document_charge.join(document, document.c.id == on.document_id).join(
        tables.charge,
        and_(
            charge.account_id == on.account_id,
            charge.day == on.day,
            charge.app_id == on.app_id,
            charge.item == on.item,
            charge.slab == on.slab,
            charge.kind == on.kind,
            charge.run_id == on.run_id,
        ),
    )
    query = select(*key, document.c.number).select_from(joined).order_by(on.generation)
    rows = conn.execute(query.where(on.account_id == account_id, charge.posted_on.between(first, last)))
    return {(row.day, row.app_id, row.item, row.slab, row.kind, row.run_id): row.number for row in rows}


def lines_of_charges(conn: Connection, document_id: int) -> dict[ChargeKey, int]:
    """The line on which each charge of a document stands."""
    on = document_charge.c
    rows = conn.execute(
        select(on.day, on.app_id, on.item, on.slab, on.kind, on.run_id, on.line).where(on.document_id == document_id)
    )
    return {(row.day, row.app_id, row.item, row.slab, row.kind, row.run_id): row.line for row in rows}


def taken_off(corrections: Iterable[int]) -> int:
    """What corrections in the order of posting took off a charge that stood before them, at most 0.

    What a correction adds is a line of its own, and one below zero takes off the latest line first: +6, -6 take off
    nothing, +5, -8 take off 3, and -5, +5 take off 5.
    """
    return min(accumulate(corrections, initial=0))


def corrected_amounts(conn: Connection, document_id: int) -> dict[int, Decimal]:
    """By line of a document, what later corrections took off its charges: those of the same day, app and item that
    were posted by a later run than what stands on the line; of one run those below zero first."""
    on, charge = document_charge.c, tables.charge.c
    billed = (
        select(
            on.account_id, on.day, on.app_id, on.item, func.min(on.line).label("line"), func.max(on.run_id).label("run")
        )
        .where(on.document_id == document_id)
        .group_by(on.account_id, on.day, on.app_id, on.item)
        .subquery()
    )
    later = and_(
        charge.account_id == billed.c.account_id,
        charge.day == billed.c.day,
        charge.app_id == billed.c.app_id,
        charge.item == billed.c.item,
        charge.run_id > billed.c.run,
        charge.kind == "correction",
    )
    rows = conn.execute(
        select(billed.c.line, billed.c.day, billed.c.app_id, billed.c.item, charge.amount_scaled)
        .select_from(billed.join(tables.charge, later))
        .order_by(charge.run_id, charge.amount_scaled)
    )
    corrections: dict[tuple[int, date, int, str], list[int]] = {}
    for row in rows:
        corrections.setdefault((row.line, row.day, row.app_id, row.item), []).append(row.amount_scaled)
    amounts: dict[int, int] = {}
    for (line, *_), changes in corrections.items():
        amounts[line] = amounts.get(line, 0) + taken_off(changes)
    return {line: from_scaled(amount) for line, amount in amounts.items() if amount}
