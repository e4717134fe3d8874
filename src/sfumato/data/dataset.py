"""A prepared data set: decoded once into arrays on disk, read in batches without copies in between.

    DATASET/  manifest.csv   one row per image or plane: where it came from, label, patient, split, original height and
                             width
              dataset.json   the `Spec`: what a model must know about its data; notes
              images.npy     (cases, height, width, channels), uint8 or uint16 from black to white by the intensity rule
              masks.npy      (cases, readers, height, width) uint8 class indices, 255 where nothing is said; only with
                             masks
                             of images that keep their own size, and of whole volumes (planes, height, width), the same
                             of each case, all in one flat row
              splits_final.json  the folds as nnU-Net writes them
              fingerprint.json   what the images and masks are like

A batch is one gather from the memory map, one move to the device, one cast.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from sfumato.data.formats.archive import open_array
from sfumato.data.formats.pillow import MAX_PIXELS
from sfumato.data.manifest import Case, read_manifest
from sfumato.data.mask import IGNORED
from sfumato.data.placement import Placement, Spacing
from sfumato.data.preparation.store import FORMAT, RAGGED_FORMAT
from sfumato.data.ragged import Ragged, StoredArrays, cut_out, stacked
from sfumato.data.sharpness import Sharpness
from sfumato.data.spec import Spec, to_data
from sfumato.data.volumes import as_volume, by_volume
from sfumato.errors import DataError
from sfumato.evenly import evenly
from sfumato.plain import read_object, shaped, shown
from sfumato.tables import read_rows
from sfumato.typing import Data, Labels, Masks


class OriginalSize(NamedTuple):
    """Height and width of an image in pixels, and its millimetres between rows and columns where they are known.

    Of a whole volume its planes, and what lies between them, come first.
    """

    size: tuple[int, ...]
    spacing: Spacing | None = None


class Dataset:
    """A prepared data set, opened. Row i of every array and of `cases` is the same case.

    Attributes:
        planes: the rows of the table: of whole volumes their planes, else the cases.
    """

    def __init__(
        self,
        spec: Spec,
        cases: Sequence[Case],
        sizes: Sequence[OriginalSize],
        images: StoredArrays,
        masks: StoredArrays | None,
        notes: Sequence[str] = (),
        sharpness: Sharpness | None = None,
        planes: Sequence[Case] = (),
    ) -> None:
        self.spec, self.cases, self.notes, self.sharpness = spec, tuple(cases), tuple(notes), sharpness
        self.planes = tuple(planes) or self.cases
        self._sizes, self._images, self._masks = tuple(sizes), images, masks
        index = {name: number for number, name in enumerate(spec.classes)}
        most = max(1, spec.readers)
        self._readings = torch.tensor([min(len(case.masks) or most, most) for case in cases], dtype=torch.int64)
        self._labels = torch.tensor([index.get(case.label or "", len(index)) for case in cases], dtype=torch.int64)

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open a prepared folder; arrays stay on disk.

        Raises:
            DataError: it is not a whole prepared data set.
        """
        entry = _description(folder)
        spec = Spec.from_dict(entry.spec)
        rows = read_rows(folder / "manifest.csv")
        planes = read_manifest(folder / "manifest.csv")
        images = open_array(folder / "images.npy")
        masks = open_array(folder / "masks.npy") if spec.has_masks else None
        cases, sizes = planes, [_original(folder, row) for row in rows]
        if spec.dimensions == 3:
            cases, sizes = _volumes(folder, planes, sizes, rows)
        if images.dtype != spec.stored_dtype:
            finding = f"{folder}: the images are stored as {images.dtype}"
            raise DataError(finding, expected=f"{spec.stored_dtype}", code="DATA-021")
        arrays = _by_case(folder, spec, sizes, images, masks)
        return cls(spec, cases, sizes, *arrays, entry.notes, entry.sharpness, planes)

    def without_classes(self) -> "Dataset":
        """The same data, of whose classes nothing is told: those who look at them see an unlabelled data set."""
        spec = replace(self.spec, classes=())
        return Dataset(
            spec, self.cases, self._sizes, self._images, self._masks, self.notes, self.sharpness, self.planes
        )

    def __len__(self) -> int:
        return len(self.cases)

    def rows(self, split: str, *, at_most: int | None = None) -> list[int]:
        """Rows of the cases in "train", "validation" or "test"; of many, `at_most` so many, equally spaced."""
        rows = [row for row, case in enumerate(self.cases) if case.split == split]
        return rows if at_most is None else evenly(rows, at_most)

    def real(self, rows: Sequence[int]) -> list[int]:
        """Those of the rows whose images count as real: marked so; all where none of the data set is, as with toys."""
        marked = {row for row, case in enumerate(self.cases) if case.origin == "real"}
        return [row for row in rows if not marked or row in marked]

    def images(self, rows: Sequence[int], device: torch.device | str = "cpu") -> Data:
        """Images or volumes of these rows, float32 in [-1, 1], channels-last in memory.

        Raises:
            ValueError: they have different sizes.
        """
        return to_data(stacked(self._images, rows), self.spec, device)

    def size(self, row: int) -> tuple[int, ...]:
        """Height and width in pixels in which a case is stored; of a volume its planes before them."""
        return self._images[row].shape[:-1]

    def alike(self, rows: Sequence[int], at_most: int) -> Iterator[list[int]]:
        """The rows in their order, in lists of one size, at most so many in each."""
        for _, group in groupby(rows, key=self.size):
            same = list(group)
            yield from (same[start : start + at_most] for start in range(0, len(same), at_most))

    def masks(
        self, rows: Sequence[int], readers: Sequence[int] | None = None, device: torch.device | str = "cpu"
    ) -> Masks:
        """Class index of each pixel, uint8 as stored, one reader's mask for each row.

        Args:
            rows: which cases.
            readers: whose mask for each of them, below `readings`; the first reader's when not given.
            device: where the masks are wanted.
        """
        if self._masks is None:
            raise ValueError("a data set for generation has no masks")
        chosen = [0] * len(rows) if readers is None else list(readers)
        if isinstance(self._masks, Ragged):
            masks = np.stack([self._masks[row][reader] for row, reader in zip(rows, chosen, strict=True)])
        else:
            masks = self._masks[list(rows), chosen]
        return torch.from_numpy(masks).to(device, non_blocking=True)

    def parts(self, rows: Sequence[int], corners: Sequence[Sequence[int]], size: tuple[int, ...]) -> "Dataset":
        """A data set of boxes of one size out of some of the cases, in memory; of readers who say nothing beyond masks.

        Args:
            rows: which cases; case i of the result is that of row i.
            corners: where each box begins, (through,) down and across; below 0 outside, where an image is its
                reflection.
            size: the sides of the boxes.
        """
        places = list(zip(rows, corners, strict=True))
        images = np.stack([cut_out(self._images[row], corner, size) for row, corner in places])
        masks = None
        if self._masks is not None:
            masks = np.stack(
                [
                    np.stack([cut_out(mask, corner, size, outside=IGNORED) for mask in self._masks[row]])
                    for row, corner in places
                ]
            )
        spec = replace(self.spec, size=size, spacing=None, keep_aspect=False, crop=False, ignore=masks is not None)
        sizes = [OriginalSize(size)] * len(rows)
        return Dataset(spec, [self.cases[row] for row in rows], sizes, images, masks, self.notes)

    def mask(self, row: int, reader: int = 0) -> np.ndarray:
        """Class index of each pixel of a case by one reader, uint8 as stored and where it is stored: not copied."""
        if self._masks is None:
            raise ValueError("a data set for generation has no masks")
        stored: np.ndarray = self._masks[row][reader]
        return stored

    def readings(self, rows: Sequence[int]) -> Labels:
        """How many readers outlined each case; the masks behind theirs say nothing (`mask.IGNORED`)."""
        return self._readings[list(rows)]

    def labels(self, rows: Sequence[int]) -> Labels:
        """Class index of each case; the number of classes itself for a case without a class."""
        return self._labels[list(rows)]

    def stored(self, row: int) -> list[memoryview]:
        """The bytes of an image and of its masks, as they are stored."""
        arrays = [self._images] if self._masks is None else [self._images, self._masks]
        return [np.ascontiguousarray(array[row]).data for array in arrays]

    def image_crops(
        self,
        rows: Sequence[int],
        corners: Sequence[Sequence[int]],
        size: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> Data:
        """Boxes out of images, read without the rest, as `images` gives them; beyond an image lies its reflection.

        Args:
            rows: which cases.
            corners: where each box begins, (through,) down and across; below 0 outside.
            size: the sides of the boxes.
            device: where they are wanted.
        """
        boxes = [cut_out(self._images[row], corner, size) for row, corner in zip(rows, corners, strict=True)]
        return to_data(np.stack(boxes), self.spec, device)

    def mask_crops(
        self,
        rows: Sequence[int],
        corners: Sequence[Sequence[int]],
        size: Sequence[int],
        readers: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> Masks:
        """The same boxes out of the masks of these readers, as `masks` gives them; beyond says nothing (`IGNORED`)."""
        boxes = [
            cut_out(self.mask(row, reader), corner, size, outside=IGNORED)
            for row, corner, reader in zip(rows, corners, readers, strict=True)
        ]
        return torch.from_numpy(np.stack(boxes)).to(device, non_blocking=True)

    def placement(self, row: int) -> Placement:
        """The way back to the original size of a case."""
        return self.spec.canvas.place(*self._sizes[row])


def _by_case(
    folder: Path, spec: Spec, sizes: Sequence[OriginalSize], images: np.ndarray, masks: np.ndarray | None
) -> tuple[StoredArrays, StoredArrays | None]:
    """The arrays, of which item i is case i.

    Raises:
        DataError: they have another shape.
    """
    every = [spec.canvas.place(*original).canvas for original in sizes]
    shapes = [[(*size, spec.channels) for size in every], [(spec.readers, *size) for size in every]]
    given = [(images, shapes[0]), *([] if masks is None else [(masks, shapes[1])])]
    if spec.size is None:
        expected: list[tuple[int, ...]] = [(sum(map(math.prod, each)),) for _, each in given]
    else:
        expected = [(len(each), *spec.size, spec.channels) for _, each in given[:1]]
        expected += [(len(each), spec.readers, *spec.size) for _, each in given[1:]]
    if (found := [array.shape for array, _ in given]) != expected:
        raise DataError(f"{folder}: the arrays have the shapes {found}", expected=f"{expected}", code="DATA-021")
    if spec.size is not None:
        return images, masks
    return Ragged(images, shapes[0]), None if masks is None else Ragged(masks, shapes[1])


class _Entry(BaseModel):
    """What `dataset.json` holds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int
    spec: Any = None
    notes: tuple[str, ...] = ()
    sharpness: Sharpness | None = None


def _original(folder: Path, row: Mapping[str, str]) -> OriginalSize:
    """The size of an image before it was prepared.

    Raises:
        DataError: the table does not say it, or in numbers that no image has.
    """
    try:
        spacing = (float(row["row_mm"]), float(row["column_mm"])) if row.get("row_mm") else None
        original = OriginalSize((int(row["height"]), int(row["width"])), spacing)
    except (KeyError, ValueError) as error:
        raise _wrong_size(folder, row, str(error)) from error
    height, width = original.size
    if not (0 < height <= MAX_PIXELS and 0 < width <= MAX_PIXELS and height * width <= MAX_PIXELS):
        raise _wrong_size(folder, row, f"{shown(row['height'])} x {shown(row['width'])} pixels")
    if spacing is not None and not all(0 < step < float("inf") for step in spacing):
        raise _wrong_size(folder, row, f"{shown(row['row_mm'])} x {shown(row['column_mm'])} mm")
    return original


def _volumes(
    folder: Path, planes: Sequence[Case], sizes: Sequence[OriginalSize], rows: Sequence[Mapping[str, str]]
) -> tuple[list[Case], list[OriginalSize]]:
    """Whole volumes by their planes.

    Raises:
        DataError: the table has other images, or does not say how far the planes lie apart.
    """
    cases, whole, first = list[Case](), list[OriginalSize](), 0
    for volume in by_volume(planes):
        size, spacing = sizes[first]
        try:
            between = float(rows[first].get("plane_mm") or "nan")
        except ValueError as error:
            raise _wrong_size(folder, rows[first], str(error)) from error
        if spacing is not None and not 0 < between < float("inf"):
            raise _wrong_size(folder, rows[first], f"{shown(rows[first].get('plane_mm'))} mm between planes")
        whole.append(OriginalSize((len(volume), *size), None if spacing is None else (between, *spacing)))
        cases.append(as_volume(volume))
        first += len(volume)
    return cases, whole


def _wrong_size(folder: Path, row: Mapping[str, str], found: str) -> DataError:
    return DataError(
        f"{folder}: manifest.csv tells no size of {shown(row['id'])}: {found}",
        expected="height and width in pixels, and row_mm and column_mm or neither",
        remedy="sfumato prepare SOURCE again",
        code="DATA-021",
    )


def _description(folder: Path) -> _Entry:
    def fault(finding: str) -> DataError:
        return DataError(
            f"{folder} is no prepared data set: dataset.json {finding}",
            remedy=f"sfumato prepare SOURCE --out {folder}",
            code="DATA-021",
        )

    entry = shaped(_Entry.model_validate, read_object(folder / "dataset.json", fault), fault)
    if entry.format not in (FORMAT, RAGGED_FORMAT):
        newer = entry.format > RAGGED_FORMAT
        age, remedy = ("a newer", "install a newer sfumato") if newer else ("an older", "prepare it again")
        finding = f"{folder} was written by {age} sfumato (form {shown(entry.format)})"
        raise DataError(finding, expected=f"form {FORMAT} or {RAGGED_FORMAT}", remedy=remedy, code="DATA-021")
    return entry
