"""WebP files: how large their picture is, told before a decoder makes room for it.

The decoder makes room for several pictures before it looks at the data, and where there is none it says no more than
that it could not be made, as it does of damaged files.

    RIFF size WEBP   VP8X size flags(4) width-1(3) height-1(3)
                     VP8L size 2F width-1(14 bits) height-1(14 bits)
                     "VP8 " size frame(3) 9D 01 2A width(14 of 16 bits) height(14 of 16 bits)

Source: RFC 9649 (2024), 2.5 to 2.7 and 3.4; RFC 6386 (2011), 9.1.
"""

import struct
from pathlib import Path

import numpy as np

from sfumato.data.formats.pillow import Decoded, decode_pillow, refuse_huge
from sfumato.shortage import raise_shortage

ROOM = 16
"""Bytes for each pixel while a picture is decoded: two canvases, the frame, and what is handed over."""

_LIMIT = 0x3FFF
"""Fourteen bits."""


def is_webp(content: bytes) -> bool:
    """Whether a file begins like a WebP file."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def canvas(content: bytes) -> tuple[int, int]:
    """Width and height in pixels that a WebP file announces; 0 x 0 where it ends before it does."""
    if len(content) < 30:
        return 0, 0
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[place : place + 3], "little") for place in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & _LIMIT) + 1, (bits >> 14 & _LIMIT) + 1
    width, height = struct.unpack_from("<2H", content, 26)
    return width & _LIMIT, height & _LIMIT


def decode_webp(path: Path, content: bytes, *, palette: bool) -> Decoded:
    """WebP through Pillow, whose words for too little memory are those for damage.

    Raises:
        MemoryError: there is no room for what its decoder needs.
    """
    width, height = canvas(content)
    refuse_huge(path, width, height)
    try:
        return decode_pillow(path, content, palette=palette)
    except OSError as error:
        raise_shortage(error, reading=path)
        np.empty((height, width, ROOM), np.uint8)
        raise
