"""How sure is a mean over cases? Bootstrap confidence intervals, seeded.

The cases are the sample: they are drawn again with replacement, and the interval is the bias-corrected and accelerated
one (Efron 1987), which suits the skewed scores of segmentation. To compare two models on the *same* cases the
differences of the pairs are resampled: case difficulty cancels, and the interval of the difference is far narrower than
two overlapping intervals suggest. Images of one patient resemble each other and count together: where patients are
known, patients are drawn again with all their images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

BATCH = 4_000_000
"""Numbers held at once while resampling (32 MB)."""


class Interval(NamedTuple):
    """A mean and its confidence interval.

    Attributes:
        mean: mean over the cases.
        low: lower end of the interval; nan when a single case leaves it unknown.
        high: upper end of the interval; nan when a single case leaves it unknown.
        level: confidence level, e.g. 0.95.
        cases: number of cases.
    """

    mean: float
    low: float
    high: float
    level: float
    cases: int


def mean_interval(
    values: Float[np.ndarray, " n"], *, seed: int, level: float = 0.95, resamples: int = 9999
) -> Interval:
    """Mean of one value per case with its bootstrap confidence interval.

    Args:
        values: one finite number per case.
        seed: the same seed gives the same interval.
        level: confidence level in (0, 1).
        resamples: number of bootstrap samples.

    Raises:
        ValueError: there is no case, or a value is not finite (which would quietly become the mean).
    """
    from scipy import stats  # slow and large: verbs that resample nothing do without

    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, one per case: {np.isfinite(values).sum()} of {len(values)}")
    mean, constant = float(values.mean()), bool(np.ptp(values) == 0)
    if constant:
        low, high = (mean, mean) if len(values) > 1 else (math.nan, math.nan)
    else:
        rng = np.random.default_rng(seed)
        batch = max(1, BATCH // len(values))
        low, high = stats.bootstrap(
            (values,), np.mean, n_resamples=resamples, batch=batch, confidence_level=level, rng=rng
        ).confidence_interval
    return Interval(mean=mean, low=float(low), high=float(high), level=level, cases=len(values))


def difference_interval(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Mean of `first - second` over the same cases in the same order, with its paired bootstrap interval."""
    return mean_interval(first - second, seed=seed, level=level, resamples=resamples)


def grouped_mean_interval(
    values: Float[np.ndarray, " n"], groups: Sequence[str], *, seed: int, level: float = 0.95, resamples: int = 9999
) -> Interval:
    """Mean of one value per case, with the interval of whole groups drawn again.

    The mean is that of the cases, whatever the sizes of the groups. Where every case is a group of its own, this is
    `mean_interval`.

    Args:
        values: one finite number per case.
        groups: what each case belongs to, e.g. its patient.
        seed: the same seed gives the same interval.
        level: confidence level in (0, 1).
        resamples: number of bootstrap samples.

    Raises:
        ValueError: there is no case, a value is not finite, or the numbers of values and groups differ.
    """
    from scipy import stats  # slow and large: verbs that resample nothing do without

    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values in {len(groups)} groups")
    names, group, count = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if len(names) == len(values):
        return mean_interval(values, seed=seed, level=level, resamples=resamples)
    if not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, one per case: {np.isfinite(values).sum()} of {len(values)}")
    total = np.bincount(group, weights=values)
    mean, means = float(values.mean()), total / count
    if np.allclose(means, means[0], rtol=0, atol=1e-12):
        low, high = (mean, mean) if len(names) > 1 else (math.nan, math.nan)
    else:
        low, high = stats.bootstrap(
            (total, count), _mean_of_groups, paired=True, n_resamples=resamples, batch=max(1, BATCH // len(names)),
            confidence_level=level, rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    return Interval(mean=mean, low=float(low), high=float(high), level=level, cases=len(values))


def share_interval(hits: int, of: int, *, level: float = 0.95) -> Interval:
    """A share of cases with its Wilson interval (1927), which stays within [0, 1] and holds for few cases too.

    All nan without a case.
    """
    from scipy import stats  # slow and large: verbs that resample nothing do without

    if not of:
        return Interval(math.nan, math.nan, math.nan, level, 0)
    low, high = stats.binomtest(hits, of).proportion_ci(confidence_level=level, method="wilson")
    return Interval(hits / of, float(low), float(high), level, of)


def _mean_of_groups(total: np.ndarray, count: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean over the cases of groups, by their totals and sizes."""
    return np.asarray(total.sum(axis=axis) / count.sum(axis=axis))
