"""How near one set of images lies to another, in a space of features.

    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(x, y) = (x . y / d + 1)^3                  (1)
    FD  = |m_x - m_y|^2 + tr(S_x) + tr(S_y) - 2 |S_x^1/2 S_y^1/2|_*                                       (2)

    FD  = |m_x - m_y|^2 + tr(S_x) + tr(S_y) - 2 |X Y^T|_* / sqrt((n - 1) (m - 1))                        (3)

(1) is the kernel distance of Binkowski et al. (ICLR 2018), without the pairs of an image with itself and so unbiased: 0
in the mean for two samples of one distribution, at times slightly below, for any number of images. (2) is the Fréchet
distance of Gaussians with the means and covariances of the features (Heusel et al. 2017), by the sum |.|_* of singular
values; it is biased upwards by small samples, in d dimensions below about 5 d images. (3) is the same number from the
centred features X and Y themselves: the shorter way where there are fewer images than dimensions.

The published form, tr (S_x^1/2 S_y S_x^1/2)^1/2, takes square roots of what should be zero where a covariance is
singular, and so turns its rounding of 1e-16 into 1e-8, another on each processor. Singular values of a product of roots
are as exact as their factors, and eigenvalues of a covariance that are within its rounding are zero in its root.

Intervals come from images drawn again with replacement. Of (1) each draw leaves out every pair of an image with itself,
however often it was drawn. A resampled (2) is biased once more, so the interval is the spread of the draws around the
value itself: value + quantile - mean of the draws.

Features may come from any network. Without one, `PixelSpace` projects the pixels on the principal components of real
images: it sees intensities and coarse shapes, and is nearly blind to blur and fine noise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sfumato.metrics.interval import Estimate

Features = Float[np.ndarray, "n d"]
"""One row for each image."""

_Others = Float[np.ndarray, "m d"]

_Matrix = Float[np.ndarray, "d d"]

IMAGES_PER_DIMENSION = 5
"""Below so many images for each dimension of the features the Fréchet distance is mostly bias."""

BOOTSTRAPS = 200
"""Draws behind an interval of the kernel distance."""

FRECHET_BOOTSTRAPS = 50
"""Draws behind an interval of the Fréchet distance, each of which costs a decomposition."""


class Moments(NamedTuple):
    """What the Fréchet distance needs to know of a set of images."""

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


def kid(x: Features, y: _Others) -> float:
    """Kernel distance, equation (1), unbiased.

    Raises:
        ValueError: fewer than two images on a side.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"the kernel distance needs two images on each side, here are {len(x)} and {len(y)}")
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def kid_interval(x: Features, y: _Others, *, seed: int) -> Estimate:
    """Kernel distance with its bootstrap interval."""
    rng = np.random.default_rng(seed)
    within_x, within_y, between = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    often_x, often_y = (rng.multinomial(n, np.full(n, 1 / n), BOOTSTRAPS).astype(np.float64) for n in (len(x), len(y)))
    cross = np.einsum("bm,bm->b", often_x @ between, often_y) / between.size
    draws = _drawn_pairs(within_x, often_x) + _drawn_pairs(within_y, often_y) - 2 * cross
    return around(kid(x, y), draws)


def frechet(x: Features, y: _Others) -> float:
    """Fréchet distance with the sample covariances (n - 1): equation (2), or (3) where that is shorter."""
    if max(len(x), len(y)) >= x.shape[1] or min(len(x), len(y)) < 2:
        return frechet_moments(feature_moments(x), feature_moments(y))
    wide = [side.astype(np.float64) for side in (x, y)]
    gap = float(((wide[0].mean(0) - wide[1].mean(0)) ** 2).sum())
    left, right = ((side - side.mean(0)) / np.sqrt(len(side) - 1) for side in wide)
    overlap = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    return float(gap + (left**2).sum() + (right**2).sum() - 2 * overlap)


def frechet_interval(x: Features, y: _Others, *, seed: int) -> Estimate:
    """Fréchet distance with its bootstrap interval."""
    rng = np.random.default_rng(seed)
    again = [(rng.integers(0, len(x), len(x)), rng.integers(0, len(y), len(y))) for _ in range(FRECHET_BOOTSTRAPS)]
    return around(frechet(x, y), [frechet(x[rows], y[others]) for rows, others in again])


def frechet_moments(x: Moments, y: Moments) -> float:
    """Fréchet distance of Gaussians, equation (2)."""
    overlap = np.linalg.svd(_root(x.covariance) @ _root(y.covariance), compute_uv=False).sum()
    gap = ((x.mean - y.mean) ** 2).sum()
    return float(gap + np.trace(x.covariance) + np.trace(y.covariance) - 2 * overlap)


def feature_moments(features: Features) -> Moments:
    """Mean and sample covariance of features."""
    wide = features.astype(np.float64)
    return Moments(wide.mean(0), np.atleast_2d(np.cov(wide, rowvar=False)))


def around(value: float, draws: Sequence[float] | Float[np.ndarray, " draws"], *, level: float = 0.95) -> Estimate:
    """A value in the interval in which it lies for other images of the same kind: the spread of the draws around it."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - np.mean(draws)
    return Estimate(value, value + float(low), value + float(high))


class PixelSpace(NamedTuple):
    """A projection of pixels on the principal components of real images.

    Attributes:
        mean: of the pixels.
        components: one column for each component, scaled so that a feature has a mean square of 1 over all features.
    """

    mean: Float[np.ndarray, " pixels"]
    components: Float[np.ndarray, "pixels d"]

    @classmethod
    def of(cls, images: Float[np.ndarray, "n ..."], *, dimensions: int = 64) -> "PixelSpace":
        """The space of some real images; of fewer dimensions where images or pixels are fewer, or none differs."""
        flat = images.reshape(len(images), -1).astype(np.float64)
        mean = flat.mean(0)
        _, lengths, directions = np.linalg.svd(flat - mean, full_matrices=False)
        kept = min(dimensions, int((lengths > lengths[0] * 1e-9).sum()))
        scale = np.sqrt(kept * len(images) / (lengths[:kept] ** 2).sum()) if kept else 1.0
        return cls(mean, directions[:kept].T * scale)

    def features(self, images: Float[np.ndarray, "n ..."]) -> Features:
        """The features of images of the same size."""
        projected: Features = (images.reshape(len(images), -1) - self.mean) @ self.components
        return projected


def _kernel(x: Features, y: _Others) -> Float[np.ndarray, "n m"]:
    base = x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1
    kernel: np.ndarray = base * base * base  # ten times faster than a power
    return kernel


def _mean_of_pairs(kernel: Float[np.ndarray, "n n"]) -> float:
    """Mean over all pairs of different rows."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _drawn_pairs(kernel: Float[np.ndarray, "n n"], often: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
    """Mean over the pairs of different rows of each draw; `often` says how many times a row was drawn."""
    pairs = np.einsum("bn,bn->b", often @ kernel, often) - often**2 @ np.diagonal(kernel)
    mean: np.ndarray = pairs / (often.sum(1) ** 2 - (often**2).sum(1))
    return mean


def _root(matrix: _Matrix) -> _Matrix:
    """The symmetric square root of a covariance, of the rank that its rounding leaves."""
    values, vectors = np.linalg.eigh(matrix)
    rounding = len(values) * np.finfo(values.dtype).eps * values[-1]  # as in numpy's matrix_rank
    root: _Matrix = (vectors * np.sqrt(np.where(values > rounding, values, 0))) @ vectors.T
    return root
