"""Statistics of images and volumes: what decides which numbers become black and white.

Those of a plane are those of its whole volume, so that scaling never differs between slices.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import Pixels
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.likeness import grey_picture

_SAMPLE = 1_000_000
"""Values from which percentiles of large images are taken, at equal distances."""

_LEVELS = np.arange(256)
SQUARES = _LEVELS**2

_SHARES = np.array([0, 0.005, 0.995, 1])
"""Of the pixels, which lie below: the smallest value, the two percentiles, the largest."""


class Stats(NamedTuple):
    """Statistics of the finite values of an image, or of the volume that it is a plane of.

    Attributes:
        low: smallest value.
        high: largest value.
        mean: mean value.
        std: standard deviation.
        inner_low: percentile 0.5.
        inner_high: percentile 99.5.
    """

    low: float
    high: float
    mean: float
    std: float
    inner_low: float
    inner_high: float


def statistics(values: np.ndarray) -> Stats:
    """Statistics of the finite values; percentiles of large arrays are taken from a sample."""
    if values.dtype == np.uint8:
        return statistics_of_counts(np.array([counts_of_bytes(values)]))[0]
    flat = values.reshape(-1)
    if values.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Stats(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    inner_low, inner_high = np.percentile(flat[:: max(1, flat.size // _SAMPLE)], (0.5, 99.5))
    mean, std = flat.mean(dtype=np.float64), flat.std(dtype=np.float64)
    return Stats(float(flat.min()), float(flat.max()), float(mean), float(std), float(inner_low), float(inner_high))


def counts_of_bytes(values: UInt8[np.ndarray, "..."]) -> list[int]:
    """How many of 8-bit values are 0, 1 ... 255; three times as fast as bincount."""
    return grey_picture(values).histogram()


def statistics_of_counts(counts: Int[np.ndarray, "n 256"]) -> list[Stats]:
    """Statistics of several 8-bit images from their counts, which is much faster than from their pixels."""
    sizes, totals, squares = counts.sum(axis=1), counts @ _LEVELS, counts @ SQUARES
    ranks = _SHARES * (sizes[:, None] - 1)
    found = (counts.cumsum(axis=1)[:, None] <= ranks[..., None]).sum(axis=2).astype(float)
    whole = zip(sizes.tolist(), totals.tolist(), squares.tolist(), found.tolist(), strict=True)
    return [
        Stats(low, high, total / size, max(0, size * square - total**2) ** 0.5 / size, inner_low, inner_high)
        for size, total, square, (low, inner_low, inner_high, high) in whole
    ]


def stats_of(locator: str, pixels: Pixels) -> Stats:
    """Statistics of the image, or of the volume that it is a plane of."""
    target = Locator.parse(locator)
    return volume_stats(target.path) if is_volume(target.path) else statistics(pixels)


def volume_stats(path: Path) -> Stats:
    """Statistics of a volume; remembered, since every plane asks for them."""
    return _volume_stats(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _volume_stats(path: Path, _changed: int) -> Stats:
    return statistics(read_volume(path).voxels)
