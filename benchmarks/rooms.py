"""Made-up days of rooms, as event files: the same shape and seed always give the same file.

Two kinds of rooms: calls (1 to 300 users, several cameras) and live rooms (up to 1,000 users, few anchors). Stay
lengths are lognormal. A stay has about three video stretches (none to seven): a stretch is on … off, sometimes with a
change of resolution, sometimes ended only by the stay. Some users are cut off and come back within or after 90 s, or
never; some exits are missing; some users visit a room twice; a few rooms are dismissed; some stays cross midnight, into
the next day of the file or, at its end, out of it. Rows are in the order of arrival, which is nearly that of time, and
0.5 % of them are there twice.

Rooms are made up some tens of thousands of stays at a time, and their events sorted on disk: a file may be larger than
memory. All times are milliseconds from the beginning of the first day until they are written.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator

DAY_MS = 86_400_000
LONG_STAY_MS = 4 * 3_600_000
EVENTS_PER_STAY = 8.2  # measured on what is made, duplicates included
VISITS_PER_USER = 1.053  # to one room
VISITS_PER_PERSON = 4  # to all rooms of all apps
STAYS_PER_BLOCK = 60_000
ROWS_PER_CHUNK = 400_000
MOST_CHUNKS = 500  # files that are open at a time
TYPES = ("enter", "exit", "disconnect", "reconnect", "video_on", "video_off", "dismiss")
ENTER, EXIT, DISCONNECT, RECONNECT, VIDEO_ON, VIDEO_OFF, DISMISS = range(len(TYPES))
CAMERA_SIZES = ((320, 180), (640, 360), (640, 480), (960, 540), (1280, 720), (1920, 1080))
SCREEN_SIZES = ((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
SIZES = np.array(CAMERA_SIZES + SCREEN_SIZES)
FIRST_APP_ID = 1_400_000_001
NO_STREAM = -1
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the file is; the number of events comes out within about one percent.

    `room_size`: all rooms have so many users; 0: rooms as they are in life. `rooms`: so many rooms of `room_size`, and
    not `events`.
    """

    events: int = 10_000_000
    apps: int = 10
    mean_stay_seconds: int = 1_500
    days: int = 1
    room_size: int = 0
    rooms: int = 0
    seed: int = 1
    day: date = date(2026, 3, 10)

    def __post_init__(self) -> None:
        if self.rooms and not self.room_size:
            raise ValueError("so many rooms of which size?")

    @property
    def options(self) -> list[str]:
        """The same as options of `python -m benchmarks.rooms`."""
        return [f"--{name.replace('_', '-')}={getattr(self, name)}" for name in NUMBERS]

    @property
    def app_ids(self) -> list[int]:
        """The apps' ids, busiest first."""
        return [FIRST_APP_ID + index for index in range(self.apps)]

    @property
    def start(self) -> int:
        """Epoch second of the first instant of the first day."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())

    @property
    def end(self) -> int:
        """Epoch second after the last day."""
        return self.start + self.days * DAY_MS // 1000

    @property
    def stays(self) -> int:
        """How many stays are made up."""
        if self.rooms:
            return round(self.rooms * self.room_size * VISITS_PER_USER)
        return max(1, round(self.events / EVENTS_PER_STAY))

    @property
    def people(self) -> int:
        """How many users there are, over all rooms and apps."""
        return max(64, 2 * self.room_size, self.stays // VISITS_PER_PERSON)


NUMBERS = [each.name for each in fields(Shape) if each.name != "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Rooms by index: app, users, the first of the people in it, opening (ms), and the streams published in each."""

    app: np.ndarray
    users: np.ndarray
    first_person: np.ndarray
    day: np.ndarray
    opening: np.ndarray  # a fraction of the day
    streams: np.ndarray
    shares_screen: np.ndarray  # the room's last stream is a screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """Stays by index. A user who is cut off has `cut_at < back_at` (`NEVER`: not back, or not cut off)."""

    room: np.ndarray
    person: np.ndarray
    enter_at: np.ndarray
    exit_at: np.ndarray
    cut_at: np.ndarray
    back_at: np.ndarray


@dataclass(frozen=True, slots=True)
class Events:
    """Events by index; `size` points into `SIZES`, `stream` is the number of a stream in its room, `NO_STREAM` but for
    video events."""

    stay: np.ndarray
    at: np.ndarray
    kind: np.ndarray
    stream: np.ndarray
    size: np.ndarray


# An event as it waits on disk for its place in the order of arrival. `stream` is NO_STREAM or a number in the room.
WAITING_EVENT = np.dtype(
    [
        ("arrives_at", "i8"),
        ("at", "i8"),
        ("number", "u8"),
        ("room", "u4"),
        ("person", "u4"),
        ("publisher", "u4"),
        ("app", "u2"),
        ("stream", "i2"),
        ("kind", "u1"),
        ("size", "u1"),
        ("screen", "?"),
    ]
)


@dataclass(frozen=True, slots=True)
class _Draft:
    """Events being collected, in any order."""

    parts: list[Events] = field(default_factory=list)

    def add(
        self,
        stay: np.ndarray,
        at: np.ndarray,
        kind: int,
        stream: np.ndarray | None = None,
        size: np.ndarray | None = None,
    ) -> None:
        self.parts.append(
            Events(
                stay.astype(np.uint32),
                at.astype(np.int64),
                np.full(len(stay), kind, np.uint8),
                np.full(len(stay), NO_STREAM, np.int32) if stream is None else stream.astype(np.int32),
                np.zeros(len(stay), np.uint8) if size is None else size.astype(np.uint8),
            )
        )

    def finished(self) -> Events:
        return Events(
            *(
                np.concatenate([getattr(part, name) for part in self.parts])
                for name in ("stay", "at", "kind", "stream", "size")
            )
        )


def write_parquet(shape: Shape, path: Path) -> int:
    """Writes the event file in Parquet and returns its number of rows."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    for chunk in _chunks(shape, path.parent):
        table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        rows += len(chunk)
    if writer:
        writer.close()
    return rows


def write_ndjson(shape: Shape, path: Path) -> int:
    """Writes the event file in NDJSON and returns its number of rows."""
    rows = 0
    with path.open("wb") as file:
        for chunk in _chunks(shape, path.parent):
            chunk.write_ndjson(file)
            rows += len(chunk)
    return rows


def _blocks(shape: Shape) -> Iterator[np.ndarray]:
    """All events, a block of whole rooms at a time, in the order of arrival inside each."""
    size_of_block = max(STAYS_PER_BLOCK, round(shape.room_size * VISITS_PER_USER))
    blocks = max(1, round(shape.stays / size_of_block))
    for block in range(blocks):
        rng = np.random.default_rng((shape.seed, block))
        rooms = _rooms(rng, shape, shape.stays * (block + 1) // blocks - shape.stays * block // blocks)
        stays = _stays(rng, shape, rooms)
        draft = _Draft()
        _presence(rng, stays, draft)
        _dismissals(rng, rooms, stays, draft)
        _video(rng, rooms, stays, draft)
        yield _arrivals(rng, shape, rooms, stays, draft.finished(), block)


def _rooms(rng: Rng, shape: Shape, stays_wanted: int) -> Rooms:
    users_wanted = max(1, round(stays_wanted / VISITS_PER_USER))
    if shape.room_size:
        users = np.full(max(1, round(users_wanted / shape.room_size)), shape.room_size)
        live = users > 300
    else:
        live, users = _sizes_of_rooms(rng, users_wanted)
    count = len(users)
    cameras = np.minimum(users, np.where(live, rng.integers(1, 5, count), rng.integers(1, 10, count)))
    shares_screen = rng.random(count) < 0.25
    weights = 1 / np.arange(1, shape.apps + 1)
    return Rooms(
        app=rng.choice(shape.apps, count, p=weights / weights.sum()),
        users=users,
        first_person=rng.integers(0, shape.people, count),
        day=rng.integers(0, shape.days, count),
        opening=rng.beta(2.2, 1.8, count),
        streams=cameras + shares_screen,
        shares_screen=shares_screen,
    )


def _sizes_of_rooms(rng: Rng, users_wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rooms are live, and their users, so many in all."""
    enough = users_wanted // 2 + 8
    live = rng.random(enough) < 0.12
    users = np.where(
        live, np.minimum(rng.lognormal(3.4, 1.2, enough), 999), np.minimum(rng.geometric(0.25, enough), 300)
    )
    users = users.astype(np.int64) + live
    total = np.cumsum(users)
    count = int(np.searchsorted(total, users_wanted)) + 1
    users[count - 1] -= total[count - 1] - users_wanted
    return live[:count], users[:count]


def _stays(rng: Rng, shape: Shape, rooms: Rooms) -> Stays:
    room = np.repeat(np.arange(len(rooms.users)), rooms.users)
    nth = np.arange(len(room)) - np.repeat(np.cumsum(rooms.users) - rooms.users, rooms.users)
    length = _lengths(rng, shape, len(room))
    opening = np.minimum(rooms.opening[room] + rng.exponential(0.003, len(room)), 1)
    # Of the long stays only a few, which do not care, cross midnight; the others begin earlier.
    carefree = (length < LONG_STAY_MS) | (rng.random(len(room)) < 0.05)
    enter_at = (opening * np.where(carefree, DAY_MS - 1, DAY_MS - length)).astype(np.int64)
    again = np.flatnonzero(rng.random(len(room)) < VISITS_PER_USER - 1)
    enter_again_at = enter_at[again] + length[again] + rng.exponential(300_000, len(again)).astype(np.int64)
    again, enter_again_at = again[enter_again_at < DAY_MS], enter_again_at[enter_again_at < DAY_MS]
    length_again = np.minimum(_lengths(rng, shape, len(again)), DAY_MS - enter_again_at)
    room, nth = np.concatenate([room, room[again]]), np.concatenate([nth, nth[again]])
    enter_at = np.concatenate([enter_at, enter_again_at]) + rooms.day[room] * DAY_MS
    exit_at = enter_at + np.concatenate([length, length_again])
    cut_at, back_at = _cuts(rng, enter_at, exit_at)
    return Stays(
        room=room,
        person=(rooms.first_person[room] + nth) % shape.people,
        enter_at=enter_at,
        exit_at=exit_at,
        cut_at=cut_at,
        back_at=back_at,
    )


def _lengths(rng: Rng, shape: Shape, count: int) -> np.ndarray:
    """Stay lengths in ms with the wanted mean, from a second to twenty hours."""
    sigma = 0.9
    seconds = rng.lognormal(np.log(shape.mean_stay_seconds) - sigma**2 / 2, sigma, count)
    return (np.clip(seconds, 1, 72_000) * 1000).astype(np.int64)


def _cuts(rng: Rng, enter_at: np.ndarray, exit_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """4 % are cut off: three of four are back within 90 s, the others later or never."""
    cut_off = rng.random(len(enter_at)) < 0.04
    cut_at = enter_at + (rng.random(len(enter_at)) * (exit_at - enter_at)).astype(np.int64)
    wait = np.where(
        rng.random(len(enter_at)) < 0.75,
        rng.uniform(500, 90_000, len(enter_at)),
        rng.uniform(90_000, 600_000, len(enter_at)),
    )
    back_at = cut_at + wait.astype(np.int64)
    back_at = np.where(back_at < exit_at, back_at, NEVER)
    return np.where(cut_off, cut_at, NEVER), np.where(cut_off, back_at, NEVER)


def _presence(rng: Rng, stays: Stays, draft: _Draft) -> None:
    """Enters, exits (0.5 % are missing), and what a cut brings."""
    every = np.arange(len(stays.room))
    draft.add(every, stays.enter_at, ENTER)
    cut = np.flatnonzero(stays.cut_at != NEVER)
    back = cut[stays.back_at[cut] != NEVER]
    gone = cut[stays.back_at[cut] == NEVER]
    draft.add(cut, stays.cut_at[cut], DISCONNECT)
    as_enter = rng.random(len(back)) < 0.25
    draft.add(back[as_enter], stays.back_at[back[as_enter]], ENTER)
    draft.add(back[~as_enter], stays.back_at[back[~as_enter]], RECONNECT)
    removed = gone[rng.random(len(gone)) < 0.5]
    draft.add(removed, stays.cut_at[removed] + 90_000, EXIT)
    leaves = rng.random(len(every)) >= 0.005
    leaves[gone] = False
    draft.add(every[leaves], stays.exit_at[leaves], EXIT)


def _dismissals(rng: Rng, rooms: Rooms, stays: Stays, draft: _Draft) -> None:
    """0.3 % of the rooms are dismissed, in the middle of the stay of one of their users."""
    dismissed = rng.random(len(rooms.users)) < 0.003
    _, one_stay = np.unique(stays.room, return_index=True)
    one_stay = one_stay[dismissed]
    draft.add(one_stay, (stays.enter_at[one_stay] + stays.exit_at[one_stay]) // 2, DISMISS)


def _video(rng: Rng, rooms: Rooms, stays: Stays, draft: _Draft) -> None:
    stretches = rng.choice(8, len(stays.room), p=(0.10, 0.13, 0.17, 0.20, 0.17, 0.12, 0.07, 0.04))
    stay = np.repeat(np.arange(len(stays.room), dtype=np.uint32), stretches)
    count = len(stay)
    nth = (rng.random(count) * rooms.streams[stays.room[stay]]).astype(np.int64)
    is_screen = rooms.shares_screen[stays.room[stay]] & (nth == rooms.streams[stays.room[stay]] - 1)
    length = stays.exit_at[stay] - stays.enter_at[stay]
    # Half of the first stretches begin in the millisecond of the enter.
    at_once = np.append(True, stay[1:] != stay[:-1]) & (rng.random(count) < 0.5)
    since = np.where(at_once, 0, rng.random(count))
    until = since + (1 - since) * rng.beta(2, 1.5, count)
    begin = stays.enter_at[stay] + (since * length).astype(np.int64)
    end = stays.enter_at[stay] + (until * length).astype(np.int64)
    size = _sizes(rng, is_screen)
    draft.add(*_heard(stays, stay, begin, VIDEO_ON, nth, size))
    switched_off = rng.random(count) < 0.9
    draft.add(*_heard(stays, stay[switched_off], end[switched_off], VIDEO_OFF, nth[switched_off]))
    resized = rng.random(count) < 0.1
    draft.add(
        *_heard(
            stays,
            stay[resized],
            (begin + end)[resized] // 2,
            VIDEO_ON,
            nth[resized],
            _sizes(rng, is_screen[resized]),
        )
    )
    # What was received across a cut is subscribed to again.
    again = (begin < stays.cut_at[stay]) & (stays.back_at[stay] < end - 3000)
    draft.add(
        stay[again],
        stays.back_at[stay[again]] + rng.integers(200, 3000, again.sum()),
        VIDEO_ON,
        nth[again],
        size[again],
    )


def _sizes(rng: Rng, is_screen: np.ndarray) -> np.ndarray:
    """Indexes into `SIZES`."""
    camera = rng.choice(len(CAMERA_SIZES), len(is_screen), p=(0.2, 0.3, 0.15, 0.1, 0.2, 0.05))
    screen = len(CAMERA_SIZES) + rng.choice(len(SCREEN_SIZES), len(is_screen), p=(0.3, 0.5, 0.15, 0.05))
    return np.where(is_screen, screen, camera)


def _heard(
    stays: Stays, stay: np.ndarray, at: np.ndarray, kind: int, *rest: np.ndarray
) -> tuple[np.ndarray | int, ...]:
    """Only those video events that do not fall between a cut and the return: the server knows nothing then."""
    heard = (at < stays.cut_at[stay]) | (at >= stays.back_at[stay])
    return stay[heard], at[heard], kind, *(column[heard] for column in rest)


def _arrivals(rng: Rng, shape: Shape, rooms: Rooms, stays: Stays, events: Events, block: int) -> np.ndarray:
    """The events in order of arrival: most within a second, 1 % minutes late, 0.5 % once more some seconds later."""
    count = len(events.at)
    arrives_at = events.at + rng.exponential(300, count)
    late = np.flatnonzero(rng.random(count) < 0.01)
    arrives_at[late] += rng.exponential(60_000, len(late))
    twice = np.flatnonzero(rng.random(count) < 0.005)
    index = np.concatenate([np.arange(count), twice])
    arrives_at = np.concatenate([arrives_at, arrives_at[twice] + rng.exponential(10_000, len(twice))]).astype(np.int64)
    order = np.argsort(arrives_at, kind="stable")
    index = index[order]
    stay, stream = events.stay[index], events.stream[index]
    room = stays.room[stay]
    waiting = np.empty(len(index), WAITING_EVENT)
    waiting["arrives_at"] = arrives_at[order]
    waiting["at"] = events.at[index]
    waiting["number"] = index + block * 2**32
    waiting["room"] = room + block * 2 * STAYS_PER_BLOCK
    waiting["person"] = stays.person[stay]
    waiting["publisher"] = (rooms.first_person[room] + np.maximum(stream, 0)) % shape.people
    waiting["app"] = rooms.app[room]
    waiting["stream"] = stream
    waiting["kind"] = events.kind[index]
    waiting["size"] = events.size[index]
    waiting["screen"] = rooms.shares_screen[room] & (stream == rooms.streams[room] - 1)
    return waiting


def _chunks(shape: Shape, near: Path) -> Iterator[pl.DataFrame]:
    """The rows in order of arrival, in frames of the event schema. They are sorted on disk, in a directory `near`."""
    count = int(np.clip(round(shape.stays * EVENTS_PER_STAY / ROWS_PER_CHUNK), 1, MOST_CHUNKS))
    bounds = np.linspace(0, shape.days * DAY_MS, count + 1)[1:-1]
    with TemporaryDirectory(dir=near) as directory:
        files = [Path(directory) / str(number) for number in range(count)]
        opened = [file.open("wb") for file in files]
        for waiting in _blocks(shape):
            cuts = np.searchsorted(waiting["arrives_at"], bounds)
            for file, events in zip(opened, np.split(waiting, cuts), strict=True):
                file.write(events.tobytes())
        for file in opened:
            file.close()
        for file in files:
            events = np.fromfile(file, WAITING_EVENT)
            file.unlink()
            if len(events):
                yield _rows(shape, events[np.argsort(events["arrives_at"], kind="stable")])


def _rows(shape: Shape, events: np.ndarray) -> pl.DataFrame:
    """Events in the event schema; half of the rooms have numbers for names."""
    kind = pl.Series(events["kind"])
    sizes = SIZES[events["size"]].astype(np.int32)
    columns = {
        "event_id": _event_ids(shape.seed, events["number"]),
        "app_id": FIRST_APP_ID + events["app"].astype(np.int64),
        "room": events["room"],
        "room_hex": _mixed_hex(events["room"]),
        "person": _mixed_hex(events["person"]),
        "at": shape.start * 1000 + events["at"],
        "kind": kind,
        "publisher": _mixed_hex(events["publisher"]),
        "nth": events["stream"],
        "screen": events["screen"],
        "width": sizes[:, 0],
        "height": sizes[:, 1],
    }
    is_video, is_on = pl.col("kind").is_in([VIDEO_ON, VIDEO_OFF]), pl.col("kind") == VIDEO_ON
    number = (10_000_000 + pl.col("room").cast(pl.Int64) * 7).cast(pl.String)
    source = pl.when("screen").then(pl.lit("/screen")).otherwise(pl.lit("/camera"))
    return pl.DataFrame(columns).select(
        "event_id",
        "app_id",
        pl.when(pl.col("room") % 2 == 1).then(number).otherwise("class-" + pl.col("room_hex")).alias("room_id"),
        pl.when(pl.col("kind") != DISMISS).then("user_" + pl.col("person")).alias("user_id"),
        "at",
        pl.lit(0, pl.Int64).alias("seq"),
        pl.Series("type", TYPES).gather(kind),
        pl.when(is_video)
        .then("user_" + pl.col("publisher") + ":" + pl.col("nth").cast(pl.String) + source)
        .alias("stream"),
        pl.when(is_on).then("width").alias("width"),
        pl.when(is_on).then("height").alias("height"),
        pl.when(pl.col("kind") == ENTER).then(pl.lit("audience")).alias("role"),
        pl.lit(None, pl.String).alias("reason"),
        pl.lit(None, pl.String).alias("source"),
    )


def _event_ids(seed: int, number: np.ndarray) -> pl.Series:
    """24 hexadecimal digits an event, unique: 64 bits mixed of seed and number (splitmix64), then the low 32 bits."""
    mixed = number + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return _hex(np.column_stack([mixed.astype(">u8").view(np.uint8).reshape(-1, 8), _bytes_of(number)]))


def _mixed_hex(number: np.ndarray) -> pl.Series:
    """8 hexadecimal digits, different for different numbers and in no order."""
    return _hex(_bytes_of(number.astype(np.uint64) * np.uint64(2_654_435_761)))


def _bytes_of(number: np.ndarray) -> np.ndarray:
    return number.astype(np.uint32).astype(">u4").view(np.uint8).reshape(-1, 4)


def _hex(raw: np.ndarray) -> pl.Series:
    digits = 2 * raw.shape[1]
    pairs = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2").view(np.uint16)
    offsets = np.arange(len(raw) + 1, dtype=np.int64) * digits
    return pl.Series(
        pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(pairs[raw].tobytes()))
    )


def main() -> None:
    """`python -m benchmarks.rooms OUT`: writes a file; `OUT` ends in .parquet or .ndjson."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rooms", description="Writes made-up days of events.")
    parser.add_argument("out", type=Path)
    add_options(parser)
    chosen = parser.parse_args()
    write = write_ndjson if chosen.out.suffix == ".ndjson" else write_parquet
    print(f"{write(shape_of(chosen), chosen.out):,} rows in {chosen.out}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The numbers of a shape, as options."""
    for name in NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Shape(), name))


def shape_of(chosen: argparse.Namespace) -> Shape:
    """The shape that was chosen with these options."""
    return Shape(**{name: getattr(chosen, name) for name in NUMBERS})


if __name__ == "__main__":
    main()
