"""Does uncertainty point at the errors? Discrimination, risk against coverage, and how much error a reader finds.

A case i has an uncertainty u_i and an error e_i (1 - Dice, say); a pixel has an uncertainty and is wrong or not.

    AURC    = mean_k R_k,    R_k = mean error of the k cases with the least uncertainty                         (1)
    found_q = share of the total error in the first q n cases by falling score, linear between two cases       (2)

An AUROC (`classification.area_under_roc`) is blind to how large an error is, these are not (risk-coverage: Geifman and
El-Yaniv, NeurIPS 2017). Cases with equal uncertainty come in no order: each of them counts the mean error of them all,
which is the mean over all orders. An order that knows nothing has AURC = mean error and found_q = q.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_Numbers = Float[np.ndarray, " n"]
Wrong = Bool[np.ndarray, " n"]

SHARES = (0.1, 0.2, 0.3)
"""How much of the cases a reader may have time for."""


class RiskCoverage(NamedTuple):
    """Mean error of the cases that are kept when the most uncertain ones are sent to a person.

    Attributes:
        coverage: shares of cases kept, 1/n to 1, the most certain first.
        risk: their mean error R_k.
        aurc: equation (1); lower is better, nan without cases.
        aurc_oracle: with the cases in the order of their error, the least that is possible.
        aurc_random: with the cases in any order: the mean error.
    """

    coverage: _Numbers
    risk: _Numbers
    aurc: float
    aurc_oracle: float
    aurc_random: float


def average_precision(score: _Numbers, positive: Wrong) -> float:
    """Area under precision and recall as a step function, in [0, 1]; the share of positives knows nothing.

    nan where all are positive or none is.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, score)) if 0 < positive.sum() < len(positive) else math.nan


def risk_coverage(uncertainty: _Numbers, error: _Numbers) -> RiskCoverage:
    """The risk at every coverage, and the area below, equation (1)."""
    count = np.arange(1, len(error) + 1, dtype=np.float64)
    risk, oracle = (np.cumsum(_ordered(by, error)) / count for by in (uncertainty, error))
    return RiskCoverage(
        coverage=count / max(len(error), 1),
        risk=risk,
        aurc=_mean(risk),
        aurc_oracle=_mean(oracle),
        aurc_random=_mean(error),
    )


def spearman(uncertainty: _Numbers, error: _Numbers) -> float:
    """Correlation of the ranks, in [-1, 1]; nan where all uncertainties or all errors are equal."""
    from scipy.stats import spearmanr

    if len(error) < 2 or np.ptp(uncertainty) == 0 or np.ptp(error) == 0:
        return math.nan
    return float(spearmanr(uncertainty, error).statistic)


def error_found(order_score: _Numbers, error: _Numbers, shares: Sequence[float] = SHARES) -> Mapping[float, float]:
    """Equation (2) for each share of the cases, in [0, 1]; nan where there is no error to find."""
    total = error.sum()
    if total <= 0:
        return dict.fromkeys(shares, math.nan)
    found = np.concatenate([[0.0], np.cumsum(_ordered(-order_score, error))]) / total
    cases = np.arange(len(error) + 1)
    return {share: float(np.interp(share * len(error), cases, found)) for share in shares}


def _ordered(key: _Numbers, error: _Numbers) -> _Numbers:
    """The errors by rising key; those of equal keys are each the mean of them all."""
    _, group, size = np.unique(key, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=error) / size if len(error) else error
    ordered: _Numbers = mean[np.sort(group)].astype(np.float64)
    return ordered


def _mean(values: _Numbers) -> float:
    return float(values.mean()) if len(values) else math.nan
