"""Many answers to one image: what they say together, where they differ, and whether they differ as readers do.

A member k gives class probabilities p_k(i) at pixel i (a hard mask gives `one_hot` probabilities). With the mean
p = mean_k p_k, the entropy H(p) = - sum_c p_c log p_c and C classes,

    predictive entropy = H(p) / log C                        total uncertainty, in [0, 1]                    (1)
    mutual information = (H(p) - mean_k H(p_k)) / log C      the part that members disagree about            (2)

Against several readers Y of the same image the members S are compared as distributions, d = 1 - IoU,

    GED^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y')            (Székely and Rizzo 2013; Kohl et al. 2018)      (3)

The readers are taken as the whole target: E d(Y, Y') runs over all pairs. Averaging d(S, S') over all pairs too, each
member with itself included, gives the V-statistic found in the literature; even a perfect sampler of M members has
GED^2 = E d(Y, Y') / M there, so a value means nothing without M and this floor. The U-statistic leaves the pairs of a
member with itself out: 0 for a perfect sampler at every M >= 2, at times slightly below. Two empty masks are 0 apart.

The collective insight of Rahman et al. (CIMD, CVPR 2023) combines, for each class,

    S_c   = |U(S) ∩ U(Y)| / |U(Y)|                                   U: pixels that any of the masks has         (4)
    D_max = mean_Y max_S Dice(S, Y)                                                                              (5)
    D_a   = 1 - (|V_min(S) - V_min(Y)| + |V_max(S) - V_max(Y)|) / 2                                              (6)
    CI    = 3 S_c D_max D_a / (S_c + D_max + D_a)                                                                (7)

V is the variance over pixels of the difference of two masks, its least and largest value over all pairs. D_a
degenerates: a mask paired with itself makes V_min = 0, and V_max is at most the share of pixels that two masks differ
in, so where the object is small D_a is nearly 1 whatever is drawn. And (5) never falls when members are added. So (7)
is for comparison with the literature, at the same number of members; (3) answers the question.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.optimize import linear_sum_assignment

from sfumato.metrics.calibration import Probability, band
from sfumato.metrics.overlap import ratio
from sfumato.slabs import slabs

Members = Float[np.ndarray, "members classes *space"]
"""Class probabilities of each member, background first, summing to 1 over the classes."""

_Masks = Integer[np.ndarray, "members *space"]
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
        members: number of members M, without which `v` cannot be read.
        readers: number of readers.
    """

    v: float
    u: float
    floor: float
    diversity: float
    members: int
    readers: int


class Insight(NamedTuple):
    """The parts of the collective insight, means over the foreground classes, each in [0, 1].

    Attributes:
        sensitivity: combined sensitivity S_c, equation (4); 1 where no reader has the class.
        d_max: equation (5).
        d_a: diversity agreement, equation (6).
        score: equation (7); 0 where its parts are.
    """

    sensitivity: float
    d_max: float
    d_a: float
    score: float


class Among(NamedTuple):
    """What the readers' own disagreement makes of the same numbers: each reader as a model of the others.

    Attributes:
        dice: of each reader (row) and foreground class (column): mean Dice with each of the others.
        ged_v: mean V-statistic of equation (3) of one reader (one member) against the others.
        matched_iou: mean HM-IoU of one reader against the others.
        diversity: mean distance 1 - IoU of two different readers.
    """

    dice: Float[np.ndarray, "readers foreground"]
    ged_v: float
    matched_iou: float
    diversity: float


def one_hot(masks: _Masks, *, classes: int) -> Members:
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


def agreement(masks: _Masks, *, classes: int) -> float:
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
    return mean_entropy(probability, doubtful_region(probability, border=border))


def mean_entropy(probability: Probability, region: Bool[np.ndarray, "*space"]) -> float:
    """Mean predictive entropy over a region, in [0, 1]; of large images some rows at a time."""
    parts = slabs(region.shape)
    if len(parts) == 1:
        return float(predictive_entropy(probability[:, region]).mean())
    total = sum(float(predictive_entropy(probability[:, part][:, region[part]]).sum()) for part in parts)
    return total / max(1, int(region.sum()))


def doubtful_region(probability: Probability, *, border: int = 5) -> Bool[np.ndarray, "*space"]:
    """Where to average a map of uncertainty into one number for an image.

    The predicted foreground and a border of `border` pixels around it: over the whole image the value would mostly
    measure how large the object is (Kahl et al., ValUES, ICLR 2024). An empty prediction has no foreground; there the
    surroundings of the most probable foreground pixel are taken, so that a lesion which was nearly found does not hide
    at the end of the list.
    """
    foreground = (probability[1:] > probability[0]).any(axis=0)
    if not foreground.any():
        likely = 1.0 - probability[0]
        foreground = likely == likely.max()
    return band(foreground, width=border)


def review_rank(doubt: Float[np.ndarray, " n"], *ties: Float[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """Order in which to look at the cases: 1 = most doubtful; equal ones by `ties`, then as they come.

    What is no number is more doubtful than any.
    """
    rank = np.empty(len(doubt), dtype=np.int64)
    keys = [np.where(np.isnan(key), np.inf, key) for key in (*reversed(ties), doubt)]
    rank[np.lexsort([-key for key in keys])] = np.arange(1, len(doubt) + 1)
    return rank


def ged(members: _Masks, readers: Readers, *, classes: int) -> Ged:
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


def matched_iou(members: _Masks, readers: Readers, *, classes: int) -> float:
    """HM-IoU: mean IoU of the best one-to-one matching of members with readers, in [0, 1].

    Both sides are repeated to the least common multiple of their numbers (the square form), so that every member and
    every reader counts alike. The rectangular form matches the smaller side alone: with many members each reader finds
    one that is near, and the others cost nothing. A perfect sampler stays below 1 at any finite number of members.

    Args:
        members: class-index masks of the ensemble.
        readers: class-index masks of the readers of the same image.
        classes: number of classes with the background.
    """
    count = math.lcm(len(members), len(readers))
    iou = _pairwise_iou(members, readers, classes=classes)
    iou = np.repeat(np.repeat(iou, count // len(members), axis=0), count // len(readers), axis=1)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].mean())


def collective_insight(members: _Masks, readers: Readers, *, classes: int, pixels: int | None = None) -> Insight:
    """Collective insight, equations (4) to (7), the mean over the foreground classes.

    Args:
        members: class-index masks of the ensemble.
        readers: class-index masks of the readers of the same image.
        classes: number of classes with the background.
        pixels: number of pixels of the image, where pixels that are background in every mask were left out.
    """
    count = members[0].size if pixels is None else pixels
    both, sizes, _ = _pairs(members, readers, classes=classes)
    d_max = ratio(2.0 * both, sizes).max(axis=1).mean(axis=1)
    least, most = (
        np.stack([_spread(side, classes=classes, pixels=count, of=of) for side in (members, readers)])
        for of in (np.min, np.max)
    )
    d_a = 1.0 - (np.abs(least[0] - least[1]) + np.abs(most[0] - most[1])) / 2
    sensitivity = np.array([_found((members == k).any(axis=0), (readers == k).any(axis=0)) for k in range(1, classes)])
    total = sensitivity + d_max + d_a
    product = 3 * sensitivity * d_max * d_a
    score = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
    return Insight(*(float(part.mean()) for part in (sensitivity, d_max, d_a, score)))


def among_readers(readers: Readers, *, classes: int) -> Among:
    """The readers' own numbers: each of at least two readers against all the others."""
    others = [np.delete(readers, number, axis=0) for number in range(len(readers))]
    alone = [readers[number : number + 1] for number in range(len(readers))]
    both, sizes, _ = _pairs(readers, readers, classes=classes)
    dice = ratio(2.0 * both, sizes)
    count = len(readers)
    distance = 1.0 - _pairwise_iou(readers, readers, classes=classes)
    return Among(
        dice=((dice.sum(axis=2) - dice.diagonal(axis1=1, axis2=2)) / (count - 1)).T,
        ged_v=float(np.mean([ged(one, rest, classes=classes).v for one, rest in zip(alone, others, strict=True)])),
        matched_iou=float(
            np.mean([matched_iou(one, rest, classes=classes) for one, rest in zip(alone, others, strict=True)])
        ),
        diversity=float(distance.sum() / (count * (count - 1))),
    )


def _spread(
    masks: _Masks, *, classes: int, pixels: int, of: Callable[..., np.ndarray]
) -> Float[np.ndarray, " foreground"]:
    """The least or largest variance V of the difference of two masks, for each foreground class."""
    both, sizes, _ = _pairs(masks, masks, classes=classes)
    area = both.diagonal(axis1=1, axis2=2)
    difference = (area[:, :, None] - area[:, None, :]) / pixels
    variance = (sizes - 2 * both) / pixels - difference**2
    return np.asarray(of(variance, axis=(1, 2)))


def _found(drawn: Bool[np.ndarray, "*space"], true: Bool[np.ndarray, "*space"]) -> float:
    return float((drawn & true).sum() / true.sum()) if true.any() else 1.0


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
    """|A ∩ B|, |A| + |B| and |A ∪ B| of all pairs, for each foreground class; whole numbers, a part at a time."""
    flat, other = first.reshape(1, len(first), -1), second.reshape(1, len(second), -1)
    both = np.zeros((classes - 1, len(first), len(second)), np.int64)
    sizes = np.zeros_like(both)
    for part in slabs(flat.shape[2:]):
        labels = np.arange(1, classes)[:, None, None]
        a, b = ((each[..., part] == labels).astype(np.float64) for each in (flat, other))
        both += (a @ b.swapaxes(1, 2)).astype(np.int64)
        sizes += (a.sum(axis=2)[:, :, None] + b.sum(axis=2)[:, None, :]).astype(np.int64)
    return both, sizes, sizes - both
