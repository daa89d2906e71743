"""Validation: which rows are events, by one rule for every format and every source.

A rejected row gets one reason, the first that applies in this order:

1. what the reader could not read: `bad_json`, `too_long`, `bad_type`, or `bad_value` for what no column can hold (a
   number beyond 64 bits, a broken escape, a CSV row with too many cells)
2. `missing_field`: app_id, room_id, at and type; user_id but for `dismiss`; stream for events about video; width and
   height for `video_on` and `publish`
3. `bad_value`: a value out of its bounds, also where the type of event has no use for it
4. `no_offset`: a time of day without an offset from UTC
5. `future`: more than 5 minutes ahead of the clock
6. `unknown_app`: not in the catalog
7. `archived`: of a day whose events are archived, or of the two days after, because local days begin up to a day before
   UTC does and a day is billed with all of its events

(`conflict` is found last, by comparison with what is already there.)

Bounds: event_id 1 to 128 characters; room_id, user_id and stream 1 to 255 bytes of UTF-8, connection to 128; app_id 1
to 2^53; seq any 64-bit integer, absent = 0; width and height 1 to 16384; `receives` is `all`; no text holds a NUL; an
empty role, reason, source, connection, receives or assumed is absent. A time is RFC 3339 with any number of decimals,
of which three count (`12:00:00.9999Z` is .999); there is no second 60; before 2015 it is `bad_value`.
"""

from collections.abc import Collection

import polars as pl
from xxhash import xxh3_128_hexdigest

from billing.events.data_files import span_of
from billing.events.log_table import Archive
from billing.events.rows import REQUIRED_COLUMNS, TEXT_COLUMNS, Problem, first_problem
from billing.events.schema import ASSUMED_COLUMNS, EVENT_SCHEMA, EVENT_TYPES, SIZED_TYPES, VIDEO_TYPES
from billing.limits import LARGEST_APP_ID, LONGEST_SIDE
from billing.periods import DAY_SECONDS, LOCAL_TIME

OLDEST_AT_MS = 1_420_070_400_000  # 2015-01-01T00:00:00Z
FUTURE_MS = 5 * 60 * 1000
ARCHIVE_MARGIN_DAYS = 2
EVENT_ID_CHARACTERS = 128
NAME_BYTES = 255  # of a room, user or stream
CONNECTION_BYTES = 128
MAY_BE_EMPTY = ("role", "reason", "source", "connection", "receives", "assumed")

# The columns that were there when the encoding was defined.
_FIRST_ENCODED = (
    *("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height"),
    *("role", "reason", "source"),
)
_ALSO_ENCODED = [name for name in EVENT_SCHEMA if name not in ("event_id", *_FIRST_ENCODED)]

ACCEPTED_SCHEMA = pl.Schema({"row": pl.Int64(), "line": pl.Int64(), **EVENT_SCHEMA})
REJECTED_SCHEMA = pl.Schema({"position": pl.UInt32(), "reason": pl.String(), "detail": pl.String()})


def validate(
    rows: pl.DataFrame, *, apps: Collection[int], now_ms: int, archive: Archive | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows in `ROW_SCHEMA` as (accepted in `ACCEPTED_SCHEMA`, rejected in `REJECTED_SCHEMA`), both in their order.

    `apps` are the known app ids, `now_ms` the present in epoch milliseconds; `position` is a place in `rows`, from 0.
    """
    rows = _read_times(rows)
    checks = [*_checks(rows, apps, now_ms), *_archived(archive)]
    broken = rows.select(pl.any_horizontal(check.there for check in checks).fill_null(value=False)).to_series()
    rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
    if broken.any():
        reason, detail = first_problem(checks)
        rejected = rows.with_row_index("position").filter(broken).select("position", reason=reason, detail=detail)
        rows = rows.filter(~broken)
    accepted = rows.select("row", "line", *(pl.col(name).cast(dtype) for name, dtype in EVENT_SCHEMA.items()))
    accepted = accepted.with_columns(pl.col("seq").fill_null(0), pl.col(MAY_BE_EMPTY).replace("", None))
    return _named(accepted), rejected


def event_id_of(encoded: str) -> str:
    """The id of an event that came without one: XXH3-128 (seed 0, hexadecimal) of its `encoding()` in UTF-8."""
    return xxh3_128_hexdigest(encoded.encode())


def encoding() -> pl.Expr:
    """The columns but event_id, joined by NUL, which no text holds: the first twelve in schema order, integers in
    decimal, absent empty; then of each later column that is present `name=value`.

    It never changes: an event that is sent again must get its old id.
    """
    first = pl.concat_str(pl.col(_FIRST_ENCODED).cast(pl.String).fill_null(""), separator="\0")
    later = (pl.format(f"\0{name}={{}}", name).fill_null("") for name in _ALSO_ENCODED)
    return pl.concat_str(first, *later)


def _named(accepted: pl.DataFrame) -> pl.DataFrame:
    """Gives an id to every event that has none."""
    nameless = accepted["event_id"].is_null()
    if not nameless.any():
        return accepted
    encoded = accepted.filter(nameless).select(encoding()).to_series()
    names = pl.Series("event_id", [event_id_of(text) for text in encoded], dtype=pl.String)
    return accepted.with_columns(accepted["event_id"].scatter(nameless.arg_true(), names))


def _read_times(rows: pl.DataFrame) -> pl.DataFrame:
    """Fills `at` from `at_text` where that is an RFC 3339 time; other texts stay without `at`."""
    if rows["at_text"].null_count() == rows.height:
        return rows
    # Compiled code, which takes a while to load, is needed only for times that are text.
    from billing.events.times import epoch_ms

    return rows.with_columns(at=pl.coalesce("at", epoch_ms(rows["at_text"])))


def _checks(rows: pl.DataFrame, apps: Collection[int], now_ms: int) -> list[Problem]:
    """Every rule that these rows may break, in the order of the reasons."""
    return [
        Problem(pl.col("problem").is_not_null(), pl.col("problem"), pl.col("problem_detail")),
        *_missing(),
        *_out_of_bounds(),
        *_nul(rows),
        *_bad_times(now_ms),
        Problem(
            ~pl.col("app_id").is_in(sorted(apps)),
            pl.lit("unknown_app"),
            pl.format("app {} is not in the catalog: apply a catalog that has it, then retry this row", "app_id"),
        ),
    ]


def _missing() -> list[Problem]:
    kind = pl.col("type")
    absent = {name: pl.col(name).is_null() for name in REQUIRED_COLUMNS}
    absent["at"] = pl.col("at").is_null() & pl.col("at_text").is_null()
    absent["user_id"] = pl.col("user_id").is_null() & (kind != "dismiss")
    absent["stream"] = pl.col("stream").is_null() & kind.is_in(VIDEO_TYPES)
    absent["width"] = pl.col("width").is_null() & kind.is_in(SIZED_TYPES)
    absent["height"] = pl.col("height").is_null() & kind.is_in(SIZED_TYPES)
    return [Problem.of(broken, "missing_field", f"{name} is missing") for name, broken in absent.items()]


def _out_of_bounds() -> list[Problem]:
    event_id, stream = pl.col("event_id").str, pl.col("stream").str
    names = {name: ~_between(pl.col(name).str.len_bytes(), NAME_BYTES) for name in ("room_id", "user_id", "stream")}
    assumed = pl.col("assumed").str.split(",").list.eval(pl.element().is_in(list(ASSUMED_COLUMNS))).list.all()
    rules = {
        f"event_id must have 1 to {EVENT_ID_CHARACTERS} characters": ~_between(
            event_id.len_chars(), EVENT_ID_CHARACTERS
        ),
        f"app_id must be 1 to {LARGEST_APP_ID}": ~_between(pl.col("app_id"), LARGEST_APP_ID),
        **{f"{name} must have 1 to {NAME_BYTES} bytes": broken for name, broken in names.items()},
        f"type must be one of {', '.join(EVENT_TYPES)}": ~pl.col("type").is_in(EVENT_TYPES),
        "stream must end in /camera or /screen": ~(stream.ends_with("/camera") | stream.ends_with("/screen")),
        f"width must be 1 to {LONGEST_SIDE}": ~_between(pl.col("width"), LONGEST_SIDE),
        f"height must be 1 to {LONGEST_SIDE}": ~_between(pl.col("height"), LONGEST_SIDE),
        f"connection must have at most {CONNECTION_BYTES} bytes": pl.col("connection").str.len_bytes()
        > CONNECTION_BYTES,
        'receives must be "all" or absent': ~pl.col("receives").is_in(["all", ""]),
        f"assumed must name {' or '.join(ASSUMED_COLUMNS)}": ~assumed & (pl.col("assumed") != ""),
    }
    return [Problem.of(broken, "bad_value", detail) for detail, broken in rules.items()]


def _nul(rows: pl.DataFrame) -> list[Problem]:
    """A check for each text column that holds a NUL anywhere: to look at each row costs more than all other checks."""
    columns = [name for name in TEXT_COLUMNS if name != "type"]
    texts = rows.select(pl.col(columns).str.join("")).row(0)
    return [
        Problem.of(pl.col(name).str.contains("\0", literal=True), "bad_value", f"{name} holds a NUL character")
        for name, text in zip(columns, texts, strict=True)
        if "\0" in text
    ]


def _bad_times(now_ms: int) -> list[Problem]:
    at = pl.col("at")
    text = pl.when(at.is_null()).then("at_text")
    without_offset = text.str.contains(f"^{LOCAL_TIME}$")
    not_a_time = "at must be an RFC 3339 time with offset, such as 2026-03-01T18:00:00+09:00, or epoch milliseconds"
    return [
        Problem.of(at.is_null() & text.is_not_null() & ~without_offset, "bad_value", not_a_time),
        Problem.of(at.is_null() & without_offset, "no_offset", "at has no offset from UTC, such as Z or +09:00"),
        Problem.of(at < OLDEST_AT_MS, "bad_value", "at is before 2015 (epoch milliseconds are expected)"),
        Problem.of(at > now_ms + FUTURE_MS, "future", "at is more than 5 minutes ahead of this machine's clock"),
    ]


def _archived(archive: Archive | None) -> list[Problem]:
    if not archive:
        return []
    first_ms = (span_of(archive.before)[0] + ARCHIVE_MARGIN_DAYS * DAY_SECONDS) * 1000
    detail = f"events of that day are archived: `billing compact --restore {archive.directory}`, then retry this row"
    return [Problem.of(pl.col("at") < first_ms, "archived", detail)]


def _between(number: pl.Expr, largest: int) -> pl.Expr:
    """Whether a number is 1 to `largest`; null for null."""
    return number.is_between(1, largest)
