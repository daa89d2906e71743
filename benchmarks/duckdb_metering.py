"""The rival: one billing day's usage in DuckDB SQL, written by hand to be as fast as we know how.

The same rows as the engine gives, for policy `trtc-intl` and no state carried from the day before. What makes it fast:

- A user in a room is one 64-bit key `k`, a room `r`, both as the event log stores them; a user's stream `ks` is made of
  the stored keys of both. Collisions are not looked for.
- The order of a user's events is one integer `o`: milliseconds, `seq` and the rank of the type, packed.
- Enter, reconnect, exit and dismiss decide whether a user is there whatever came before them, and whatever is not video
  ends what was being received. So presence comes from a quarter of the events alone, and a stretch of video ends at the
  next event of its stream or at the user's next event that is not video. A user has few connections, so a hash join
  that tries them all finds it in half the time of an as-of join.
- The stale rule and a dismissed room become exits among the user's own events.
- Over a room's comings and goings a running count and a running sum of `k` tell who is alone.
- Only what is not plain audio gets a timeline: stretches of video, waits and solitude as steps up and down of one
  packed running sum. A step at second t changes the class of k's seconds from that of the sum before it to that of the
  sum after it; steps of the same second cancel by themselves. `no_video_received` is the rest of the stay.
- Where neighbours are enough, and where a running sum comes to zero with each user, rows are sorted and run through in
  one stream, which takes less than window functions over a million small partitions.
- A change at t adds 300 - t % 300 to its window and 300 to every later one: a running sum over the few windows, however
  long the stay.

Seconds `s`, `e`, `t` and windows `w` count from the window in which the day begins.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.rules import (
    ALONE,
    ALONE_CLASS,
    CLASSES,
    DISCONNECT,
    DISMISS,
    ENTER,
    FIRST_VIDEO_CLASS,
    GRACE_CLASS,
    ITEM_TOPS,
    NO_VIDEO_CLASS,
    RECONNECT,
    SCREEN,
    STALE_SECONDS,
    VIDEO_OFF,
    VIDEO_ON,
    WAIT_SECONDS,
    WAITING,
    WINDOW_SECONDS,
    Order,
    order_of,
)

# Of each event: its room `r`, the user in the room `k`, that user's stream `ks`, the rank of the type, and what is
# received.
KEYS = f"""app_id, room_key AS r, user_key AS k, xor(user_key, stream_key) AS ks, what & 15 AS rank,
    (what >> 4) & {2**29 - 1} | (what >> 33) * {SCREEN} AS pixels"""


# The same of events that come from a file, without the keys of the log: hashes of its own, and no repeated ids.
HASHED_KEYS = f"""app_id, (hash(app_id, room_id) >> 1)::BIGINT AS r, (hash(app_id, room_id, user_id) >> 1)::BIGINT AS k,
    (hash(app_id, room_id, user_id, stream) >> 1)::BIGINT AS ks, what & 15 AS rank,
    (what >> 4) & {2**29 - 1} | (what >> 33) * {SCREEN} AS pixels"""
_TYPES = ("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on")


def usage(
    files: Sequence[str | Path], start: int, end: int, *, threads: int = 2, memory: str = "4GB", scratch: str = ".tmp"
) -> pl.DataFrame:
    """Usage `app_id, window_start, item, reason, seconds`, sorted, of the events in [start, end) of the event log."""
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    source = f"read_parquet([{names}], hive_partitioning = false)"
    with _connected(threads, memory, scratch) as connection:
        return _usage(connection, source, KEYS, start, end)


def usage_of_file(
    file: Path, start: int, end: int, *, threads: int = 2, memory: str = "4GB", scratch: str = ".tmp"
) -> pl.DataFrame:
    """The same of an event file as it arrives, Parquet or NDJSON, in which events come more than once."""
    name = "'" + str(file).replace("'", "''") + "'"
    columns = "{event_id: 'VARCHAR', app_id: 'BIGINT', room_id: 'VARCHAR', user_id: 'VARCHAR', 'at': 'BIGINT', "
    columns += "seq: 'BIGINT', type: 'VARCHAR', stream: 'VARCHAR', width: 'BIGINT', height: 'BIGINT'}"
    is_parquet = file.suffix == ".parquet"
    read = f"read_parquet({name})" if is_parquet else f"read_ndjson({name}, columns = {columns})"
    code = " ".join(f"WHEN '{kind}' THEN {number}" for number, kind in enumerate(_TYPES))
    size = f"CASE WHEN type = 'video_on' THEN width * height + (stream LIKE '%/screen')::BIGINT * {2**29} ELSE 0 END"
    with _connected(threads, memory, scratch) as connection:
        connection.execute(
            f"""CREATE TEMP TABLE arrived AS
            SELECT any_value(COLUMNS(* EXCLUDE (app_id, event_id))), app_id, event_id FROM (
                SELECT event_id, app_id, room_id, user_id, "at", coalesce(seq, 0) AS seq, stream,
                    ({size}) * 16 + CASE type {code} END AS what
                FROM {read}
            ) GROUP BY app_id, event_id"""
        )
        return _usage(connection, "arrived", HASHED_KEYS, start, end)


@contextmanager
def _connected(threads: int, memory: str, scratch: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        connection.execute(f"SET memory_limit = '{memory}'")
        connection.execute(f"SET temp_directory = '{scratch}'")
        connection.execute("SET preserve_insertion_order = false")
        yield connection


def _usage(connection: duckdb.DuckDBPyConnection, rows: str, keys: str, start: int, end: int) -> pl.DataFrame:
    source = f"""{rows} WHERE "at" >= {start * 1000} AND "at" < {end * 1000}"""
    seqs = connection.sql(f"SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM {source}").fetchall()[0]
    order = order_of(start, end, *seqs)
    connection.execute(
        f"""CREATE TEMP VIEW event AS SELECT {keys}, {_packed(order)} AS o, "at", event_id FROM {source}"""
    )
    span = end - order.base
    _presence(connection, order, span, with_stale=end - start > STALE_SECONDS)
    _pieces(connection, order, span)
    _stretches(connection, order, span)
    _solitude(connection)
    _changes(connection)
    return _windows(connection, order.base, span)


def _packed(order: Order) -> str:
    """The order of an event as one integer: BIGINT, or HUGEINT if 62 bits are too few."""
    integer = "BIGINT" if order.fits else "HUGEINT"
    seq = f" + (seq::{integer} - {order.first_seq}) * 8" if order.seqs > 1 else ""
    return f'((("at" - {order.base * 1000})::{integer} * {order.per_ms}{seq}) + (what & 15))'


def _second(order: Order, o: str) -> str:
    return f"({o} // {order.per_second})"


def _presence(connection: duckdb.DuckDBPyConnection, order: Order, span: int, *, with_stale: bool) -> None:
    """`presence`: a user's events that are not video (without vain disconnects), each with the `next` one.

    In a day of 86,400 s to which nothing was carried no stay can become stale.
    """
    connection.execute(
        f"""CREATE TEMP TABLE coming AS
        SELECT k, r, app_id, o FROM event WHERE rank < {VIDEO_OFF}"""
    )
    connection.execute(
        f"""CREATE TEMP TABLE presence AS
        WITH dismissed AS (
            SELECT DISTINCT entered.k, r, entered.app_id, room.o
            FROM coming AS entered JOIN coming AS room USING (r)
            WHERE room.o & 7 = {DISMISS} AND entered.o & 7 IN ({ENTER}, {RECONNECT})
        ), of_user AS (
            FROM coming WHERE o & 7 <> {DISMISS}
            UNION ALL FROM dismissed
            {f"UNION ALL {_stale_exits(order, span)}" if with_stale else ""}
        ), after AS (
            SELECT *, lag(o) OVER (PARTITION BY k ORDER BY o) AS last FROM of_user
        )
        SELECT * FROM (
            SELECT k, r, app_id, o, coalesce(lead(o) OVER (PARTITION BY k ORDER BY o), {order.never}) AS next
            FROM after WHERE o & 7 <> {DISCONNECT} OR last & 7 IN ({ENTER}, {RECONNECT})
        ) WHERE o < next"""
    )


def _stale_exits(order: Order, span: int) -> str:
    """An exit 86,400 s after every event of a user which is not followed by another at an earlier second."""
    stale_second = f"({_second(order, 'o')} + {STALE_SECONDS})"
    return f"""SELECT k, r, app_id, {stale_second} * {order.per_second} FROM (
            SELECT *, lead(o) OVER (PARTITION BY k ORDER BY o) AS next FROM (
                SELECT k, r, app_id, o FROM event WHERE rank <> {DISMISS}
            )
        ) WHERE {stale_second} < {span} AND (next IS NULL OR {_second(order, "next")} >= {stale_second})"""


def _pieces(connection: duckdb.DuckDBPyConnection, order: Order, span: int) -> None:
    """`piece`: k is in room r in the seconds [s, e), connected or in the wait; pieces never overlap."""
    until = f"least({_second(order, 'next')}, {span})"
    connection.execute(
        f"""CREATE TEMP TABLE piece AS SELECT * FROM (
            SELECT k, r, app_id, o & 7 = {DISCONNECT} AS waiting, {_second(order, "o")} AS s,
                CASE WHEN waiting THEN least({until}, s + {WAIT_SECONDS}) ELSE {until} END AS e
            FROM presence WHERE o & 7 IN ({DISCONNECT}, {ENTER}, {RECONNECT})
        ) WHERE s < e"""
    )


def _stretches(connection: duckdb.DuckDBPyConnection, order: Order, span: int) -> None:
    """`stretch`: k received a stream's `pixels` (plus SCREEN for a screen) in the seconds [s, e)."""
    connection.execute(
        f"""CREATE TEMP TABLE video_on AS SELECT * FROM (
            SELECT k, ks, o, pixels, CASE WHEN lead(ks) OVER () = ks THEN lead(o) OVER () ELSE {order.never} END AS next
            FROM (SELECT k, ks, o, pixels FROM event WHERE rank >= {VIDEO_OFF} ORDER BY ks, o)
        ) WHERE o & 7 = {VIDEO_ON}"""
    )
    # Of two sizes of one stream at one instant the greater event id has the last word. There are few, so event ids are
    # read for those instants only.
    ties = connection.sql(
        f"SELECT DISTINCT {order.base * 1000} + o // {order.per_ms} FROM video_on WHERE next = o"
    ).fetchall()
    if ties:
        instants = ", ".join(str(at) for (at,) in ties)
        connection.execute(
            f"""UPDATE video_on SET pixels = winner.pixels FROM (
                SELECT ks, o, arg_max(pixels, event_id) AS pixels FROM event
                WHERE rank >= {VIDEO_OFF} AND "at" IN ({instants}) GROUP BY ALL HAVING count(*) > 1
            ) AS winner WHERE video_on.ks = winner.ks AND video_on.o = winner.o"""
        )
    connection.execute(
        f"""CREATE TEMP TABLE stretch AS SELECT * FROM (
            SELECT video_on.k, app_id, pixels, {_second(order, "video_on.o")} AS s,
                least({_second(order, "least(video_on.next, run.next)")}, {span}) AS e
            FROM video_on JOIN (FROM presence WHERE o & 7 IN ({ENTER}, {RECONNECT})) AS run
            ON video_on.k = run.k AND video_on.o > run.o AND video_on.o < run.next
        ) WHERE s < e"""
    )


def _solitude(connection: duckdb.DuckDBPyConnection) -> None:
    """`alone`: from second t on k is (sign 1), or is no longer (-1), the only user of the room."""
    connection.execute(
        """CREATE TEMP TABLE alone AS
        WITH step AS (
            SELECT r, app_id, k::HUGEINT AS k, s AS t, 1 AS sign FROM piece UNION ALL
            SELECT r, app_id, -(k::HUGEINT), e, -1 FROM piece
        ), room AS (
            SELECT app_id, k, t, sign, sum(sign) OVER running AS users, sum(k) OVER running AS who FROM step
            WINDOW running AS (PARTITION BY r ORDER BY t ROWS UNBOUNDED PRECEDING)
        )
        SELECT app_id, t, (who - k)::BIGINT AS k, -1 AS sign FROM room WHERE users - sign = 1 UNION ALL
        SELECT app_id, t, who::BIGINT, 1 FROM room WHERE users = 1"""
    )


def _changes(connection: duckdb.DuckDBPyConnection) -> None:
    """`change`: in window w the seconds of `users` users turned from class `before` to class `after`.

    `into_window` is the sum over those users of the seconds of the window that had passed.
    """
    connection.execute(
        f"""CREATE TEMP TABLE timeline AS
        SELECT app_id, t, step, sum(step) OVER (ROWS UNBOUNDED PRECEDING)::BIGINT AS total FROM (FROM (
            SELECT k, app_id, s AS t, pixels AS step FROM stretch UNION ALL
            SELECT k, app_id, e, -pixels FROM stretch UNION ALL
            SELECT k, app_id, t, sign * {ALONE} FROM alone UNION ALL
            SELECT k, app_id, s, {WAITING} FROM piece WHERE waiting UNION ALL
            SELECT k, app_id, e, -{WAITING} FROM piece WHERE waiting
        ) ORDER BY k, t)"""
    )
    connection.execute(
        f"""CREATE TEMP TABLE change AS
        SELECT app_id, {_class("(total - step)")} AS before, {_class("total")} AS after, t // {WINDOW_SECONDS} AS w,
            count(*) AS users, sum(t % {WINDOW_SECONDS}) AS into_window
        FROM timeline GROUP BY ALL"""
    )


def _class(total: str) -> str:
    tiers = " + ".join(f"({total} & {SCREEN - 1} > {top})::TINYINT" for top in ITEM_TOPS)
    return f"""CASE WHEN {total} = 0 THEN {NO_VIDEO_CLASS} WHEN {total} >= {WAITING // 2} THEN {GRACE_CLASS}
        WHEN {total} >= {ALONE // 2} THEN {ALONE_CLASS}
        ELSE {FIRST_VIDEO_CLASS} + 2 * ({tiers}) + ({total} >= {SCREEN})::TINYINT END"""


def _windows(connection: duckdb.DuckDBPyConnection, base: int, span: int) -> pl.DataFrame:
    classes = ", ".join(f"({number}, '{item}', '{reason}')" for number, item, reason in CLASSES)
    s_in, e_in = f"sum(s % {WINDOW_SECONDS})", f"sum(e % {WINDOW_SECONDS})"
    return connection.sql(
        f"""WITH flow AS (
            SELECT app_id, after AS class, w, users, into_window FROM change UNION ALL
            SELECT app_id, before, w, -users, -into_window FROM change UNION ALL
            SELECT app_id, 0, s // {WINDOW_SECONDS}, count(*), {s_in} FROM piece GROUP BY ALL UNION ALL
            SELECT app_id, 0, e // {WINDOW_SECONDS}, -count(*), -{e_in} FROM piece GROUP BY ALL
        ), net AS (
            SELECT app_id, class, w, sum(users) AS users, sum(into_window) AS into_window FROM flow GROUP BY ALL
        ), grid AS (
            SELECT * FROM (SELECT DISTINCT app_id, class FROM net), range({-(-span // WINDOW_SECONDS)}) AS windows(w)
        ), total AS (
            SELECT app_id, class, w, {WINDOW_SECONDS} * sum(coalesce(users, 0)) OVER earlier - coalesce(into_window, 0)
                AS seconds
            FROM grid LEFT JOIN net USING (app_id, class, w)
            WINDOW earlier AS (PARTITION BY app_id, class ORDER BY w)
        )
        SELECT app_id, {base} + {WINDOW_SECONDS} * w AS window_start, item, reason, seconds::BIGINT AS seconds
        FROM total JOIN (VALUES {classes}) AS name(class, item, reason) USING (class)
        WHERE seconds <> 0 ORDER BY ALL"""
    ).pl()
