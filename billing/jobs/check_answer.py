"""Answering a finding of `billing check`: the month need not wait for it any more. The first answer stands."""

from collections.abc import Sequence
from datetime import date

from billing.errors import BillingError
from billing.home import Home
from billing.jobs.issuing import now_ms
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.check_answers import Answer, answers, record_answer
from billing.ledger.database import Engine, writing
from billing.reports.anomalies.month_check import MonthCheck, check_report, month_of
from billing.reports.row_formats import Report, Row


def answer_findings(home: Home, engine: Engine, findings: Sequence[str], *, by: str, note: str) -> Report:
    """Records one answer for some findings, all or none; the rows of the findings."""
    by_month: dict[tuple[str, date], list[str]] = {}
    for finding in dict.fromkeys(findings):
        by_month.setdefault(month_of(finding), []).append(finding)
    rows: list[Row] = []
    check, report = MonthCheck(home=home, engine=engine), check_report([], {})
    with writing(engine) as conn:
        for (account_id, month), named in by_month.items():
            ledger = AccountLedger.at(conn, account_id)
            found = {each.id: each for each in check.anomalies(ledger, month)}
            known = answers(conn, account_id, month)
            for finding in named:
                if finding not in found:
                    raise BillingError(
                        f"{finding} is not found (any more): "
                        f"`billing check {account_id} --month {month:%Y-%m}` lists what is"
                    )
                answer = Answer(finding=finding, account_id=account_id, month=month, answered_by=by, note=note)
                if finding not in known:
                    record_answer(conn, answer, at_ms=now_ms())
                elif known[finding] != answer:
                    raise BillingError(f"{finding} is answered by {known[finding].answered_by}: nothing was recorded")
            report = check_report([found[each] for each in named], answers(conn, account_id, month))
            rows += report.rows
    return Report(fields=report.fields, rows=rows, without=report.without, whole=report.whole)
