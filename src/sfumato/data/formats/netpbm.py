"""Portable pictures (Netpbm): grey (PGM), colour (PPM) and bitmap (PBM), of bytes or written as text.

    P5 # a comment                P1, P4  bits, of which 1 is black
    1024 1024 65535 pixels        P2, P5  grey       P3, P6  red, green, blue       P1 to P3 are text

A single one may be packed with gzip.

A sample has one byte up to a white of 255, else two, the higher first. Numbers of masks and of two bytes stay as they
are stored (imaging libraries stretch them, and reduce deep colours to 8 bit without a word); images with a white below
255 are stretched to it, as those of few bits are in other formats. Nothing but white space may stand behind the
picture: more bytes mean that the header tells another size, or that further pictures follow.

Source: Netpbm's format specifications, pbm(5), pgm(5), ppm(5).
"""

import gzip
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from sfumato.data.formats.content import SLACK
from sfumato.data.formats.pillow import MAX_PIXELS, refuse_huge, several_frames, too_large

NETPBM_SUFFIXES = (".pgm", ".ppm", ".pbm", ".pnm", ".pgm.gz", ".ppm.gz", ".pbm.gz", ".pnm.gz")
MOST_BYTES = 6 * MAX_PIXELS + SLACK
"""Bytes that a packed picture may grow to: those of the largest that is decoded."""

BITMAPS = b"14"
"""Kinds that have no number for white."""

_CHANNELS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3}
SKIPPED = rb"(?:[ \t\n\v\f\r]|#[^\n\r]*[\n\r])"
"""White space and comments, which may stand before each number of a header."""

_BEGINNING = re.compile(rb"P([1-6])(?=[ \t\n\v\f\r#])")
_NUMBER = re.compile(SKIPPED + rb"*(\d{1,9})")
COMMENT = re.compile(rb"#[^\n\r]*")
_WHITE, _DEEP_WHITE = 255, 65535


class _Header(NamedTuple):
    """What stands before the pixels: the kind by its digit, the size, the number for white, and where it ends."""

    kind: bytes
    width: int
    height: int
    white: int
    end: int

    @property
    def samples(self) -> int:
        """Numbers of the picture."""
        return self.width * self.height * _CHANNELS[self.kind]

    @property
    def is_text(self) -> bool:
        """Whether pixels are written as text."""
        return self.kind in b"123"


def is_netpbm(content: bytes) -> bool:
    """Whether a file begins like a portable picture."""
    return _BEGINNING.match(content) is not None


def is_packed(content: bytes) -> bool:
    """Whether a file begins like one that gzip made."""
    return content.startswith(b"\x1f\x8b")


def unpacked_gzip(path: Path, content: bytes) -> bytes:
    """What gzip packed, its check sum verified.

    Raises:
        DataError: it grows to more than any picture that is decoded.
        EOFError, OSError, ValueError, zlib.error: it is cut or damaged, or packed twice.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise too_large(path, f"it grows to more than {MOST_BYTES:,} bytes")
    if is_packed(found):
        raise ValueError("it is packed twice")
    return found


def decode_netpbm(path: Path, content: bytes, *, stored: bool) -> Shaped[np.ndarray, "h w *c"]:
    """The pixels of a portable picture, height x width (x 3): uint8 or uint16.

    Args:
        path: for errors.
        content: of the file.
        stored: whether numbers stay as they are, as those of masks.

    Raises:
        DataError: it is too large, or several pictures.
        ValueError: what is wrong, as a clause for a message.
    """
    header = _header(content)
    refuse_huge(path, header.width, header.height)
    numbers = _of_text(header, content) if header.is_text else _of_bytes(header, path, content)
    if header.kind in BITMAPS:
        numbers = _WHITE * (1 - numbers)
    elif numbers.max(initial=0) > header.white:
        raise ValueError(f"it has the number {numbers.max()}, white is {header.white}")
    elif header.white < _WHITE and not stored:
        numbers = (numbers.astype(np.uint16) * _WHITE + header.white // 2) // header.white
    colours = (3,) if _CHANNELS[header.kind] == 3 else ()
    depth = np.uint8 if header.white <= _WHITE else np.uint16
    return np.asarray(numbers.astype(depth).reshape(header.height, header.width, *colours))


def _header(content: bytes) -> _Header:
    kind = content[1:2]
    end, said = 2, list[int]()
    for _ in range(2 if kind in BITMAPS else 3):
        if (found := _NUMBER.match(content, end)) is None:
            raise ValueError("its header lacks a size or the number for white")
        end = found.end()
        said.append(int(found[1]))
    width, height, white = (*said, 1)[:3]
    if not width or not height or not 1 <= white <= _DEEP_WHITE:
        raise ValueError(f"its header announces {width} x {height} pixels, and {white} for white")
    return _Header(kind, width, height, white, end + 1)  # one character of white space stands behind the last number


def _of_bytes(header: _Header, path: Path, content: bytes) -> Shaped[np.ndarray, " n"]:
    width = 1 if header.white <= _WHITE else 2
    row = math.ceil(header.width / 8) if header.kind in BITMAPS else header.width * _CHANNELS[header.kind] * width
    size, there = header.height * row, len(content) - header.end
    if there < size:
        raise ValueError(f"it has {max(0, there):,} of {size:,} bytes of pixels")
    _refuse_more(path, content[header.end + size :])
    raw = np.frombuffer(content, np.uint8 if width == 1 else ">u2", size // width, header.end)
    if header.kind in BITMAPS:  # each row begins with a byte of its own
        return np.unpackbits(raw.reshape(header.height, row), axis=1)[:, : header.width].ravel()
    return raw


def _refuse_more(path: Path, behind: bytes) -> None:
    """Refuse what stands behind the picture; white space is none."""
    if is_netpbm(behind):
        raise several_frames(path, 2)
    if behind.strip(b" \t\n\v\f\r"):
        raise ValueError(f"{len(behind):,} bytes stand behind the pixels that its header announces")


def _of_text(header: _Header, content: bytes) -> Shaped[np.ndarray, " n"]:
    """Numbers between white space; digits of a bitmap need none."""
    text = COMMENT.sub(b"", content[header.end - 1 :])
    found = re.findall(rb"[01]", text) if header.kind in BITMAPS else text.split()
    if len(found) != header.samples:
        raise ValueError(f"it has {len(found):,} numbers for {header.samples:,} samples")
    if header.kind not in BITMAPS and not all(word.isdigit() and len(word) <= 9 for word in found):
        raise ValueError("what should be numbers of pixels is other text")
    return np.array(found, np.bytes_).astype(np.int64)
