"""How unlike each other the images of one set are.

    MS-SSIM(x, y) = S(x_s, y_s)^(w_s) prod_j<s C(x_j, y_j)^(w_j),   x_(j+1) = 2 x 2 means of x_j                  (1)
    C = (2 s_xy + c2) / (s_x^2 + s_y^2 + c2),      S = C (2 m_x m_y + c1) / (m_x^2 + m_y^2 + c1)                  (2)
    IS = exp( mean over x of sum_k p(k|x) ln( p(k|x) / p(k) ) )                                                   (3)

(1) is the multi-scale structural similarity of Wang et al. (2003): means m and variances s^2 in a Gaussian window, S
and C averaged over the image, negative ones taken as 0. Its mean over pairs of *different* images of one set is low
where they are diverse; it is read beside that of real images. The paper's five scales need 176 pixels: smaller images
get as many as fit a window of 11 pixels, with the first of the paper's weights, scaled to a sum of 1.

(3) is the inception score of Salimans et al. (2016) for the class probabilities of any classifier: it sees whether
images look clearly like one of its classes and whether all classes occur, and nothing within a class.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from sfumato.metrics.interval import Estimate, mean_interval
from sfumato.typing import Data, PerItem

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, the finest first (Wang et al. 2003, section 3.2)."""

_WINDOW, _WIDTH = 11, 1.5
"""Side of the Gaussian window in pixels and its standard deviation (Wang et al. 2004)."""

STABILISERS = (0.01**2, 0.03**2)
"""c1 and c2 for images in [0, 1] (Wang et al. 2004)."""

_PAIRS = 256
"""Pairs of images compared at once."""

INCEPTION_SPLITS = 10
"""Parts over which the inception score is averaged, as in its paper."""

_ALIKE = 0.998
"""Two images of one set whose pixels correlate at least so much are duplicates."""

_PLAIN = 1 / 255
"""An image in [-1, 1] with a smaller standard deviation shows nothing: half a grey value of 8 bits."""

_Pairs = Integer[np.ndarray, "pairs 2"]


def scales_of(height: int, width: int) -> tuple[int, int]:
    """How many scales fit an image, and the side of the window."""
    side = min(height, width)
    window = min(_WINDOW, side - 1 + side % 2)
    fitting = [count for count in range(1, len(SCALE_WEIGHTS) + 1) if side >= window * 2 ** (count - 1)]
    return fitting[-1], window


def ms_ssim(x: Data, y: Data) -> PerItem:
    """Similarity of each pair of images (b, c, h, w) in [0, 1], equation (1): 1 for equal ones."""
    scales, window = scales_of(*x.shape[2:])
    weights = np.asarray(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    product = torch.ones(len(x), device=x.device)
    for weight in weights[:-1].tolist():
        product = product * _similarity(x, y, window).contrast.clamp(min=0) ** weight
        x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
    return product * _similarity(x, y, window).similar.clamp(min=0) ** float(weights[-1])


def pair_similarities(images: Data, pairs: _Pairs) -> Float[np.ndarray, " pairs"]:
    """MS-SSIM of these pairs of images in [-1, 1]."""
    shown = (images + 1) / 2
    parts = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
    return torch.cat([ms_ssim(shown[part[:, 0]], shown[part[:, 1]]) for part in parts]).double().cpu().numpy()


def draw_pairs(count: int, wanted: int, *, seed: int) -> _Pairs:
    """Pairs of different images of `count`, each pair at most once; all of them where there are fewer than wanted."""
    first, second = np.triu_indices(count, 1)
    chosen = np.random.default_rng(seed).permutation(len(first))[:wanted]
    return np.stack([first[chosen], second[chosen]], axis=1)


def alike(images: Data) -> Bool[np.ndarray, "n n"]:
    """Which different images of a set nearly equal each other: their pixels correlate, or both are plain and alike."""
    flat = images.flatten(1).float()
    means = flat.mean(1)
    centred = flat - means[:, None]
    lengths = centred.norm(dim=1)
    plain = lengths < _PLAIN * flat.shape[1] ** 0.5
    directions = torch.where(plain[:, None], 0, centred / lengths.clamp(min=1e-12)[:, None])
    equal = directions @ directions.T >= _ALIKE
    equal |= plain[:, None] & plain[None, :] & ((means[:, None] - means[None, :]).abs() < 2 * _PLAIN)
    found: np.ndarray = equal.fill_diagonal_(fill_value=False).cpu().numpy()
    return found


def inception_score(
    probabilities: Float[np.ndarray, "n classes"], *, splits: int = INCEPTION_SPLITS, seed: int = 0
) -> Estimate:
    """Equation (3), mean over parts of the shuffled set, with the interval of that mean.

    Raises:
        ValueError: there are fewer images than parts.
    """
    if len(probabilities) < splits:
        raise ValueError(f"{splits} parts of {len(probabilities)} images")
    order = np.random.default_rng(seed).permutation(len(probabilities))
    interval = mean_interval(_scores([probabilities[part] for part in np.array_split(order, splits)]), seed=seed)
    return Estimate(interval.mean, interval.low, interval.high)


def _scores(parts: Sequence[Float[np.ndarray, "_ classes"]]) -> Float[np.ndarray, " splits"]:
    logs = [np.log(part.clip(min=1e-12)) - np.log(part.mean(0).clip(min=1e-12)) for part in parts]
    return np.exp([float((part * log).sum(1).mean()) for part, log in zip(parts, logs, strict=True)])


class _Similarity(NamedTuple):
    """S and C of equation (2), averaged over the image."""

    similar: PerItem
    contrast: PerItem


def _similarity(x: Data, y: Data, window: int) -> _Similarity:
    c1, c2 = STABILISERS
    mean_x, mean_y = _windowed(x, window), _windowed(y, window)
    spread = _windowed(x * x, window) - mean_x**2 + _windowed(y * y, window) - mean_y**2
    contrast = (2 * (_windowed(x * y, window) - mean_x * mean_y) + c2) / (spread + c2)
    similar = contrast * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return _Similarity(similar.flatten(1).mean(1), contrast.flatten(1).mean(1))


def _windowed(images: Float[Tensor, "b c h w"], window: int) -> Float[Tensor, "b c rows columns"]:
    """Means in the Gaussian window, where it fits: along the rows, then along the columns."""
    places = torch.arange(window, device=images.device, dtype=images.dtype) - (window - 1) / 2
    weights: Tensor = torch.exp(-((places / _WIDTH) ** 2) / 2)
    kernel = (weights / weights.sum()).expand(images.shape[1], 1, 1, window)
    rows = functional.conv2d(images, kernel, groups=images.shape[1])
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=images.shape[1])
