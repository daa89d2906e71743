"""The seller's picture on the customer's page: PNG or JPEG, whose size is read from their first bytes.

openpyxl's own `Image` needs a library of pictures for it.
"""

from openpyxl.drawing.image import Image
from openpyxl.drawing.spreadsheet_drawing import AnchorMarker, OneCellAnchor
from openpyxl.drawing.xdr import XDRPositiveSize2D
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.workbook.table import Sheet

_MOST_WIDTH, _MOST_HEIGHT = 180, 56  # pixels
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# Markers of JPEG that are followed by the size: all kinds of "start of frame".
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


class Picture(Image):
    """A picture as openpyxl's writer takes it, no larger than its place."""

    def __init__(self, content: bytes, width: int, height: int) -> None:
        scale = min(1.0, _MOST_WIDTH / width, _MOST_HEIGHT / height)
        self.width, self.height = max(1, round(width * scale)), max(1, round(height * scale))
        self.format = "png" if content.startswith(_PNG) else "jpeg"
        self._content = content

    def _data(self) -> bytes:
        return self._content


def picture_of(content: bytes) -> Picture | None:
    """The picture; None where it is neither PNG nor JPEG: other pictures, such as SVG, have no place in a workbook."""
    size = _png_size(content) if content.startswith(_PNG) else _jpeg_size(content)
    return Picture(content, *size) if size and all(size) else None


def _png_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The size in the first frame, which is found from segment to segment by their lengths."""
    place = 2 if content.startswith(_JPEG) else len(content)
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _FRAMES:
            return int.from_bytes(content[place + 7 : place + 9], "big"), int.from_bytes(
                content[place + 5 : place + 7], "big"
            )
        is_alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD7
        place += 1 if marker == 0xFF else 2 if is_alone else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None


def _emu(pixels: int) -> int:
    """English metric units, in which drawings are placed."""
    return pixels * 9525


def place_at_right(frame: Worksheet, page: Sheet, picture: Picture) -> None:
    """Puts the picture into the first row, with its right edge where the last column ends."""
    widths = [int(column.width * 7 + 5) for column in page.columns]
    left, column = max(0, sum(widths) - picture.width), 0
    while left >= widths[column]:
        left -= widths[column]
        column += 1
    size = XDRPositiveSize2D(_emu(picture.width), _emu(picture.height))
    marker = AnchorMarker(col=column, colOff=_emu(left), row=0, rowOff=_emu(2))
    picture.anchor = OneCellAnchor(_from=marker, ext=size)
    frame.add_image(picture)
