"""The array files of a prepared data set: made from the chunks of the spool, each chunk at its place.

The files are made at their full size and filled by ordinary writes, so a full disk is an error that can be told (a
memory map would crash).
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from sfumato.data.channels import with_channels
from sfumato.data.intensity import Intensity, stored_pixels
from sfumato.data.mask import IGNORED, MaskRule
from sfumato.data.preparation.chunk import Chunk, ChunkFiles, DecodedCase, chunk_files
from sfumato.errors import ResourceError
from sfumato.wording import told_size

FORMAT = 2
"""Version of the form of a prepared folder; readers refuse any other."""


_PIECE = 2**18
"""Bytes that are copied at a time: so few stay in the processor's cache."""


class ArrayForm(NamedTuple):
    """What the arrays are like.

    Attributes:
        size: height and width.
        channels: of the images.
        dtype: of the images, uint8 or uint16.
        intensity: how images get there.
        rule: by which the masks were made; None without masks.
        readers: masks per image; where a case has fewer, those that are missing say nothing.
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    intensity: Intensity
    rule: MaskRule | None
    readers: int


class _Part(NamedTuple):
    """A chunk on its way into the arrays.

    Attributes:
        chunk: which.
        rows: what is known of its cases.
        places: where they go; None for those that are left out.
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


def create(folder: Path, count: int, form: ArrayForm) -> Arrays:
    """Make the files for so many cases."""
    images, masks = folder / "images.npy", folder / "masks.npy"
    images_start = _create(images, np.dtype(form.dtype), (count, *form.size, form.channels))
    masks_start = _create(masks, np.dtype(np.uint8), (count, form.readers, *form.size)) if form.readers else 0
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
        _copy(files.images, filling.arrays.images, filling.arrays.images_start, part)
    else:
        _fill_images(files.images, filling, part)
    if files.masks is not None and _is_one_run(part) and _readers_are(part, filling.form.readers):
        _copy(files.masks, filling.arrays.masks, filling.arrays.masks_start, part)
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


def _copy(source: Path, target: Path, start: int, part: _Part) -> None:
    """Put a file of the spool, of cases that follow each other, into an array."""
    first, size = part.places[0], source.stat().st_size
    assert first is not None
    with source.open("rb") as reading, target.open("r+b") as writing:
        writing.seek(start + first * (size // len(part.places)))
        shutil.copyfileobj(reading, writing, _PIECE)


def _fill_images(file: Path, filling: Filling, part: _Part) -> None:
    with file.open("rb") as source, filling.arrays.images.open("r+b") as target:
        for row, place in zip(part.rows, part.places, strict=True):
            content = _image(source.read(_bytes(row, filling.form)), row, filling.form)
            if place is not None:
                _write(target, content, filling.arrays.images_start + place * len(content))


def _fill_masks(file: Path, filling: Filling, part: _Part) -> None:
    with file.open("rb") as source, filling.arrays.masks.open("r+b") as target:
        for case, place in zip(part.chunk.cases, part.places, strict=True):
            content = _masks(source.read(len(case.masks) * math.prod(filling.form.size)), filling.form)
            if place is not None:
                _write(target, content, filling.arrays.masks_start + place * len(content))


def _write(file: BinaryIO, content: bytes, start: int) -> None:
    file.seek(start)
    file.write(content)


def _bytes(row: DecodedCase, form: ArrayForm) -> int:
    assert row.facts.image is not None
    return math.prod(form.size) * row.channels * np.dtype(row.facts.image.dtype).itemsize


def _image(content: bytes, row: DecodedCase, form: ArrayForm) -> bytes:
    assert row.facts.image is not None
    if _fits(row, form):
        return content
    pixels = np.frombuffer(content, row.facts.image.dtype).reshape(*form.size, row.channels)
    return stored_pixels(with_channels(pixels, form.channels), form.intensity, row.stats).tobytes()


def _fits(row: DecodedCase, form: ArrayForm) -> bool:
    """Whether an image in the spool is what the arrays want already."""
    assert row.facts.image is not None
    return row.channels == form.channels and form.intensity.kind == "unit" and row.facts.image.dtype == form.dtype


def _masks(content: bytes, form: ArrayForm) -> bytes:
    return content.ljust(form.readers * math.prod(form.size), bytes([IGNORED]))


def kept_chunks(chunks: Sequence[Chunk], rows: Sequence[Sequence[DecodedCase]], kept: Sequence[bool]) -> list[_Part]:
    """The chunks with the places of their cases among those that are kept."""
    places, done = list[int | None](), 0
    for keep in kept:
        places.append(done if keep else None)
        done += keep
    return [
        _Part(chunk, tuple(known), tuple(places[chunk.first : chunk.first + len(chunk.cases)]))
        for chunk, known in zip(chunks, rows, strict=True)
    ]
