"""Masks laid on their images where the two files do not say that they lie on one grid, and yet nothing is in doubt.

    the same grid              voxel by voxel
    another form of one grid   a header that leaves a choice (`Header.alternatives`: two orientations or none, a unit
                               that most programs ignore) lies elsewhere for the program in which the mask was drawn
    a box of the grid          a segmentation that its program cut to what is drawn (3D Slicer's `.seg.nrrd`), or a
                               DICOM series of the image's frame of reference on some of its slices

Everything else is refused. What was assumed is said.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.grid import GRID_TOLERANCE, Affine, Grid, codes_of, grid_differences
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import AXES, Axis, VolumeHeader, Window, grid_of
from sfumato.errors import DataError

Three = tuple[int, int, int]


class Box(NamedTuple):
    """A box of a grid, in voxels along L, P and S: its first voxel, its size, and the size of the whole."""

    first: Three
    size: Three
    whole: Three


class Laid(NamedTuple):
    """How a mask is laid on its image.

    Attributes:
        codes: where the stored axes of the mask run to, if not to where its affine says.
        box: where it lies, if it is smaller than its image.
        note: what was assumed.
        values: pairs of a stored value and the one that it stands for (`formats.volume.PlaneAddress`).
    """

    codes: str = ""
    box: Box | None = None
    note: str = ""
    values: tuple[tuple[int, int], ...] = ()

    def member(self, axis: Axis, number: int, component: int | None = None) -> str:
        """The plane of the mask that lies on a plane of its image, as the member of a locator, for one component."""
        how = f"@{self.codes}" if self.codes else ""
        if self.box is not None:
            number, how = number - self._first(axis)[0], f"@{self._window(axis)}"
        values = ",".join(f"{stored}={value}" for stored, value in self.values)
        part = "" if component is None else f"/{component}"
        return f"{axis}/{number}{part}{how}{f'@values:{values}' if values else ''}"

    def _first(self, axis: Axis) -> Three:
        """The first plane, row and column of the box as planes are shown."""
        assert self.box is not None
        (slices, rows, columns), flipped = AXES[axis]
        first = list(self.box.first)
        if flipped:
            first[rows] = self.box.whole[rows] - self.box.first[rows] - self.box.size[rows]
        return first[slices], first[rows], first[columns]

    def _window(self, axis: Axis) -> Window:
        assert self.box is not None
        (_, rows, columns), _ = AXES[axis]
        _, row, column = self._first(axis)
        return Window(row, self.box.whole[rows], column, self.box.whole[columns])


def lay_mask(image: Path, mask: Path) -> Laid:
    """How a mask lies on its image.

    Raises:
        DataError: the grids differ, and in what; or a file cannot be read.
    """
    laid = find_laid(read_header(image), read_header(mask))
    if isinstance(laid, Laid):
        return laid
    raise _other_grid(image, mask, laid)


def find_laid(whole: VolumeHeader, drawn: VolumeHeader) -> Laid | list[str]:
    """How a mask lies on its image, or in what the two grids differ."""
    found = grid_differences(grid_of(drawn), grid_of(whole))
    if not found:
        return Laid()
    for other, note in _readings(whole, drawn):
        codes = codes_of(other)
        return Laid(codes="" if codes == codes_of(drawn.affine) else codes, note=note)
    places_itself = drawn.label or (drawn.space is not None and drawn.space == whole.space)
    if places_itself and (box := _box(grid_of(drawn), grid_of(whole))):
        return Laid(box=box, note=_about(box))
    return found


def _about(box: Box) -> str:
    """What is assumed of a box."""
    if sum(size < whole for size, whole in zip(box.size, box.whole, strict=True)) == 1:
        return "a mask lies on some slices of its image, by their positions: slices without one are empty"
    return "a segmentation is cut to a box of its image: the rest of it is empty"


def _other_grid(image: Path, mask: Path, found: Sequence[str]) -> DataError:
    return DataError(
        f"{mask} lies on another grid than its image {image}: {'; '.join(found)}",
        expected="a mask on the grid of its image: as many voxels, at the same places",
        remedy=_advice(*(grid_of(read_header(path)) for path in (mask, image))),
        code="DATA-012",
    )


def _advice(drawn: Grid, whole: Grid) -> str:
    """What helps where a mask does not lie on its image: resampling only where both show the same place."""
    other = [axis for axis in range(3) if drawn.shape[axis] != whole.shape[axis]]
    if [drawn.shape[axis] for axis in other] == [1]:
        return (
            f"the mask has one plane, and its image {whole.shape[other[0]]}: if these are channels or colours, "
            "--component planes; if the mask was drawn on one of them, keep that plane of the image alone"
        )
    lengths = [np.array(grid.shape[:3]) * grid.spacing for grid in (drawn, whole)]
    as_long = (np.abs(lengths[0] - lengths[1]) <= np.maximum(drawn.spacing, whole.spacing)).all()
    if other and not as_long and (np.abs(drawn.spacing - whole.spacing) <= GRID_TOLERANCE * whole.spacing).all():
        return (
            "one of the two was cut out of a larger one, or padded: cut the image to the part that the mask shows, or "
            "put the mask into an empty one of the image's size; or export it anew"
        )
    return "resample the mask onto the image (nearest neighbour), or export it anew"


def _readings(whole: VolumeHeader, drawn: VolumeHeader) -> Iterator[tuple[Affine, str]]:
    """Affines of the mask that lay it on its image, by what one of the two files leaves open."""
    for place, why in whole.alternatives:
        if not grid_differences(grid_of(drawn), Grid.of(whole.shape, place)):
            note = f"a mask does not lie where its image does, but at {why}: laid on it voxel by voxel"
            yield whole.affine @ np.linalg.inv(place) @ drawn.affine, note
    for place, why in drawn.alternatives:
        if not grid_differences(Grid.of(drawn.shape, place), grid_of(whole)):
            yield (
                place,
                f"an image does not lie where its mask does, but at {why}: the mask was laid on it voxel by voxel",
            )


def _box(part: Grid, whole: Grid) -> Box | None:
    """The box of a grid that another is, whose axes, steps and voxels are the same; a single plane has no step."""
    steps = np.where(np.array(part.shape[:3]) == 1, whole.steps, part.steps)
    if (np.abs(steps - whole.steps) > GRID_TOLERANCE * whole.spacing).any():
        return None
    start = np.linalg.solve(whole.steps, part.origin - whole.origin)
    first = np.rint(start).astype(int)
    outside = (first < 0).any() or (first + part.shape[:3] > whole.shape[:3]).any()
    if outside or np.abs(start - first).max() > GRID_TOLERANCE * max(whole.shape):
        return None
    return Box(_three(first), _three(part.shape), _three(whole.shape))


def _three(numbers: np.ndarray | tuple[int, ...]) -> Three:
    along, across, up = (int(number) for number in numbers[:3])
    return along, across, up
