"""Where voxels lie: axes turned to L, P, S, whatever their order in the file, and grids compared.

An affine leads from the stored index (i, j, k) to millimetres, to the patient's right, front and head (RAS, as in
NIfTI). Oblique axes count as what they are closest to.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from sfumato.errors import DataError

Affine = Float64[np.ndarray, "4 4"]

MAX_MILLIMETRES = 1e12
"""Larger numbers in an affine are damage, and their squares overflow."""

MAX_VOXELS = 2**31
"""More voxels than this are refused before anything is allocated."""

GRID_TOLERANCE = 1e-3
"""Two grids are the same where steps and origins differ by less than this share of a step."""


def to_lps(affine: Affine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which stored axis lies along L, P and S, and whether it runs that way (1) or against it (-1)."""
    import nibabel

    return _towards_lps(nibabel.orientations.io_orientation(affine))


def codes_to_lps(codes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same from letters that say where the stored axes run to, such as "LAS"."""
    import nibabel

    return _towards_lps(nibabel.orientations.axcodes2ornt(codes))


def codes_of(affine: Affine) -> str:
    """Where stored axes run to, as letters."""
    import nibabel

    return "".join(nibabel.aff2axcodes(affine))


def _towards_lps(orientation: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    import nibabel

    towards = nibabel.orientations.ornt_transform(orientation, nibabel.orientations.axcodes2ornt("LPS"))
    order = tuple(int(np.flatnonzero(towards[:, 0] == target)[0]) for target in range(3))
    return order, tuple(int(towards[source, 1]) for source in order)


class Grid(NamedTuple):
    """Where voxels lie once their axes are turned to L, P, S, so that the order of storing does not count.

    Attributes:
        shape: voxels along these axes.
        steps: from a voxel to the next along each axis, in columns, in millimetres (RAS).
        origin: centre of the first voxel in millimetres (RAS).
    """

    shape: tuple[int, ...]
    steps: Float64[np.ndarray, "3 3"]
    origin: Float64[np.ndarray, "3"]

    @classmethod
    def of(cls, stored: Sequence[int], affine: Affine) -> "Grid":
        """From the shape of a volume as stored, and its affine."""
        order, signs = to_lps(affine)
        shape = tuple(stored[axis] for axis in order)
        steps = affine[:3, list(order)] * signs
        last = [(size - 1) * (sign < 0) for size, sign in zip(shape, signs, strict=True)]
        return cls(shape, steps, affine[:3, 3] - steps @ np.array(last, np.float64))

    @property
    def spacing(self) -> Float64[np.ndarray, "3"]:
        """Millimetres between voxels."""
        return np.asarray(np.linalg.norm(self.steps, axis=0))


def grid_differences(one: Grid, other: Grid) -> list[str]:
    """In what two grids differ, in words; lengths are to the left, back and head."""
    found = []
    if one.shape != other.shape:
        found.append(f"{_times(one.shape)} voxels instead of {_times(other.shape)}")
    if (np.abs(one.spacing - other.spacing) > GRID_TOLERANCE * other.spacing).any():
        found.append(f"spacing {_times(one.spacing)} mm instead of {_times(other.spacing)} mm")
    elif (np.abs(one.steps - other.steps) > GRID_TOLERANCE * other.spacing).any():
        turned = np.einsum("ij,ij->j", one.steps, other.steps) / (one.spacing * other.spacing)
        found.append(f"its axes are turned by {np.degrees(np.arccos(turned.min().clip(-1, 1))):.3g} degrees")
    if (np.abs(one.origin - other.origin) > GRID_TOLERANCE * other.spacing.min()).any():
        found.append(f"origin {_point(one.origin)} mm instead of {_point(other.origin)} mm")
    return found


def _times(numbers: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _point(numbers: np.ndarray) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"


def check_geometry(path: Path, shape: Sequence[int], affine: Affine) -> None:
    """Refuse what cannot be a volume, before anything is allocated; the readers of all formats call it.

    Raises:
        DataError: an axis has no voxels, there are too many, or the affine does not span space.
    """
    if min(shape) < 1:
        finding = f"{path} has the impossible shape {' x '.join(map(str, shape))}"
        raise DataError(finding, expected="at least one voxel along each axis", code="DATA-009")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(
            f"{path} is too large: {' x '.join(map(str, shape))} = {math.prod(shape):,} voxels",
            expected=f"at most {MAX_VOXELS:,} voxels",
            remedy="crop it or save it at a lower resolution",
            code="DATA-007",
        )
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        spread = np.linalg.det(affine[:3, :3] / lengths)  # the volume that three directions span: 1 at right angles
    if not (np.abs(affine) < MAX_MILLIMETRES).all() or not np.abs(spread) > 1e-6:
        raise DataError(
            f"{path}: its orientation is degenerate; the affine is {affine[:3].round(6).tolist()}",
            expected="three axes with a length, that do not lie in one plane",
            remedy="mend the orientation in its header (sform and qform, space directions, TransformMatrix)",
            code="DATA-032",
        )
