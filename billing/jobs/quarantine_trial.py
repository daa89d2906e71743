"""Trial of a quarantined row: whether its text would be accepted now. Nothing is stored.

Only what the row itself says is judged. Whether it is a duplicate, or conflicts with an event that came before, is
decided when it is retried.
"""

from dataclasses import dataclass

from billing.events.validation import validate
from billing.jobs.ingest import IngestContext
from billing.sources.files.csv import read_csv_rows
from billing.sources.files.ndjson import read_ndjson_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted; or why not."""

    is_accepted: bool
    reason: str = ""
    detail: str = ""


def try_row(context: IngestContext, row_id: str, text: str) -> Verdict:
    """Judges a row of the quarantine with another text; a `UsageError` where there is no such row."""
    found = context.quarantine.rows(ids=[row_id]).to_dicts()
    if not found:  # it has left
        return Verdict(is_accepted=True)
    entry = found[0]
    batches = read_csv_rows(str(entry["header"]), [text]) if entry["format"] == "csv" else read_ndjson_rows([text])
    for batch in batches:
        _, rejected = validate(
            batch.frame,
            may_hold_nul=batch.may_hold_nul,
            apps=context.apps,
            now_ms=context.now_ms,
            archive=context.log.archive(),
        )
        for reason, detail in rejected.select("reason", "detail").iter_rows():
            return Verdict(is_accepted=False, reason=reason, detail=detail)
    return Verdict(is_accepted=True)
