"""What the contenders in SQL and pandas share: the rules' constants, and how they pack the order of events.

Only policy `trtc-intl`, and no state carried from the day before. The order of a user's events is one integer `o`:
milliseconds, `seq` and the rank of the type. What a user receives at a moment is one integer as well: the area in the
low bits, then the number of screens, then "alone", then "in the wait". Steps up and down of it, summed in the order of
time, give the class of every second.
"""

from dataclasses import dataclass

WINDOW_SECONDS = 300
STALE_SECONDS = 86_400
WAIT_SECONDS = 90
TYPES = ("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on")  # in the order of their ranks
EXIT, DISCONNECT, DISMISS, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON = range(len(TYPES))

SCREEN, ALONE, WAITING = 2**40, 2**56, 2**59
ITEM_TOPS = (921_600, 2_073_600, 3_686_400)  # hd, fhd, 2k; 4k above
NO_VIDEO_CLASS, GRACE_CLASS, ALONE_CLASS, ABSENT_CLASS, FIRST_VIDEO_CLASS = range(5)
CLASSES = (
    (NO_VIDEO_CLASS, "audio", "no_video_received"),
    (GRACE_CLASS, "audio", "disconnect_grace"),
    (ALONE_CLASS, "audio", "alone_in_room"),
    *(
        (FIRST_VIDEO_CLASS + 2 * tier + screen, item, reason)
        for tier, item in enumerate(("hd", "fhd", "2k", "4k"))
        for screen, reason in enumerate(("camera", "screen_share"))
    ),
)
_MOST_BITS = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How `at`, `seq` and the rank are packed into `o`, for the events of one span.

    Seconds count from `base`, the epoch second in which the span's first window begins.
    """

    base: int
    first_seq: int
    seqs: int  # a power of two: room for so many values of `seq`
    bits: int

    @property
    def fits(self) -> bool:
        """Whether 64 bits are enough, as they are for days in which `seq` is small."""
        return self.bits <= _MOST_BITS

    @property
    def per_ms(self) -> int:
        return self.seqs * 8

    @property
    def per_second(self) -> int:
        return self.per_ms * 1000

    @property
    def never(self) -> int:
        """Later than every event."""
        return 2**_MOST_BITS if self.fits else 2**126


def order_of(start: int, end: int, first_seq: int, last_seq: int) -> Order:
    """The packing for a span in which `seq` has these bounds; mostly it is 0 everywhere and needs no bits."""
    base = start - start % WINDOW_SECONDS
    seq_bits = (last_seq - first_seq).bit_length()
    bits = 3 + seq_bits + (1000 * (end - base + STALE_SECONDS)).bit_length()
    return Order(base=base, first_seq=first_seq, seqs=2**seq_bits, bits=bits)
