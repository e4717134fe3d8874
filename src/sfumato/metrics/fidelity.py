"""How near one set of images lies to another, in a space of features.

    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(x, y) = (x . y / d + 1)^3                  (1)
    FD  = |m_x - m_y|^2 + tr(S_x) + tr(S_y) - 2 tr (S_x^1/2 S_y S_x^1/2)^1/2                              (2)

(1) is the kernel distance of Binkowski et al. (ICLR 2018), without the pairs of an image with itself and so unbiased: 0
in the mean for two samples of one distribution, at times slightly below, for any number of images. (2) is the Fréchet
distance of Gaussians with the means and covariances of the features (Heusel et al. 2017), in the symmetric form that
needs no matrix logarithm and stays real; it is biased upwards by small samples, in d dimensions below about 5 d images.

Features may come from any network. Without one, `PixelSpace` projects the pixels on the principal components of real
images: it sees intensities and coarse shapes, and is nearly blind to blur and fine noise.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Features = Float[np.ndarray, "n d"]
"""One row for each image."""

_Others = Float[np.ndarray, "m d"]

_Matrix = Float[np.ndarray, "d d"]


def kid(x: Features, y: _Others) -> float:
    """Kernel distance, equation (1), unbiased.

    Raises:
        ValueError: fewer than two images on a side.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"the kernel distance needs two images on each side, here are {len(x)} and {len(y)}")
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def frechet(x: Features, y: _Others) -> float:
    """Fréchet distance, equation (2), with the sample covariances (n - 1)."""
    (mean_x, spread_x), (mean_y, spread_y) = (_moments(side) for side in (x, y))
    root = _root(spread_x)
    overlap = np.sqrt(np.linalg.eigvalsh(root @ spread_y @ root).clip(min=0)).sum()
    return float(((mean_x - mean_y) ** 2).sum() + np.trace(spread_x) + np.trace(spread_y) - 2 * overlap)


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
        """The space of some real images; of fewer dimensions where there are fewer images or pixels."""
        flat = images.reshape(len(images), -1).astype(np.float64)
        mean = flat.mean(0)
        _, lengths, directions = np.linalg.svd(flat - mean, full_matrices=False)
        kept = min(dimensions, int((lengths > lengths[0] * 1e-9).sum()))
        scale = np.sqrt(kept * len(images) / (lengths[:kept] ** 2).sum())
        return cls(mean, directions[:kept].T * scale)

    def features(self, images: Float[np.ndarray, "n ..."]) -> Features:
        """The features of images of the same size."""
        projected: Features = (images.reshape(len(images), -1) - self.mean) @ self.components
        return projected


def _kernel(x: Features, y: _Others) -> Float[np.ndarray, "n m"]:
    kernel: np.ndarray = (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3
    return kernel


def _mean_of_pairs(kernel: Float[np.ndarray, "n n"]) -> float:
    """Mean over all pairs of different rows."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _moments(features: Features) -> tuple[Float[np.ndarray, " d"], _Matrix]:
    wide = features.astype(np.float64)
    return wide.mean(0), np.atleast_2d(np.cov(wide, rowvar=False))


def _root(matrix: _Matrix) -> _Matrix:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    root: _Matrix = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
