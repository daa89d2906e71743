"""Runs: what was done to the books, in the names that the commands print. (Without frames: it loads quickly.)"""

from collections.abc import Mapping, Sequence

from billing import periods
from billing.ledger.database import Engine, reading
from billing.ledger.runs import Run, find_run, latest_runs
from billing.reports.row_formats import Report

_COLUMNS = ("id", "command", "account", "day", "result", "detail")


def runs_report(found: Sequence[Mapping[str, object]]) -> Report:
    """Runs; a screen has room for what was done and with what result."""
    fields = list(found[0]) if found else []
    without = [name for name in fields if name not in _COLUMNS]
    return Report(fields=fields, rows=found, empty="no runs yet", without=without)


def runs(engine: Engine, *, run_id: int | None = None, limit: int = 20) -> list[dict[str, object]]:
    """The last runs, the newest first, or one of them: with every field, times as RFC 3339 in UTC."""
    with reading(engine) as conn:
        found = latest_runs(conn, limit) if run_id is None else [find_run(conn, run_id)]
    return [_run_row(run) for run in found]


def _run_row(run: Run) -> dict[str, object]:
    utc = periods.time_zone("UTC")
    return {
        "id": run.id,
        "command": run.command,
        "account": run.account_id,
        "day": run.day,
        "from_day": run.from_day,
        "cause": run.cause,
        "started_at": periods.local_iso_ms(run.started_at_ms, utc),
        "finished_at": periods.local_iso_ms(run.finished_at_ms, utc),
        "engine_version": run.engine_version,
        "policy": run.policy_id,
        "policy_hash": run.policy_hash,
        "price_hash": run.price_hash,
        "ingest_id": run.ingest_id,
        "log_version": run.log_version,
        "counts": run.counts,
        "result": run.result,
        "detail": run.detail,
    }
