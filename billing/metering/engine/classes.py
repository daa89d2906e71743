"""Classes: the class of every second of a user, and the edges from which the seconds of the windows follow.

Class of a second, first match wins: waiting, audio `disconnect_grace`; only one user has a stay in the room, audio
`alone_in_room`; nothing received, audio `no_video_received`; else video. Aggregate: one second in the tier of the
summed area, `screen_share` if any stream received is a share, else `camera`. Per stream: one second for each stream.

Nothing is written for a second, and nothing for a window that a stay spans. A change at second *t* is an edge: -1 of
the class that ends, +1 of the class that begins. An edge adds to its window the seconds left of it after *t*, and 300
to every later window; so two sums per window and one running sum over the windows give the seconds of every window.
Example: a class begins at second 100 and ends at 700. The edges add 200 to the first window and -200 to the third; with
the running sum the windows have 200, 300 and 300 - 200 = 100 seconds.

The crowd of a room (`subscription_tables`) changes its class together. Example: 1,000 users receive a camera of
1280x720; a second one turns their 1,000 seconds of `hd` into `fhd` with one edge of -1,000 and one of +1,000.
"""

from billing.events.keys import SCREEN_BIT
from billing.metering.engine.room_tables import (
    ABSENT,
    ALONE,
    ANY_VIDEO,
    CROWD,
    FIRST_VIDEO,
    GRACE,
    NO_CLASS,
    NO_VIDEO,
    WAITING,
    RoomTables,
)
from billing.numba_cache import compiled, inlined, only_with
from billing.periods import WINDOW_SECONDS


@inlined
def classify(tables: RoomTables, user_number: int, second: int) -> None:
    """Gives the user's seconds from `second` on the class that follows from the state of the user and of the room."""
    now = class_of(tables, user_number)
    if now != tables.users[user_number].seconds_class:
        change_class(tables, user_number, now, second)


@inlined
def class_of(tables: RoomTables, user_number: int) -> int:
    """The class of a user's seconds in the present state."""
    user = tables.users[user_number]
    if user.state == ABSENT:
        return NO_CLASS
    if user.state == WAITING:
        return GRACE
    if is_in_crowd(tables, user_number):
        return CROWD
    if tables.rooms[user.room].present == 1:
        return ALONE
    if user.streams == 0:
        return NO_VIDEO
    if user.per_stream:
        return ANY_VIDEO
    return video_class(tables, user.app, user.area, user.screens)


@inlined
def video_class(tables: RoomTables, app: int, area: int, screens: int) -> int:
    """The class of a summed area, or of one stream."""
    tier = 0
    while area > tables.span.tops[app, tier]:
        tier += 1
    return FIRST_VIDEO + 2 * tier + (screens > 0)


@inlined
def change_class(tables: RoomTables, user_number: int, now: int, second: int) -> None:
    """One class ends at `second`, another begins."""
    user = tables.users[user_number]
    before = user.seconds_class
    if before >= 0:
        add_edge(tables, user_number, before, second, -1)
        if before == ANY_VIDEO:
            count_streams(tables, user_number, second, -1)
    elif before == CROWD:
        change_crowd(tables, user_number, second, -1)
    user.seconds_class = now
    if now >= 0:
        add_edge(tables, user_number, now, second, 1)
        if now == ANY_VIDEO:
            count_streams(tables, user_number, second, 1)
    elif now == CROWD:
        change_crowd(tables, user_number, second, 1)


@inlined
def add_edge(tables: RoomTables, user_number: int, seconds_class: int, second: int, change: int) -> None:
    """From `second` on there are `change` users or streams more in a class."""
    add_edge_of_app(tables, tables.users[user_number].app, seconds_class, second, change)
    if tables.user_seconds.shape[0] > 0:
        tables.user_seconds[user_number, seconds_class] += change * (tables.span.end - second)


@inlined
def add_edge_of_app(tables: RoomTables, app: int, seconds_class: int, second: int, change: int) -> None:
    """The same for the sums of the app only."""
    window = (second + tables.span.into_window) // WINDOW_SECONDS
    left = (window + 1) * WINDOW_SECONDS - (second + tables.span.into_window)
    tables.sums.edges[app, seconds_class, window, 0] += change
    tables.sums.edges[app, seconds_class, window, 1] += change * left


@inlined
def change_size(tables: RoomTables, user_number: int, size_before: int, size: int, second: int) -> None:
    """A stream that the user receives changes its size; 0: it is not received."""
    if size != size_before:
        count_size(tables, user_number, size_before, size, second)
        classify(tables, user_number, second)


@inlined
def count_size(tables: RoomTables, user_number: int, size_before: int, size: int, second: int) -> None:
    """The same; the caller classifies."""
    user = tables.users[user_number]
    if user.per_stream:
        count_stream(tables, user_number, size_before, second, -1)
        count_stream(tables, user_number, size, second, 1)
    user.streams += int(size > 0) - int(size_before > 0)
    user.area += size % SCREEN_BIT - size_before % SCREEN_BIT
    user.screens += size // SCREEN_BIT - size_before // SCREEN_BIT


@inlined
def count_stream(tables: RoomTables, user_number: int, size: int, second: int, change: int) -> None:
    """One stream more or less in its class, for an app billed per stream."""
    if size == 0:
        return
    user = tables.users[user_number]
    stream_class = video_class(tables, user.app, size % SCREEN_BIT, size // SCREEN_BIT)
    tables.counts[user_number, stream_class] += change
    if user.seconds_class == ANY_VIDEO:
        add_edge(tables, user_number, stream_class, second, change)


@inlined
def count_streams(tables: RoomTables, user_number: int, second: int, sign: int) -> None:
    """The streams of a user billed per stream begin to count (`sign` 1) or cease to (-1)."""
    for stream_class in range(FIRST_VIDEO, tables.counts.shape[1]):
        if tables.counts[user_number, stream_class] != 0:
            add_edge(tables, user_number, stream_class, second, sign * tables.counts[user_number, stream_class])


@inlined
def clear_streams(tables: RoomTables, user_number: int, second: int) -> None:
    """Nothing is received any more; the caller classifies."""
    user = tables.users[user_number]
    if user.streams == 0:
        return
    if user.per_stream:
        if user.seconds_class == ANY_VIDEO:
            count_streams(tables, user_number, second, -1)
        tables.counts[user_number, :] = 0
    user.streams = user.screens = user.area = 0
    user.epoch += 1


@inlined
def is_counted_in_crowd(tables: RoomTables, user_number: int) -> bool:
    """Whether a user is counted in the crowd of its room."""
    return bool(tables.subscriptions.members[user_number].in_crowd)


@compiled
def count_in_crowd(tables: RoomTables, user_number: int, second: int, sign: int) -> None:
    """A user joins the crowd of its room (`sign` 1) or leaves it (-1)."""
    subscriptions, room_number = tables.subscriptions, tables.users[user_number].room
    subscriptions.rooms[room_number].crowd += sign
    for seconds_class in range(subscriptions.weights.shape[1]):
        weight = subscriptions.weights[room_number, seconds_class]
        if weight != 0:
            add_edge(tables, user_number, seconds_class, second, sign * weight)
        if tables.user_seconds.shape[0] > 0:
            before = subscriptions.crowd_seconds[room_number, seconds_class]
            tables.user_seconds[user_number, seconds_class] -= sign * before


@compiled
def classify_crowd(tables: RoomTables, room_number: int, second: int) -> None:
    """Gives the seconds of the crowd from `second` on the classes that follow from the state of the room."""
    room, video = tables.rooms[room_number], tables.subscriptions.rooms[room_number]
    one = ANY_VIDEO
    if room.present == 1:
        one = ALONE
    elif video.streams == 0:
        one = NO_VIDEO
    elif not tables.span.per_stream[room.app]:
        one = video_class(tables, room.app, video.area, video.screens)
    for seconds_class in range(tables.subscriptions.weights.shape[1]):
        weight = int(seconds_class == one)
        if one == ANY_VIDEO and seconds_class >= FIRST_VIDEO:
            weight = tables.subscriptions.published[room_number, seconds_class]
        change = weight - tables.subscriptions.weights[room_number, seconds_class]
        if change != 0:
            tables.subscriptions.weights[room_number, seconds_class] = weight
            add_edge_of_app(tables, room.app, seconds_class, second, change * video.crowd)
            if tables.user_seconds.shape[0] > 0:
                left = tables.span.end - second
                tables.subscriptions.crowd_seconds[room_number, seconds_class] += change * left


# Where there are no subscriptions, there is no crowd.
is_in_crowd = only_with("subscriptions", is_counted_in_crowd)
change_crowd = only_with("subscriptions", count_in_crowd)
reclassify_crowd = only_with("subscriptions", classify_crowd)
