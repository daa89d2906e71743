"""Feed states: how far events were derived from the records of each media server, in `folds/` of the home.

For each feed, an app and a server, there is a directory with `feed.json` and a snapshot of the fold at some instants:

    through.json                                  the last batch of records that is folded, and the ingest of the
                                                  event log at that moment
    1400000001-8b1a9953c4611296/feed.json         who it is, and its newest record
    1400000001-8b1a9953c4611296/01791768600000000.json.gz

Records and the event log are the truth: what is here may be removed at any time, and is computed again, from the first
record on. Everything that a fold changed is on the disk before `through.json` says so, the latest snapshot first. So a
process that was killed between two writes is repeated by the next one.
"""

import gzip
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from billing.events.durable_files import replace_file

_THROUGH, _FEED, _ENDING = "through.json", "feed.json", ".json.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What one server sends for one app. `rooms_in`: what its room ids begin with in events; `newest`: the time (µs)
    of its newest record."""

    source: str
    app_id: int
    emitter: str
    rooms_in: str
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """All records up to a batch are folded, and their events are in the log that had this last ingest (0: none)."""

    batch: int
    ingest_id: int
    identity: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStates:
    """The states in `directory`, which need not exist."""

    directory: Path

    def through(self) -> Through:
        """How far records are folded."""
        return Through(**(_json(self.directory / _THROUGH) or {"batch": 0, "ingest_id": 0, "identity": None}))

    def set_through(self, through: Through) -> None:
        """Says how far records are folded."""
        self._write(self.directory / _THROUGH, json.dumps(asdict(through)).encode())

    def discard_unfinished(self) -> None:
        """Removes what a process has left behind that was killed while it wrote."""
        for path in self.directory.rglob("*.new"):
            path.unlink()

    def feeds(self) -> list[Feed]:
        """All feeds that were ever folded."""
        found = (_json(path) for path in sorted(self.directory.glob(f"*/{_FEED}")))
        return [Feed(**feed) for feed in found if feed]

    def put(self, feed: Feed) -> None:
        """Stores what is known of a feed."""
        self._write(self._of(feed) / _FEED, json.dumps(asdict(feed)).encode())

    def cuts(self, feed: Feed) -> list[int]:
        """The instants (µs) at which there are snapshots of a feed, rising."""
        return sorted(int(path.name.removesuffix(_ENDING)) for path in self._of(feed).glob(f"*{_ENDING}"))

    def snapshot(self, feed: Feed, cut: int) -> Any:
        """The snapshot at an instant; None if it cannot be read."""
        return _json(self._of(feed) / f"{cut:017d}{_ENDING}")

    def put_snapshots(self, feed: Feed, snapshots: Mapping[int, object], removed: Collection[int]) -> None:
        """Stores snapshots by their instants, the latest first, and removes others."""
        for cut in sorted(snapshots, reverse=True):
            self._write(self._of(feed) / f"{cut:017d}{_ENDING}", gzip.compress(_text(snapshots[cut]), 1, mtime=0))
        for cut in removed:
            (self._of(feed) / f"{cut:017d}{_ENDING}").unlink(missing_ok=True)

    def _of(self, feed: Feed) -> Path:
        name = hashlib.sha256(f"{feed.source}\0{feed.emitter}".encode(errors="surrogatepass")).hexdigest()[:16]
        return self.directory / f"{feed.app_id}-{name}"

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content, self.directory.parent)


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _json(path: Path) -> Any:
    """The content of a file; None if it is not there or not whole."""
    try:
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.name.endswith(_ENDING) else content)
    except (OSError, EOFError, ValueError):
        return None
