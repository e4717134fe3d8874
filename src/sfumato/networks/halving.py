"""By how much each axis is divided from one level of a network to the next, where voxels are no cubes.

A slice of a scan may be five times as thick as its pixels are wide. To halve all axes alike would make of few thick
slices one, before anything is known of the plane; so (Isensee et al. 2021, nnU-Net)

    an axis is halved only while its spacing is within a factor 2 of the finest                           (1)

of the axes that can be halved still, and while at least `LEAST_SIDE` pixels of the patch remain on it. As long as an
axis waits for the others, planes are not mixed: its convolutions are one pixel wide there,

    kernel = 1 where an axis is not halved yet, now or before, but will be; else 3                        (2)

(1) decides as nnU-Net does but for a ratio of exactly 2, at which nnU-Net still waits. (2) is nnU-Net's too, but for
axes that are never halved, as those of few planes: these are mixed from the first level on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.errors import UsageError

LEAST_SIDE = 4
"""Pixels of a patch that remain on an axis at the least where it is halved."""

_COARSEST = 2.001
"""Spacing of an axis that is halved, in units of the finest: 2, and the rounding of headers."""


@dataclass(frozen=True)
class Halvings:
    """By how much each axis is divided from one level to the next.

    Attributes:
        factors: 1 or 2 for each axis; the finest level first.
        dimensions: number of axes.
    """

    factors: tuple[tuple[int, ...], ...]
    dimensions: int

    @classmethod
    def of(cls, halvings: Sequence[Sequence[int]] | None, *, levels: int, dimensions: int) -> "Halvings":
        """Those between so many levels; None: every axis is halved every time.

        Raises:
            UsageError: another number of levels or axes, or a factor that is neither 1 nor 2.
        """
        count = max(0, levels - 1)
        factors = ((2,) * dimensions,) * count if halvings is None else tuple(tuple(each) for each in halvings)
        if len(factors) != count or any(len(each) != dimensions or not {*each} <= {1, 2} for each in factors):
            raise UsageError(
                f"halvings {factors} for {levels} levels of {dimensions} dimensions",
                expected=f"{count} times {dimensions} numbers, each 1 (kept) or 2 (halved)",
            )
        return cls(factors, dimensions)

    def sides(self, level: int) -> tuple[int, ...]:
        """Sides in pixels of what is one pixel of a level (0 = full resolution)."""
        return tuple(math.prod(each[axis] for each in self.factors[:level]) for axis in range(self.dimensions))

    def kernel(self, level: int) -> tuple[int, ...]:
        """Sides of the convolutions of a level: equation (2)."""
        return tuple(1 if level < self._begins(axis) else 3 for axis in range(self.dimensions))

    def _begins(self, axis: int) -> int:
        """The first level from which an axis is halved; 0 if it never is."""
        return next((level for level, each in enumerate(self.factors) if each[axis] == 2), 0)


def level_halvings(
    size: Sequence[int], spacing: Sequence[float] | None, levels: int
) -> tuple[tuple[int, ...], ...] | None:
    """By how much each axis is to be divided from one level to the next: equation (1).

    Args:
        size: sides in pixels of what the network sees in training.
        spacing: of its pixels, mm on each axis; None: the same on every axis.
        levels: of the network.

    Returns:
        1 or 2 for each axis, `levels` - 1 times, the finest level first; None for images, whose axes are all halved.

    Raises:
        UsageError: at some level no axis can be halved any more.
    """
    if len(size) == 2:
        return None
    factors, sides, present = list[tuple[int, ...]](), [1] * len(size), list(spacing or [1.0] * len(size))
    for _ in range(levels - 1):
        room = [length >= 2 * LEAST_SIDE * side for length, side in zip(size, sides, strict=True)]
        if not any(room):
            raise _too_many(size, levels, len(factors))
        finest = min(step for step, free in zip(present, room, strict=True) if free)
        factor = tuple(1 + (free and step <= _COARSEST * finest) for step, free in zip(present, room, strict=True))
        factors.append(factor)
        sides = [side * each for side, each in zip(sides, factor, strict=True)]
        present = [step * each for step, each in zip(present, factor, strict=True)]
    return tuple(factors)


def _too_many(size: Sequence[int], levels: int, possible: int) -> UsageError:
    """Volumes that are too small for so many levels."""
    return UsageError(
        f"a network of {levels} levels, stem included, for volumes of {' x '.join(map(str, size))}: after "
        f"{possible} halvings no axis is left that has {2 * LEAST_SIDE} pixels",
        expected=f"at most {possible + 1} levels",
        remedy="fewer numbers in network.multipliers, a smaller network.stem where there is one, or a larger "
        "data.patch",
    )
