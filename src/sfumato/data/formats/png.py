"""PNG files, where an imaging library is not strict or not exact enough for medical data.

* `check_png` walks the chunks: each has a check sum, the last is IEND. (A PNG without its last 20 bytes, or cut in the
  middle, otherwise reads as an image whose lower part is black.)
* `decode_deep` reads 16-bit images of several channels, which Pillow reduces to 8 bit without a word.
* `encode_deep` writes them.

Source: W3C, Portable Network Graphics (Third Edition), 2025; filters in section 9.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of each PNG colour type."""


class Header(NamedTuple):
    """What the IHDR chunk says."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool


def check_png(content: bytes) -> Header:
    """The header of a PNG file whose chunks are all whole.

    Raises:
        ValueError: what is wrong, as a clause for a message.
    """
    kinds = [kind for kind, _ in _chunks(content)]
    if kinds[-1] != b"IEND":
        raise ValueError("the end mark (IEND) is missing: the file was cut")
    if kinds[0] != b"IHDR":
        raise ValueError("it does not start with a header (IHDR)")
    return header(content)


def header(content: bytes) -> Header:
    """Size and kind of the image."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", content[16:29])
    return Header(width, height, depth, colour, bool(interlace))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(SIGNATURE)
    while start < len(content):
        size, kind = struct.unpack_from(">I4s", content.ljust(start + 8, b"\0"), start)
        end = start + 12 + size
        if end > len(content):
            raise ValueError(f"it was cut: {end} bytes announced, {len(content)} are there")
        if zlib.crc32(content[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise ValueError(f"the check sum of chunk {kind.decode('latin-1')} is wrong: the file is damaged")
        yield kind, content[start + 8 : end - 4]
        if kind == b"IEND":
            return
        start = end


def decode_deep(content: bytes) -> UInt16[np.ndarray, "h w c"]:
    """Pixels of a 16-bit PNG of any number of channels, not interlaced."""
    head = header(content)
    bytes_per_pixel = 2 * CHANNELS[head.colour]
    rows = zlib.decompress(b"".join(body for kind, body in _chunks(content) if kind == b"IDAT"))
    lines = np.frombuffer(rows, np.uint8).reshape(head.height, 1 + head.width * bytes_per_pixel)
    pixels = _unfilter(lines[:, 0], lines[:, 1:].reshape(head.height, head.width, bytes_per_pixel))
    return pixels.view(">u2").astype(np.uint16)


def _unfilter(filters: UInt8[np.ndarray, " h"], raw: UInt8[np.ndarray, "h w b"]) -> UInt8[np.ndarray, "h w b"]:
    """Undo the prediction of each pixel from its left, upper and upper left neighbours.

    All pixels with the same column + row depend on earlier diagonals only, so a diagonal is done at once.
    """
    height, width, _ = raw.shape
    done = np.zeros((height + 1, width + 1, raw.shape[2]), np.int16)  # a border of zeros above and to the left
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, up, corner = done[y + 1, x], done[y, x + 1], done[y, x]
        predictions = (0 * left, left, up, (left + up) >> 1, _paeth(left, up, corner))
        done[y + 1, x + 1] = (raw[y, x] + np.choose(filters[y][:, None], predictions)) & 255
    return np.ascontiguousarray(done[1:, 1:].astype(np.uint8))


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Whichever neighbour is nearest to left + up - corner; ties in this order."""
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    nearest_is_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(nearest_is_left, left, np.where(to_up <= to_corner, up, corner))


def encode_deep(pixels: UInt16[np.ndarray, "h w 3"], text: dict[str, str]) -> bytes:
    """A 16-bit RGB PNG; each row is stored as its difference from the row above."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    lines = np.concatenate([np.full((height, 1), 2, np.uint8), filtered], axis=1)
    texts = [_chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode()) for key, value in text.items()]
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"".join([SIGNATURE, head, *texts, _chunk(b"IDAT", zlib.compress(lines.tobytes())), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
