"""Validation: which rows are events, by one rule for every format and every source.

A rejected row gets one reason, the first that applies in this order:

1. what the reader could not read: `bad_json`, `too_long`, `bad_type`, or `bad_value` for what no column can hold (a
   number beyond 64 bits, a broken escape, a CSV row with too many cells)
2. `missing_field`: app_id, room_id, at and type; user_id but for `dismiss` and events of a task; stream for events
   about video; width and height for `video_on` and `publish`; task_id for `task_start`, `task_stop` and beside a
   service; service for `task_start`
3. `bad_value`: a value out of its bounds, also where the type of event has no use for it; a task_id where the type is
   not one of tasks or of received video, or beside a connection
4. `no_offset`: a time of day without an offset from UTC
5. `future`: more than 5 minutes ahead of the clock
6. `unknown_app`: not in the catalog
7. `archived`: of a day whose events are archived, or of the two days after, because local days begin up to a day before
   UTC does and a day is billed with all of its events

(`conflict` is found last, by comparison with what is already there.)

Bounds: event_id 1 to 128 characters; room_id, user_id and stream 1 to 255 bytes of UTF-8, task_id and connection to
128; app_id 1 to 2^53; seq any 64-bit integer, absent = 0; width and height 1 to 16384; `receives` is `all`; `service`
is one of `SERVICES`; no text holds a NUL; an empty role, reason, source, connection, receives or assumed is absent. A
time is RFC 3339 with any number of decimals, of which three count (`12:00:00.9999Z` is .999); there is no second 60;
before 2015 it is `bad_value`.
"""

from collections.abc import Collection, Sequence
from functools import cache

import polars as pl
from xxhash import xxh3_128_hexdigest

from billing.events.coded_texts import NOT_CODED, CodedRows, Values
from billing.events.data_files import span_of
from billing.events.log_table import Archive
from billing.events.rows import REQUIRED_COLUMNS, TEXT_COLUMNS, Problem, first_problem
from billing.events.schema import (
    ASSUMED_COLUMNS,
    EVENT_SCHEMA,
    EVENT_TYPES,
    SIZED_TYPES,
    TASK_COLUMNS,
    TASK_START,
    TASK_TYPES,
    TYPES_OF_TASKS,
    VIDEO_TYPES,
)
from billing.limits import LARGEST_APP_ID, LONGEST_SIDE, SERVICES
from billing.periods import DAY_SECONDS, LOCAL_TIME

OLDEST_AT_MS = 1_420_070_400_000  # 2015-01-01T00:00:00Z
FUTURE_MS = 5 * 60 * 1000
ARCHIVE_MARGIN_DAYS = 2
EVENT_ID_CHARACTERS = 128
NAME_BYTES = 255  # of a room, user or stream
CONNECTION_BYTES = TASK_BYTES = 128
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
    rows: pl.DataFrame,
    values: Values = NOT_CODED,
    *,
    apps: Collection[int],
    now_ms: int,
    archive: Archive | None = None,
    may_hold_nul: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows in `ROW_SCHEMA` as (accepted in `ACCEPTED_SCHEMA`, rejected in `REJECTED_SCHEMA`), both in their order.

    `apps` are the known app ids, `now_ms` the present in epoch milliseconds; `position` is a place in `rows`, from 0.
    Texts may be coded, with these `values`; those of the accepted rows are, too.
    """
    rows = _read_times(rows)
    looked_at, known = rows, values
    if _breaks_a_rule(values, may_hold_nul=may_hold_nul):
        looked_at, known = CodedRows(frame=rows, values=values).decoded(), NOT_CODED
    checks = [*_checks(looked_at, known, apps, now_ms, may_hold_nul=may_hold_nul), *_archived(archive)]
    broken = looked_at.select(pl.any_horizontal(check.there for check in checks).fill_null(value=False)).to_series()
    rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
    if broken.any():
        reason, detail = first_problem(checks)
        rejected = looked_at.with_row_index("position").filter(broken).select("position", reason=reason, detail=detail)
        rows = rows.filter(~broken)
    types = pl.Schema({**EVENT_SCHEMA, **dict.fromkeys(values, pl.UInt32())})
    accepted = rows.select("row", "line", *(pl.col(name).cast(types[name]) for name in EVENT_SCHEMA))
    present = [_present(name, values) for name in MAY_BE_EMPTY]
    return _named(accepted.with_columns(pl.col("seq").fill_null(0), *present), values), rejected


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


def _named(accepted: pl.DataFrame, values: Values) -> pl.DataFrame:
    """Gives an id to every event that has none."""
    nameless = accepted["event_id"].is_null()
    if not nameless.any():
        return accepted
    encoded = CodedRows(frame=accepted.filter(nameless), values=values).decoded().select(encoding()).to_series()
    names = pl.Series("event_id", [event_id_of(text) for text in encoded], dtype=pl.String)
    return accepted.with_columns(accepted["event_id"].scatter(nameless.arg_true(), names))


def _read_times(rows: pl.DataFrame) -> pl.DataFrame:
    """Fills `at` from `at_text` where that is an RFC 3339 time; other texts stay without `at`."""
    if rows["at_text"].null_count() == rows.height:
        return rows
    # Compiled code, which takes a while to load, is needed only for times that are text.
    from billing.events.times import epoch_ms

    return rows.with_columns(at=pl.coalesce("at", epoch_ms(rows["at_text"])))


def _breaks_a_rule(values: Values, *, may_hold_nul: bool) -> bool:
    """Whether a value of a coded column may not be one. There are few, so that rows need not be looked at for that."""
    for name, texts in values.items():
        if texts.is_empty():
            continue
        column, broken = texts.alias(name).to_frame(), _any_out_of_bounds(name)
        if broken is not None and column.select(broken).item():
            return True
        if may_hold_nul and _nul(column):
            return True
    return False


@cache
def _any_out_of_bounds(name: str) -> pl.Expr | None:
    """Whether any value of a column is out of its bounds, if it has some. To write the rule down takes longer than to
    look at the values of a block of lines."""
    rules = [problem.there for about, problem in _out_of_bounds() if about == name]
    return pl.any_horizontal(rules).any() if rules else None


def _checks(
    rows: pl.DataFrame, values: Values, apps: Collection[int], now_ms: int, *, may_hold_nul: bool
) -> list[Problem]:
    """Every rule that these rows may break, in the order of the reasons; but for those that look at a coded text."""
    # Most rows are about users: they are not looked at once more for what only tasks have.
    has_tasks = _has_tasks(rows, values)
    has_long_ids = bool((rows["event_id"].str.len_bytes() > EVENT_ID_CHARACTERS).any())
    return [
        Problem(pl.col("problem").is_not_null(), pl.col("problem"), pl.col("problem_detail")),
        *_missing(values),
        *(_missing_of_tasks(values) if has_tasks else ()),
        *(problem for about, problem in _out_of_bounds(has_long_ids=has_long_ids) if about not in values),
        *(_misplaced_tasks(values) if has_tasks else ()),
        *(_nul(rows.drop(*values)) if may_hold_nul else ()),
        *_bad_times(now_ms),
        Problem(
            ~pl.col("app_id").is_in(sorted(apps)),
            pl.lit("unknown_app"),
            pl.format("app {} is not in the catalog: apply a catalog that has it, then retry this row", "app_id"),
        ),
    ]


def _missing(values: Values) -> list[Problem]:
    absent = {name: pl.col(name).is_null() for name in REQUIRED_COLUMNS}
    absent["at"] = pl.col("at").is_null() & pl.col("at_text").is_null()
    absent["user_id"] = (
        pl.col("user_id").is_null() & ~_is_type(values, ["dismiss", *TASK_TYPES]) & pl.col("task_id").is_null()
    )
    absent["stream"] = pl.col("stream").is_null() & _is_type(values, VIDEO_TYPES)
    absent["width"] = pl.col("width").is_null() & _is_type(values, SIZED_TYPES)
    absent["height"] = pl.col("height").is_null() & _is_type(values, SIZED_TYPES)
    return [Problem.of(broken, "missing_field", f"{name} is missing") for name, broken in absent.items()]


def _is_type(values: Values, types: Sequence[str]) -> pl.Expr:
    if "type" not in values:
        return pl.col("type").is_in(types)
    return pl.col("type").is_in([code for code, value in enumerate(values["type"]) if value in types])


def _has_tasks(rows: pl.DataFrame, values: Values) -> bool:
    """Whether any row has to do with tasks."""
    types = values["type"] if "type" in values else rows["type"]
    has_columns = any(rows[name].null_count() < rows.height for name in TASK_COLUMNS)
    return has_columns or bool(types.is_in(list(TASK_TYPES)).any())


def _missing_of_tasks(values: Values) -> list[Problem]:
    task, service = (pl.col(name).is_null() for name in TASK_COLUMNS)
    absent = {
        "task_id": task & (_is_type(values, TASK_TYPES) | ~service),
        "service": service & _is_type(values, [TASK_START]),
    }
    return [Problem.of(broken, "missing_field", f"{name} is missing") for name, broken in absent.items()]


def _misplaced_tasks(values: Values) -> list[Problem]:
    has_task = pl.col("task_id").is_not_null()
    types = f"task_id belongs to {', '.join(TYPES_OF_TASKS)} only"
    return [
        Problem.of(has_task & ~_is_type(values, TYPES_OF_TASKS), "bad_value", types),
        Problem.of(
            has_task & pl.col("connection").is_not_null(),
            "bad_value",
            "connection belongs to users: an event of a task has none",
        ),
    ]


def _present(name: str, values: Values) -> pl.Expr:
    """A column in which an empty text is absent."""
    if name not in values:
        return pl.col(name).replace("", None)
    empty = (values[name] == "").arg_true().to_list()
    return pl.when(~pl.col(name).is_in(empty)).then(name).alias(name) if empty else pl.col(name)


def _out_of_bounds(*, has_long_ids: bool = True) -> list[tuple[str, Problem]]:
    """By column. Texts have no more characters than bytes, which are quicker to count."""
    event_id, stream = pl.col("event_id").str, pl.col("stream").str
    id_length = event_id.len_chars() if has_long_ids else event_id.len_bytes()
    assumed = pl.col("assumed").str.split(",").list.eval(pl.element().is_in(list(ASSUMED_COLUMNS))).list.all()
    rules = [
        ("event_id", ~_between(id_length, EVENT_ID_CHARACTERS), f"must have 1 to {EVENT_ID_CHARACTERS} characters"),
        ("app_id", ~_between(pl.col("app_id"), LARGEST_APP_ID), f"must be 1 to {LARGEST_APP_ID}"),
        *(
            (name, ~_between(pl.col(name).str.len_bytes(), NAME_BYTES), f"must have 1 to {NAME_BYTES} bytes")
            for name in ("room_id", "user_id", "stream")
        ),
        ("type", ~pl.col("type").is_in(EVENT_TYPES), f"must be one of {', '.join(EVENT_TYPES)}"),
        ("stream", ~(stream.ends_with("/camera") | stream.ends_with("/screen")), "must end in /camera or /screen"),
        *(
            (name, ~_between(pl.col(name), LONGEST_SIDE), f"must be 1 to {LONGEST_SIDE}")
            for name in ("width", "height")
        ),
        (
            "connection",
            pl.col("connection").str.len_bytes() > CONNECTION_BYTES,
            f"must have at most {CONNECTION_BYTES} bytes",
        ),
        ("task_id", ~_between(pl.col("task_id").str.len_bytes(), TASK_BYTES), f"must have 1 to {TASK_BYTES} bytes"),
        ("service", ~pl.col("service").is_in(SERVICES), f"must be one of {', '.join(SERVICES)}"),
        ("receives", ~pl.col("receives").is_in(["all", ""]), 'must be "all" or absent'),
        ("assumed", ~assumed & (pl.col("assumed") != ""), f"must name {' or '.join(ASSUMED_COLUMNS)}"),
    ]
    return [(name, Problem.of(broken, "bad_value", f"{name} {rule}")) for name, broken, rule in rules]


def _nul(rows: pl.DataFrame) -> list[Problem]:
    """A check for each text column that holds a NUL anywhere: to look at each row costs more than all other checks."""
    columns = [name for name in rows.columns if name in TEXT_COLUMNS and name != "type"]
    if not columns:
        return []
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
