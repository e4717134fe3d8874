"""How sure is a number? Bootstrap confidence intervals of means over cases, seeded, and Wilson's of shares.

The cases are the sample: they are drawn again with replacement, and the interval is the bias-corrected and accelerated
one (Efron 1987), which suits the skewed scores of segmentation. To compare two models on the *same* cases the
differences of the pairs are resampled: case difficulty cancels, and the interval of the difference is far narrower than
two overlapping intervals suggest. Images of one patient resemble each other and count together: where patients are
known, patients are drawn again with all their images.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

_BATCH = 4_000_000
"""Numbers held at once while resampling (32 MB)."""


class Estimate(NamedTuple):
    """A number that is no mean over cases, such as a distance of two sets of images, and its confidence interval."""

    value: float
    low: float
    high: float


class Interval(NamedTuple):
    """A mean over cases, or a share of them, and its confidence interval.

    Attributes:
        mean: mean over the cases, or the share.
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
    return grouped_mean_interval(values, range(len(values)), seed=seed, level=level, resamples=resamples)


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
    values: Float[np.ndarray, " n"],
    groups: Sequence[str] | Sequence[int],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 9999,
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
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values in {len(groups)} groups")
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, one per case: {np.isfinite(values).sum()} of {len(values)}")
    names, group, count = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    mean, alone = float(values.mean()), len(names) == len(values)
    total = np.bincount(group, weights=values)
    if len(names) == 1:
        low, high = math.nan, math.nan
    elif np.ptp(values) == 0 if alone else np.allclose(total / count, total[0] / count[0], rtol=0, atol=1e-12):
        low, high = mean, mean
    elif alone:
        low, high = _bootstrapped((values,), np.mean, seed=seed, level=level, resamples=resamples)
    else:
        low, high = _bootstrapped((total, count), _mean_of_groups, seed=seed, level=level, resamples=resamples)
    return Interval(mean=mean, low=low, high=high, level=level, cases=len(values))


def share_interval(hits: float, of: float, *, level: float = 0.95) -> Interval:
    """A share of cases with its Wilson interval (1927), which stays within [0, 1] and holds for few cases too.

    All nan without a case.
    """
    from scipy.special import ndtri  # slow and large: verbs that tell no share do without

    if of <= 0:
        return Interval(math.nan, math.nan, math.nan, level, 0)
    z, share = float(ndtri((1 + level) / 2)), hits / of
    centre = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    low, high = 0.0 if hits == 0 else centre - half, 1.0 if hits == of else centre + half
    return Interval(share, low, high, level, round(of))


def drawn_again(groups: Sequence[str], *, seed: int, times: int) -> Iterator[Integer[np.ndarray, " _"]]:
    """The cases of so many samples, in which whole groups are drawn again; for numbers that are no mean."""
    rng, names = np.random.default_rng(seed), np.asarray(groups)
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    for _ in range(times):
        yield np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])


def _bootstrapped(
    samples: tuple[np.ndarray, ...], of: Callable[..., np.ndarray], *, seed: int, level: float, resamples: int
) -> tuple[float, float]:
    """The ends of the bias-corrected and accelerated interval; the rows of all samples are drawn together."""
    from scipy import stats  # slow and large: verbs that resample nothing do without

    low, high = stats.bootstrap(
        samples,
        of,
        paired=len(samples) > 1,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(samples[0])),
        confidence_level=level,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(low), float(high)


def _mean_of_groups(total: np.ndarray, count: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean over the cases of groups, by their totals and sizes."""
    return np.asarray(total.sum(axis=axis) / count.sum(axis=axis))
