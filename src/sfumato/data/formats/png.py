"""PNG files, where an imaging library is not strict or not exact enough for medical data.

* `check_png` walks the chunks: each has a check sum, the last is IEND. (A PNG without its last 20 bytes, or cut in the
  middle, otherwise reads as an image whose lower part is black.)
* `decode_png` refuses data that end before the last row, which decoders take for whole where a row ends.
* It reads the most frequent kinds in less time than Pillow's way for all kinds.
* `decode_deep` reads 16-bit images of several channels, which Pillow reduces to 8 bit without a word.
* `encode_deep` writes them.

Source: W3C, Portable Network Graphics (Third Edition), 2025; filters in section 9.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of each PNG colour type."""

_PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"tIME"})
"""Chunks that change no number: no palette, transparency, orientation, frames, or text that may hold one of these."""

_COLOURED = _PLAIN | {b"PLTE", b"tRNS"}
"""Chunks that change no index of a palette."""

INDEXED = 3
"""The colour type of indices of a palette."""

_MODES = {(8, 0): "L", (8, 2): "RGB", (16, 0): "I;16", (8, INDEXED): "L"}
"""Pillow's modes of the depths and colour types that are decoded without a detour."""

STORED = {"I;16": "I;16B"}
"""Pillow's names of how these modes are stored, where it is another name."""

UNWRITTEN = 171
"""What a picture is filled with before it is decoded: any number that is rare in a last row."""

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""The passes of an interlaced picture: its first row and column, and the steps to the next."""


class _Header(NamedTuple):
    """What the IHDR chunk says."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def bits(self) -> int:
        """Bits of a pixel."""
        return self.depth * _CHANNELS.get(self.colour, 1)


class _Whole(NamedTuple):
    """A PNG file whose chunks are all whole.

    Attributes:
        header: size and kind of the image.
        packed: what is to be inflated for its pixels.
        plain: whether there is nothing but pixels, and what leaves their numbers alone.
        coloured: whether there is nothing but that and a palette.
    """

    header: _Header
    packed: bytes
    plain: bool
    coloured: bool


def check_png(content: bytes) -> _Whole:
    """A PNG file, with the check sums of its chunks verified.

    Raises:
        ValueError: what is wrong, as a clause for a message.
    """
    chunks = list(_chunks(content))
    kinds = [kind for kind, _ in chunks]
    if kinds[-1] != b"IEND":
        raise ValueError("the end mark (IEND) is missing: the file was cut")
    if kinds[0] != b"IHDR":
        raise ValueError("it does not start with a header (IHDR)")
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    return _Whole(_header(content), packed, _PLAIN.issuperset(kinds), _COLOURED.issuperset(kinds))


def _header(content: bytes) -> _Header:
    """Size and kind of the image."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", content[16:29])
    return _Header(width, height, depth, colour, bool(interlace))


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


def decode_png(png: _Whole, *, indices: bool = False) -> np.ndarray | None:
    """Pixels of the kinds that are decoded here, None for others: height x width (x channels).

    Args:
        png: the file.
        indices: whether those of a palette are wanted, not its colours.

    Raises:
        ValueError: rows are missing.
    """
    head = png.header
    if not head.width or not head.height:
        return None
    if head.interlaced:
        _refuse_missing_rows(png)
        return None
    if head.depth == 16 and head.colour in (2, 4, 6):
        return decode_deep(png)
    mode = _MODES.get((head.depth, head.colour))
    if mode is None or not ((png.coloured and indices) if head.colour == INDEXED else png.plain):
        _refuse_missing_rows(png)
        return None
    return _decode_plain(png, mode)


def _decode_plain(png: _Whole, mode: str) -> Shaped[np.ndarray, "h w *c"]:
    """Pixels of a frequent kind, by the decoder that Pillow uses for whole files, without what it asks them besides."""
    size = (png.header.width, png.header.height)
    image = Image.new(mode, size, (UNWRITTEN,) * 3 if mode == "RGB" else UNWRITTEN)
    image.frombytes(png.packed, "zip", STORED.get(mode, mode))
    pixels = np.asarray(image)
    if (pixels[-1:] == UNWRITTEN).all():  # perhaps the data ended before this row
        _refuse_missing_rows(png)
    return pixels


def _refuse_missing_rows(png: _Whole) -> None:
    """Compare the pixels' data with the size of the picture: decoders take data that end between rows for whole.

    Raises:
        ValueError: there are fewer.
    """
    expected = sum(height * (1 + math.ceil(width * png.header.bits / 8)) for height, width in _passes(png.header))
    expander = zlib.decompressobj()
    there = len(expander.decompress(png.packed, expected))
    if there < expected:
        raise ValueError(f"it has {there:,} of {expected:,} bytes of pixels")


def _passes(head: _Header) -> Iterator[tuple[int, int]]:
    """Height and width of the pictures of which an interlaced one is put together, or of the one that it is."""
    if not head.interlaced:
        yield head.height, head.width
        return
    for top, left, down, across in ADAM7:
        height, width = math.ceil((head.height - top) / down), math.ceil((head.width - left) / across)
        if height > 0 and width > 0:
            yield height, width


def decode_deep(png: _Whole) -> UInt16[np.ndarray, "h w c"]:
    """Pixels of a 16-bit PNG of any number of channels, not interlaced."""
    head = png.header
    bytes_per_pixel = 2 * _CHANNELS[head.colour]
    _refuse_missing_rows(png)
    size = head.height * (1 + head.width * bytes_per_pixel)
    rows = zlib.decompressobj().decompress(png.packed, size)
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
