"""Calibration: do the probabilities mean what they say?

With p_c(i) the predicted probability of class c at pixel i and y(i) the true class,

    Brier = 1/2 mean_i sum_c (p_c(i) - [y(i) = c])^2               in [0, 1]; two classes: the usual (p - y)^2     (1)
    NLL   = - mean_i log p_{y(i)}(i)                                                                               (2)
    ECE   = sum_bins n_bin / n |mean correct - mean confidence|    confidence = max_c p_c, equally wide bins       (3)

(3) is Guo et al., ICML 2017. In a mask with little foreground nearly every pixel is easy background, and (3) over the
whole image ranks a useless constant above a good model. So it is also taken over the *foreground band*: the predicted
and the true foreground with a border around them, where the decisions are made.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage

from sfumato.slabs import slabs

Probability = Float[np.ndarray, "classes *space"]
"""Class probabilities of each pixel, background first, summing to 1."""

_BORDER = 3
"""Pixels around the foreground that belong to the foreground band."""

_TINY = 1e-12
"""Smallest probability in a logarithm: a softmax in single precision can reach 0."""


class Reliability(NamedTuple):
    """Pixels sorted into equally wide bins of confidence; the data of a reliability diagram.

    Attributes:
        pixels: number of pixels in each bin.
        confidence: sum of their confidences.
        correct: number of them whose most probable class is the true one.
    """

    pixels: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    correct: Float[np.ndarray, " bins"]


class Calibration(NamedTuple):
    """Calibration of one case.

    Attributes:
        brier: equation (1), in [0, 1]; 0 is perfect.
        nll: equation (2), in nats; 0 is perfect.
        ece: equation (3) over all pixels, in [0, 1]; 0 is perfect.
        ece_foreground: equation (3) over the foreground band; nan where neither mask has foreground.
    """

    brier: float
    nll: float
    ece: float
    ece_foreground: float


def calibration(
    probability: Probability,
    reference: Integer[np.ndarray, "*space"],
    *,
    bins: int = 15,
    border: int = _BORDER,
    where: Bool[np.ndarray, "*space"] | None = None,
) -> Calibration:
    """All calibration numbers of one case.

    Args:
        probability: predicted class probabilities.
        reference: true class index of each pixel.
        bins: number of bins of confidence.
        border: width in pixels of the border around the foreground in the foreground band.
        where: pixels whose true class is known; all by default.
    """
    known = np.ones(reference.shape, dtype=bool) if where is None else where
    near = foreground_band(probability, reference, border=border) & known
    return Calibration(
        brier=brier(probability[:, known], reference[known]),
        nll=nll(probability[:, known], reference[known]),
        ece=ece(reliability(probability, reference, where=known, bins=bins)),
        ece_foreground=ece(reliability(probability, reference, where=near, bins=bins)),
    )


def foreground_band(
    probability: Probability, reference: Integer[np.ndarray, "*space"], *, border: int = _BORDER
) -> Bool[np.ndarray, "*space"]:
    """The predicted and the true foreground with a border of `border` pixels around them."""
    return band((reference > 0) | (probability.argmax(axis=0) > 0), width=border)


def brier(probability: Probability, reference: Integer[np.ndarray, "*space"]) -> float:
    """Brier score, equation (1)."""
    squares = np.square(probability, dtype=np.float64).sum(axis=0)
    return float((squares - 2.0 * _of_truth(probability, reference) + 1.0).mean() / 2.0)


def nll(probability: Probability, reference: Integer[np.ndarray, "*space"]) -> float:
    """Negative log likelihood in nats, equation (2); probabilities below 1e-12 count as 1e-12."""
    return float(-np.log(np.maximum(_of_truth(probability, reference), _TINY)).mean())


def reliability(
    probability: Probability,
    reference: Integer[np.ndarray, "*space"],
    *,
    where: Bool[np.ndarray, "*space"],
    bins: int = 15,
) -> Reliability:
    """Confidence and correctness of the pixels `where`, in `bins` equally wide bins over [0, 1]."""
    confidence = probability.max(axis=0)[where].astype(np.float64)
    correct = (probability.argmax(axis=0) == reference)[where]
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return Reliability(
        pixels=np.bincount(which, minlength=bins).astype(np.float64),
        confidence=np.bincount(which, weights=confidence, minlength=bins),
        correct=np.bincount(which, weights=correct, minlength=bins),
    )


def pooled(cases: Sequence[Reliability]) -> Reliability:
    """The bins of many cases together, which may differ in size: `ece(pooled(...))` weighs pixels equally."""
    return Reliability(*(np.sum(parts, axis=0) for parts in zip(*cases, strict=True)))


def ece(bins: Reliability) -> float:
    """Expected calibration error, equation (3), in [0, 1]; nan without any pixel."""
    total = bins.pixels.sum()
    return float(np.abs(bins.correct - bins.confidence).sum() / total) if total else float("nan")


def band(region: Bool[np.ndarray, "*space"], *, width: int) -> Bool[np.ndarray, "*space"]:
    """A region and all pixels at most `width` pixels (Euclidean) away; empty stays empty."""
    if not region.any():
        return region
    near = np.zeros_like(region)
    box = tuple(_reached(region, axis, width) for axis in range(region.ndim))
    within, found = region[box], near[box]
    for part in slabs(within.shape, times=4):
        first = max(0, part.start - width)
        around = within[first : part.stop + width]
        if around.any():
            distance = ndimage.distance_transform_edt(~around)[part.start - first :]
            found[part] = distance[: len(found[part])] <= width
    return near


def _reached(region: Bool[np.ndarray, "*space"], axis: int, width: int) -> slice:
    """The part of an axis that a border of a region lies in."""
    filled = np.flatnonzero(region.any(axis=tuple(other for other in range(region.ndim) if other != axis)))
    return slice(max(0, int(filled[0]) - width), int(filled[-1]) + width + 1)


def _of_truth(probability: Probability, reference: Integer[np.ndarray, "*space"]) -> Float[np.ndarray, "*space"]:
    """The probability given to the true class of each pixel, double precision."""
    chosen: np.ndarray = np.take_along_axis(probability, reference[None].astype(np.int64), axis=0)[0]
    return chosen.astype(np.float64)
