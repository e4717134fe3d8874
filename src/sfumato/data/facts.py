"""What one image and its masks are like, in numbers: what `check` judges and `prepare` writes down.

Facts are measured once, where a file is decoded, and are small: a set of a million images has a gigabyte of them at
most. The statistics of a plane are those of its whole volume, so that scaling never differs between slices.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from PIL import Image

from sfumato.data.archive import Locator
from sfumato.data.image import Pixels, Plane
from sfumato.data.mask import count_values
from sfumato.data.volume import Axis, flat_axis, is_volume, read_volume, spacing
from sfumato.errors import DataError

SAMPLE = 1_000_000
"""Values from which percentiles of large images are taken, at equal distances."""


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


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image.

    Attributes:
        size: height and width in pixels.
        channels: how many.
        dtype: of the stored numbers.
        stats: of its values, or of its volume's.
        constant: one value everywhere.
        coloured: whether three channels differ anywhere.
        digest: equal for equal pictures, however they were encoded; empty where constant.
        hash: perceptual hash (64 bits as 16 hexadecimal digits); few bits differ between near duplicates.
        spacing: millimetres between rows and columns, where the file says so.
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    stats: Stats
    constant: bool
    coloured: bool
    digest: str
    hash: str
    spacing: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """A mask as stored: size, and how many pixels have each value."""

    size: tuple[int, int]
    values: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """A case: its image, its masks, and what is wrong with them. `image` is None where it cannot be read."""

    id: str
    image: ImageFacts | None = None
    masks: tuple[MaskFacts | None, ...] = ()
    problems: tuple[DataError, ...] = field(default=())


def image_facts(locator: str, pixels: Pixels) -> ImageFacts:
    """Facts of an image that was read from `locator`."""
    target = Locator.parse(locator)
    constant = bool((pixels == pixels.flat[0]).all())
    return ImageFacts(
        size=(pixels.shape[0], pixels.shape[1]),
        channels=pixels.shape[2],
        dtype=str(pixels.dtype),
        stats=stats_of(locator, pixels),
        constant=constant,
        coloured=pixels.shape[2] == 3 and bool((pixels[..., :1] != pixels[..., 1:]).any()),
        digest="" if constant else digest(pixels),
        hash="" if constant else perceptual_hash(pixels),
        spacing=_spacing(target),
    )


def mask_facts(raw: Plane) -> MaskFacts:
    """Facts of a mask as stored."""
    return MaskFacts(size=(raw.shape[0], raw.shape[1]), values=count_values(raw))


def statistics(values: np.ndarray) -> Stats:
    """Statistics of the finite values; percentiles of large arrays are taken from a sample."""
    if values.dtype == np.uint8:
        return _statistics_of_bytes(values)
    flat = values.reshape(-1)
    if values.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Stats(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    inner_low, inner_high = np.percentile(flat[:: max(1, flat.size // SAMPLE)], (0.5, 99.5))
    mean, std = flat.mean(dtype=np.float64), flat.std(dtype=np.float64)
    return Stats(float(flat.min()), float(flat.max()), float(mean), float(std), float(inner_low), float(inner_high))


def _statistics_of_bytes(values: np.ndarray) -> Stats:
    """The same from the 256 counts, which is much faster."""
    counts = np.bincount(values.reshape(-1), minlength=256)
    levels, total = np.arange(256), values.size
    mean = float(counts @ levels) / total
    std = float(np.sqrt(counts @ (levels - mean) ** 2 / total))
    present, below = np.flatnonzero(counts), np.cumsum(counts)
    inner_low, inner_high = np.searchsorted(below, np.array([0.005, 0.995]) * (total - 1), side="right")
    return Stats(float(present[0]), float(present[-1]), mean, std, float(inner_low), float(inner_high))


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


def digest(pixels: np.ndarray) -> str:
    """Equal for equal pictures, however they were encoded."""
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()


def perceptual_hash(pixels: Pixels) -> str:
    """pHash of the picture's brightness: 64 signs of its lowest cosine components (ImageHash's `phash`)."""
    import imagehash

    grey = pixels[..., 0] if pixels.shape[2] != 3 else pixels @ np.full(3, 1 / 3)
    low, high = float(grey.min()), float(grey.max())
    scaled = grey if grey.dtype == np.uint8 else (grey.astype(np.float32) - low) * (255 / (high - low or 1))
    return str(imagehash.phash(Image.fromarray(scaled.astype(np.uint8))))


def _spacing(target: Locator) -> tuple[float, float] | None:
    if not is_volume(target.path):
        return None
    volume = read_volume(target.path)
    axis = target.member.split("/")[0] if target.member else flat_axis(volume.voxels.shape, volume.affine)
    _, down, across = spacing(volume.affine, cast(Axis, axis))
    return down, across
