"""A made-up UTC day of rooms, as event files: the same shape and seed always give the same file.

Two kinds of rooms: calls (1 to 300 users, several cameras) and live rooms (up to 1,000 users, few anchors). Stay
lengths are lognormal. A stay has about three video stretches (none to seven): a stretch is on … off, sometimes with a
change of resolution, sometimes ended only by the stay. Some users are cut off and come back within or after 90 s, or
never; some exits are missing; some users visit a room twice; a few rooms are dismissed; a few stays cross midnight into
the next day, none comes from the day before. Rows are in the order of arrival, which is nearly that of time, and 0.5 %
of them are there twice.

All times are milliseconds from the beginning of the day until they are written.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator

DAY_MS = 86_400_000
EVENTS_PER_STAY = 8.2  # measured on what `made_events` makes, duplicates included
ROWS_PER_CHUNK = 500_000
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
    """How large the day is; the number of events comes out within about one percent."""

    events: int = 10_000_000
    apps: int = 10
    mean_stay_seconds: int = 1_500
    day: date = date(2026, 3, 10)
    seed: int = 1

    @property
    def app_ids(self) -> list[int]:
        """The apps' ids, busiest first."""
        return [FIRST_APP_ID + index for index in range(self.apps)]

    @property
    def start(self) -> int:
        """Epoch second of the first instant of the day."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Rooms by index: app, users, opening (a fraction of the day), and the range of streams published in each."""

    app: np.ndarray
    users: np.ndarray
    opening: np.ndarray
    first_stream: np.ndarray
    streams: np.ndarray
    shares_screen: np.ndarray  # the room's last stream is a screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """Stays by index. A user who is cut off has `cut_at < back_at` (`NEVER`: not back, or not cut off)."""

    room: np.ndarray
    user: np.ndarray
    enter_at: np.ndarray
    exit_at: np.ndarray
    cut_at: np.ndarray
    back_at: np.ndarray


@dataclass(frozen=True, slots=True)
class Events:
    """Events by index; `size` points into `SIZES`, `stream` is `NO_STREAM` but for video events."""

    stay: np.ndarray
    at: np.ndarray
    kind: np.ndarray
    stream: np.ndarray
    size: np.ndarray


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
    """Writes the day's event file in Parquet and returns its number of rows."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    for chunk in _chunks(shape):
        table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        rows += len(chunk)
    if writer:
        writer.close()
    return rows


def write_ndjson(shape: Shape, path: Path) -> int:
    """Writes the day's event file in NDJSON and returns its number of rows."""
    rows = 0
    with path.open("wb") as file:
        for chunk in _chunks(shape):
            chunk.write_ndjson(file)
            rows += len(chunk)
    return rows


def made_events(shape: Shape) -> tuple[Rooms, Stays, Events]:
    """The day as arrays: its rooms, stays and events (each once, in no order)."""
    rng = np.random.default_rng(shape.seed)
    stays_wanted = max(1, round(shape.events / EVENTS_PER_STAY))
    rooms = _rooms(rng, shape, stays_wanted)
    stays = _stays(rng, shape, rooms)
    draft = _Draft()
    _presence(rng, stays, draft)
    _dismissals(rng, rooms, stays, draft)
    _video(rng, rooms, stays, draft)
    return rooms, stays, draft.finished()


def _rooms(rng: Rng, shape: Shape, stays_wanted: int) -> Rooms:
    enough = stays_wanted // 2 + 8
    live = rng.random(enough) < 0.12
    users = np.where(
        live, np.minimum(rng.lognormal(3.4, 1.2, enough), 1000), np.minimum(rng.geometric(0.25, enough), 300)
    )
    users = users.astype(np.int64) + live
    # 5 % of the stays are second visits.
    count = int(np.searchsorted(np.cumsum(users * 1.05), stays_wanted)) + 1
    live, users = live[:count], users[:count]
    cameras = np.minimum(users, np.where(live, rng.integers(1, 5, count), rng.integers(1, 10, count)))
    shares_screen = rng.random(count) < 0.25
    streams = cameras + shares_screen
    weights = 1 / np.arange(1, shape.apps + 1)
    return Rooms(
        app=rng.choice(shape.apps, count, p=weights / weights.sum()),
        users=users,
        opening=rng.beta(2.2, 1.8, count),
        first_stream=np.cumsum(streams) - streams,
        streams=streams,
        shares_screen=shares_screen,
    )


def _stays(rng: Rng, shape: Shape, rooms: Rooms) -> Stays:
    room = np.repeat(np.arange(len(rooms.users)), rooms.users)
    user = rng.integers(0, max(8, len(room) // shape.apps // 2), len(room))
    length = _lengths(rng, shape, len(room))
    opening = np.minimum(rooms.opening[room] + rng.exponential(0.003, len(room)), 1)
    # Long stays begin earlier, so that only a few, which do not care, cross midnight.
    room_for_it = np.where(rng.random(len(room)) < 0.01, DAY_MS, DAY_MS - length)
    enter_at = (opening * room_for_it).astype(np.int64)
    again = np.flatnonzero(rng.random(len(room)) < 0.053)
    enter_again_at = enter_at[again] + length[again] + rng.exponential(300_000, len(again)).astype(np.int64)
    again, enter_again_at = again[enter_again_at < DAY_MS], enter_again_at[enter_again_at < DAY_MS]
    length_again = np.minimum(_lengths(rng, shape, len(again)), DAY_MS - enter_again_at)
    room, user = np.concatenate([room, room[again]]), np.concatenate([user, user[again]])
    enter_at = np.concatenate([enter_at, enter_again_at])
    exit_at = enter_at + np.concatenate([length, length_again])
    cut_at, back_at = _cuts(rng, enter_at, exit_at)
    return Stays(room=room, user=user, enter_at=enter_at, exit_at=exit_at, cut_at=cut_at, back_at=back_at)


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
    stream = rooms.first_stream[stays.room[stay]] + nth
    is_screen = rooms.shares_screen[stays.room[stay]] & (nth == rooms.streams[stays.room[stay]] - 1)
    length = stays.exit_at[stay] - stays.enter_at[stay]
    # Half of the first stretches begin in the millisecond of the enter.
    at_once = np.append(True, stay[1:] != stay[:-1]) & (rng.random(count) < 0.5)
    since = np.where(at_once, 0, rng.random(count))
    until = since + (1 - since) * rng.beta(2, 1.5, count)
    begin = stays.enter_at[stay] + (since * length).astype(np.int64)
    end = stays.enter_at[stay] + (until * length).astype(np.int64)
    size = _sizes(rng, is_screen)
    draft.add(*_heard(stays, stay, begin, VIDEO_ON, stream, size))
    switched_off = rng.random(count) < 0.9
    draft.add(*_heard(stays, stay[switched_off], end[switched_off], VIDEO_OFF, stream[switched_off]))
    resized = rng.random(count) < 0.1
    draft.add(
        *_heard(
            stays,
            stay[resized],
            (begin + end)[resized] // 2,
            VIDEO_ON,
            stream[resized],
            _sizes(rng, is_screen[resized]),
        )
    )
    # What was received across a cut is subscribed to again.
    again = (begin < stays.cut_at[stay]) & (stays.back_at[stay] < end - 3000)
    draft.add(
        stay[again],
        stays.back_at[stay[again]] + rng.integers(200, 3000, again.sum()),
        VIDEO_ON,
        stream[again],
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


def _chunks(shape: Shape) -> Iterator[pl.DataFrame]:
    """The day's rows in order of arrival, in frames of the event schema."""
    rooms, stays, events = made_events(shape)
    order = _arrival(np.random.default_rng((shape.seed, 1)), events.at)
    room_names, user_names, stream_names = _names(rooms)
    for offset in range(0, len(order), ROWS_PER_CHUNK):
        index = order[offset : offset + ROWS_PER_CHUNK]
        stay, kind = events.stay[index], events.kind[index]
        room = stays.room[stay]
        stream = pl.Series(events.stream[index])
        sizes = SIZES[events.size[index]].astype(np.int32)
        of_nobody = pl.Series(kind == DISMISS)
        yield pl.DataFrame(
            {
                "event_id": _event_ids(shape.seed, index),
                "app_id": FIRST_APP_ID + rooms.app[room].astype(np.int64),
                "room_id": room_names.gather(room),
                "user_id": user_names.gather(stays.user[stay] % len(user_names)),
                "at": shape.start * 1000 + events.at[index],
                "seq": np.zeros(len(index), np.int64),
                "type": pl.Series(TYPES).gather(kind),
                "stream": stream_names.gather(stream.set(stream == NO_STREAM, None).cast(pl.UInt32)),
                "width": sizes[:, 0],
                "height": sizes[:, 1],
                "role": pl.Series(["audience"]).new_from_index(0, len(index)),
            }
        ).with_columns(
            pl.when(~of_nobody).then("user_id").alias("user_id"),
            pl.when(pl.Series(kind == VIDEO_ON)).then("width").alias("width"),
            pl.when(pl.Series(kind == VIDEO_ON)).then("height").alias("height"),
            pl.when(pl.Series(kind == ENTER)).then("role").alias("role"),
            reason=pl.lit(None, pl.String),
            source=pl.lit(None, pl.String),
        )


def _arrival(rng: Rng, at: np.ndarray) -> np.ndarray:
    """Event indexes in order of arrival: most within a second, 1 % minutes late, 0.5 % once more some seconds later."""
    arrives_at = at + rng.exponential(300, len(at))
    late = np.flatnonzero(rng.random(len(at)) < 0.01)
    arrives_at[late] += rng.exponential(60_000, len(late))
    twice = np.flatnonzero(rng.random(len(at)) < 0.005)
    arrives_at = np.concatenate([arrives_at, arrives_at[twice] + rng.exponential(10_000, len(twice))])
    index = np.concatenate([np.arange(len(at), dtype=np.uint32), twice.astype(np.uint32)])
    return index[np.argsort(arrives_at)]


def _names(rooms: Rooms) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Room, user and stream names; half of the rooms have numbers for names."""
    count = len(rooms.users)
    room_names = [
        str(10_000_000 + index * 7) if index % 2 else f"class-{index * 2654435761 % 2**32:08x}"
        for index in range(count)
    ]
    user_names = [f"user_{index * 2654435761 % 2**32:08x}" for index in range(max(8, int(rooms.users.sum())))]
    of_room = np.repeat(np.arange(count), rooms.streams)
    nth = np.arange(len(of_room)) - rooms.first_stream[of_room]
    is_screen = rooms.shares_screen[of_room] & (nth == rooms.streams[of_room] - 1)
    stream_names = [
        f"{user_names[room * 3 % len(user_names)]}:{number}/{'screen' if screen else 'camera'}"
        for room, number, screen in zip(of_room.tolist(), nth.tolist(), is_screen.tolist(), strict=True)
    ]
    return pl.Series(room_names), pl.Series(user_names), pl.Series(stream_names)


def _event_ids(seed: int, index: np.ndarray) -> pl.Series:
    """24 hexadecimal digits an event, unique: 64 bits mixed of seed and index (splitmix64), then the index."""
    mixed = index.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    raw = np.concatenate(
        [mixed.astype(">u8").view(np.uint8).reshape(-1, 8), index.astype(">u4").view(np.uint8).reshape(-1, 4)], axis=1
    )
    pairs = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2").view(np.uint16)
    offsets = np.arange(len(index) + 1, dtype=np.int64) * 24
    text = pa.LargeStringArray.from_buffers(len(index), pa.py_buffer(offsets), pa.py_buffer(pairs[raw].tobytes()))
    return pl.Series(text)


def main() -> None:
    """`python -m benchmarks.rooms OUT`: writes one day; `OUT` ends in .parquet or .ndjson."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rooms", description="Writes a made-up day of events.")
    parser.add_argument("out", type=Path)
    for name in ("events", "apps", "mean_stay_seconds", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Shape(), name))
    chosen = vars(parser.parse_args())
    path = chosen.pop("out")
    write = write_ndjson if path.suffix == ".ndjson" else write_parquet
    print(f"{write(Shape(**chosen), path):,} rows in {path}")


if __name__ == "__main__":
    main()
