"""Strips and tiles of a TIFF file: all there, and none of them shorter than what it should hold.

What is missing would be read as black, and what no file of this size holds would be allocated. Most decoders fail where
compressed data end early; those of JPEG and of fax codes fill up the rest without a word, so these are looked at here.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import tifffile

from sfumato.data.formats.content import DEFLATE_RATIO
from sfumato.data.formats.fax import GROUP3, GROUP4, RLE, check_fax
from sfumato.data.formats.jpeg import check_jpeg

COMPRESSION, PHOTOMETRIC = tifffile.COMPRESSION, tifffile.PHOTOMETRIC

UNPACKED = {COMPRESSION.NONE, COMPRESSION.PACKBITS, COMPRESSION.DEFLATE, COMPRESSION.ADOBE_DEFLATE}
"""Compressions that tifffile reads without further libraries."""

FAILING = {*UNPACKED, COMPRESSION.LZW, COMPRESSION.LZMA, COMPRESSION.ZSTD}
"""Compressions whose decoders fail where data are missing."""

FAX = {COMPRESSION.CCITTRLE: RLE, COMPRESSION.CCITT_T4: GROUP3, COMPRESSION.CCITT_T6: GROUP4}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
"""Pillow's names of JPEG data of so many colours."""

REVERSED = 2
"""The FillOrder of bits that begin with the lowest."""


def check_strips(page: tifffile.TiffPage, content: bytes) -> None:
    """Refuse a picture of which something is missing.

    Raises:
        ValueError: what is missing, as a clause for a message.
    """
    _refuse_missing(page, len(content))
    if _is_plain(page):
        _refuse_short(page, content)
    elif page.compression in FAX:
        for part in _parts(page, content):
            _check_fax(page, part)
    elif page.compression == COMPRESSION.JPEG:
        for part in _parts(page, content):
            _check_jpeg(page, part)
    elif page.compression not in FAILING:
        name = getattr(page.compression, "name", page.compression)
        raise ValueError(f"its compression ({name}) is not read, since nobody could say whether all is there")


def _refuse_missing(page: tifffile.TiffPage, size: int) -> None:
    claim = page.size * page.bitspersample // 8
    if page.compression in UNPACKED and claim > size * (1 if _is_plain(page) else DEFLATE_RATIO):
        raise ValueError(f"its header announces {claim:,} bytes, the file has {size:,}")
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    missing = sum(count < 1 or offset + count > size for offset, count in parts)
    missing += max(0, math.prod(page.chunked) - len(parts))
    if missing:
        raise ValueError(f"{missing} of {math.prod(page.chunked)} strips or tiles are not there")


def _is_plain(page: tifffile.TiffPage) -> bool:
    """Whether the pixels are stored as they are."""
    return bool(page.compression == COMPRESSION.NONE and page.photometric != PHOTOMETRIC.YCBCR)


def _refuse_short(page: tifffile.TiffPage, content: bytes) -> None:
    """Behind a strip that is too short stand other things, which would be read as pixels."""
    samples = 1 if _is_planar(page) else page.samplesperpixel
    for part in _parts(page, content):
        expected = part.rows * math.ceil(part.width * samples * page.bitspersample / 8)
        if len(part.data) < expected:
            raise ValueError(f"a strip or tile has {len(part.data):,} of {expected:,} bytes")


def _is_planar(page: tifffile.TiffPage) -> bool:
    return bool(page.planarconfig == tifffile.PLANARCONFIG.SEPARATE)


class _Part(NamedTuple):
    """A strip or tile: its data, and the pixels that it holds."""

    data: bytes
    rows: int
    width: int


def _parts(page: tifffile.TiffPage, content: bytes) -> Iterator[_Part]:
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        data = content[offset : offset + count]
        if page.is_tiled:
            yield _Part(data, page.tilelength, page.tilewidth)
        else:
            strips = math.ceil(page.imagelength / page.rowsperstrip)  # of each plane
            left = page.imagelength - number % strips * page.rowsperstrip
            yield _Part(data, min(page.rowsperstrip, left), page.imagewidth)


def _check_fax(page: tifffile.TiffPage, part: _Part) -> None:
    check_fax(
        part.data,
        kind=FAX[page.compression],
        rows=part.rows,
        width=part.width,
        options=int(page.tags.valueof("T4Options", default=0)),
        reversed_bits=page.fillorder == REVERSED,
    )


def _check_jpeg(page: tifffile.TiffPage, part: _Part) -> None:
    """The tables that all strips share stand in a tag, between marks of their own."""
    data = page.jpegtables[:-2] + part.data[2:] if page.jpegtables else part.data
    pixels = check_jpeg(data, _MODES.get(1 if _is_planar(page) else page.samplesperpixel, ""))
    if pixels is not None and (pixels.shape[0] < part.rows or pixels.shape[1] < part.width):
        there = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise ValueError(f"a strip or tile has {there} pixels, not {part.rows} x {part.width}")
