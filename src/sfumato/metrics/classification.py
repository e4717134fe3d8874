"""How good a classifier is, beside what it costs nothing to reach: to say the same class always.

With C_ij the number of cases of class i that were called j, N of them in all, and p_c the prevalence of class c,

    sensitivity_c = C_cc / sum_j C_cj                                   (1)
    specificity_c = sum_{i != c, j != c} C_ij / sum_{i != c, j} C_ij    (2)
    balanced accuracy = mean over classes of (1)                        (3)
    F1_c = 2 C_cc / (sum_j C_cj + sum_i C_ic)                           (4)

Whoever always says c has the accuracy p_c, the balanced accuracy 1 / classes and

    F1_c = 2 p_c / (1 + p_c)                                            (5)

so accuracy and F1 mean nothing without the prevalence: where 72 % of the cases are positive, F1 = 0.84 is for free.

The area under the ROC curve is the probability that a case of the class has a higher score than one of another class,
ties counting half; it needs no threshold. With more than two classes it is the mean of each class against the rest.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from sfumato.metrics.interval import Interval, share_interval

Truth = Integer[np.ndarray, " n"]
"""The class index of each case."""

CaseWeights = Float[np.ndarray, "b n"]
"""How often each case counts; one row for each time that something is computed."""

Confusion = Shaped[np.ndarray, "k k"]
"""Cases by their true (row) and their predicted class (column); a mean over several classifiers need not be whole."""


class ClassScores(NamedTuple):
    """One class.

    Attributes:
        cases: how many are of this class.
        prevalence: as a share of all.
        sensitivity: (1), with its interval.
        specificity: (2), with its interval.
        f1: (4).
        always_f1: (5), of whoever always says this class.
    """

    cases: int
    prevalence: float
    sensitivity: Interval
    specificity: Interval
    f1: float
    always_f1: float


def confusion_of(truth: Truth, predicted: Truth, *, classes: int) -> Confusion:
    """Count the cases."""
    counts: Confusion = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return counts


def each_class(confusion: Confusion) -> tuple[ClassScores, ...]:
    """The scores of every class."""
    total, diagonal = float(confusion.sum()), confusion.diagonal()
    truly, called = confusion.sum(1), confusion.sum(0)
    return tuple(
        ClassScores(
            cases=round(float(truly[c])),
            prevalence=float(truly[c]) / total,
            sensitivity=share_interval(float(diagonal[c]), float(truly[c])),
            specificity=share_interval(total - float(truly[c] + called[c] - diagonal[c]), total - float(truly[c])),
            f1=_over(2.0 * float(diagonal[c]), float(truly[c] + called[c])),
            always_f1=_over(2.0 * float(truly[c]), total + float(truly[c])),
        )
        for c in range(len(confusion))
    )


def balanced(confusion: Confusion) -> Interval:
    """(3) over the classes that occur, with the interval that the Wilson intervals of its parts give.

    The distances to the ends are added as standard deviations of independent numbers are (Zou & Donner 2008).
    """
    shares = [scores.sensitivity for scores in each_class(confusion) if scores.cases]
    value = float(np.mean([share.mean for share in shares]))
    below = math.hypot(*(share.mean - share.low for share in shares)) / len(shares)
    above = math.hypot(*(share.high - share.mean for share in shares)) / len(shares)
    low, high = max(0.0, value - below), min(1.0, value + above)
    return Interval(value, low, high, level=shares[0].level, cases=round(float(confusion.sum())))


def balanced_accuracy(predicted: Truth, truth: Truth, weights: CaseWeights) -> Float[np.ndarray, " b"]:
    """(3) over the classes that occur, for each row of weights; nan where one of them has no weight."""
    member = (truth[:, None] == np.unique(truth)).astype(np.float64)
    right = member * (predicted == truth)[:, None]
    with np.errstate(invalid="ignore"):
        value: np.ndarray = ((weights @ right) / (weights @ member)).mean(1)
    return value


def auroc(scores: Float[np.ndarray, "n k"], truth: Truth, weights: CaseWeights) -> Float[np.ndarray, " b"]:
    """The area under the ROC curve for each row of weights; nan where a class that occurs, or its rest, has no weight.

    Args:
        scores: of each class; larger means more likely.
        truth: the true classes.
        weights: how often each case counts.
    """
    occurring = [1] if scores.shape[1] == 2 else [int(c) for c in np.unique(truth)]
    areas: np.ndarray = np.mean([_areas(scores[:, c], truth == c, weights) for c in occurring], axis=0)
    return areas


def area_under_roc(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The same of one score, in [0, 1]; 0.5 knows nothing; nan where all are positive or none is."""
    return float(_areas(score, positive, np.ones((1, len(score))))[0]) if len(score) else math.nan


def _areas(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One class against the rest: cases of equal score are one group, of which half counts as below."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    mass = np.add.reduceat(np.where(positive, weights, 0.0)[:, order], starts, axis=1)
    rest = np.add.reduceat(np.where(positive, 0.0, weights)[:, order], starts, axis=1)
    pairs = (mass * (np.cumsum(rest, axis=1) - rest / 2)).sum(1)
    with np.errstate(invalid="ignore"):
        area: np.ndarray = pairs / (mass.sum(1) * rest.sum(1))
    return area


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
