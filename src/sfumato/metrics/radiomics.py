"""Features of one image that need no network: grey values, their arrangement, edges: 47, and 2 more a channel.

x is the image in grey (of RGB by BT.601, of other channels their mean) in [0, 1] with N pixels, m its mean and s its
standard deviation; of several channels there are two more numbers for each.

    first order    m, s, skewness, kurtosis, min, max, percentiles 5 10 25 50 75 90 95, P75 - P25,
                   mean |x - m|, root mean x^2, entropy - sum p ln p and uniformity sum p^2 of 32 bins              (18)
    co-occurrence  P(i, j): how often grey i is next to grey j, of 16 grey values, at distance 1 and at distance 3, over
                   the four directions and both orders; with mean u and deviation v of its margins                  (16)
                   contrast sum P (i - j)^2, dissimilarity sum P |i - j|, homogeneity sum P / (1 + (i - j)^2),
                   energy sqrt sum P^2, entropy - sum P ln P, correlation sum P (i - u)(j - u) / v^2,
                   shade sum P (i + j - 2u)^3, prominence sum P (i + j - 2u)^4
    edges          g = |central differences|: mean, deviation, skewness, percentiles 50 and 95; Laplacian: ln variance,
                   kurtosis; ln mean squared difference of pixels 1, 2, 4 apart; ln ratio of vertical to horizontal (11)
    place          centre of brightness down and across, from -1 to 1: sees flips, which all others do not          (2)
    channels       of several, mean and deviation of each less those of the grey image                           (2 c)

The definitions are those of Haralick et al. (1973) and of the image biomarker standard (Zwanenburg et al. 2020), with
grey values counted in fixed bins, so that two images with another brightness have other features.
`RadiomicsSpace` brings each feature to mean 0 and deviation 1 on real images.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sfumato.metrics.fidelity import Features

Grey = Float[np.ndarray, "n h w"]

_Images = Float[np.ndarray, "n c h w"]

PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
BINS, LEVELS = 32, 16
"""Bins of the histogram; grey values of the co-occurrence matrix."""

_DISTANCES = (1, 3)
"""Pixels between the neighbours of the co-occurrence matrices."""

LAGS = (1, 2, 4)
"""Pixels between those whose difference is squared."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

_PIXELS = 2**22
"""Pixels worked on at once (about 300 MB)."""

FAR = 10.0
"""Standard deviations beyond which a feature counts no further: one odd number must not outweigh all others."""

_SMALL = 1e-8


class RadiomicsSpace(NamedTuple):
    """Features with mean 0 and deviation 1 on real images, those left out that real images do not vary in.

    Attributes:
        mean: of each feature on real images.
        scale: standard deviation of each; infinite for one that is the same on all of them.
    """

    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, images: _Images) -> "RadiomicsSpace":
        """The space of some real images (n, c, h, w) in [-1, 1]."""
        raw = radiomics(images)
        scale = raw.std(0)
        return cls(raw.mean(0), np.where(scale > _SMALL, scale, np.inf))

    def features(self, images: _Images) -> Features:
        """Scaled features of images of the same size, within `FAR` of 0."""
        features: Features = ((radiomics(images) - self.mean) / self.scale).clip(-FAR, FAR)
        return features[:, np.isfinite(self.scale)]


def radiomics(images: _Images) -> Features:
    """The features of images (n, c, h, w) in [-1, 1], in the order of the table above."""
    step = max(1, _PIXELS // (images.shape[2] * images.shape[3]))
    return np.concatenate([_features(images[start : start + step]) for start in range(0, len(images), step)])


def _features(images: _Images) -> Features:
    shown = (images.astype(np.float64) + 1) / 2
    grey = np.einsum("nchw,c->nhw", shown, _LUMA) if shown.shape[1] == 3 else shown.mean(1)
    parts = [
        _first_order(grey),
        *(_co_occurrence(grey, distance) for distance in _DISTANCES),
        _edges(grey),
        _place(grey),
    ]
    return np.concatenate([*parts, _channels(shown, grey)] if shown.shape[1] > 1 else parts, axis=1)


def _first_order(grey: Grey) -> Features:
    flat = np.sort(grey.reshape(len(grey), -1), axis=1)
    mean, spread, skewness, kurtosis = _shape_of(flat)
    percentiles = flat[:, [round(percent / 100 * (flat.shape[1] - 1)) for percent in PERCENTILES]]
    bins = (flat * BINS).astype(np.int64).clip(0, BINS - 1)
    shares = _counts(bins, BINS) / flat.shape[1]
    return np.stack(
        [
            mean,
            spread,
            skewness,
            kurtosis,
            flat[:, 0],
            flat[:, -1],
            *percentiles.T,
            percentiles[:, 4] - percentiles[:, 2],
            np.abs(flat - mean[:, None]).mean(1),
            np.sqrt((flat**2).mean(1)),
            _entropy(shares),
            (shares**2).sum(1),
        ],
        axis=1,
    )


def _co_occurrence(grey: Grey, distance: int) -> Features:
    """Eight features of the matrix of one distance; a distance that leaves the image is shortened."""
    reach = min(distance, min(grey.shape[1:]) - 1)
    together = _matrix((grey * LEVELS).astype(np.int64).clip(0, LEVELS - 1), reach).reshape(len(grey), -1)
    i, j = (side.ravel() for side in np.indices((LEVELS, LEVELS)).astype(np.float64))
    mean = together @ i
    variance = together @ i**2 - mean**2
    centred = i[None] + j[None] - 2 * mean[:, None]
    correlation = np.where(variance > _SMALL, (together @ (i * j) - mean**2) / variance.clip(min=_SMALL), 1.0)
    return np.stack(
        [
            together @ (i - j) ** 2,
            together @ np.abs(i - j),
            together @ (1 / (1 + (i - j) ** 2)),
            np.sqrt((together**2).sum(1)),
            _entropy(together),
            correlation,
            (together * centred**3).sum(1),
            (together * centred**4).sum(1),
        ],
        axis=1,
    )


def _matrix(levels: np.ndarray, reach: int) -> Float[np.ndarray, "n levels levels"]:
    """How often each pair of grey values is `reach` apart, over four directions and both orders, as shares."""
    down, right = slice(reach, None), slice(None, -reach) if reach else slice(None)
    every = slice(None)
    neighbours = (
        ((every, right), (every, down)),
        ((right, every), (down, every)),
        ((right, right), (down, down)),
        ((right, down), (down, right)),
    )
    counts = np.zeros((len(levels), LEVELS * LEVELS))
    for here, there in neighbours:
        pairs = levels[:, *here] * LEVELS + levels[:, *there]
        counts += _counts(pairs.reshape(len(levels), -1), LEVELS * LEVELS)
    square = counts.reshape(-1, LEVELS, LEVELS)
    both = square + square.transpose(0, 2, 1)
    shares: np.ndarray = both / both.sum((1, 2), keepdims=True)
    return shares


def _edges(grey: Grey) -> Features:
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    steep = np.sort(np.hypot(down, right).reshape(len(grey), -1), axis=1)
    mean, spread, skewness, _ = _shape_of(steep)
    middle, high = (steep[:, round(share * (steep.shape[1] - 1))] for share in (0.5, 0.95))
    around = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    _, curved, _, curved_kurtosis = _shape_of((around - 4 * grey).reshape(len(grey), -1))
    squares = [_difference(grey, lag) for lag in LAGS]
    aspect = _log((down**2).mean((1, 2))) - _log((right**2).mean((1, 2)))
    return np.stack([mean, spread, skewness, middle, high, _log(curved**2), curved_kurtosis, *squares, aspect], axis=1)


def _difference(grey: Grey, lag: int) -> Float[np.ndarray, " n"]:
    """ln of the mean squared difference of pixels `lag` apart, down and across."""
    reach = min(lag, min(grey.shape[1:]) - 1)
    down = ((grey[:, reach:] - grey[:, : grey.shape[1] - reach]) ** 2).mean((1, 2))
    right = ((grey[:, :, reach:] - grey[:, :, : grey.shape[2] - reach]) ** 2).mean((1, 2))
    return _log((down + right) / 2)


def _place(grey: Grey) -> Features:
    height, width = grey.shape[1:]
    whole = grey.sum((1, 2)).clip(min=_SMALL)
    down = grey.sum(2) @ np.linspace(-1, 1, height) / whole
    right = grey.sum(1) @ np.linspace(-1, 1, width) / whole
    return np.stack([down, right], axis=1)


def _channels(shown: _Images, grey: Grey) -> Features:
    means = shown.mean((2, 3)) - grey.mean((1, 2))[:, None]
    spreads = shown.std((2, 3)) - grey.std((1, 2))[:, None]
    return np.concatenate([means, spreads], axis=1)


def _shape_of(flat: Float[np.ndarray, "n p"]) -> tuple[Float[np.ndarray, " n"], ...]:
    """Mean, standard deviation, skewness and kurtosis of each row; the last two are 0 where it is constant."""
    mean = flat.mean(1)
    centred = flat - mean[:, None]
    square = centred**2
    variance = square.mean(1)
    varies, safe = variance > _SMALL, variance.clip(min=_SMALL)
    skewness = np.where(varies, (square * centred).mean(1) / safe**1.5, 0)
    kurtosis = np.where(varies, (square**2).mean(1) / safe**2, 0)
    return mean, np.sqrt(variance), skewness, kurtosis


def _counts(bins: np.ndarray, many: int) -> Float[np.ndarray, "n bins"]:
    """How often each bin occurs in each row."""
    rows = np.arange(len(bins))[:, None] * many
    counts = np.bincount((bins + rows).ravel(), minlength=len(bins) * many)
    return np.asarray(counts.reshape(-1, many), np.float64)


def _entropy(shares: Float[np.ndarray, "n bins"]) -> Float[np.ndarray, " n"]:
    entropy: np.ndarray = -(shares * np.log(shares.clip(min=1e-12))).sum(1)
    return entropy


def _log(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.log(values + _SMALL)
