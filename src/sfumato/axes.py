"""One number for all axes of an image or volume, or one for each."""

from collections.abc import Sequence

PerAxis = int | Sequence[int]
"""A number that is the same on every axis, or one for each axis, in the order of the array."""


def per_axis(value: PerAxis, axes: int) -> tuple[int, ...]:
    """The number of each of so many axes."""
    return (value,) * axes if isinstance(value, int) else tuple(value)
