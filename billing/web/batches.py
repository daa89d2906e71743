"""Batches: what became of the rows of one request.

The id of a batch says where its rows are: `20261127T170651123-0001.12.100.<seal>` is 100 rows from line 12 on of the
segment with that stamp. The seal is made with the key of the spool and the account that sent it, so nobody can make up
an id, and nothing must be written to know a batch again after a crash.

When a segment is ingested, the numbers of its rows that were duplicates or were quarantined are kept for 7 days, as
ranges beside it: `{"duplicates": [[1, 3]], "quarantined": [[50, 50]]}`.
"""

import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.errors import BillingError
from billing.events.durable_files import replace_file
from billing.web.segments import EVENTS, OPEN, SegmentName

KEPT_SECONDS = 7 * 86_400

_KEY_FILE = "batch.key"
_KEY_BYTES = 32
_SEAL_BYTES = 16
_ID = re.compile(r"(?P<stamp>\d{8}T\d{9}-\d{4,12})\.(?P<first>\d{1,12})\.(?P<rows>\d{1,12})\.[0-9a-f]{32}", re.ASCII)

Ranges = list[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of one request: the stamp of their segment, and their place in it."""

    stamp: str
    first: int
    rows: int

    def sealed_id(self, key: bytes, account: str | None) -> str:
        """Its id, for the account that sent it; None: the operator."""
        place = f"{self.stamp}.{self.first}.{self.rows}"
        text = f"{place}.{'' if account is None else account}"
        return f"{place}.{hmac.digest(key, text.encode(), 'sha256')[:_SEAL_BYTES].hex()}"


def batch_of(batch_id: str, key: bytes, accounts: Iterable[str | None]) -> Batch | None:
    """The batch of an id that one of these accounts was given; None if there is none."""
    match = _ID.fullmatch(batch_id)
    if match is None:
        return None
    batch = Batch(stamp=match["stamp"], first=int(match["first"]), rows=int(match["rows"]))
    mine = (hmac.compare_digest(batch.sealed_id(key, account), batch_id) for account in accounts)
    return batch if any(mine) else None


@dataclass(slots=True, kw_only=True)
class Batches:
    """The batches of a spool, its directory. `key`: that of their ids, once it is open."""

    spool: Path
    key: bytes = b""

    @property
    def done(self) -> Path:
        """Where is kept what became of segments."""
        return self.spool / "done"

    def open(self) -> None:
        """Reads the key, which is made the first time; a `BillingError` if that cannot be."""
        path = self.spool / _KEY_FILE
        try:
            self.spool.mkdir(mode=0o700, exist_ok=True)
            self.done.mkdir(exist_ok=True)
            if not path.exists():
                replace_file(path, secrets.token_bytes(_KEY_BYTES), self.spool)
                path.chmod(0o600)
            self.key = path.read_bytes()
        except OSError as error:
            raise BillingError(f"{path} cannot be used ({error.strerror}): put that right first") from None

    def keep(self, stamp: str, *, duplicates: Iterable[int], quarantined: Iterable[int]) -> None:
        """Keeps what became of the rows of a segment; the numbers rise. One that is ingested again, because the process
        was killed before it could be removed, has only duplicates: what was kept first holds."""
        if self._file(stamp).exists():
            return
        found = {"duplicates": ranges(duplicates), "quarantined": ranges(quarantined)}
        replace_file(self._file(stamp), json.dumps(found, separators=(",", ":")).encode(), self.spool)

    def forget_old(self) -> None:
        """Removes what was kept for 7 days."""
        oldest = time.time() - KEPT_SECONDS
        for entry in os.scandir(self.done):
            if entry.name.endswith((".json", ".json.new")) and entry.stat().st_mtime < oldest:
                Path(entry.path).unlink(missing_ok=True)

    def answer(self, batch_id: str, batch: Batch) -> dict[str, object] | None:
        """A batch as it is answered; None when it is no longer known."""
        about: dict[str, object] = {"batch": batch_id, "rows": batch.rows}
        # In this order, because a segment goes when its counts have come.
        waits = self._waits(batch.stamp)
        counts = self._counts(batch)
        if counts is None:
            return about | {"state": "stored"} if waits else None
        return about | {"state": "done"} | counts

    def is_done(self, batch: Batch) -> bool:
        """Whether its counts are known."""
        return not batch.rows or self._file(batch.stamp).exists()

    def _waits(self, stamp: str) -> bool:
        name = str(SegmentName(feed=EVENTS, stamp=stamp))
        places = (self.spool / f"{name}{OPEN}", self.spool / name, self.done / name, self.spool / "failed" / name)
        return any(place.exists() for place in places)

    def _counts(self, batch: Batch) -> dict[str, int] | None:
        if not batch.rows:
            return {"accepted": 0, "duplicates": 0, "quarantined": 0}
        try:
            found = json.loads(self._file(batch.stamp).read_bytes())
        except FileNotFoundError:
            return None
        duplicates, quarantined = (_within(found[name], batch) for name in ("duplicates", "quarantined"))
        accepted = batch.rows - duplicates - quarantined
        return {"accepted": accepted, "duplicates": duplicates, "quarantined": quarantined}

    def _file(self, stamp: str) -> Path:
        return self.done / f"{SegmentName(feed=EVENTS, stamp=stamp)}.json"


def ranges(numbers: Iterable[int]) -> Ranges:
    """Rising numbers as ranges with both ends: 1, 2, 3, 7 is [[1, 3], [7, 7]]."""
    found: Ranges = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _within(found: Sequence[Sequence[int]], batch: Batch) -> int:
    """How many of these numbers are rows of a batch."""
    last = batch.first + batch.rows - 1
    return sum(max(0, min(end, last) - max(start, batch.first) + 1) for start, end in found)
