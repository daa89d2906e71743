"""Derivation: the event log gets what new records change in the events of their servers.

For each server (and app) with new records the fold goes on from a snapshot before the oldest of them
(`billing.sources.janus.fold`): in a feed that comes in order from a minute before its end, for a late record from the
beginning of its hour or day, until the state is one that is stored. The events that the fold gives are compared with
those that the log has of this span: new ones are added, others retracted, in one ingest. Metering, late days,
corrections and *as known then* see events of the log like all others.

    09:00 ann enters, 09:10 the server stops    → enter 09:00, exit 09:10 (server_stopped)
    late: 09:05 ann leaves                      → exit 09:05 is added, exit 09:10 retracted

The comparison is with the log as it is, so a process that was killed anywhere is repeated by the next one.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from billing.catalog.feeds import Size, parse_size
from billing.errors import BillingError
from billing.events.data_files import DAY_MS, DataFile, day_of
from billing.events.deduplication import Deduplicated, Deduplication
from billing.events.feed_states import Feed, FeedStates, Through
from billing.events.quarantine import KnownFile, Rejects, row_id
from billing.events.record_log import DAY_US, RecordLog
from billing.events.retractions import EMITTER, RETRACTS, retractions
from billing.events.rows import RawRow
from billing.events.schema import EVENT_SCHEMA
from billing.events.validation import validate
from billing.jobs.ingest import IngestContext, made
from billing.sources.files.ndjson import line_of, typed
from billing.sources.janus.fold import AHEAD, HOUR, Fold, Position
from billing.sources.janus.people import SECOND
from billing.sources.janus.records import Place, Record, Sign
from billing.sources.janus.snapshot import VERSION, restored, snapshot
from billing.sources.janus.trace import read_event

LAG = 60 * SECOND  # so far before its newest record goes on what comes in order
BEFORE_ALL: Position = (-1, 0)
HOURLY = 48 * HOUR  # so long before the newest record there is a snapshot for each hour, earlier for each day

_Place = tuple[str, str, int]  # file hash, file, line


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """How many events were added and retracted; of the new records those that lack something, by file hash."""

    added: int = 0
    retracted: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A feed and the new records of it: the time (µs) of the oldest and of the newest."""

    feed: Feed
    first: int
    last: int


@dataclass(slots=True, kw_only=True)
class _Span:
    """What a fold gave from one position to another: events with the places of their causes, records that lack
    something, and snapshots that are new or different. `end` None: up to the newest record."""

    feed: Feed
    start: Position
    end: Position | None = None
    events: list[tuple[Place, dict[str, object]]] = field(default_factory=list)
    rejected: dict[_Place, tuple[str, str]] = field(default_factory=dict)  # detail, raw
    snapshots: dict[int, object] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """One derivation, by the holder of the ingest lock, with an empty `directory` for unfinished work."""

    context: IngestContext
    records: RecordLog
    directory: Path

    @property
    def states(self) -> FeedStates:
        """How far they were folded."""
        return FeedStates(directory=self.context.home.folds)

    def run(self) -> Derived:
        """Derives what is still to be derived."""
        records, states = self.records, self.states
        through, last = self._through(), records.table.last_batch()
        if through == last:
            return Derived()
        if through > last:
            raise BillingError(
                f"{states.directory} is ahead of the records in {records.directory}: restore both from one backup, or "
                f"remove {states.directory}: it is computed again"
            )
        spans = [self._folded(pending) for pending in self._pending(through)]
        derived = self._log(spans, records.table.batches(after=through))
        for span in spans:
            states.put_snapshots(span.feed, span.snapshots, span.removed)
            states.put(span.feed)
        log = self.context.log
        ingest_id = log.last_ingest_id()
        states.set_through(Through(batch=last, ingest_id=ingest_id, identity=log.commit_identity(ingest_id)))
        newest = max((span.feed.newest for span in spans), default=0)
        records.tidy(newest - DAY_US)
        return derived

    def _through(self) -> int:
        """The last batch that is folded; 0 if that was into another event log, such as one from a newer backup: then
        all events are compared."""
        log, through = self.context.log, self.states.through()
        identity = log.commit_identity(through.ingest_id) if through.ingest_id else None
        is_older = through.ingest_id > log.last_ingest_id()
        is_other = None not in (identity, through.identity) and identity != through.identity
        return 0 if is_older or is_other else through.batch

    def _pending(self, through: int) -> list[_Pending]:
        """The feeds with new records."""
        who = ["source", "app_id", "emitter", "rooms_in"]
        new = self.records.scan(after=through).group_by(who).agg(pl.col("at").min(), last=pl.col("at").max())
        known = {(feed.app_id, feed.source, feed.emitter): feed for feed in self.states.feeds()}
        pending = []
        for source, app_id, emitter, rooms_in, first, last in self.records.collect(new.sort(who)).iter_rows():
            fresh = Feed(source=source, app_id=app_id, emitter=emitter, rooms_in=rooms_in, newest=last)
            feed = known.get((app_id, source, emitter), fresh)
            feed = replace(feed, newest=max(feed.newest, last))
            pending.append(_Pending(feed=feed, first=first, last=last))
        return pending

    # Folding

    def _folded(self, pending: _Pending) -> _Span:
        """What the fold gives from before the oldest new record on."""
        feed, states = pending.feed, self.states
        cuts = states.cuts(feed)
        start, state = self._begin(feed, [cut for cut in cuts if cut <= pending.first - AHEAD])
        span = _Span(feed=feed, start=tuple(state["position"]) if state else BEFORE_ALL)
        hours = self._hours(feed, start)
        if state is None:
            self._check_begins(feed, hours)
        kept = _kept(feed.newest, hours, start)
        stored = {cut for cut in cuts if cut > start}
        fold, passed = self._fold(span, state), start
        for cut in fold.run(self._signs(feed, start, hours), sorted((kept | stored) - {start})):
            passed, now = cut, snapshot(fold, cut)
            same = cut in stored and json.dumps(now) == json.dumps(states.snapshot(feed, cut))
            if cut in kept and not same:
                span.snapshots[cut] = now
            if same and cut > pending.last:
                span.end = fold.position
                break
        span.removed = [cut for cut in cuts if cut <= passed and cut not in kept and not _is_lasting(cut, feed.newest)]
        return span

    def _begin(self, feed: Feed, cuts: Sequence[int]) -> tuple[int, Any]:
        """The last of some snapshots that can be read; instant 0 and None if there is none."""
        for cut in reversed(cuts):
            state = self.states.snapshot(feed, cut)
            if state and state["version"] == VERSION:
                return cut, state
        return 0, None

    def _fold(self, span: _Span, state: Any) -> Fold:
        def write(record: Record, event: dict[str, object]) -> None:
            span.events.append((record.place, event))

        def reject(place: Place, detail: str) -> None:
            span.rejected.setdefault((place.file_hash, place.file, place.line), (detail, place.raw or ""))

        feed = span.feed
        if state:
            return restored(state, app_id=feed.app_id, write=write, reject=reject)
        return Fold(app_id=feed.app_id, write=write, reject=reject, rooms_in=feed.rooms_in)

    def _of(self, feed: Feed, start: int, end: int | None = None) -> pl.LazyFrame:
        return self.records.scan(start, end).filter(
            pl.col("app_id") == feed.app_id, pl.col("emitter") == feed.emitter, pl.col("source") == feed.source
        )

    def _hours(self, feed: Feed, start: int) -> dict[int, int]:
        """The hours since 1970 that have records of a feed, from an instant on, each with the time of the first."""
        hours = self._of(feed, start).group_by(hour=pl.col("at") // HOUR).agg(pl.col("at").min()).sort("hour")
        return dict(self.records.collect(hours).iter_rows())

    def _signs(self, feed: Feed, start: int, hours: Iterable[int]) -> Iterator[Sign]:
        """The records of a feed from an instant on, in their order."""
        for hour in hours:
            said = (pl.when(~pl.col("ignored")).then(pl.col(name)).alias(name) for name in ("text", "assumed"))
            rows = self._of(feed, max(start, hour * HOUR), (hour + 1) * HOUR).select(
                "at", "type", *said, "file", "line", "file_hash", "batch"
            )
            # Of a record that came again with something to assume, the first that has it.
            rows = rows.sort("at", "text", "assumed", "batch", "line", nulls_last=True)
            found, last = [], None
            for at, kind, text, assumed, file, line, file_hash, _ in self.records.collect(rows).iter_rows():
                if text is None:
                    found.append(((at, 0, ""), Sign(at, kind, feed.emitter, None)))
                elif (at, text) != last:
                    place = Place(file, line, file_hash, text, _sizes(assumed))
                    sign = read_event(json.loads(text), place)
                    found.append(((at, sign.rank, text), sign))
                    last = at, text
            found.sort(key=lambda one: one[0])
            yield from (sign for _, sign in found)

    def _check_begins(self, feed: Feed, hours: Mapping[int, int]) -> None:
        """A fold from the first record on must not take back events of records that are gone."""
        log, first = self.context.log, next(iter(hours.values()))
        derived = log.derived(feed.app_id, feed.emitter, 0).filter(pl.col("at") < first // 1000)
        with log.naming_damage():
            if derived.limit(1).collect().height:
                raise BillingError(
                    f"records of {feed.emitter or 'a server'} in {self.records.directory} are missing, and the state "
                    f"after them in {self.states.directory} too: restore both from one backup"
                )

    # Storing

    def _log(self, spans: Sequence[_Span], batches: Sequence[Mapping[str, Any]]) -> Derived:
        """Adds to the quarantine, commits the difference to the log, then lets rows leave the quarantine."""
        log, changes = self.context.log, _Changes()
        with closing(Deduplication(log, made(self.directory / "parts"))) as deduplication:
            for span in spans:
                changes.add(deduplication, self._compared(span, changes))
            taken_back = [retractions(frame, undo=False) for frame in changes.retracted]
            deduplication.take_back(taken_back)
            unique = deduplication.finish()
            files = [*unique.files, *self._retractions(taken_back, unique)]
            self._quarantine(spans, changes)
            rejected = Counter(file_hash for span in spans for file_hash, _, _ in span.rejected)
            rejected = Counter({batch["file_hash"]: rejected[batch["file_hash"]] for batch in batches})
            if files:
                commit = log.commit(files, ingest_id=unique.ingest_id, metadata=self._metadata(batches, +rejected))
                deduplication.committed(commit)
        self._release(spans, batches)
        retracted = sum(frame.height for frame in changes.retracted)
        return Derived(added=unique.accepted, retracted=retracted, rejected=+rejected)

    def _compared(self, span: _Span, changes: "_Changes") -> tuple[pl.DataFrame, pl.DataFrame]:
        """The events of a span that the log does not have, and those of the log that are no longer derived."""
        log, feed = self.context.log, span.feed
        events = [event for _, event in span.events]
        frame = typed(range(len(events)), [place.line for place, _ in span.events], events, {})
        now_ms = max(self.context.now_ms, feed.newest // 1000)
        accepted, rejected = validate(frame, apps=[feed.app_id], now_ms=now_ms, archive=log.archive())
        changes.reject(span, rejected)
        stored = log.derived(feed.app_id, feed.emitter, max(span.start[0], 0)).filter(_after(span.start))
        with log.naming_damage():
            before = (stored if span.end is None else stored.filter(~_after(span.end))).collect()
        new = accepted.join(before, on="event_id", how="anti", maintain_order="left")
        gone = before.join(accepted, on="event_id", how="anti")
        return new.with_columns(pl.lit(feed.emitter).alias(EMITTER)), gone

    def _retractions(self, retracted: Sequence[pl.DataFrame], unique: Deduplicated) -> Iterator[DataFile]:
        if not retracted:
            return
        rows = pl.concat(retracted).select(*EVENT_SCHEMA, RETRACTS, EMITTER)
        days = rows.group_by(pl.col("at") // DAY_MS, maintain_order=True)
        for number, ((day,), of_day) in enumerate(days, len(unique.files)):
            yield self.context.log.write(of_day, day_of(day * DAY_MS), ingest_id=unique.ingest_id, number=number)

    def _metadata(self, batches: Sequence[Mapping[str, Any]], rejected: Counter[str]) -> dict[str, object]:
        names = list(dict.fromkeys(str(batch["file"]) for batch in batches))
        counts = {
            name: sum(int(batch[name]) for batch in batches)
            for name in ("read", "accepted", "duplicates", "quarantined")
        }
        counts["accepted"] -= rejected.total()
        counts["quarantined"] += rejected.total()
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return {"file": f"{next(iter(names), 'records')}{others}", "ingested_at": self.context.now_ms, **counts}

    def _quarantine(self, spans: Sequence[_Span], changes: "_Changes") -> None:
        """Adds records that lack something, and events that break a rule, unless they were added before."""
        quarantine, rows = self.context.quarantine, changes.rejected
        for span in spans:
            for (file_hash, file, line), (detail, raw) in span.rejected.items():
                rows[file_hash, file].append((line, "missing_field", detail, RawRow(raw, None, None)))
        for number, ((file_hash, file), found) in enumerate(rows.items()):
            directory = made(self.directory / f"rejects-{number}")
            rejects = Rejects(directory, file=KnownFile(file, file_hash), seen_at=self.context.now_ms)
            frame = pl.DataFrame([row[:3] for row in found], schema=["line", "reason", "detail"], orient="row")
            rejects.add_rows(frame, [row[3] for row in found])
            # An event that was corrected or retried has left; a record that lacks something comes back.
            stays, left = quarantine.ids(file_hash), quarantine.ever(file_hash)
            known = pl.col("id").is_in(stays["id"].implode()) | (
                pl.col("id").is_in(left["id"].implode()) & pl.col("format").is_not_null()
            )
            new = rejects.rows().filter(~known).collect()
            if new.height:
                quarantine.put(file_hash, new.lazy())

    def _release(self, spans: Sequence[_Span], batches: Sequence[Mapping[str, Any]]) -> None:
        """Lets the rows of lines leave that were rejected before and are records now."""
        rejected = {row_id(file_hash, line, 0) for span in spans for file_hash, _, line in span.rejected}
        for batch in batches:
            released = sorted(set(json.loads(batch.get("released", "[]"))) - rejected)
            if released:
                self.context.quarantine.release(batch["file_hash"], pl.Series(released), self.context.now_ms)


@dataclass(slots=True, kw_only=True)
class _Changes:
    """What is retracted, the number of rows added, and what goes to quarantine, by file: line, reason, detail, text."""

    retracted: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0
    rejected: dict[tuple[str, str], list[tuple[int, str, str, RawRow]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, deduplication: Deduplication, compared: tuple[pl.DataFrame, pl.DataFrame]) -> None:
        """Hands on new events, and keeps those to retract."""
        new, gone = compared
        deduplication.add(new.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64) + self.rows + 1))
        self.rows += new.height
        if gone.height:
            self.retracted.append(gone)

    def reject(self, span: _Span, rejected: pl.DataFrame) -> None:
        """Keeps events that break a rule; they are parts of the line that caused them."""
        parts: Counter[Place] = Counter()
        numbers = []
        for place, _ in span.events:
            parts[place] += 1
            numbers.append(parts[place])
        for position, reason, detail in rejected.iter_rows():
            place, event = span.events[position]
            raw = RawRow(line_of(event), "ndjson", None, numbers[position])
            self.rejected[place.file_hash, place.file].append((place.line, reason, detail, raw))


def _kept(newest: int, hours: Iterable[int], start: int) -> set[int]:
    """The instants at which a feed keeps snapshots: after each hour or day that has records, and near the end."""
    ends = {(hour + 1) * HOUR for hour in hours} | {(hour // 24 + 1) * DAY_US for hour in hours}
    lasting = {cut for cut in ends if _is_lasting(cut, newest)}
    return {cut for cut in (*lasting, newest - LAG) if start <= cut <= newest - LAG}


def _is_lasting(cut: int, newest: int) -> bool:
    return cut % DAY_US == 0 or (cut % HOUR == 0 and cut >= newest - HOURLY)


def _after(position: Position) -> pl.Expr:
    """Whether an event comes after a position."""
    at, number = position
    return (pl.col("at") > at) | ((pl.col("at") == at) & (pl.col("seq") > number))


def _sizes(assumed: str | None) -> tuple[tuple[str, Size], ...]:
    """The sizes in `camera=640x360,screen=1280x720`."""
    found = []
    for part in assumed.split(",") if assumed else ():
        kind, _, size = part.partition("=")
        found.append((kind, parse_size(size)))
    return tuple(found)
