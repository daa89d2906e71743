"""Other rooms: for each stay, another room of the app in which its user already was when the stay began.

The stays of one user are visited in the order in which they began, with a heap of the rooms that the user is in. So the
cost does not grow with the square of the rooms of one user, such as a recorder that is in hundreds of rooms at once.
Example: stays in c from second 10, in a from 20 and in b from 30, none of which ends: nothing, c, a.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.numba_cache import compiled, inlined


class RoomStays(NamedTuple):
    """Stays as arrays. `order`: their places by user and beginning. Users and rooms are numbers; the number of a room
    with a lower id is lower."""

    order: NDArray[np.int64]
    user: NDArray[np.int64]
    second: NDArray[np.int32]
    stay_end: NDArray[np.int32]
    room: NDArray[np.int64]


class RoomHeap(NamedTuple):
    """A binary heap of rooms, the lowest first, with the ends of the stays there."""

    room: NDArray[np.int64]
    stay_end: NDArray[np.int64]


def other_rooms(stays: RoomStays) -> NDArray[np.int64]:
    """For each stay the lowest room in which its user was when it began; -1: in none."""
    other = np.empty(len(stays.order), np.int64)
    heap = RoomHeap(room=np.empty_like(stays.order), stay_end=np.empty_like(stays.order))
    find_other_rooms(stays, heap, other)
    return other


@compiled
def find_other_rooms(stays: RoomStays, heap: RoomHeap, other: NDArray[np.int64]) -> None:
    """Fills `other`; `heap` has space for all stays."""
    size = 0
    for place in range(len(stays.order)):
        stay = stays.order[place]
        # (The first is compared with the last, which does no harm.)
        if stays.user[stay] != stays.user[stays.order[place - 1]]:
            size = 0
        while size > 0 and heap.stay_end[0] <= stays.second[stay]:
            size -= 1
            sink(heap, size, heap.room[size], heap.stay_end[size])
        other[stay] = heap.room[0] if size > 0 else -1
        rise(heap, size, stays.room[stay], stays.stay_end[stay])
        size += 1


@inlined
def rise(heap: RoomHeap, size: int, room: int, stay_end: int) -> None:
    """Adds a room to a heap of `size`."""
    place = size
    while place > 0 and heap.room[(place - 1) // 2] > room:
        above = (place - 1) // 2
        heap.room[place], heap.stay_end[place] = heap.room[above], heap.stay_end[above]
        place = above
    heap.room[place], heap.stay_end[place] = room, stay_end


@inlined
def sink(heap: RoomHeap, size: int, room: int, stay_end: int) -> None:
    """Puts a room into a heap of `size` in place of the lowest one."""
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and heap.room[below + 1] < heap.room[below]:
            below += 1
        if heap.room[below] >= room:
            break
        heap.room[place], heap.stay_end[place] = heap.room[below], heap.stay_end[below]
        place = below
    heap.room[place], heap.stay_end[place] = room, stay_end
