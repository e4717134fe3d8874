"""The surface of a mask between its voxels: marching squares and marching cubes at the half level.

A *cell* has the centres of 2^d neighbouring voxels as corners, d = 2 or 3; bit i of its *code* says whether corner i
lies inside the mask. The surface meets the edges whose two ends differ at their midpoints: segments in a square, and in
a cube the closed polygons that the segments of its six faces form (Lorensen and Cline, SIGGRAPH 1987). With n the
normal of an element times its area (in the plane its length) in the unit cell, voxels of s_1 x ... x s_d give

    area = |n * (s_1 ... s_d) / s|        elementwise                                                          (1)

Two choices make the area of a code definite. Where the corners of a face alternate, those of the rarer kind in the cell
are cut off one by one. A polygon that is not flat is triangulated so that its area in the unit cube is largest. With
these the areas are those of the surface Dice of Nikolov et al. (2018, arXiv 1809.04430), for all 16 and 256 codes.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, UInt8

Corner = tuple[int, ...]
"""A corner of the unit cell."""

_Point = tuple[float, ...]
"""A point of the unit cell."""

Vectors = list[Float[np.ndarray, " d"]]
"""Normal times area of each element of a surface."""

_Cells = UInt8[np.ndarray, "..."]
"""The code of each cell; one cell fewer than voxels along each axis."""


def codes(mask: Bool[np.ndarray, "..."]) -> _Cells:
    """The code of each cell of a mask, 0 (all outside) to 2^(2^d) - 1 (all inside)."""
    code = np.zeros([size - 1 for size in mask.shape], np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        part = tuple(slice(at, size - 1 + at) for at, size in zip(corner, mask.shape, strict=True))
        code |= mask[part].view(np.uint8) << bit
    return code


def areas(spacing: Sequence[float]) -> Float[np.ndarray, " codes"]:
    """The area of the surface in a cell of each code, equation (1); in the plane its length.

    Args:
        spacing: size of a voxel along each of the 2 or 3 axes; the areas are in its square (its unit in the plane).
    """
    size = np.asarray(spacing, np.float64)
    area: Float[np.ndarray, " codes"] = np.linalg.norm(_table(len(size)) * (size.prod() / size), axis=-1).sum(axis=-1)
    return area


@cache
def _table(dimensions: int) -> Float[np.ndarray, "codes elements d"]:
    """The vectors of all elements in a unit cell of each code, filled up with zeros."""
    corners = _corners(dimensions)
    table = np.zeros((2 ** len(corners), 4, dimensions))
    for code in range(len(table)):
        inside = {corner for bit, corner in enumerate(corners) if code >> bit & 1}
        vectors = _elements(min(inside, set(corners) - inside, key=len), dimensions=dimensions)
        table[code, : len(vectors)] = np.reshape(vectors, (-1, dimensions))
    return table


def _corners(dimensions: int) -> list[Corner]:
    return list(product((0, 1), repeat=dimensions))


def _elements(few: set[Corner], *, dimensions: int) -> Vectors:
    """The surface in the unit cell whose corners `few` lie on one side and all others on the other."""
    if dimensions == 2:
        segments = _segments(few, [(0, 0), (1, 0), (1, 1), (0, 1)])
        return [np.array([y1 - y0, x0 - x1]) for (x0, y0), (x1, y1) in segments]
    loops = _loops([segment for face in _faces() for segment in _segments(few, face)])
    return [vector for loop in loops for vector in _triangles(loop)]


def _faces() -> list[list[Corner]]:
    """The four corners of each face of the cube, in their order around it."""
    around = [(0, 0), (1, 0), (1, 1), (0, 1)]
    return [[(*at[:axis], side, *at[axis:]) for at in around] for axis in range(3) for side in (0, 1)]


def _segments(few: set[Corner], face: Sequence[Corner]) -> list[tuple[_Point, _Point]]:
    """The lines that separate the corners `few` of a square from the others, between midpoints of its edges."""
    following = [*face[1:], face[0]]
    middles = [tuple((a + b) / 2 for a, b in zip(*edge, strict=True)) for edge in zip(face, following, strict=True)]
    cut = [i for i in range(4) if (face[i] in few) != (following[i] in few)]
    if len(cut) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if face[i] in few]
    return [(middles[cut[0]], middles[cut[1]])] if cut else []


def _loops(segments: Sequence[tuple[_Point, _Point]]) -> list[list[_Point]]:
    """Segments joined to closed polygons; each point ends two of them."""
    links: defaultdict[_Point, list[_Point]] = defaultdict(list)
    for first, second in segments:
        links[first].append(second)
        links[second].append(first)
    loops = []
    while links:
        ahead, loop = [next(iter(links))], []
        while ahead:
            loop.append(ahead[0])
            ahead = [point for point in links.pop(ahead[0]) if point in links]
        loops.append(loop)
    return loops


def _triangles(polygon: Sequence[_Point]) -> Vectors:
    """The triangulation of a polygon with the largest area."""
    if len(polygon) < 3:
        return []
    first, last = np.array(polygon[0]), np.array(polygon[-1])
    choices = [
        [*_triangles(polygon[: k + 1]), np.cross(polygon[k] - first, last - first) / 2, *_triangles(polygon[k:])]
        for k in range(1, len(polygon) - 1)
    ]
    return max(choices, key=_area)


def _area(vectors: Vectors) -> float:
    return float(sum(np.linalg.norm(vector) for vector in vectors))
