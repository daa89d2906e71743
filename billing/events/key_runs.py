"""Key runs: sorted arrays that say which event keys of a UTC day are held, and by an event of what content.

A row of the log (an event or a retraction) is an *entry* of two 64-bit numbers:

    hash    XXH64 of the event id, seeded with the app
    check   32 more bits of the key; 30 bits of a hash of the billed columns; then whether some of these were assumed;
            the last bit is set in a retraction

A key is identified by 96 bits, so two keys of one hash are told apart by their checks. An event counts 1 and a
retraction -1, and what a key holds is the sum over all runs. Example: three entries of one key, an event, its
retraction, and another event, sum up to one event, with the content of the last. A row that comes then is a duplicate
if its content is the same, else a conflict. A key with the sum 0 is free. Where contents differ and one of them was
assumed in part, the hashes cannot tell: the row is doubtful, and its columns have to be compared.

Runs are sorted by hash. To look up N sorted keys takes time for N only: hashes are evenly spread, so the place of the
next one is known to within a few entries.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from billing.numba_cache import compiled, inlined

Numbers = NDArray[np.uint64]
Places = NDArray[np.int32]

NEW, DUPLICATE, CONFLICT, DOUBTFUL = range(4)
RETRACTION, ASSUMED = np.uint64(1), np.uint64(2)
SPILLED_ENTRIES = 4_000_000  # runs of more are kept in files: 16 bytes each
CUTS = 64  # a large run is read and merged in so many pieces, so that little of it is in memory at once
_DIGIT_BITS, _DIGITS = 11, 6
_VALUES = 1 << _DIGIT_BITS
_HIGH = np.uint64(2**64 - 2**32)
_CONTENT = np.uint64(2**32 - 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Entries sorted by hash; `memory`: the file that they are in, mapped."""

    hashes: Numbers
    checks: Numbers
    memory: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def of(cls, hashes: Numbers, checks: Numbers) -> "Run":
        """A run of entries in any order."""
        order = sorted_places(hashes)
        return cls(hashes=hashes[order], checks=checks[order])

    @classmethod
    def in_file(cls, path: Path, entries: int) -> "Run":
        """The run in a file of so many entries: all hashes, then all checks."""
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 16 * entries, access=mmap.ACCESS_READ)
        numbers = np.frombuffer(memory, "<u8")
        return cls(hashes=numbers[:entries], checks=numbers[entries:], memory=memory)

    def forget(self) -> None:
        """Takes what was read of the file out of this process's memory."""
        if self.memory:
            self.memory.madvise(mmap.MADV_DONTNEED)


@dataclass(slots=True, kw_only=True)
class FreshRuns:
    """The runs of entries that are being added, merged as they come: each has more than twice as many as the next."""

    directory: Path  # of the large ones
    runs: list[Run] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, run: Run) -> None:
        """Takes a run, and merges those that have become alike."""
        self.runs.append(run)
        while len(self.runs) > 1 and len(self.runs[-2]) < 2 * len(self.runs[-1]):
            self._merge_last(2)

    def _merge_last(self, number: int) -> None:
        parts = self.runs[-number:]
        large = sum(map(len, parts)) > SPILLED_ENTRIES
        path = self.directory / f"{next(self._numbers):06d}.keys"
        self.runs[-number:] = [write_merged(parts, path) if large else merged(parts)]


def judged(stored: Sequence[Run], rows: Run, order: Places) -> NDArray[np.uint8]:
    """Whether each row is `NEW`, `DUPLICATE`, `CONFLICT` or `DOUBTFUL`, beside the entries `stored` and the rows before
    it.

    `rows` are their entries, sorted by hash; `order` tells where each stands.
    """
    held, same, assumed = (np.zeros(len(rows), np.int32) for _ in range(3))
    for run in stored:
        for first, after in _cut(rows, run):
            piece = slice(first, after)
            found = held[piece], same[piece], assumed[piece]
            _look_up(run.hashes, run.checks, rows.hashes[piece], rows.checks[piece], *found)
            run.forget()
    verdicts = np.empty(len(rows), np.uint8)
    _judge(rows.hashes, rows.checks, order, held, same, assumed, verdicts)
    return verdicts


def merged(runs: Sequence[Run]) -> Run:
    """The entries of all runs in one, in memory."""
    hashes, checks = _merge_pieces([(run.hashes, run.checks) for run in runs])
    return Run(hashes=hashes, checks=checks)


def write_merged(runs: Sequence[Run], path: Path) -> Run:
    """The entries of all runs in one, in a file. (It is written, not mapped: a page that is mapped to be written costs
    as much as to merge what it holds.)"""
    total = sum(map(len, runs))
    cuts = CUTS if total > SPILLED_ENTRIES else 1
    limits = np.array([number * (2**64 // cuts) for number in range(1, cuts)], np.uint64)
    bounds = [[0, *np.searchsorted(run.hashes, limits).tolist(), len(run)] for run in runs]
    at = 0
    with path.open("wb") as file:
        for number in range(cuts):
            pieces = [
                (run.hashes[edges[number] : edges[number + 1]], run.checks[edges[number] : edges[number + 1]])
                for run, edges in zip(runs, bounds, strict=True)
            ]
            hashes, checks = _merge_pieces(pieces)
            for place, numbers in ((at, hashes), (total + at, checks)):
                file.seek(8 * place)
                file.write(numbers.data)
            at += len(hashes)
            for run in runs:
                run.forget()
    return Run.in_file(path, total)


def sorted_places(keys: Numbers) -> Places:
    """The places of the keys in rising order; equal ones in the order in which they stand."""
    size = len(keys)
    numbers, spare = keys.copy(), np.empty(size, np.uint64)
    places, spare_places = np.arange(size, dtype=np.int32), np.empty(size, np.int32)
    counts = np.zeros((_DIGITS, _VALUES), np.int64)
    flipped = _sort(numbers, spare, places, spare_places, counts)
    return spare_places if flipped else places


def folded(columns: Iterable[Numbers], size: int) -> Numbers:
    """A hash of each row over all of the columns."""
    sums = np.full(size, 0x9E3779B97F4A7C15, np.uint64)
    for column in columns:
        _fold(sums, column)
    _finish(sums)
    return sums


def checks_of(key_checks: Numbers, contents: Numbers) -> Numbers:
    """The checks of entries, from a second hash of their keys and one of their billed columns."""
    return (key_checks & _HIGH) | ((contents >> np.uint64(32)) & _CONTENT)


def _cut(rows: Run, run: Run) -> Iterator[tuple[int, int]]:
    """Sorted rows in one piece, or in several where the run is large."""
    cuts = CUTS if run.memory and len(run) > SPILLED_ENTRIES else 1
    edges = [number * len(rows) // cuts for number in range(cuts + 1)]
    yield from pairwise(edges)


def _merge_pieces(pieces: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Merges two by two, until there is one."""
    while len(pieces) > 1:
        halved = []
        for place in range(0, len(pieces) - 1, 2):
            one, two = pieces[place], pieces[place + 1]
            size = len(one[0]) + len(two[0])
            both = np.empty(size, np.uint64), np.empty(size, np.uint64)
            _merge(*one, *two, *both)
            halved.append(both)
        pieces = halved + pieces[len(pieces) // 2 * 2 :]
    return pieces[0]


@compiled
def _sort(keys: Numbers, spare: Numbers, places: Places, spare_places: Places, counts: NDArray[np.int64]) -> bool:
    """Sorts digit by digit, from the last; whether the result is in the spare arrays."""
    size, flipped = len(keys), False
    for row in range(size):
        key = keys[row]
        for digit in range(_DIGITS):
            counts[digit, (key >> np.uint64(digit * _DIGIT_BITS)) & np.uint64(_VALUES - 1)] += 1
    for digit in range(_DIGITS):
        shift = np.uint64(digit * _DIGIT_BITS)
        if size == 0 or counts[digit, (keys[0] >> shift) & np.uint64(_VALUES - 1)] == size:
            continue
        begin = 0
        for value in range(_VALUES):
            begin, counts[digit, value] = begin + counts[digit, value], begin
        for row in range(size):
            source = spare[row] if flipped else keys[row]
            value = (source >> shift) & np.uint64(_VALUES - 1)
            place = counts[digit, value]
            counts[digit, value] = place + 1
            if flipped:
                keys[place], places[place] = source, spare_places[row]
            else:
                spare[place], spare_places[place] = source, places[row]
        flipped = not flipped
    return flipped


@compiled
def _look_up(
    hashes: Numbers,
    checks: Numbers,
    wanted: Numbers,
    wanted_checks: Numbers,
    held: NDArray[np.int32],
    same: NDArray[np.int32],
    assumed: NDArray[np.int32],
) -> None:
    """Adds up the entries of a run that have each wanted key; those with its content; those that were assumed."""
    size = len(hashes)
    if size == 0:
        return
    density = size / 18446744073709551616.0
    at, previous = 0, np.uint64(0)
    for row in range(len(wanted)):
        key = wanted[row]
        at = _place_of(hashes, key, at + int((key - previous) * density), size)
        previous = key
        entry = at
        while entry < size and hashes[entry] == key:
            if (checks[entry] ^ wanted_checks[row]) >> np.uint64(32) == 0:
                sign = -1 if checks[entry] & RETRACTION else 1
                held[row] += sign
                if (checks[entry] ^ wanted_checks[row]) & _CONTENT == 0:
                    same[row] += sign
                if checks[entry] & ASSUMED:
                    assumed[row] += sign
            entry += 1


@inlined
def _place_of(hashes: Numbers, key: np.uint64, guess: int, size: int) -> int:
    """The first place whose hash is not less than the key, from a guess that is near."""
    at = min(guess, size)
    step = 1
    if at < size and hashes[at] < key:
        low, high = at, at + 1
        while high < size and hashes[high] < key:
            low, step = high, step * 2
            high = min(size, high + step)
        low += 1
    else:
        low, high = at - 1, at
        while low >= 0 and hashes[low] >= key:
            high, step = low, step * 2
            low = max(-1, low - step)
        low += 1
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _judge(
    hashes: Numbers,
    checks: Numbers,
    order: Places,
    held: NDArray[np.int32],
    same: NDArray[np.int32],
    assumed: NDArray[np.int32],
    verdicts: NDArray[np.uint8],
) -> None:
    begin = 0
    for row in range(len(hashes)):
        if hashes[row] != hashes[begin]:
            begin = row
        verdict, is_same, is_assumed = NEW, same[row] > 0, assumed[row] > 0
        if held[row] > 0:
            verdict = DUPLICATE
        else:
            for first in range(begin, row):
                if (checks[first] ^ checks[row]) >> np.uint64(32) == 0:
                    verdict = DUPLICATE
                    is_same = (checks[first] ^ checks[row]) & _CONTENT == 0
                    is_assumed = checks[first] & ASSUMED != 0
                    break
        if verdict == DUPLICATE and not is_same:
            verdict = DOUBTFUL if is_assumed or checks[row] & ASSUMED else CONFLICT
        verdicts[order[row]] = verdict


@compiled
def _merge(
    one: Numbers, one_checks: Numbers, two: Numbers, two_checks: Numbers, hashes: Numbers, checks: Numbers
) -> None:
    """Takes one of two at each step without a jump, because nobody can guess which. Places are unsigned: so none counts
    from the end."""
    first, second, step = np.uint64(0), np.uint64(0), np.uint64(1)
    ends = np.uint64(len(one)), np.uint64(len(two))
    place = np.uint64(0)
    while first < ends[0] and second < ends[1]:
        taken = np.uint64(one[first] <= two[second])  # 1: from the first
        hashes[place] = min(one[first], two[second])
        checks[place] = two_checks[second] ^ ((one_checks[first] ^ two_checks[second]) * taken)
        first, second, place = first + taken, second + (step - taken), place + step
    while first < ends[0]:
        hashes[place], checks[place] = one[first], one_checks[first]
        first, place = first + step, place + step
    while second < ends[1]:
        hashes[place], checks[place] = two[second], two_checks[second]
        second, place = second + step, place + step


@compiled
def _fold(sums: Numbers, column: Numbers) -> None:
    for row in range(len(sums)):
        mixed = sums[row] ^ (column[row] * np.uint64(0xC2B2AE3D27D4EB4F))
        sums[row] = ((mixed << np.uint64(31)) | (mixed >> np.uint64(33))) * np.uint64(0x9E3779B185EBCA87)


@compiled
def _finish(sums: Numbers) -> None:
    for row in range(len(sums)):
        mixed = (sums[row] ^ (sums[row] >> np.uint64(33))) * np.uint64(0xC2B2AE3D27D4EB4F)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x165667B19E3779F9)
        sums[row] = mixed ^ (mixed >> np.uint64(32))
