"""Which patch of a large image is trained on: any, or one in which there is something to be found.

A third of the patches are centred on foreground: on a pixel drawn from all those of a class that is drawn from the
classes of the mask (Isensee et al. 2021, nnU-Net); a patch stays within the image, so a pixel near its edge is in the
patch and not in its middle. The others begin anywhere, each place as likely. Where an image is smaller than the patch,
it lies in the middle of it.

Which pixels have a class is remembered as their number in each line of a mask: that is little, and enough to draw one
of all with the same probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import SPLITS
from sfumato.data.mask import IGNORED
from sfumato.randomness import Noise, derive_seed

ON_FOREGROUND = 1 / 3
"""Share of the patches that are centred on foreground."""

_NUMBERS = 4
"""Uniform numbers that decide about foreground: whether, which class, and which pixel (two, for large volumes)."""


MOST_PARTS = 200
"""Cases of each split, at most, of which a part is kept in memory."""

JUDGED = 4
"""Patches that what a validation looks at in a large image is as large as: it must not take longer than training."""


class ImageBox(NamedTuple):
    """A part of an image: where it begins on each axis, and its sides."""

    corner: tuple[int, ...]
    size: tuple[int, ...]


class _Lines(NamedTuple):
    """Where a class is in a mask: how many of its pixels the lines up to each have."""

    ends: Int[np.ndarray, " lines"]

    @classmethod
    def of(cls, mask: np.ndarray, index: int) -> "_Lines":
        """Of a class in a mask."""
        return cls(np.cumsum((mask == index).reshape(-1, mask.shape[-1]).sum(1, dtype=np.int64)))

    def place(self, mask: np.ndarray, index: int, u: float) -> tuple[int, ...]:
        """The pixel of the class at the quantile `u` in [0, 1) of all its pixels."""
        number = min(int(u * self.ends[-1]), int(self.ends[-1]) - 1)
        line = int(np.searchsorted(self.ends, number, side="right"))
        before = int(self.ends[line - 1]) if line else 0
        where = np.unravel_index(line, mask.shape[:-1])
        column = np.flatnonzero(mask[where] == index)[number - before]
        return (*(int(each) for each in where), int(column))


@dataclass
class Patches:
    """Draws patches of the cases of a dataset with masks.

    Args:
        dataset: the dataset.
        size: sides of a patch.
    """

    dataset: Dataset
    size: tuple[int, ...]
    _present: dict[tuple[int, int], list[int]] = field(default_factory=dict, repr=False)
    _lines: dict[tuple[int, int, int], _Lines] = field(default_factory=dict, repr=False)

    def corners(self, rows: Sequence[int], readers: Sequence[int], noise: Noise) -> list[list[int]]:
        """Where a patch of each case begins, by its own noise; below 0 where an image is smaller than a patch.

        Args:
            rows: which cases.
            readers: whose mask says where foreground is, for each of them.
            noise: one generator for each.
        """
        numbers = noise.on("cpu").uniform(_NUMBERS + len(self.size)).double().tolist()
        return [self._corner(*each, self.size) for each in zip(rows, readers, numbers, strict=True)]

    def judged(self, row: int, noise: Noise) -> ImageBox:
        """What a validation looks at in the image of a case: all of it, or of a large one a part around foreground.

        Args:
            row: which case; its first reader says where foreground is.
            noise: one generator.
        """
        sides = [round(JUDGED ** (1 / len(self.size)) * side) for side in self.size]
        size = [min(side, length) for side, length in zip(sides, self.dataset.size(row), strict=True)]
        return ImageBox(tuple(self.around_foreground(row, noise, size)), tuple(size))

    def around_foreground(self, row: int, noise: Noise, size: Sequence[int]) -> list[int]:
        """Where a part of an image begins that has foreground in it, if there is any."""
        _, *drawn = noise.on("cpu").uniform(_NUMBERS + len(size)).double()[0].tolist()
        return self._corner(row, 0, [0.0, *drawn], size)

    def _corner(self, row: int, reader: int, drawn: Sequence[float], size: Sequence[int]) -> list[int]:
        """Where a patch of a size begins on each axis."""
        whether, which, coarse, fine, *along = drawn
        mask = self.dataset.mask(row, reader)
        classes = self._classes(mask, row, reader)
        if whether >= ON_FOREGROUND or not classes:
            return [_anywhere(u, length, side) for u, length, side in zip(along, mask.shape, size, strict=True)]
        index = classes[int(which * len(classes))]
        lines = self._lines.get((row, reader, index))
        if lines is None:
            lines = self._lines[row, reader, index] = _Lines.of(mask, index)
        centre = lines.place(mask, index, coarse + fine / 2**24)
        return [_around(*each) for each in zip(centre, mask.shape, size, strict=True)]

    def _classes(self, mask: np.ndarray, row: int, reader: int) -> list[int]:
        """The foreground classes of a mask."""
        found = self._present.get((row, reader))
        if found is None:
            counts = np.bincount(mask.reshape(-1), minlength=IGNORED + 1)
            found = self._present[row, reader] = [int(k) for k in np.flatnonzero(counts) if 0 < k < IGNORED]
        return found


def in_parts_of_one_size(dataset: Dataset, window: tuple[int, ...] | None) -> Dataset:
    """A dataset whose images have one size: itself, or of large images a part of the size of a window each.

    Measures that compare images with each other need them so, and take no longer for large ones. The parts lie around
    foreground, always the same; of each split `MOST_PARTS` cases, equally spaced.

    Args:
        dataset: the dataset.
        window: sides of the windows in which a model sees its images; None: it sees them whole.
    """
    if window is None:
        return dataset
    rows = [row for split in SPLITS for row in dataset.rows(split, at_most=MOST_PARTS)]
    patches = Patches(dataset, window)
    noises = (Noise([derive_seed("part", dataset.cases[row].id)]) for row in rows)
    corners = [patches.around_foreground(row, noise, window) for row, noise in zip(rows, noises, strict=True)]
    return dataset.parts(rows, corners, window)


def _anywhere(u: float, length: int, side: int) -> int:
    """The start of a patch that begins anywhere in the image, from a number in [0, 1)."""
    return int(u * (length - side + 1)) if length > side else (length - side) // 2


def _around(centre: int, length: int, side: int) -> int:
    """The start of a patch around a pixel, moved into the image."""
    return min(max(centre - side // 2, 0), length - side) if length > side else (length - side) // 2
