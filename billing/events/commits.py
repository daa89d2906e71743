"""Commits of the event log: the files of `_delta_log`, and what each ingest wrote about itself there.

A commit is a file of JSON lines, `00000000000000000002.json` for version 2. The first line describes it; in a commit of
an ingest the last one is the number of the ingest. The Delta library takes a commit file without content for one that
does not exist, and would write the next commit in its place. So the files since the last checkpoint are checked before
the table is opened: one that is missing, empty or cut off is damage.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from billing.errors import BillingError
from billing.events.durable_files import whole_parquet

_COMMIT = re.compile(r"[0-9]{20}\.json")
_CHECKPOINT = re.compile(r"[0-9]{20}\.checkpoint\.(?:.*\.)?parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit of an ingest. Two commits with the same identity have the same history."""

    ingest_id: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """What an ingest wrote about itself: the file, when it was read (epoch ms), and the counts of its rows.
    `feed_dropped`: how many records its server says were lost before they were sent."""

    ingest_id: int
    file: str | None
    ingested_at: int | None
    read: int | None
    accepted: int | None
    duplicates: int | None
    quarantined: int | None
    feed_dropped: int | None = None


def check_commits(directory: Path) -> list[Path]:
    """The commit files since the last checkpoint; a `BillingError` when one is missing or damaged."""
    names = os.listdir(directory) if directory.exists() else []
    first = 0
    if newest := max(filter(_CHECKPOINT.fullmatch, names), default=None):
        whole_parquet(directory / newest)
        first = int(newest[:20]) + 1
    versions = sorted(int(name[:20]) for name in names if _COMMIT.fullmatch(name))
    current = range(first, versions[-1] + 1 if versions else 0)
    for version in current:
        _described(directory, version)
    return [commit_file(directory, version) for version in current]


def commit_in(directory: Path, version: int) -> Commit | None:
    """The commit of an ingest in a version of the table; None when its file was removed, or it is of no ingest."""
    if not commit_file(directory, version).exists():
        return None
    description = _described(directory, version)
    if "ingest_id" not in description:
        return None
    return Commit(ingest_id=int(str(description["ingest_id"])), identity=_identity_in(description))


def ingest_in(directory: Path, version: int) -> Ingest:
    """What the ingest of a version of the table wrote about itself."""
    return _ingest(_described(directory, version))


def ingests_in(directory: Path) -> list[Ingest]:
    """The ingests whose commit files are there, in order; what a commit does not say of itself is None."""
    versions = sorted(int(path.name[:20]) for path in directory.glob("*.json") if _COMMIT.fullmatch(path.name))
    described = (_described(directory, version) for version in versions)
    return [_ingest(description) for description in described if "ingest_id" in description]


def _ingest(description: Mapping[str, object]) -> Ingest:
    numbers = ("ingested_at", "read", "accepted", "duplicates", "quarantined", "feed_dropped")
    file = description.get("file")
    return Ingest(
        ingest_id=int(str(description["ingest_id"])),
        file=None if file is None else str(file),
        **{name: int(str(description[name])) if name in description else None for name in numbers},
    )


def next_identity(previous: str | None, content: object) -> str:
    """The identity of a commit with this content (for `json`) after the one with the identity `previous`."""
    return hashlib.sha256(json.dumps([previous, content], sort_keys=True).encode()).hexdigest()[:32]


def commit_file(directory: Path, version: int) -> Path:
    """The file of a commit."""
    return directory / f"{version:020d}.json"


def damaged(directory: Path, detail: str) -> BillingError:
    """The error of an event log that cannot be trusted."""
    return BillingError(f"the event log in {directory} is damaged; restore it from a backup: {detail}")


def _identity_in(description: Mapping[str, object]) -> str:
    """Commits of older versions have no identity: theirs is made of the file and the time of the ingest."""
    if "identity" in description:
        return str(description["identity"])
    return next_identity(None, [description.get("file_hash"), description.get("ingested_at")])


def _described(directory: Path, version: int) -> Mapping[str, object]:
    path = commit_file(directory, version)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise damaged(directory.parent, f"{path} is missing") from None
    description = _read(path, status.st_size, status.st_mtime_ns)
    if description is None:
        raise damaged(directory.parent, f"{path} is empty or cut off")
    return description


@lru_cache(maxsize=4096)
def _read(path: Path, _size: int, _changed_ns: int) -> Mapping[str, object] | None:
    """What a commit says about itself; None when it is not whole."""
    lines = path.read_bytes().splitlines()
    try:
        first, last = (dict(json.loads(line)) for line in (lines[0], lines[-1]))
        description = dict(first.get("commitInfo", {}))
        whole = "ingest_id" not in description or last["txn"]["version"] == int(description["ingest_id"])
    except (ValueError, TypeError, LookupError):
        return None
    return description if whole else None
