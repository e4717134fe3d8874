"""How far apart the surfaces of two masks lie, in the unit of the spacing.

The *boundary* of a mask are its voxels with a face neighbour outside; beyond the image everything is outside. With
d(a, B) the Euclidean distance of the voxel centre a to the nearest of B, and A and B the two boundaries,

    HD_q = max( q-th percentile of d(a, B),  q-th percentile of d(b, A) )          HD = HD_100              (1)
    ASSD = ( sum_a d(a, B) + sum_b d(b, A) ) / ( |A| + |B| )                                                (2)

The normalised surface Dice (Nikolov et al. 2018, arXiv 1809.04430) takes the surface between the voxels instead, cell
by cell (`surfel`), each cell at its centre with the area S of the surface in it:

    NSD_t = ( sum_{a: d(a, B) <= t} S_a + sum_{b: d(b, A) <= t} S_b ) / ( sum_a S_a + sum_b S_b )           (3)

In (1) the percentile is taken of each direction; tools that pool both, or weigh by area, report other values under the
same name. None of the three is defined for an empty mask: `masks` says what counts then. Only the places of the two
masks relative to each other matter, so both may be cut to the box that holds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from sfumato.metrics.surfel import areas, codes

Mask = Bool[np.ndarray, "*space"]
"""A mask of one class, two- or three-dimensional."""

_Points = Float[np.ndarray, "points dimensions"]
"""Places in the unit of the spacing."""

_PerPoint = Float[np.ndarray, " points"]

_ROUNDING = 1e-6
"""Relative: three voxels of 0.1 mm lie within a tolerance of 0.3 mm, whatever the last bit says."""


class Distances(NamedTuple):
    """From each boundary voxel of one mask to the nearest of the other.

    Attributes:
        to_reference: from the prediction's boundary.
        to_prediction: from the reference's boundary.
    """

    to_reference: Float[np.ndarray, " a"]
    to_prediction: Float[np.ndarray, " b"]


@dataclass(frozen=True)
class MaskPair:
    """Two masks of a class that both have, cut to the box that holds them: what a score of outlines is given.

    Attributes:
        prediction: the one mask.
        reference: the other.
        spacing: size of a voxel along each axis.
        tolerance: the distance that still counts as agreement, in the unit of the spacing.
    """

    prediction: Mask
    reference: Mask
    spacing: Sequence[float]
    tolerance: float

    @cached_property
    def distances(self) -> Distances:
        """Between the two boundaries, measured once for all scores that are made of them."""
        return distances(self.prediction, self.reference, spacing=self.spacing)


class Surface(NamedTuple):
    """The surface between the voxels.

    Attributes:
        points: centre of each cell that it crosses.
        area: its area in the cell, in the square of the unit of the spacing; in the plane its length.
    """

    points: _Points
    area: _PerPoint


def distances(prediction: Mask, reference: Mask, *, spacing: Sequence[float]) -> Distances:
    """The distances between two boundaries, of which (1) and (2) are made.

    Args:
        prediction: the one mask, not empty.
        reference: the other, of the same shape, not empty.
        spacing: size of a voxel along each axis.
    """
    first, second = boundary(prediction, spacing=spacing), boundary(reference, spacing=spacing)
    return Distances(to_reference=_nearest(first, second), to_prediction=_nearest(second, first))


def hd(between: Distances, *, percentile: float = 100.0) -> float:
    """Hausdorff distance, equation (1), or a percentile of it."""
    return float(max(np.percentile(way, percentile) for way in between))


def hd95(between: Distances) -> float:
    """The larger of the two directed 95th percentiles, equation (1): up to 5 % of a boundary may lie anywhere."""
    return hd(between, percentile=95.0)


def assd(between: Distances) -> float:
    """Average symmetric surface distance, equation (2)."""
    return float(np.concatenate(between).mean())


def nsd(prediction: Mask, reference: Mask, *, tolerance: float, spacing: Sequence[float]) -> float:
    """Normalised surface Dice, equation (3), in [0, 1].

    Args:
        prediction: the one mask, not empty.
        reference: the other, of the same shape, not empty.
        tolerance: the distance that still counts as agreement, in the unit of the spacing.
        spacing: size of a voxel along each axis.
    """
    first, second = surface_of(prediction, spacing=spacing), surface_of(reference, spacing=spacing)
    limit = tolerance * (1.0 + _ROUNDING)
    close = first.area[_nearest(first.points, second.points) <= limit].sum()
    close += second.area[_nearest(second.points, first.points) <= limit].sum()
    return float(close / (first.area.sum() + second.area.sum()))


def boundary(mask: Mask, *, spacing: Sequence[float]) -> _Points:
    """The centres of the boundary voxels of a mask."""
    padded = np.pad(mask, 1)
    deep = mask.copy()
    for axis, size in enumerate(mask.shape):
        for at in (0, 2):
            part = [slice(1, -1)] * mask.ndim
            part[axis] = slice(at, at + size)
            deep &= padded[tuple(part)]
    points: _Points = np.argwhere(mask & ~deep) * np.asarray(spacing, np.float64)
    return points


def surface_of(mask: Mask, *, spacing: Sequence[float]) -> Surface:
    """The surface of a mask between its voxels, cell by cell."""
    code = codes(np.pad(mask, 1))
    area = areas(spacing)
    crossed = (code > 0) & (code < len(area) - 1)
    return Surface(points=np.argwhere(crossed) * np.asarray(spacing, np.float64), area=area[code[crossed]])


def _nearest(points: Float[np.ndarray, "a d"], others: Float[np.ndarray, "b d"]) -> Float[np.ndarray, " a"]:
    """The distance of each point to the nearest of the others.

    A tree over the boundary costs with the boundary's length, a distance transform with the volume around both masks.
    It is built for one query: a balanced one would take longer to build than it saves.
    """
    from scipy.spatial import KDTree  # slow and large: verbs that only name scores do without

    return np.asarray(KDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0])
