"""Retry of quarantined rows, as they are or with corrected text.

Rows that are accepted, or are duplicates, leave the quarantine; the others stay, with the reason that holds now. Rows
whose text is incomplete (`too_long`, lines of a trace) are retried only with corrected text.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from billing.events.quarantine import KnownFile
from billing.events.rows import Batch
from billing.jobs.ingest import (
    FileReport,
    FileRows,
    IngestContext,
    attempt,
    ingest_rows,
    ingest_workspace,
    made,
)
from billing.sources.files.csv import read_csv_rows
from billing.sources.files.ndjson import read_ndjson_rows


def retry_quarantine(
    context: IngestContext, *, ids: Collection[str] | None = None, corrected: Mapping[str, str] | None = None
) -> list[FileReport]:
    """Validates quarantined rows again: those of `ids` and of `corrected` (new text by id), or all.

    There is a report for each file with such rows; `read` counts the rows that were tried. A file that fails has a
    report with its error, and does not stop the others.
    """
    wanted = None if ids is None and not corrected else {*(ids or ()), *(corrected or ())}
    with ingest_workspace(context) as directory:
        stored = _with_corrections(context.quarantine.rows(ids=wanted), corrected or {})
        stored = stored.filter(pl.col("format").is_not_null()).sort("file_hash", "format", "header", "line", "id")
        return [
            attempt(entries["file"][0], partial(_retry, context, entries, directory))
            for entries in stored.partition_by("file_hash", maintain_order=True)
        ]


def _retry(context: IngestContext, entries: pl.DataFrame, directory: Path) -> FileReport:
    rows = _rows_of(entries)
    return ingest_rows(context, rows, made(directory / rows.file.digest))


def _rows_of(entries: pl.DataFrame) -> FileRows:
    """Quarantined rows of one file as its rows."""
    return FileRows(
        file=KnownFile(entries["file"][0], entries["file_hash"][0]),
        batches=partial(_batches, entries),
        quarantined=entries,
    )


def _with_corrections(entries: pl.DataFrame, corrected: Mapping[str, str]) -> pl.DataFrame:
    """Quarantined rows with the corrected text of some; a corrected row without a format is read as JSON."""
    if not corrected:
        return entries
    texts = {row: text.encode(errors="backslashreplace").decode() for row, text in corrected.items()}
    raw = pl.col("id").replace_strict(texts, default=pl.col("raw"), return_dtype=pl.String)
    formats = pl.when(raw != pl.col("raw")).then(pl.col("format").fill_null("ndjson")).otherwise("format")
    return entries.with_columns(raw=raw, format=formats)


def _batches(entries: pl.DataFrame) -> Iterator[Batch]:
    """The rows in these texts, numbered by their place from 1."""
    before = 0
    for (kind, header), group in entries.group_by("format", "header", maintain_order=True):
        texts = group["raw"].to_list()
        for batch in read_csv_rows(str(header), texts) if kind == "csv" else read_ndjson_rows(texts):
            line = group["line"].gather(batch.frame["row"] - 1)
            yield replace(batch, frame=batch.frame.with_columns(pl.col("row") + before, line))
        before += len(texts)
