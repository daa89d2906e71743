"""The event log: every accepted event, in one Delta Lake table partitioned by the UTC day of `at`.

Rows have the event columns, the keys that metering uses (`billing.events.keys`) and `ingest_id`, the number of their
ingest: 1, 2, 3 … in the order of commits. Retractions, rows that take an event back, are an ingest of their own
(`billing.events.retractions`). A file is sorted by room in a few pieces, because metering goes room by room; the files
of a large ingest hold a range of rooms each. One ingest of one file is one Delta commit; its metadata give the file,
the counts of rows and an identity that covers the whole history (`billing.events.commits`). At most one event that is
not retracted has a key (app, UTC day, event id). There is one writer at a time (`Home.lock("ingest")`); readers see
whole commits only.

What a run knew is `ingest_id <= N` and the identity of ingest N, not a version of the table: old versions may be
cleaned up. The last id is an application transaction of the table, which survives that.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from billing.errors import BillingError
from billing.events.commits import Commit, Ingest, commit_in, ingest_in, ingests_in, next_identity
from billing.events.data_files import (
    BOUNDED,
    DAY_MS,
    PARTITION,
    DataFile,
    day_of,
    file_path,
    keyed,
    span_of,
    write_file,
)
from billing.events.data_files import LOG_SCHEMA as LOG_SCHEMA
from billing.events.delta import commits_of
from billing.events.durable_files import naming_damage, scan_files, whole_parquet
from billing.events.log_table import (
    LAST_INGEST,
    DeltaTable,
    archive_of,
    commit_ingest,
    create_table,
    open_table,
    uncommitted_files,
)
from billing.events.log_table import Archive as Archive
from billing.events.log_table import DeltaError as DeltaError
from billing.events.retractions import EMITTER, RETRACTS, ever_retracted, standing, uncancelled
from billing.events.room_keys import room_key
from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_SCHEMA, TASK_COLUMNS

MOST_RANGES = 64
ROWS_PER_RANGE = 1_000_000

_NUMBER = "number"  # the column that numbers the rows of a scan for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEvents:
    """Of one app: the oldest instant (epoch ms), the first and the last ingest that brought or retracted any, and
    whether some were brought and some retracted."""

    first_at: int
    first_ingest: int
    last_ingest: int
    brought: bool
    retracted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """The table in `directory`, which is there once it is created."""

    directory: Path

    def scan(
        self,
        start: int,
        end: int,
        *,
        ingest_id: int | None = None,
        apps: Collection[int] | None = None,
        number: str | None = None,
    ) -> pl.LazyFrame:
        """Events with `start <= at // 1000 < end` (epoch seconds), in `LOG_SCHEMA`, in no order.

        Only those that stand as known at the ingest `ingest_id` (default: the last), and of `apps`, when these are
        given. Only files of these days are read. With `number`, the first column has this name and numbers the rows
        of the files.
        """
        files = self.files(start, end, ingest_id=ingest_id)
        bounds = self._bounds(files)
        may_retract = _may_retract(bounds)
        rows = scan_files(files, LOG_SCHEMA, number=number or (_NUMBER if may_retract else None))
        rows = _narrowed(rows, bounds, start, end, ingest_id)
        with self.naming_damage():
            if may_retract:
                rows = standing(rows, number or _NUMBER).drop(() if number else _NUMBER)
            only_these = apps is None or set(rows.select(pl.col("app_id").unique()).collect()["app_id"]) <= set(apps)
        return rows if only_these else rows.filter(pl.col("app_id").is_in(sorted(apps or ())))

    def scan_room(
        self, start: int, end: int, app_id: int, room_id: str, *, ingest_id: int | None = None
    ) -> pl.LazyFrame:
        """What `scan` gives of one room. Little is read but the pieces of files that may hold the room."""
        key = room_key(app_id, room_id)
        files = self._files([*self._timely(start, end, ingest_id), ("room_key", "<=", key), ("room_key", ">=", key)])
        bounds = self._bounds(files)
        of_room = (pl.col("room_key") == key) & (pl.col("app_id") == app_id) & (pl.col("room_id") == room_id)
        may_retract = _may_retract(bounds)
        rows = scan_files(files, LOG_SCHEMA, number=_NUMBER if may_retract else None)
        rows = _narrowed(rows, bounds, start, end, ingest_id).filter(of_room)
        with self.naming_damage():
            return standing(rows, _NUMBER).drop(_NUMBER) if may_retract else rows

    def naming_damage(self) -> AbstractContextManager[None]:
        """Around the reading of a scan: when it fails, the error names the file of the log that is damaged."""
        return naming_damage(lambda: self._files([]), LOG_SCHEMA)

    def ever_retracted(self, day: date, app_id: int) -> pl.LazyFrame:
        """The events of an app and a UTC day that were ever retracted, in `LOG_SCHEMA`, with `LAST_RETRACTION` and
        `IS_RETRACTED`."""
        return ever_retracted(self._read([(PARTITION, "=", day)]).filter(pl.col("app_id") == app_id))

    def accepted(self, app_id: int, *, ingest_id: int | None = None, day: date | None = None) -> pl.LazyFrame:
        """All events of an app, or those that one ingest brought, or of one UTC day: the retracted ones too."""
        wanted: list[tuple[str, str, object]] = [("app_id", "<=", app_id), ("app_id", ">=", app_id)]
        is_wanted = (pl.col("app_id") == app_id) & pl.col(RETRACTS).is_null()
        if ingest_id is not None:
            wanted += [("ingest_id", "<=", ingest_id), ("ingest_id", ">=", ingest_id)]
            is_wanted &= pl.col("ingest_id") == ingest_id
        if day is not None:
            wanted.append((PARTITION, "=", day))
        return self._read(wanted).filter(is_wanted)

    def derived(self, app_id: int, emitter: str, start_ms: int) -> pl.LazyFrame:
        """The events from an instant on that were derived from the records of a server and still are, in `LOG_SCHEMA`,
        whether they were taken back by `billing retract` or not."""
        rows = scan_files(
            self._files([("app_id", "<=", app_id), ("app_id", ">=", app_id), ("at", ">=", start_ms)]),
            LOG_SCHEMA,
            number=_NUMBER,
        ).filter(pl.col("app_id") == app_id, pl.col(EMITTER) == emitter, pl.col("at") >= start_ms)
        return standing(rows, _NUMBER).drop(_NUMBER)

    def has_accepted(self, app_id: int) -> bool:
        """Whether an event of an app was ever accepted. What is archived may be of any app."""
        if self.archive():
            return True
        with self.naming_damage():
            return self.accepted(app_id).limit(1).collect().height > 0

    def changes(self, start: int, end: int, *, after: int, upto: int) -> pl.LazyFrame:
        """What the ingests after `after` and up to `upto` changed in a span: rows of events and of retractions, without
        those that cancel each other out."""
        files = self._files([("ingest_id", ">", after), ("at", ">=", start * 1000), ("at", "<", end * 1000)])
        rows = scan_files(files, LOG_SCHEMA).filter(
            pl.col("ingest_id").is_between(after, upto, closed="right"),
            pl.col("at").is_between(start * 1000, end * 1000, closed="left"),
        )
        return uncancelled(rows) if _may_retract(self._bounds(files)) else rows

    def may_retract(self, files: Collection[Path]) -> bool:
        """Whether any of these files may hold retractions."""
        return _may_retract(self._bounds(files))

    def room_ranges(self, start: int, end: int, *, ingest_id: int | None = None) -> int:
        """Into how many equal ranges of room keys the files of a span can be cut so that a range is read without much
        of the others: 1, 2, 4 … `MOST_RANGES`, and about a million rows each."""
        files = self.files(start, end, ingest_id=ingest_id)
        bounds = self._bounds(files)
        held = [
            (rows, first + 2**63, last + 2**63)
            for rows, first, last in bounds.select("num_records", "min.room_key", "max.room_key")
            .drop_nulls()
            .iter_rows()
        ]
        total = sum(rows for rows, _, _ in held)
        count = MOST_RANGES if len(held) == len(files) else 1
        while count > 1:
            width = 2**64 // count
            read = sum(rows * (last // width - first // width + 1) for rows, first, last in held)
            if total // count >= ROWS_PER_RANGE and read <= total * 1.1:
                break
            count //= 2
        return count

    def _bounds(self, files: Collection[Path]) -> pl.DataFrame:
        """Of each of these files `num_records`, and `min.` and `max.` of the bounded columns; null where not known."""
        table = self._table()
        schema = {"num_records": pl.Int64} | {f"{end}.{name}": pl.Int64 for name in BOUNDED for end in ("min", "max")}
        if not table or not files:
            return pl.DataFrame(schema=schema)
        added = pl.DataFrame(table.get_add_actions(flatten=True))
        names = pl.Series([str(file.relative_to(self.directory.absolute())) for file in files])
        missing = [pl.lit(None, pl.Int64).alias(name) for name in schema if name not in added.columns]
        return added.filter(pl.col("path").is_in(names.implode())).with_columns(missing).select(*schema)

    def activity(self) -> pl.DataFrame:
        """Of every file `min.at, max.at` (epoch ms), `min.app_id, max.app_id`; the widest where they are not known."""
        table = self._table()
        schema = {"min.at": 0, "max.at": 2**53, "min.app_id": 0, "max.app_id": 2**63 - 1}
        if not table:
            return pl.DataFrame(schema=dict.fromkeys(schema, pl.Int64))
        added = pl.DataFrame(table.get_add_actions(flatten=True))
        day = pl.col(f"partition.{PARTITION}").cast(pl.Date).dt.epoch("ms")
        unknown = {**{name: pl.lit(value) for name, value in schema.items()}, "min.at": day, "max.at": day + DAY_MS - 1}
        known = [pl.col(name) if name in added.columns else pl.lit(None, pl.Int64) for name in schema]
        return added.select(
            pl.coalesce(bound, unknown[name]).alias(name) for bound, name in zip(known, schema, strict=True)
        )

    def files(self, start: int, end: int, *, ingest_id: int | None = None) -> list[Path]:
        """The Parquet files that may hold what `scan` gives, and other events as well.

        A `BillingError` where some of them are archived.
        """
        return self._files(self._timely(start, end, ingest_id))

    def _timely(self, start: int, end: int, ingest_id: int | None) -> list[tuple[str, str, object]]:
        """What is wanted of files that may hold events of a span; a `BillingError` where some are archived."""
        archive = self.archive()
        if archive and start < span_of(archive.before)[0]:
            raise BillingError(
                f"the events before {archive.before} (UTC) are archived: put them back with "
                f"`billing compact --restore {archive.directory}`"
            )
        start_ms, end_ms = start * 1000, end * 1000
        wanted: list[tuple[str, str, object]] = [
            (PARTITION, ">=", day_of(start_ms)),
            (PARTITION, "<=", day_of(end_ms - 1)),
            ("at", ">=", start_ms),
            ("at", "<", end_ms),
        ]
        if ingest_id is not None:
            wanted.append(("ingest_id", "<=", ingest_id))
        return wanted

    def scan_day(self, day: date) -> pl.LazyFrame:
        """The events of a UTC day that stand."""
        return self.scan(*span_of(day))

    def rows_of(self, day: date, *, after: int, columns: Sequence[str], at_once: int) -> Iterator[pl.DataFrame]:
        """The rows of a UTC day, retractions too, that the ingests after `after` brought, so many at once."""
        for path in self._files([(PARTITION, "=", day), ("ingest_id", ">", after)]):
            rows = scan_files([path], LOG_SCHEMA)
            with self.naming_damage():
                size = rows.select(pl.len()).collect().item()
            for offset in range(0, size, at_once):
                piece = rows.slice(offset, at_once).filter(pl.col("ingest_id") > after).select(columns)
                with self.naming_damage():
                    yield piece.collect()

    def standing_of(self, day: date, keys: pl.DataFrame, new_files: Sequence[str]) -> pl.DataFrame:
        """The events of a UTC day with these keys (`app_id, event_id`) that stand, or are in files not committed."""
        paths = [self.directory / path for path in new_files if path.startswith(f"{PARTITION}={day}/")]
        rows = pl.concat([self.scan_day(day), scan_files(paths, LOG_SCHEMA)])
        return rows.join(keys.unique().lazy(), on=keys.columns, how="semi").collect(engine="streaming")

    def archive(self) -> Archive | None:
        """Where the events of old days are, if they are not here."""
        table = self._table()
        return archive_of(table) if table else None

    def version(self) -> int | None:
        """The version of the Delta table; None before the first commit."""
        table = self._table()
        return table.version() if table else None

    def last_ingest_id(self) -> int:
        """The number of the last committed ingest; 0 when there is none."""
        table = self._table()
        return (table.transaction_version(LAST_INGEST) or 0) if table else 0

    def last_commit(self) -> Commit | None:
        """The commit of the last ingest; None when there is none, or its file was removed by a clean-up."""
        return self._commit(self.last_ingest_id())

    def ingests(self) -> list[Ingest]:
        """The ingests in order, without those whose commit files were removed by a clean-up."""
        return ingests_in(self._commits) if self._table() else []

    def ingest(self, ingest_id: int) -> Ingest | None:
        """What an ingest wrote about itself; None when its commit file was removed by a clean-up."""
        version = self._version_of(ingest_id)
        return None if version is None else ingest_in(self._commits, version)

    def commit_identity(self, ingest_id: int) -> str | None:
        """The identity of an ingest: two logs in which it is equal have the same history up to there. None when the log
        has no such ingest, or its commit file was removed by a clean-up."""
        commit = self._commit(ingest_id)
        return commit.identity if commit else None

    def check_holds(self, read: Commit) -> None:
        """A `BillingError` when the log does not hold what was read from it: an ingest of that number and identity.

        The identity is empty where the reader did not know it.
        """
        if read.ingest_id > self.last_ingest_id():
            raise BillingError(
                f"the books rest on {read.ingest_id} ingests, but the event log in {self.directory} has "
                f"{self.last_ingest_id()}: restore the log from the same backup as the database"
            )
        identity = self.commit_identity(read.ingest_id) if read.identity else None
        if identity is not None and identity != read.identity:
            raise BillingError(
                f"the books rest on another event log than the one in {self.directory}: ingest {read.ingest_id} is not "
                "the one that was billed; restore the log from the same backup as the database"
            )

    def _commit(self, ingest_id: int) -> Commit | None:
        version = self._version_of(ingest_id)
        return None if version is None else commit_in(self._commits, version)

    def _version_of(self, ingest_id: int) -> int | None:
        """The version of an ingest's commit. Versions are those of ingests, with a few others (the first, compactions)
        anywhere between."""
        version, last = self.version(), self.last_ingest_id()
        if version is None or not 0 < ingest_id <= last:
            return None
        low, high = ingest_id, ingest_id + version - last
        while low <= high:
            middle = (low + high) // 2
            at, commit = self._commit_before(middle, low)
            if commit and commit.ingest_id == ingest_id:
                return at
            if commit and commit.ingest_id > ingest_id:
                high = at - 1
            else:
                low = middle + 1
        return None

    def _commit_before(self, version: int, first: int) -> tuple[int, Commit | None]:
        """The last commit of an ingest in the versions from `first` to `version`, and its version."""
        for at in range(version, first - 1, -1):
            if commit := commit_in(self._commits, at):
                return at, commit
        return first, None

    def first_event_at(self, apps: Collection[int]) -> dict[int, int]:
        """The oldest `at` (ms) of the standing events of each of the apps that has any: reads day after day, until all
        are found."""
        sought = set(apps)
        table = self._table() if sought else None
        found: dict[int, int] = {}
        days = sorted({partition[PARTITION] for partition in table.partitions()}) if table else []
        for day in days:
            if not sought:
                break
            may_hold = [(PARTITION, "=", day), ("app_id", ">=", min(sought)), ("app_id", "<=", max(sought))]
            with self.naming_damage():
                events = self._standing(may_hold, pl.col("app_id").is_in(sorted(sought)))
                found.update(events.group_by("app_id").agg(pl.col("at").min()).collect().iter_rows())
            sought -= found.keys()
        return found

    def late_events(self, *, after: int, upto: int, before: int) -> dict[int, LateEvents]:
        """What the ingests after `after` and up to `upto` changed before epoch second `before`, by app."""
        ingest, retraction = pl.col("ingest_id"), (pl.col(RETRACTS) > 0).fill_null(value=False)
        sums = (
            self.changes(0, before, after=after, upto=upto)
            .group_by("app_id")
            .agg(
                first_at=pl.col("at").min(),
                first_ingest=ingest.min(),
                last_ingest=ingest.max(),
                brought=~retraction.all(),
                retracted=retraction.any(),
            )
        )
        with self.naming_damage():
            rows = sums.collect(engine="streaming").iter_rows(named=True)
        return {row.pop("app_id"): LateEvents(**row) for row in rows}

    def create(self) -> None:
        """Makes the table, if it is not there: before its first data file, because data without a table are damage."""
        create_table(self.directory)

    def write(self, events: pl.DataFrame, day: date, *, ingest_id: int, number: int) -> DataFile:
        """Writes events of one UTC day, in the columns of `EVENT_SCHEMA`, as the `number`-th file of an ingest.

        They come with their keys, room by room in a few pieces, or get that here; those with `RETRACTS` are
        retractions. Nobody sees them before `commit`.
        """
        rows = events if "room_key" in events.columns else keyed(events).sort("room_key", maintain_order=True)
        return write_file(
            self.rows(rows, ingest_id=ingest_id), self.directory, file_path(day, f"{ingest_id:010d}", number), day
        )

    def rows(self, events: pl.DataFrame, *, ingest_id: int) -> pl.DataFrame:
        """Events with their keys as rows of the log."""
        absent = [
            pl.lit(None, LOG_SCHEMA[name]).alias(name)
            for name in ("line", RETRACTS, EMITTER)
            if name not in events.columns
        ]
        of_ingest = pl.lit(ingest_id, pl.Int64).alias("ingest_id")
        return events.with_columns(of_ingest, *absent).select(*LOG_SCHEMA)

    def commit(self, files: Iterable[DataFile], *, ingest_id: int, metadata: Mapping[str, object]) -> Commit:
        """Makes the files of an ingest part of the log, all at once; `metadata` is kept with the commit.

        They are on the disk before the commit is, and the commit is before this returns: what is billed from it must
        not be gone after a loss of power.
        """
        files = list(files)
        content = [ingest_id, dict(metadata), [(file.path, file.rows, file.least, file.largest) for file in files]]
        identity = next_identity(self.commit_identity(ingest_id - 1), content)
        commit_ingest(self.directory, files, ingest_id, {"ingest_id": ingest_id, "identity": identity, **metadata})
        return Commit(ingest_id=ingest_id, identity=identity)

    def discard_uncommitted(self) -> None:
        """Removes the files of an ingest that was killed before its commit, and a commit's that was not finished."""
        for path in uncommitted_files(self.directory, self.last_ingest_id(), self.version() or 0):
            path.unlink()
        for path in self._commits.glob("*#*"):
            path.unlink()

    @property
    def _commits(self) -> Path:
        return commits_of(self.directory)

    def _table(self) -> DeltaTable | None:
        return open_table(self.directory)

    def _standing(self, wanted: list[tuple[str, str, object]], known: pl.Expr) -> pl.LazyFrame:
        """The events that stand, as far as the `known` rows of the files say that may hold what is wanted."""
        rows = scan_files(self._files(wanted), LOG_SCHEMA, number=_NUMBER).filter(known)
        return standing(rows, _NUMBER).drop(_NUMBER)

    def _read(self, wanted: list[tuple[str, str, object]]) -> pl.LazyFrame:
        """The rows of the files that may hold what is wanted."""
        return scan_files(self._files(wanted), LOG_SCHEMA)

    def _files(self, wanted: list[tuple[str, str, object]]) -> list[Path]:
        table = self._table()
        addresses = table.file_uris(file_pruning_predicate=wanted) if table else []
        paths = (self.directory.absolute().joinpath(*address.rsplit("/", 2)[1:]) for address in addresses)
        return [whole_parquet(path) for path in paths]


def _may_retract(bounds: pl.DataFrame) -> bool:
    """Whether files with these bounds may hold retractions."""
    return _may_hold(bounds, RETRACTS)


def _may_hold(bounds: pl.DataFrame, column: str) -> bool:
    """Whether files with these bounds may have a value in a column: only a column of nulls has no bounds."""
    return bool(bounds.select((pl.col("num_records").is_null() | pl.col(f"max.{column}").is_not_null()).any()).item())


def _narrowed(rows: pl.LazyFrame, bounds: pl.DataFrame, start: int, end: int, ingest_id: int | None) -> pl.LazyFrame:
    """The rows of files that lie in a span, of ingests up to one. No filter where the statistics say that all rows
    pass, and no reading where they say that no event names a connection or a task: both cost as much as to read."""
    if not _may_hold(bounds, "connection_key"):
        absent = {**CONNECTION_KEYS_SCHEMA, **{name: EVENT_SCHEMA[name] for name in TASK_COLUMNS}}
        rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items())
    timely = (pl.col("min.at") >= start * 1000) & (pl.col("max.at") < end * 1000)
    known = pl.col("max.ingest_id") <= (ingest_id or 0)
    all_timely, all_known = bounds.select(each.fill_null(value=False).all() for each in (timely, known)).row(0)
    if not all_timely:
        rows = rows.filter(pl.col("at").is_between(start * 1000, end * 1000, closed="left"))
    if ingest_id is not None and not all_known:
        rows = rows.filter(pl.col("ingest_id") <= ingest_id)
    return rows
