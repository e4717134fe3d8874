"""Is a class there, and how large is it? What an ensemble says of both, for one image or volume.

With A_k pixels of a class in the mask of member k = 1 ... M, and A_(1) <= ... <= A_(M) the same in order,

    probability of presence = share of the A_k above 0                                                          (1)
    expected size           = mean_k A_k                                                                        (2)
    interval                = Q(0.1) to Q(0.9),    Q(k / (M + 1)) = A_(k),    linear in between                 (3)

and Q is A_(1) or A_(M) beyond them. A further mask of the same sampler lies below A_(k) with probability k / (M + 1),
whatever the distribution, so it lies in (3) with probability 0.8 (Hyndman and Fan, The American Statistician 1996,
their sixth definition). That takes nine members; 95 % would take 39. With fewer, (3) is the range of the members, in
which a further one lies with probability (M - 1) / (M + 1): 0.6 of four. A single pixel is presence.

A single map of probabilities p says how likely each pixel is, and not which pixels come together. It stands for nested
masks, {p > u} with u uniform in (0, 1): the quantiles of Vorob'ev (Molchanov, Theory of Random Sets, 2005, section
2.2). Of these (1) is max p, (2) is sum p, and (3) are the masks {p > 0.9} and {p > 0.1}. The levels u are the middles
of hundredths, so that what is less likely than 0.005 counts nowhere: summed over a large image it would be an object.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from sfumato.metrics.calibration import Probability
from sfumato.slabs import slabs

_LEVELS = 100
"""Nested masks that a map of probabilities stands for."""

_TAIL = 0.1
"""Probability below the interval, and above it."""

_Masks = Integer[np.ndarray, "members *space"]
"""The class-index mask of each member."""

MaskSizes = Integer[np.ndarray, "masks foreground"]
"""Pixels of each foreground class in each mask. Those of the planes of a volume add up to those of the volume."""

_OfClasses = Float[np.ndarray, " foreground"]


class SizeDistribution(NamedTuple):
    """The size of each foreground class, over the masks of an ensemble.

    Attributes:
        presence: equation (1), in [0, 1].
        expected: equation (2), in pixels.
        low: lower end of (3).
        high: upper end of (3).
    """

    presence: _OfClasses
    expected: _OfClasses
    low: _OfClasses
    high: _OfClasses


def member_sizes(masks: _Masks, *, classes: int) -> MaskSizes:
    """Pixels of each foreground class in each member, some rows or planes at a time."""
    sizes = np.zeros((len(masks), classes - 1), np.int64)
    for part in slabs(masks.shape[1:]):
        for index in range(1, classes):
            for member, mask in enumerate(masks):
                sizes[member, index - 1] += np.count_nonzero(mask[part] == index)
    return sizes


def level_sizes(probability: Probability) -> MaskSizes:
    """The same of the nested masks that a single map of probabilities stands for, the largest first."""
    counts = np.zeros((len(probability) - 1, _LEVELS + 1), np.int64)
    for part in slabs(probability.shape[1:]):
        for index, share in enumerate(probability[1:]):
            levels_below = np.rint(share[part].astype(np.float32) * _LEVELS).astype(np.int64)
            counts[index] += np.bincount(levels_below.ravel(), minlength=_LEVELS + 1)
    above: np.ndarray = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    return above[:, 1:].T


def size_distribution(sizes: MaskSizes) -> SizeDistribution:
    """Equations (1) to (3)."""
    low, high = np.quantile(sizes, (_TAIL, 1 - _TAIL), axis=0, method="weibull")
    return SizeDistribution(
        presence=(sizes > 0).mean(axis=0),
        expected=sizes.mean(axis=0),
        low=np.asarray(low, np.float64),
        high=np.asarray(high, np.float64),
    )


def size_spread(sizes: SizeDistribution) -> float:
    """Width of the interval over the expected size, the mean over the foreground classes; 0 of one that is nowhere."""
    width = sizes.high - sizes.low
    relative = np.divide(width, sizes.expected, out=np.zeros_like(width), where=sizes.expected > 0)
    return float(relative.mean())


def presence_variance(sizes: SizeDistribution) -> float:
    """Variance p (1 - p) of presence, the mean over the foreground classes, in [0, 1/4]; 0 where all members agree."""
    return float((sizes.presence * (1 - sizes.presence)).mean())
