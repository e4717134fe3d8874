r"""JPEG files that are read whole or refused.

A decoder that comes to the end of the data before the end of the picture fills up the rest and says so by a warning,
which Pillow does not pass on: a JPEG whose second half is gone, with an end mark put behind what is left, reads as a
picture with grey rows. Here libjpeg-turbo decodes through `simplejpeg`, which raises what is warned of, and a
progressive file must have all its passes. The pixels are those of Pillow, which has the same decoder.

What is extra is no damage: writers fill up the data of a whole picture with bytes before its end mark. Arithmetic codes
are refused: what follows their end counts as zeros, so nobody can say whether they are whole.

    SOI  [APPn DQT DHT ...]  SOF  SOS data [RSTn data ...]  [DHT SOS data ...]  EOI

Source: ITU-T T.81 (1992), B.1 (markers), G.1 (progressive passes).
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from jaxtyping import UInt8

from sfumato.data.formats.picture import open_picture

_COLOURS = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's modes of JPEG files, in the words of simplejpeg."""

_HARMLESS = re.compile(r"Unknown Adobe color transform|JFIF major revision|Invalid SOS parameters for sequential")
"""Warnings about headers, which say nothing of the picture's data."""

EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
UNUSUAL = "Could not determine subsampling"

ENDLESS = b"\xff\0" * 8
"""Bits of no code word, as many as the decoder looks ahead."""

_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
"""What ends the data of a scan: any marker but a restart."""

_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a segment: TEM, RSTn, SOI."""

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_PROGRESSIVE = {0xC2, 0xC6}
_LAST_HUFFMAN = 0xC7
"""The frame headers that follow are of arithmetic codes."""

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of the frame header, SOFn: all from C0 on but DHT, JPG and DAC."""


class _Segment(NamedTuple):
    """A marker with what follows it.

    Attributes:
        marker: its second byte.
        start: place of its first byte.
        body: the bytes of its segment, without their length.
    """

    marker: int
    start: int
    body: bytes


def check_jpeg(content: bytes, mode: str) -> UInt8[np.ndarray, "h w c"] | None:
    """The pixels of a JPEG file, all of which are there; None where Pillow has to give them.

    Args:
        content: the file; other data may follow.
        mode: Pillow's mode: L, RGB or CMYK.

    Raises:
        ValueError: what is missing, as a clause for a message.
    """
    segments = list(_segments(content))
    if segments[-1].marker != _EOI:
        raise ValueError("the end mark (EOI) is missing: the file was cut")
    _refuse_missing_passes(segments)
    pixels = _decoded(content[: segments[-1].start], _COLOURS[mode])
    return None if mode == "CMYK" else pixels


def _decoded(data: bytes, colours: str) -> UInt8[np.ndarray, "h w c"] | None:
    """The pixels of all that stands before the end mark."""
    content = data + b"\xff\xd9"
    try:
        return np.asarray(simplejpeg.decode_jpeg(content, colours, strict=True))
    except ValueError as error:
        said = str(error)
    if _HARMLESS.search(said):
        return np.asarray(simplejpeg.decode_jpeg(content, colours, strict=False))
    if extra := EXTRANEOUS.search(said):  # of several warnings this is the last: without these bytes there must be none
        return _decoded(data[: -int(extra[1])], colours)
    if UNUSUAL in said:
        _refuse_short(data)
        return None
    raise ValueError(f"it ends early or its data are damaged (the decoder says: {said})")


def _segments(content: bytes) -> Iterator[_Segment]:
    """The markers of the first picture, up to its end mark or the end of the data."""
    place = 2
    while found := _MARKER.search(content, place):
        place, marker = found.start(), content[found.start() + 1]
        size = 0
        if marker not in _ALONE and marker != _EOI and place + 4 <= len(content):
            (size,) = struct.unpack_from(">H", content, place + 2)
        yield _Segment(marker, place, content[place + 4 : place + 2 + size])
        if marker == _EOI:
            return
        place += 2 + size
    if place == 2:
        raise ValueError("it ends behind its first mark (SOI)")


def _refuse_missing_passes(segments: list[_Segment]) -> None:
    """Refuse a picture whose later passes, or whole colours, were cut off."""
    frame = next((segment for segment in segments if segment.marker in _FRAMES), None)
    if frame is None or len(frame.body) < 6 or len(frame.body) < 6 + 3 * frame.body[5]:
        raise ValueError("it has no whole frame header (SOF)")
    if frame.marker > _LAST_HUFFMAN:
        raise ValueError("it has arithmetic codes, of which nobody can say whether all are there: save it anew")
    components = {frame.body[6 + 3 * number] for number in range(frame.body[5])}
    missing = dict.fromkeys(((component, place) for component in components for place in range(64)), 1)
    for scan in (segment.body for segment in segments if segment.marker == _SOS):
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            raise ValueError("it has a scan without a whole header (SOS)")
        first, last, precision = scan[1 + 2 * count : 4 + 2 * count]
        if frame.marker not in _PROGRESSIVE:
            first, last, precision = 0, 63, 0
        for component in scan[1 : 1 + 2 * count : 2]:
            missing |= {(component, place): precision & 15 for place in range(first, min(last, 63) + 1)}
    if left := sum(bits > 0 for bits in missing.values()):
        raise ValueError(f"{left} of {len(missing)} parts of its progressive data are missing: the file was cut")


def _refuse_short(data: bytes) -> None:
    """The check for colours that are sampled in an unusual way, by Pillow's decoder: without an end mark it waits.

    Behind the data stand bits that no code word has, as many as the decoder looks ahead, so that all blocks but the
    last two have to be there. (A file of several passes is never done without an end mark, and refused.)
    """
    with open_picture(io.BytesIO(data + ENDLESS)) as image:
        image.load()
