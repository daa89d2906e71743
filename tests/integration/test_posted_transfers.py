"""The transfers of the journal, read while they are written, on SQLite and PostgreSQL."""

from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from billing.ledger.database import reading, writing
from billing.ledger.payments import Payment, record_payment
from billing.ledger.posted_transfers import posted_transfers
from billing.ledger.postings import Moment
from billing.ledger.transfers import Entry, Transfer, post
from billing.receivables.journal import PostedTransfer
from tests.integration.days import ACME, apply_catalog


def test_transfers_come_by_their_days_and_then_as_they_were_written(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    apply_catalog(engine, ACME.split("[[app]]")[0].replace('"acme"', '"other"'))
    first = date(2026, 4, 1)
    days = [first + timedelta(days=(7 * number) % 11) for number in range(2_500)]
    with writing(engine) as conn:
        for number, day in enumerate(days):
            account_id = "acme" if number % 2 else "other"
            entry = Entry(account_id=account_id, currency="USD", cause="payment", posted_on=day, recorded_at_ms=number)
            post(conn, entry, [Transfer(debit="bank", credit="credit", amount=Decimal(number + 1).scaleb(-8))])
    with reading(engine) as conn:
        found = list(posted_transfers(conn))
        chosen = list(posted_transfers(conn, account_id="acme", first=first + timedelta(days=1), last=first))
        some = list(
            posted_transfers(conn, account_id="acme", first=first + timedelta(days=3), last=first + timedelta(days=4))
        )
    expected = sorted(range(2_500), key=lambda number: (days[number], number))
    assert [each.recorded_at_ms for each in found] == expected
    assert [each.amount for each in found] == [Decimal(number + 1).scaleb(-8) for number in expected]
    assert chosen == []
    in_days = [number for number in expected if number % 2 and (days[number] - first).days in (3, 4)]
    assert [each.recorded_at_ms for each in some] == in_days


def test_a_transfer_has_the_number_of_the_payment_and_nothing_that_it_does_not_refer_to(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    received = Payment(
        key="bank-1",
        account_id="acme",
        amount=Decimal("12.50"),
        currency="USD",
        received_on=date(2026, 4, 3),
        reference="thanks",
    )
    with writing(engine) as conn:
        record_payment(conn, received, Moment(day=date(2026, 4, 3), at_ms=5))
    with reading(engine) as conn:
        assert list(posted_transfers(conn)) == [
            PostedTransfer(
                id=1,
                posted_on=date(2026, 4, 3),
                recorded_at_ms=5,
                cause="payment",
                account_id="acme",
                debit="bank",
                credit="credit",
                amount=Decimal("12.5"),
                currency="USD",
                payment="bank-1",
                reference="thanks",
            )
        ]
