"""Retractions: rows of the event log that take accepted events back.

A retraction repeats the row of its event, has an `ingest_id` of its own, and names in `retracts` the ingest that
brought the event; with a minus sign it undoes that. The `retracts` of an event is null. Example, all of one `event_id`:

    ingest_id  retracts
            1      null   the event comes
            4         1   it is retracted
            6        -1   and given back

As known at ingest 3 or 6 the event stands, as known at 4 or 5 it does not. An event stands at ingest N if the rows up
to N retract it no more often than they give it back. Only an event that stands is metered and holds its key.
"""

import polars as pl

from billing.events.schema import BILLED_COLUMNS

RETRACTS = "retracts"
# The server from whose records an event was derived, in `records/`; in a retraction: it is no longer derived from them.
EMITTER = "emitter"
LAST_RETRACTION, IS_RETRACTED = "last_retraction", "is_retracted"
ROW = ["app_id", "event_id", "at", "ingest_id"]  # identifies an event among those that had its key one after the other
_CONTENT = ["event_id", *BILLED_COLUMNS]


def standing(rows: pl.LazyFrame, number: str) -> pl.LazyFrame:
    """The events that stand, of rows that are numbered in `number` and include all retractions of their events."""
    retracted = _histories(rows).filter(IS_RETRACTED).collect(engine="streaming")
    events = rows.filter(pl.col(RETRACTS).is_null())
    if retracted.is_empty():
        return events
    # Found by number once, so that no later pass over the events has to read their ids.
    may_be = events.filter(pl.col("at").is_in(retracted["at"].unique().implode()))
    found = may_be.join(retracted.lazy(), on=ROW, how="semi").select(number).collect(engine="streaming")
    return events.filter(~pl.col(number).is_in(found[number].implode()))


def ever_retracted(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The events with a retraction, with the ingest of the last one and whether they are retracted now; without those
    that are no longer derived from the records of their server, which nobody can give back."""
    by_records = _histories(rows.filter(pl.col(EMITTER).is_not_null())).filter(IS_RETRACTED)
    by_command = rows.filter(pl.col(RETRACTS).is_null()).join(_histories(rows), on=ROW)
    return by_command.join(by_records, on=ROW, how="anti")


def uncancelled(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of some ingests without those that change nothing together, such as an event and its retraction."""
    sign = pl.when(pl.col(RETRACTS) > 0).then(-1).otherwise(1)
    return rows.filter(sign.sum().over(_CONTENT) != 0)


def retractions(events: pl.DataFrame, *, undo: bool) -> pl.DataFrame:
    """The rows that retract these events, or that give them back; they get an `ingest_id` when they are written."""
    return events.with_columns((-pl.col("ingest_id") if undo else pl.col("ingest_id")).alias(RETRACTS))


def _histories(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Of every event with a retraction: `ROW`, `LAST_RETRACTION`, `IS_RETRACTED`."""
    marks = rows.filter(pl.col(RETRACTS).is_not_null()).select(
        "app_id", "event_id", "at", pl.col(RETRACTS).abs().alias("ingest_id"), RETRACTS, by="ingest_id"
    )
    return marks.group_by(ROW).agg(
        pl.col("by").max().alias(LAST_RETRACTION), (pl.col(RETRACTS).sum() > 0).alias(IS_RETRACTED)
    )
