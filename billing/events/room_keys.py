"""The key of one room, as the event log stores it (`billing.events.keys`), without the compiled code for millions."""

from xxhash import xxh64_intdigest


def room_key(app_id: int, room_id: str) -> int:
    """XXH64 of the room id with the app id as the seed, as a signed number."""
    unsigned = xxh64_intdigest(room_id.encode(), seed=app_id)
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned
