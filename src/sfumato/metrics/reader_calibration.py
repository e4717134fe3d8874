"""Do the members of an ensemble vary in size as readers do, and have a class as often as readers do?

For one image and class, v_1 <= ... <= v_M are the volumes (areas) of the class in M members, w_r that in the mask of
reader r. The central interval of level L lies between the k-th smallest and the k-th largest member,

    k = max(1, floor((M + 1) (1 - L) / 2))                              interval [v_k, v_{M+1-k}]                   (1)
    coverage = mean_r [v_k <= w_r <= v_{M+1-k}]                                                                     (2)
    exact    = (M + 1 - 2 k) / (M + 1)                                                                              (3)

(3) is what (2) is in the mean if a reader's mask is one more draw of the same sampler: of M + 1 exchangeable volumes
each rank is equally likely, whatever their distribution. It is at least L where M is at least 2 / (1 - L) - 1, which is
3, 9 and 39 members for 50, 80 and 95 %; with fewer members the interval is their whole range, and (3) is less than L.
So coverage is to be compared with (3), not with L.

Volumes tie, above all those of empty masks. A reader whose volume is that of members has each of the ranks that
breaking the ties in random order gives, with equal weight, and counts with the share of them that lies inside (as in
the rank histograms of Hamill, Monthly Weather Review 2001, and the randomised PIT of Czado et al., Biometrics 2009):
(3) holds with ties too. Where neither a reader nor a member has the class there is nothing to cover: nan, and (3)
still holds for the other images, as the choice favours nobody.

With p the probability that the class is there at all and q the share of the R readers that have it,

    Brier = mean_r (p - [w_r > 0])^2 = (p - q)^2 + q (1 - q)                                                        (4)
    exact = q (1 - q) (1 + 1 / M)                                                                                   (5)
    ECE   = sum_bins n_bin / n |mean q - mean p|                         n images, equally wide bins of p           (6)

p is the share of the members that have the class, and (5) what drawing M members from the readers themselves gives in
the mean. A single mask with a map of probabilities has for p the largest probability of any pixel, the least that the
probability of the whole class can be, and (5) without 1 / M. (6) is above 0 for a calibrated model too, the more the
fewer images there are.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

COVERAGE_LEVELS = (50, 80, 95)
"""Levels of the central intervals, per cent."""

_BINS = 5
"""Of the probability of presence."""

_OfMembers = Integer[np.ndarray, " members"]
"""Pixels of one class in the mask of each member."""

_OfReaders = Integer[np.ndarray, " readers"]
"""Pixels of one class in the mask of each reader."""

_Images = Float[np.ndarray, " images"]
"""A share in [0, 1] for each image."""


class PresenceBins(NamedTuple):
    """Images sorted by the probability that they have a class, in equally wide bins over [0, 1].

    Attributes:
        images: number of images in each bin.
        probability: mean probability of presence there; nan without an image.
        readers: mean share of the readers that have the class; nan without an image.
    """

    images: Integer[np.ndarray, " bins"]
    probability: Float[np.ndarray, " bins"]
    readers: Float[np.ndarray, " bins"]


def reader_coverage(members: _OfMembers, readers: _OfReaders, *, level: int) -> float:
    """Share of the readers whose volume lies in the members' central interval, equation (2), in [0, 1].

    Args:
        members: volumes of the class in the members' masks.
        readers: volumes of the class in the readers' masks, in the same unit.
        level: of the interval, per cent.

    Returns:
        nan where there is one member only, or where no mask has the class.
    """
    count = len(members)
    if count < 2 or not (members.any() or readers.any()):
        return math.nan
    edge = _edge(count, level)
    below = (members[None] < readers[:, None]).sum(axis=1)
    equal = (members[None] == readers[:, None]).sum(axis=1)
    first, last = np.maximum(below, edge), np.minimum(below + equal, count - edge)
    inside = np.clip(last - first + 1, 0, None) / (equal + 1)
    return float(inside.mean())


def exact_coverage(members: int, *, level: int) -> float:
    """What `reader_coverage` is in the mean where readers are further draws of the sampler, equation (3).

    Args:
        members: number of members M.
        level: of the interval, per cent.

    Returns:
        In [0, 1); nan with a single member.
    """
    if members < 2:
        return math.nan
    return (members + 1 - 2 * _edge(members, level)) / (members + 1)


def presence_brier(probability: float, readers: float) -> float:
    """Brier score of the presence of a class against each reader, equation (4), in [0, 1].

    Args:
        probability: that the class is there, p.
        readers: share of the readers that have it, q.
    """
    return (probability - readers) ** 2 + readers * (1 - readers)


def exact_presence_brier(readers: float, *, members: int | None) -> float:
    """What `presence_brier` is in the mean for members that are drawn from the readers, equation (5), in [0, 1/2].

    Args:
        readers: share of the readers that have the class, q.
        members: number of members M; None where the probability is no share of members.
    """
    of_members = 0.0 if members is None else 1 / members
    return readers * (1 - readers) * (1 + of_members)


def presence_bins(probability: _Images, readers: _Images) -> PresenceBins:
    """Images by their probability of presence, beside what the readers say.

    Args:
        probability: that the class is there, p of each image.
        readers: share of the readers that have it, q of each image.
    """
    which = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
    images = np.bincount(which, minlength=_BINS)
    means = list[np.ndarray]()
    for values in (probability, readers):
        total = np.bincount(which, weights=values, minlength=_BINS)
        means.append(np.divide(total, images, out=np.full(_BINS, math.nan), where=images > 0))
    return PresenceBins(images, *means)


def presence_ece(bins: PresenceBins) -> float:
    """Expected calibration error of presence, equation (6), in [0, 1]; nan without an image."""
    filled = bins.images > 0
    if not filled.any():
        return math.nan
    gap = np.abs(bins.readers - bins.probability)[filled]
    return float((bins.images[filled] * gap).sum() / bins.images.sum())


def _edge(members: int, level: int) -> int:
    """The rank k of the members at the ends of the interval, equation (1); whole numbers, so that none is rounded."""
    return max(1, (members + 1) * (100 - level) // 200)
