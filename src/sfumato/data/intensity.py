"""Which numbers of an image become black and white, and the form in which prepared images are stored.

An image is stored as `round(65535 (x - low) / (high - low))`, clipped, in 16 bits; 8-bit images whose full range counts
stay as they are. Where `low` and `high` come from is the rule:

    unit        the full range of the kind of number: 0..255, 0..65535, floats 0..1
    window      the same two numbers for all images: Hounsfield units, or what the training images have
    percentile  two percentiles of each image, or of the volume that it is a plane of
    zscore      mean plus and minus so many standard deviations of each image or volume

The same rule is applied to the images of a data set and, later, to any image that a model is given.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

import numpy as np
from jaxtyping import Shaped

from sfumato.data.facts import ImageFacts
from sfumato.data.manifest import Case
from sfumato.data.statistics import Stats, stats_of
from sfumato.errors import DataError
from sfumato.slabs import slabs

_Kind = Literal["unit", "window", "percentile", "zscore"]
_Pixels = Shaped[np.ndarray, "h w c"]

FULL = 65535
"""Stored value of white in 16 bits."""

_ALIKE = 3.0
"""Up to this ratio, differences between the ranges of images are their content; above, a matter of their scale."""

HOUNSFIELD = (-1000.0, 1000.0)
"""Air and dense bone: the window of CT where none is given."""

DEVIATIONS = 3.0
"""Standard deviations to each side of the mean for `zscore`."""


class Intensity(NamedTuple):
    """Which stored numbers become -1 and 1; what lies outside is clipped.

    Attributes:
        kind: where black and white come from.
        low: black: a stored number (unit, window), a percentile, or a number of standard deviations from the mean.
        high: white.
        text: why these, in a sentence.
    """

    kind: _Kind
    low: float
    high: float
    text: str


class _Window(NamedTuple):
    """The numbers of one image that become black and white."""

    low: float
    high: float


def case_stats(case: Case, pixels: _Pixels) -> tuple[Stats, ...]:
    """Statistics of each file that a case's image is made of: of one image, or of channels in files of their own."""
    files = (case.image, *case.channels)
    return tuple(stats_of(file, part) for file, part in zip(files, np.split(pixels, len(files), axis=2), strict=True))


def window_of(intensity: Intensity, stats: Stats) -> _Window:
    """Black and white of one image; an image with one value everywhere is black (`zscore`: grey)."""
    match intensity.kind:
        case "unit" | "window":
            return _Window(intensity.low, intensity.high)
        case "percentile":
            inner = _Window(stats.inner_low, stats.inner_high)
            low, high = inner if inner.high > inner.low else _Window(stats.low, stats.high)
            return _Window(low, high if high > low else low + 1)
        case "zscore":
            std = stats.std or 1.0
            return _Window(stats.mean + intensity.low * std, stats.mean + intensity.high * std)
        case unreachable:
            assert_never(unreachable)


def stored_dtype(dtype: str, intensity: Intensity) -> np.dtype:
    """The numbers in which images of this kind are stored."""
    return np.dtype(np.uint8 if dtype == "uint8" and intensity.kind == "unit" else np.uint16)


def stored_pixels(pixels: _Pixels, intensity: Intensity, stats: Sequence[Stats]) -> _Pixels:
    """An image as prepared data sets store it: 0 is black, the largest number white.

    Args:
        pixels: uint8, uint16, int16 or float32.
        intensity: the rule.
        stats: see `case_stats`; of the image before it was resized.
    """
    if intensity.kind == "unit" and pixels.dtype in (np.uint8, np.uint16):
        return pixels
    windows = np.repeat(
        np.array([window_of(intensity, each) for each in stats]), max(1, pixels.shape[-1] // len(stats)), axis=0
    )
    low, high = windows[:, 0], windows[:, 1]
    stored = np.empty(pixels.shape, np.uint16)
    for part in slabs(pixels.shape):
        values = (pixels[part].astype(np.float64) - low) * (FULL / (high - low))
        stored[part] = np.rint(values.clip(0, FULL))
    return stored


def decide_intensity(
    images: Sequence[ImageFacts],
    *,
    kind: _Kind | Literal["auto"] = "auto",
    window: tuple[float, float] | None = None,
    modality: str | None = None,
) -> Intensity:
    """The intensity rule from the training images.

    Args:
        images: facts of the training images.
        kind: a rule that the person wants; auto decides by modality and by how much the ranges of images differ.
        window: black and white for the rule `window`.
        modality: "CT", "MR", "xray" ..., where it is known.

    Raises:
        DataError: the full range is wanted of floats outside 0..1.
    """
    if window is not None:
        return Intensity("window", *window, f"the window that was asked for: {window[0]:g} to {window[1]:g}")
    chosen, why = (kind, "asked for") if kind != "auto" else _choice(images, modality)
    match chosen:
        case "unit":
            return _unit(images)
        case "window":
            return _hounsfield(images) if _is(modality, "ct") else _common(images)
        case "percentile":
            return Intensity("percentile", 0.5, 99.5, f"percentiles 0.5 and 99.5 of each image or volume: {why}")
        case "zscore":
            text = f"mean +- {DEVIATIONS:g} standard deviations of each image or volume: {why}"
            return Intensity("zscore", -DEVIATIONS, DEVIATIONS, text)
        case unreachable:
            assert_never(unreachable)


def _is(modality: str | None, word: str) -> bool:
    return (modality or "").lower() == word


def _choice(images: Sequence[ImageFacts], modality: str | None) -> tuple[_Kind, str]:
    kinds = {image.dtype for image in images}
    if kinds == {"uint8"}:
        return "unit", ""
    if _is(modality, "ct") or _is(modality, "xray"):
        return "window", ""
    if _is(modality, "mr"):
        return "percentile", "the numbers of MR have no unit"
    if "uint8" in kinds:
        return "percentile", f"the images have different kinds of numbers ({', '.join(sorted(kinds))})"
    if (ratio := _spread(images)) > _ALIKE:
        return "percentile", f"the ranges of the training images differ {ratio:.3g} times"
    return "window", ""


def _spread(images: Sequence[ImageFacts]) -> float:
    """How many times the ranges of the images differ: the largest from the median, or the median from the smallest.

    One in twenty may be smaller: an image that is almost empty says little about the scale.
    """
    ranges = [image.stats.inner_high - image.stats.inner_low for image in images]
    ranges = [size for size in ranges if size > 0]
    if not ranges:
        return 1.0
    small, median, largest = np.percentile(ranges, (5, 50, 100))
    return float(max(largest / median, median / small))


def _unit(images: Sequence[ImageFacts]) -> Intensity:
    dtype = np.dtype(images[0].dtype)
    if dtype == np.uint8:
        return Intensity("unit", 0.0, 255.0, "8-bit images: 0 becomes -1, 255 becomes 1")
    if dtype.kind in "iu":
        whole = np.iinfo(dtype)
        return Intensity("unit", whole.min, whole.max, f"the full range of {dtype} images: {whole.min} to {whole.max}")
    low, high = min(image.stats.low for image in images), max(image.stats.high for image in images)
    if low < 0 or high > 1:
        raise DataError(
            f"the images hold fractions from {low:g} to {high:g}",
            expected="0 to 1 for the intensity rule 'unit'",
            remedy="use window, percentile or zscore",
            code="DATA-025",
        )
    return Intensity("unit", 0.0, 1.0, f"{dtype} images from 0 to 1")


def _hounsfield(images: Sequence[ImageFacts]) -> Intensity:
    low = max(HOUNSFIELD[0], min(image.stats.low for image in images))
    high = min(HOUNSFIELD[1], max(image.stats.high for image in images))
    if high <= low:
        return _common(images)
    text = f"CT: {low:g} to {high:g}, what the training images have between air (-1000) and dense bone (1000)"
    return Intensity("window", low, high, text)


def _common(images: Sequence[ImageFacts]) -> Intensity:
    """One window for all: smallest and largest value, unless a few outliers stretch it to more than twice what counts.

    What counts are the percentiles 0.5 and 99.5 of all images but the one in a hundred that goes farthest.
    """
    kinds = "/".join(sorted({image.dtype for image in images}))
    low, high = min(image.stats.low for image in images), max(image.stats.high for image in images)
    inner_low = float(np.percentile([image.stats.inner_low for image in images], 1))
    inner_high = float(np.percentile([image.stats.inner_high for image in images], 99))
    if inner_high > inner_low and high - low > 2 * (inner_high - inner_low):
        text = f"{kinds} images: percentiles 0.5 and 99.5 of the training images ({inner_low:g}, {inner_high:g})"
        return Intensity("window", inner_low, inner_high, f"{text}; the full range is {low:g} to {high:g}")
    text = f"{kinds} images: smallest and largest value of the training images ({low:g}, {high:g})"
    return Intensity("window", low, high if high > low else low + 1, text)
