"""The array files of a prepared data set: made from the chunks of the spool, each chunk at its place.

The files are made at their full size and filled by ordinary writes, so a full disk is an error that can be told (a
memory map would crash).
"""

import math
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from sfumato.data.channels import with_channels
from sfumato.data.intensity import Intensity, stored_pixels
from sfumato.data.mask import IGNORED, MaskRule
from sfumato.data.placement import Canvas
from sfumato.data.preparation.chunk import Chunk, ChunkFiles, DecodedCase, chunk_files
from sfumato.errors import ResourceError
from sfumato.wording import told_size

FORMAT, RAGGED_FORMAT = 2, 3
"""Versions of the form of a prepared folder: of images of one size, of images in their own; readers refuse others."""


_PIECE = 2**18
"""Bytes that are copied at a time: so few stay in the processor's cache."""


class ArrayForm(NamedTuple):
    """What the arrays are like.

    Attributes:
        canvas: how images got to their size.
        channels: of the images.
        dtype: of the images, uint8 or uint16.
        intensity: how images get there.
        rule: by which the masks were made; None without masks.
        readers: masks per image; where a case has fewer, those that are missing say nothing.
    """

    canvas: Canvas
    channels: int
    dtype: str
    intensity: Intensity
    rule: MaskRule | None
    readers: int

    def size(self, row: DecodedCase) -> tuple[int, ...]:
        """Height and width of a case in the arrays; of a whole volume its planes before them."""
        return row.placed(self.canvas).canvas


class _Part(NamedTuple):
    """A chunk on its way into the arrays.

    Attributes:
        chunk: which.
        rows: what is known of its cases.
        places: the pixel of the arrays at which each begins; None for those that are left out.
    """

    chunk: Chunk
    rows: tuple[DecodedCase, ...]
    places: tuple[int | None, ...]


class Arrays(NamedTuple):
    """The two files, and where their first row begins."""

    images: Path
    images_start: int
    masks: Path
    masks_start: int


def require_space(spool: Path, files: ChunkFiles, *, share: float) -> None:
    """Refuse to go on when all chunks and the arrays will not fit, judging by the first chunk.

    Args:
        spool: where chunks are written.
        files: the first chunk.
        share: of the cases, how many it has.

    Raises:
        ResourceError: the disk is too small.
    """
    written = files.images.stat().st_size + (files.masks.stat().st_size if files.masks and files.masks.exists() else 0)
    need = int(written * (2 / share - 1))
    free = shutil.disk_usage(spool).free
    if need > free:
        finding = f"the disk is full: need {told_size(need)}, have {told_size(free)} at {spool.parent}"
        raise ResourceError(finding, remedy="free some space, or write to another disk")


def create(folder: Path, sizes: Sequence[tuple[int, ...]], form: ArrayForm) -> Arrays:
    """Make the files for cases of these sizes: with an axis for each side where all have one, else flat."""
    images, masks = folder / "images.npy", folder / "masks.npy"
    if form.canvas.size is None:
        pixels = sum(map(math.prod, sizes))
        shapes: tuple[tuple[int, ...], ...] = (pixels * form.channels,), (pixels * form.readers,)
    else:
        count, size = len(sizes), form.canvas.size
        shapes = (count, *size, form.channels), (count, form.readers, *size)
    images_start = _create(images, np.dtype(form.dtype), shapes[0])
    masks_start = _create(masks, np.dtype(np.uint8), shapes[1]) if form.readers else 0
    return Arrays(images, images_start, masks, masks_start)


def _create(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> int:
    with path.open("wb") as file:
        entry = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, entry)
        start = file.tell()
        file.truncate(start + math.prod(shape) * dtype.itemsize)
    return start


class Filling(NamedTuple):
    """All that a process must know to put a part into the arrays."""

    spool: Path
    form: ArrayForm
    arrays: Arrays


def fill_arrays(filling: Filling, part: _Part) -> None:
    """Bring a chunk into the form of the arrays and write it to its place."""
    files = chunk_files(filling.spool, part.chunk.number, filling.form.rule)
    if _is_ready(part, filling.form):
        pixel = filling.form.channels * np.dtype(filling.form.dtype).itemsize
        _copy(files.images, filling.arrays.images, filling.arrays.images_start, part, pixel)
    else:
        _fill_images(files.images, filling, part)
    if files.masks is not None and _is_one_run(part) and _readers_are(part, filling.form.readers):
        _copy(files.masks, filling.arrays.masks, filling.arrays.masks_start, part, filling.form.readers)
    elif files.masks is not None:
        _fill_masks(files.masks, filling, part)


def _is_one_run(part: _Part) -> bool:
    """Whether all cases of a chunk stay: they keep their order, so one follows the other."""
    return None not in part.places


def _is_ready(part: _Part, form: ArrayForm) -> bool:
    """Whether the images of a chunk are what the arrays want already."""
    return _is_one_run(part) and all(_fits(row, form) for row in part.rows)


def _readers_are(part: _Part, readers: int) -> bool:
    return all(len(case.masks) == readers for case in part.chunk.cases)


def _copy(source: Path, target: Path, start: int, part: _Part, pixel: int) -> None:
    """Put a file of the spool, of cases that follow each other, into an array of so many bytes for each pixel."""
    first = part.places[0]
    assert first is not None
    with source.open("rb") as reading, target.open("r+b") as writing:
        writing.seek(start + first * pixel)
        shutil.copyfileobj(reading, writing, _PIECE)


def _fill_images(file: Path, filling: Filling, part: _Part) -> None:
    with file.open("rb") as source, filling.arrays.images.open("r+b") as target:
        for row, place in zip(part.rows, part.places, strict=True):
            content = _image(source.read(_bytes(row, filling.form)), row, filling.form)
            if place is not None:
                pixel = len(content) // math.prod(filling.form.size(row))
                _write(target, content, filling.arrays.images_start + place * pixel)


def _fill_masks(file: Path, filling: Filling, part: _Part) -> None:
    with file.open("rb") as source, filling.arrays.masks.open("r+b") as target:
        readers = filling.form.readers
        for case, row, place in zip(part.chunk.cases, part.rows, part.places, strict=True):
            pixels = math.prod(filling.form.size(row))
            content = source.read(len(case.masks) * pixels).ljust(readers * pixels, bytes([IGNORED]))
            if place is not None:
                _write(target, content, filling.arrays.masks_start + place * readers)


def _write(file: BinaryIO, content: bytes, start: int) -> None:
    file.seek(start)
    file.write(content)


def _bytes(row: DecodedCase, form: ArrayForm) -> int:
    assert row.facts.image is not None
    return math.prod(form.size(row)) * row.channels * np.dtype(row.facts.image.dtype).itemsize


def _image(content: bytes, row: DecodedCase, form: ArrayForm) -> bytes:
    assert row.facts.image is not None
    if _fits(row, form):
        return content
    pixels = np.frombuffer(content, row.facts.image.dtype).reshape(*form.size(row), row.channels)
    return stored_pixels(with_channels(pixels, form.channels), form.intensity, row.stats).tobytes()


def _fits(row: DecodedCase, form: ArrayForm) -> bool:
    """Whether an image in the spool is what the arrays want already."""
    assert row.facts.image is not None
    return row.channels == form.channels and form.intensity.kind == "unit" and row.facts.image.dtype == form.dtype


def kept_chunks(
    chunks: Sequence[Chunk], rows: Sequence[Sequence[DecodedCase]], kept: Sequence[bool], form: ArrayForm
) -> list[_Part]:
    """The chunks with the places of their cases among those that are kept."""
    places, done = list[int | None](), 0
    for row, keep in zip(chain.from_iterable(rows), kept, strict=False):  # of whole volumes, all are kept
        places.append(done if keep else None)
        done += keep * math.prod(form.size(row))
    return [
        _Part(chunk, tuple(known), tuple(places[chunk.first : chunk.first + len(chunk.cases)]))
        for chunk, known in zip(chunks, rows, strict=True)
    ]
