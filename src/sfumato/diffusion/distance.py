"""Exact Euclidean distances to the border of a mask, for batches, in two or three dimensions, on any device.

With D0(p) = 0 outside of the mask and infinity inside, the squared distance of every pixel to the nearest one outside
is found along one axis after the other (Felzenszwalb & Huttenlocher 2012, section 2):

    D(p) = min over q of (p - q)^2 + D0(q)                                                               (1)
    phi(p) = distance to the mask where p is outside,  -distance to its outside where p is inside        (2)

(1) is taken as it stands: n^2 sums for a line of n pixels, all lines at once, are faster than the parabolas of the
paper for sides of medical images, and give a GPU its work. Distances are in pixels, from centre to centre: phi is 1 or
-1 beside the border and never 0. A distance to nothing is the diagonal of the image, farther than any two of its
pixels: phi is the diagonal everywhere for an empty mask, and minus the diagonal for a full one.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SUMS_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 26}
"""Sums that are held at a time: 1 MiB, which a processor's cache holds; 256 MiB, which a GPU has to work on."""

Regions = Bool[Tensor, "b c *space"]
"""One mask for each item and class."""


def diagonal(space: Sequence[int]) -> float:
    """Length of an image's diagonal in pixels, longer than any distance between two of them."""
    return math.hypot(*space)


def distance_transform(regions: Regions) -> Float[Tensor, "b c *space"]:
    """Distance in pixels to the nearest pixel that is False; 0 there, and the diagonal where there is none.

    Args:
        regions: masks whose squared diagonal is below 2^24, up to which float32 counts exactly.
    """
    squared = torch.where(regions, float(sum(side**2 for side in regions.shape[2:])), 0.0)
    for axis in range(2, regions.ndim):
        squared = _along(squared, axis)
    return squared.sqrt()


def signed_distance(regions: Regions) -> Float[Tensor, "b c *space"]:
    """Equation (2), in pixels."""
    outside, inside = distance_transform(torch.stack([~regions, regions]).flatten(0, 1)).chunk(2)
    return outside - inside


def _along(squared: Tensor, axis: int) -> Tensor:
    """Equation (1) along one axis."""
    lines = squared.movedim(axis, -1)
    side = lines.shape[-1]
    place = torch.arange(side, dtype=squared.dtype, device=squared.device)
    apart = (place[:, None] - place) ** 2
    pieces = torch.split(
        lines.reshape(-1, side), max(1, SUMS_AT_ONCE.get(squared.device.type, SUMS_AT_ONCE["cuda"]) // side**2)
    )
    nearest = torch.cat([(piece[:, None] + apart).amin(2) for piece in pieces])
    return nearest.view(lines.shape).movedim(-1, axis)
