"""Answers to the findings of `billing check`: who looked at a finding, and what he says of it. Written once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, insert, select

from billing.ledger.proof_tables import check_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody said of a finding."""

    finding: str
    account_id: str
    month: date
    answered_by: str
    note: str


def record_answer(conn: Connection, answer: Answer, *, at_ms: int) -> None:
    """Writes an answer."""
    conn.execute(
        insert(check_answer).values(
            finding=answer.finding,
            account_id=answer.account_id,
            month=answer.month,
            answered_by=answer.answered_by,
            note=answer.note,
            answered_at_ms=at_ms,
        )
    )


def answers(conn: Connection, account_id: str, month: date) -> Mapping[str, Answer]:
    """The answers of an account's month, by the id of the finding; the first one counts."""
    known = check_answer.c
    query = select(known.finding, known.answered_by, known.note).where(
        known.account_id == account_id, known.month == month
    )
    return {
        finding: Answer(finding=finding, account_id=account_id, month=month, answered_by=by, note=note)
        for finding, by, note in conn.execute(query.order_by(known.id.desc()))
    }
