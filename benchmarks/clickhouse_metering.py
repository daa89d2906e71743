"""One billing day's usage in ClickHouse SQL, written by hand to be as fast as we know how.

The same rows as the engine gives, for policy `trtc-intl` and no state carried from the day before. ClickHouse is at its
best with arrays, and slow with window functions over a million small partitions, so there are none:

- One GROUP BY collects a user's events in a room, in arrays of presence and of video; the rest is arithmetic on sorted
  arrays. Collisions of the 64-bit keys are not looked for.
- An exit, enter, reconnect or dismissal decides whether a user is there whatever came before. A dismissed room, and the
  stale rule, become exits among the user's own events.
- A stretch of video ends at the next event of its stream, its neighbour in an array sorted by stream, or with the
  user's connection, which `arrayFill` carries from the last event of presence before it.
- A second GROUP BY brings the users of a room together. Over their sorted comings and goings a running count and a
  running sum of keys tell who is alone. The steps of all users, sorted by user and time, are summed in one go: each
  user's come to zero in the end, so no sum runs on into the next.
- A step at second t turns one user's seconds from one class to another: 300 - t % 300 of them in its window and 300 in
  every later one, which a running sum over the few windows adds up, however long the stay.

Seconds `s`, `e`, `t` and windows `w` count from the window in which the day begins.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
from chdb.session import Session

from benchmarks.rules import (
    ABSENT_CLASS,
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

COLUMNS = (
    "event_id String, app_id Int64, at Int64, seq Int64, room_key Int64, user_key Int64, stream_key Int64, what Int64"
)
# Of each event: its room `r`, the user in the room `k`, the stream `st`, the rank of the type, and what is received.
KEYS = f"""app_id, room_key AS r, user_key AS k, stream_key AS st, bitAnd(what, 15) AS rank,
    bitAnd(bitShiftRight(what, 4), {2**29 - 1}) + bitShiftRight(what, 33) * {SCREEN} AS pixels"""


def usage(files: Sequence[str | Path], start: int, end: int, *, threads: int = 2) -> pl.DataFrame:
    """Usage `app_id, window_start, item, reason, seconds`, sorted, of the events in [start, end) of the event log."""
    with TemporaryDirectory() as scratch:
        # One pattern cannot name files of several directories.
        for number, file in enumerate(files):
            (Path(scratch) / f"{number}.parquet").symlink_to(Path(file).absolute())
        session = Session()
        session.query(f"SET max_threads = {threads}")
        source = f"file('{scratch}/*.parquet', Parquet, '{COLUMNS}')"
        within = f'"at" >= {start * 1000} AND "at" < {end * 1000}'
        seqs = _rows(session, f"SELECT min(seq) AS first, max(seq) AS last FROM {source} WHERE {within}")
        order = order_of(start, end, *seqs.row(0))
        if not order.fits:
            raise ValueError("the order of these events does not fit into 64 bits")
        event = f"SELECT {KEYS}, {_packed(order)} AS o FROM {source} WHERE {within}"
        try:
            _visits(session, event, order, end - order.base, with_stale=end - start > STALE_SECONDS)
            _last_words(session, event.replace("SELECT", 'SELECT event_id, "at",', 1), order)
            _changes(session, order, end - order.base)
            return _windows(session, order.base, end - order.base)
        finally:
            session.close()


def _packed(order: Order) -> str:
    seq = f" + (seq - {order.first_seq}) * 8" if order.seqs > 1 else ""
    return f'("at" - {order.base * 1000}) * {order.per_ms}{seq} + rank'


def _visits(session: Session, event: str, order: Order, span: int, *, with_stale: bool) -> None:
    """`visit`: of each user in a room, `p`: the instants of presence; `vs, vo, vz`: streams, instants and pixels of the
    video events, by stream.

    In a day of 86,400 s to which nothing was carried no stay can become stale.
    """
    presence = f"groupArrayIf(o, rank < {VIDEO_OFF})"
    if with_stale:
        stale_second = f"intDiv(o, {order.per_second}) + {STALE_SECONDS}"
        presence = f"""arrayConcat({presence}, arrayMap(o -> ({stale_second}) * {order.per_second}, arrayFilter(
            (o, next) -> {stale_second} < {span} AND intDiv(next, {order.per_second}) >= {stale_second},
            arraySort(groupArray(o)) AS every, arrayShiftLeft(every, 1, {order.never}))))"""
    session.query(
        f"""CREATE TABLE visit ENGINE = Memory AS
        SELECT app_id, r, k, arraySort(if(empty(dismissals), p, arrayConcat(p, dismissals))) AS p,
            v.1 AS vs, v.2 AS vo, v.3 AS vz
        FROM (
            SELECT k, any(app_id) AS app_id, any(r) AS r, {presence} AS p,
                arraySort(arrayZip(groupArrayIf(st, rank >= {VIDEO_OFF}), groupArrayIf(o, rank >= {VIDEO_OFF}),
                    groupArrayIf(pixels, rank >= {VIDEO_OFF}))) AS v
            FROM ({event}) WHERE rank <> {DISMISS} GROUP BY k
        ) AS own
        LEFT JOIN (SELECT r, groupArray(o) AS dismissals FROM ({event}) WHERE rank = {DISMISS} GROUP BY r) AS room
        USING r"""
    )


def _last_words(session: Session, event: str, order: Order) -> None:
    """Of two sizes of one stream at one instant the greater event id has the last word. There are few, so event ids are
    read for those instants only."""
    again = f"(s, o, s2, o2) -> o = o2 AND s = s2 AND bitAnd(o, 7) = {VIDEO_ON}"
    neighbours = f"vs, vo, arrayShiftLeft(vs, 1, 0), arrayShiftLeft(vo, 1, {order.never})"
    ties = _rows(
        session,
        f"""SELECT DISTINCT k, {order.base * 1000} + intDiv(o, {order.per_ms}) AS "at" FROM visit
        ARRAY JOIN arrayFilter((o, t) -> t, vo, arrayMap({again}, {neighbours})) AS o""",
    )
    if ties.is_empty():
        return
    users, instants = (", ".join(map(str, ties[name].unique())) for name in ("k", "at"))
    session.query(
        f"""CREATE TABLE settled ENGINE = Memory AS
        SELECT app_id, r, k, p, vs, vo,
            if(empty(tied), vz, arrayMap((key, z) -> if(has(tied, key), winners[indexOf(tied, key)], z),
                arrayZip(vs, vo), vz)) AS vz
        FROM visit LEFT JOIN (
            SELECT k, groupArray((st, o)) AS tied, groupArray(winner) AS winners FROM (
                SELECT k, st, o, argMax(pixels, event_id) AS winner FROM ({event})
                WHERE "at" IN ({instants}) AND k IN ({users}) AND rank = {VIDEO_ON} GROUP BY k, st, o HAVING count() > 1
            ) GROUP BY k
        ) AS tie USING k"""
    )
    session.query("DROP TABLE visit")
    session.query("RENAME TABLE settled TO visit")


def _changes(session: Session, order: Order, span: int) -> None:
    """`change`: in window w the seconds of `users` users turned from class `before` to class `after`.

    `into_window` is the sum over those users of the seconds of the window that had passed.
    """
    # `pieces`: in the room in the seconds [s, e), connected or in the wait; they never overlap. `video`: instants of
    # `video_on` with the stream's next, among the connections with their ends. `stretches`: pixels in [s, e).
    second, waiting = f"intDiv(o, {order.per_second})", f"bitAnd(o, 7) = {DISCONNECT}"
    there, connected = (
        f"IN ({', '.join(map(str, ranks))})" for ranks in ((DISCONNECT, ENTER, RECONNECT), (ENTER, RECONNECT))
    )
    until = f"least(intDiv(next, {order.per_second}), {span}, if({waiting}, {second} + {WAIT_SECONDS}, {span}))"
    own = f"""
        SELECT app_id, r, k,
            arrayFilter((o, last) -> bitAnd(o, 7) <> {DISCONNECT} OR bitAnd(last, 7) {connected},
                p, arrayShiftRight(p, 1, 0)) AS q,
            arrayShiftLeft(q, 1, {order.never}) AS q_next,
            arrayFilter(x -> x.1 < x.2, arrayMap((o, next) -> (
                {second}, {until}, {waiting}),
                arrayFilter(o -> bitAnd(o, 7) {there}, q),
                arrayFilter((next, o) -> bitAnd(o, 7) {there}, q_next, q))) AS pieces,
            arraySort(arrayConcat(
                [(toInt64(-1), toInt64(-1), toInt64(-1))],
                arrayFilter(x -> bitAnd(x.1, 7) {connected},
                    arrayMap((o, next) -> (o, next, toInt64(-1)), q, q_next)),
                arrayFilter(x -> bitAnd(x.1, 7) = {VIDEO_ON}, arrayMap(
                    (s, o, z, s2, o2) -> (o, if(s = s2, o2, {order.never}), z),
                    vs, vo, vz, arrayShiftLeft(vs, 1, 0), arrayShiftLeft(vo, 1, {order.never})))
            )) AS video,
            arrayFill((until, z) -> z < 0, video.2, video.3) AS connected_until,
            arrayFilter(x -> x.1 < x.2 AND x.3 >= 0, arrayMap((o, next, z, until) -> (
                {second}, least(intDiv(least(next, until), {order.per_second}), {span}), z),
                video.1, video.2, video.3, connected_until)) AS stretches,
            arrayFilter(x -> x.3, pieces) AS waits
        FROM visit"""
    session.query(
        f"""CREATE TABLE change ENGINE = Memory AS
        SELECT app_id, before, after, intDiv(t, {WINDOW_SECONDS}) AS w, toInt64(count()) AS users,
            toInt64(sum(t % {WINDOW_SECONDS})) AS into_window
        FROM (
            WITH arraySort(arrayZip(groupArrayArray(bound_t), groupArrayArray(bound_k), groupArrayArray(bound_n)))
                    AS bounds,
                arrayCumSum(bounds.2) AS who, arrayCumSum(bounds.3) AS present,
                arrayFilter((k, n) -> n = 1, who, present) AS alone_k,
                arrayFilter((t, n) -> n = 1, bounds.1, present) AS alone_t,
                arrayFilter((b, n) -> n - b.3 = 1, bounds, present) AS joined,
                arrayFilter((k, b, n) -> n - b.3 = 1, who, bounds, present) AS joined_who,
                arraySort(arrayZip(
                    arrayConcat(groupArrayArray(step_k), alone_k, arrayMap((k, b) -> k - b.2, joined_who, joined)),
                    arrayConcat(groupArrayArray(step_t), alone_t, joined.1),
                    arrayConcat(groupArrayArray(step), arrayMap(t -> {ALONE}, alone_t), arrayMap(b -> -{ALONE}, joined))
                )) AS steps,
                arrayMap(total -> {_class("total")}, arrayCumSum(steps.3)) AS classes
            SELECT any(app_id) AS app_id,
                arrayConcat(steps.2, bounds.1) AS ts,
                arrayConcat(arrayShiftRight(classes, 1, {NO_VIDEO_CLASS}),
                    arrayMap(n -> if(n > 0, {ABSENT_CLASS}, {NO_VIDEO_CLASS}), bounds.3)) AS befores,
                arrayConcat(classes, arrayMap(n -> if(n > 0, {NO_VIDEO_CLASS}, {ABSENT_CLASS}), bounds.3)) AS afters
            FROM (
                SELECT app_id, r,
                    arrayConcat(pieces.1, pieces.2) AS bound_t,
                    arrayConcat(arrayMap(x -> k, pieces), arrayMap(x -> -k, pieces)) AS bound_k,
                    arrayConcat(arrayMap(x -> toInt64(1), pieces), arrayMap(x -> toInt64(-1), pieces)) AS bound_n,
                    arrayConcat(stretches.1, stretches.2, waits.1, waits.2) AS step_t,
                    arrayMap(t -> k, step_t) AS step_k,
                    arrayConcat(stretches.3, arrayMap(z -> -z, stretches.3),
                        arrayMap(x -> {WAITING}, waits), arrayMap(x -> -{WAITING}, waits)) AS step
                FROM ({own})
            ) GROUP BY r
        ) ARRAY JOIN ts AS t, befores AS before, afters AS after GROUP BY ALL"""
    )


def _class(total: str) -> str:
    tiers = " + ".join(f"(bitAnd({total}, {SCREEN - 1}) > {top})" for top in ITEM_TOPS)
    return f"""multiIf({total} = 0, {NO_VIDEO_CLASS}, {total} >= {WAITING // 2}, {GRACE_CLASS},
        {total} >= {ALONE // 2}, {ALONE_CLASS}, {FIRST_VIDEO_CLASS} + 2 * ({tiers}) + ({total} >= {SCREEN}))"""


def _windows(session: Session, base: int, span: int) -> pl.DataFrame:
    classes = ", ".join(f"({number}, '{item}', '{reason}')" for number, item, reason in CLASSES)
    return _rows(
        session,
        f"""WITH net AS (
            SELECT app_id, class, w, sum(n) AS users, sum(passed) AS into_window FROM (
                SELECT app_id, after AS class, w, users AS n, into_window AS passed FROM change UNION ALL
                SELECT app_id, before, w, -users, -into_window FROM change
            ) WHERE class <> {ABSENT_CLASS} GROUP BY ALL
        ), grid AS (
            SELECT app_id, class, arrayJoin(range({-(-span // WINDOW_SECONDS)})) AS w FROM net GROUP BY app_id, class
        )
        SELECT app_id, toInt64({base} + {WINDOW_SECONDS} * w) AS window_start, item, reason, seconds FROM (
            SELECT app_id, class, w, {WINDOW_SECONDS} * sum(users) OVER earlier - into_window AS seconds
            FROM grid LEFT JOIN net USING (app_id, class, w)
            WINDOW earlier AS (PARTITION BY app_id, class ORDER BY w ROWS UNBOUNDED PRECEDING)
        ) AS total
        JOIN values('class UInt8, item String, reason String', {classes}) AS name USING class
        WHERE seconds <> 0 ORDER BY app_id, window_start, item, reason""",
    )


def _rows(session: Session, query: str) -> pl.DataFrame:
    frame = pl.from_arrow(pa.ipc.open_stream(session.query(query, "ArrowStream").bytes()).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame
