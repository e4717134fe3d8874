"""A source as one NPZ file of plain arrays.

    images   (n, h, w, c)  numbers as stored
    masks    (n, h, w)     class indices
    labels   (n,)          index into class_names
    class_names, mask_class_names, ids

Where every case has a split, the arrays carry it in their names as those of MedMNIST do: `train_images`,
`train_labels` (n, 1), `train_ids`, `val_...`, `test_...`. Arrays are written row by row: no more than one case is in
memory. The same source gives the same bytes, and nothing in the file needs pickle.
"""

import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.conversion.setting import Conversion, ConversionStep, one_channel_count
from sfumato.data.conversion.zip import member, refuse_partly_labelled
from sfumato.data.manifest import Case
from sfumato.data.source.arrays.axes import LAST
from sfumato.errors import DataError, listed

PREFIXES = {"train": "train_", "validation": "val_", "test": "test_"}


class _Part(NamedTuple):
    """The cases of a split, or all; `prefix` stands before the names of their arrays."""

    prefix: str
    cases: Sequence[Case]


class _Rows(NamedTuple):
    """Shape and numbers of an array whose rows come one after the other."""

    shape: tuple[int, ...]
    dtype: np.dtype


def write_npz(conversion: Conversion, path: Path) -> Iterator[ConversionStep]:
    """Write images, masks and classes into a new file.

    Raises:
        DataError: the images have several sizes or kinds of numbers, or only a part of them has a class.
    """
    refuse_partly_labelled(conversion)
    _refuse_partly_masked(conversion)
    size = one_size(conversion)
    dtype = np.dtype(one_dtype(conversion))
    channels = one_channel_count(conversion)
    _refuse_unreadable(channels)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        done = 0
        for prefix, cases in _parts(conversion.cases):
            rows = _Rows((len(cases), *size, channels), dtype)
            for case in _write_rows(archive, f"{prefix}images", rows, cases, _images(conversion, cases, channels)):
                done += 1
                yield ConversionStep(len(conversion.cases) + done, 2 * len(conversion.cases), case.id)
            if conversion.meaning is not None:
                rows = _Rows((len(cases), *size), np.dtype(np.uint8))
                list(_write_rows(archive, f"{prefix}masks", rows, cases, _masks(conversion, cases)))
            for name, array in _facts(conversion, cases, column=bool(prefix)):
                _write_array(archive, f"{prefix}{name}", array)
        _write_array(archive, "class_names", np.array(conversion.found.classes, dtype=str))
        names = conversion.meaning.names if conversion.meaning else ()
        _write_array(archive, "mask_class_names", np.array(names, dtype=str))


def _refuse_partly_masked(conversion: Conversion) -> None:
    bare = [case.id for case in conversion.cases if not case.masks]
    if conversion.meaning is not None and bare:
        finding = f"{len(bare)} of {len(conversion.cases)} cases have no mask:\n{listed(bare)}"
        raise DataError(finding, expected="a mask for every case, or for none", code="DATA-010")


def _refuse_unreadable(channels: int) -> None:
    """Refuse so many channels that an array of images would be taken for one of volumes."""
    if channels not in LAST:
        raise DataError(
            f"the images have {channels} channels",
            expected=f"{LAST[-1]} at most: an array does not say which of its axes are channels",
            remedy="convert to a folder",
            code="DATA-009",
        )


def one_size(conversion: Conversion) -> tuple[int, int]:
    """The one height and width of all images.

    Raises:
        DataError: there are several and none was asked for.
    """
    sizes = conversion.stock.sizes
    if conversion.size is None and len(sizes) > 1:
        (height, width), count = sizes.most_common(1)[0]
        raise DataError(
            f"the images have {len(sizes)} sizes; the most frequent is {width} x {height} (width x height, {count} "
            f"of {sizes.total()})",
            expected="one size for an array of images",
            remedy=f"--size {height}x{width} (height x width), perhaps with --crop centre",
            code="DATA-101",
        )
    return conversion.size or next(iter(sizes))


def one_dtype(conversion: Conversion) -> str:
    """The one kind of numbers of all images.

    Raises:
        DataError: there are several.
    """
    dtypes = conversion.stock.dtypes
    if len(dtypes) > 1:
        shown = ", ".join(f"{count} are {dtype}" for dtype, count in dtypes.most_common())
        raise DataError(
            f"the images have different kinds of numbers: {shown}",
            expected="one kind of numbers for an array of images",
            remedy="convert the fewer ones, or convert to a folder",
            code="DATA-009",
        )
    return next(iter(dtypes))


def _parts(cases: Sequence[Case]) -> Iterator[_Part]:
    if any(case.split is None for case in cases):
        yield _Part("", cases)
        return
    for split, prefix in PREFIXES.items():
        if chosen := [case for case in cases if case.split == split]:
            yield _Part(prefix, chosen)


def _images(conversion: Conversion, cases: Sequence[Case], channels: int) -> Iterator[np.ndarray]:
    return (conversion.image(case, channels=channels) for case in cases)


def _masks(conversion: Conversion, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    return (conversion.masks(case)[0] for case in cases)


def _facts(conversion: Conversion, cases: Sequence[Case], *, column: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of one entry per case; `column` makes the labels (n, 1)."""
    yield "ids", np.array([case.id for case in cases], dtype=str)
    classes = conversion.found.classes
    if cases[0].label is not None:
        labels = np.array([classes.index(case.label or "") for case in cases], np.int64)
        yield "labels", labels[:, None] if column else labels


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(member(f"{name}.npy"), "w") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _write_rows(
    archive: zipfile.ZipFile, name: str, rows: _Rows, cases: Sequence[Case], arrays: Iterable[np.ndarray]
) -> Iterator[Case]:
    """Write an array of which one row is in memory; yields the case of each row."""
    entry = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False, "shape": rows.shape}
    with archive.open(member(f"{name}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, entry)
        for case, array in zip(cases, arrays, strict=True):
            assert array.size == math.prod(rows.shape[1:])
            file.write(array.astype(rows.dtype).tobytes())
            yield case
