"""Metrics as OpenMetrics 1.0: how much was taken in, how much waits, and what became of it."""

from billing.web.intake import Intake

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def metrics_text(intake: Intake) -> bytes:
    """The metrics of an intake. Counters begin with the process."""
    spool, waiting, drained = intake.spool, intake.spool.waiting(), intake.drainer.drained
    rows = {name: getattr(drained, name) for name in ("accepted", "duplicates", "quarantined")}
    families = [
        _family("billing_ready", "gauge", "Whether events are taken.", {"": int(not intake.refusal())}),
        _family("billing_intake_rows", "counter", "Rows that are durable.", {"_total": spool.stored_rows}),
        _family("billing_intake_syncs", "counter", "Group commits.", {"_total": spool.syncs}),
        _family("billing_spool_rows", "gauge", "Rows that wait to be ingested.", {"": waiting.rows}),
        _family("billing_spool_bytes", "gauge", "Bytes that wait to be ingested.", {"": waiting.bytes}, unit="bytes"),
        _family("billing_spool_segments", "gauge", "Segments that wait to be ingested.", {"": waiting.segments}),
        _family(
            "billing_spool_oldest_seconds",
            "gauge",
            "Age of the oldest segment.",
            {"": round(waiting.oldest_seconds, 3)},
            unit="seconds",
        ),
        _family("billing_ingested_segments", "counter", "Segments ingested.", {"_total": drained.segments}),
        _family("billing_failed_segments", "counter", "Segments that could not be.", {"_total": drained.failed}),
        _family(
            "billing_ingested_rows",
            "counter",
            "Rows ingested, by what became of them.",
            {f'_total{{verdict="{name}"}}': count for name, count in rows.items()},
        ),
    ]
    return "".join((*families, "# EOF\n")).encode()


def _family(name: str, kind: str, text: str, samples: dict[str, float], *, unit: str = "") -> str:
    about = [f"# TYPE {name} {kind}", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {text}"]
    return "".join(f"{line}\n" for line in (*about, *(f"{name}{ending} {value}" for ending, value in samples.items())))
