"""Many answers to one image: what they say together, where they differ, and whether they differ as readers do.

A member k gives class probabilities p_k(i) at pixel i (a hard mask gives `one_hot` probabilities). With the mean
p = mean_k p_k, the entropy H(p) = - sum_c p_c log p_c and C classes,

    predictive entropy = H(p) / log C                        total uncertainty, in [0, 1]                    (1)
    mutual information = (H(p) - mean_k H(p_k)) / log C      the part that members disagree about            (2)

Against several readers Y of the same image the members S are compared as distributions, d = 1 - IoU,

    GED^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y')            (Székely and Rizzo 2013; Kohl et al. 2018)      (3)

The readers are taken as the whole target: E d(Y, Y') runs over all pairs. Averaging d(S, S') over all pairs too, each
member with itself included, gives the V-statistic found in the literature; even a perfect sampler of N members has
GED^2 = E d(Y, Y') / N there, so a value means nothing without N and this floor. The U-statistic leaves the pairs of a
member with itself out: 0 for a perfect sampler at every N >= 2, at times slightly below.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.optimize import linear_sum_assignment

from sfumato.metrics.calibration import Probability, band
from sfumato.metrics.overlap import ratio

Members = Float[np.ndarray, "members classes *space"]
"""Class probabilities of each member, background first, summing to 1 over the classes."""

Masks = Integer[np.ndarray, "members *space"]
"""The class-index mask of each member."""

Readers = Integer[np.ndarray, "readers *space"]
"""The class-index mask of each reader of the same image."""

Map = Float[np.ndarray, "*space"]
"""One number for each pixel, double precision."""

_First = Integer[np.ndarray, "n *space"]
_Second = Integer[np.ndarray, "m *space"]
_Maps = Float[np.ndarray, "members *space"]


class Ged(NamedTuple):
    """Generalised energy distance between members and readers.

    Attributes:
        v: V-statistic of equation (3), the one found in the literature.
        u: U-statistic in the members; nan with a single member.
        floor: the V-statistic that a perfect sampler has with this number of members.
        diversity: mean distance of two different members; nan with a single member.
        members: number of members N, without which `v` cannot be read.
        readers: number of readers.
    """

    v: float
    u: float
    floor: float
    diversity: float
    members: int
    readers: int


def one_hot(masks: Masks, *, classes: int) -> Members:
    """Hard masks as probabilities 0 and 1, so that masks and probability maps share all functions here."""
    return np.moveaxis(np.eye(classes, dtype=np.float32)[masks], -1, 1)


def mean_probability(members: Members) -> Probability:
    """Mean of the members' probabilities."""
    mean: Probability = members.mean(axis=0, dtype=np.float64)
    return mean


def predictive_entropy(probability: Probability) -> Map:
    """Entropy of each pixel over its maximum log C, equation (1), in [0, 1]."""
    entropy: Map = _entropy(probability[None])[0]
    return entropy


def mutual_information(members: Members) -> Map:
    """What the members disagree about, equation (2), in [0, 1]; 0 where all members say the same."""
    information: Map = predictive_entropy(mean_probability(members)) - _entropy(members).mean(axis=0)
    return information.clip(min=0.0)


def agreement(masks: Masks, *, classes: int) -> float:
    """Mean Dice over all pairs of different members and over the foreground classes, in [0, 1].

    A class that neither of two members has counts 1, as in `overlap`. A single member agrees with itself: 1.
    """
    if len(masks) == 1:
        return 1.0
    both, sizes, _ = _pairs(masks, masks, classes=classes)
    dice = ratio(2.0 * both, sizes).mean(axis=0)
    return float(dice[np.triu_indices(len(masks), k=1)].mean())


def image_uncertainty(probability: Probability, *, border: int = 5) -> float:
    """One number in [0, 1] for how much an image deserves a second look: the mean entropy over its doubtful region."""
    return float(predictive_entropy(probability)[doubtful_region(probability, border=border)].mean())


def doubtful_region(probability: Probability, *, border: int = 5) -> Bool[np.ndarray, "*space"]:
    """Where to average a map of uncertainty into one number for an image.

    The predicted foreground and a border of `border` pixels around it: over the whole image the value would mostly
    measure how large the object is (Kahl et al., ValUES, ICLR 2024). An empty prediction has no foreground; there the
    surroundings of the most probable foreground pixel are taken, so that a lesion which was nearly found does not hide
    at the end of the list.
    """
    foreground = probability.argmax(axis=0) > 0
    if not foreground.any():
        likely = 1.0 - probability[0]
        foreground = likely == likely.max()
    return band(foreground, width=border)


def review_rank(uncertainty: Float[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """Order in which to look at the cases: 1 = most uncertain; equal values keep their order."""
    rank = np.empty(len(uncertainty), dtype=np.int64)
    rank[np.argsort(-uncertainty, kind="stable")] = np.arange(1, len(uncertainty) + 1)
    return rank


def ged(members: Masks, readers: Readers, *, classes: int) -> Ged:
    """Squared generalised energy distance, equation (3), with d = 1 - mean IoU over the foreground classes.

    A class that neither of two masks has counts IoU 1, distance 0.

    Args:
        members: class-index masks of the ensemble.
        readers: class-index masks of the readers of the same image.
        classes: number of classes with the background.
    """
    count = len(members)
    cross = 1.0 - _pairwise_iou(members, readers, classes=classes).mean()
    among_readers = 1.0 - _pairwise_iou(readers, readers, classes=classes).mean()
    among_members = (1.0 - _pairwise_iou(members, members, classes=classes)).sum()
    diversity = float(among_members / (count * (count - 1))) if count > 1 else math.nan
    return Ged(
        v=float(2.0 * cross - among_members / count**2 - among_readers),
        u=float(2.0 * cross - diversity - among_readers),
        floor=float(among_readers / count),
        diversity=diversity,
        members=count,
        readers=len(readers),
    )


def matched_iou(members: Masks, readers: Readers, *, classes: int) -> float:
    """HM-IoU: mean IoU of the best one-to-one matching of members with readers, in [0, 1].

    Both sides are repeated to the least common multiple of their numbers. A perfect sampler stays below 1 at any
    finite number of members.
    """
    count = math.lcm(len(members), len(readers))
    iou = _pairwise_iou(members, readers, classes=classes)
    iou = np.repeat(np.repeat(iou, count // len(members), axis=0), count // len(readers), axis=1)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].mean())


def _entropy(probability: Members) -> _Maps:
    """Entropy over its maximum; 0 log 0 = 0."""
    p = probability.astype(np.float64)
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy: _Maps = np.abs((p * logarithm).sum(axis=1)) / math.log(p.shape[1])
    return entropy


def _pairwise_iou(first: _First, second: _Second, *, classes: int) -> Float[np.ndarray, "n m"]:
    both, _, union = _pairs(first, second, classes=classes)
    iou: Float[np.ndarray, "n m"] = ratio(both.astype(np.float64), union).mean(axis=0)
    return iou


def _pairs(
    first: _First, second: _Second, *, classes: int
) -> tuple[Integer[np.ndarray, "c n m"], Integer[np.ndarray, "c n m"], Integer[np.ndarray, "c n m"]]:
    """|A ∩ B|, |A| + |B| and |A ∪ B| of all pairs, for each foreground class."""
    labels = np.arange(1, classes)[:, None, None]
    a = (first.reshape(1, len(first), -1) == labels).astype(np.float64)
    b = (second.reshape(1, len(second), -1) == labels).astype(np.float64)
    both = (a @ b.swapaxes(1, 2)).astype(np.int64)
    sizes = (a.sum(axis=2)[:, :, None] + b.sum(axis=2)[:, None, :]).astype(np.int64)
    return both, sizes, sizes - both
