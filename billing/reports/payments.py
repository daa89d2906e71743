"""Payments on record, and lines of a bank's file that match nobody, as commands print them."""

from typing import Any

from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.payments import payments, unmatched
from billing.periods import local_iso_ms, time_zone


def payment_rows(engine: Engine, account_id: str | None = None) -> list[dict[str, Any]]:
    """The payments of an account, of all if none is named, in the order of their recording."""
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        if account_id is not None:
            catalog.account(account_id)
        return [
            {
                "id": each.key,
                "account": each.account_id,
                "amount": each.amount,
                "currency": each.currency,
                "received_on": each.received_on,
                "reference": each.reference,
                "recorded_at": local_iso_ms(
                    each.recorded_at_ms or 0, time_zone(catalog.accounts[each.account_id].timezone)
                ),
            }
            for each in payments(conn, account_id)
        ]


def unmatched_rows(engine: Engine) -> list[dict[str, Any]]:
    """The lines of imported files whose payment is not recorded."""
    names = ("file", "line", "amount", "currency", "received_on", "reference", "detail", "raw")
    with reading(engine) as conn:
        return [{"id": each.key, **{name: getattr(each, name) for name in names}} for each in unmatched(conn)]
