"""The files of the console that stay as they are, and their stamps."""

import hashlib
from functools import cache
from pathlib import Path

MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOLDER = Path(__file__).with_name("static")


@cache
def static_contents() -> dict[str, bytes]:
    """The files by name."""
    return {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}


@cache
def stamp_of(name: str) -> str:
    """A part of the hash of a file."""
    return hashlib.sha256(static_contents()[name]).hexdigest()[:12]
