"""Are two arms different, and how sure is that? A bootstrap over test cases and over seeds.

The score of an arm is the mean of its models' scores, one model for each seed: what a person who trains once can
expect. Both the cases and the seeds are a sample, so both are drawn again with replacement, independently of each
other (the pigeonhole bootstrap, Owen 2007, whose intervals are rather too wide than too narrow); where patients are
known, they are drawn with all their cases. The same draws serve all arms, so that the difficulty of cases and the luck
of initial weights cancel in a difference:

    d* = sum_s v_s (m(arm_s, w) - m(control_s, w)) / sum_s v_s                                             (1)

with w how often each case, v how often each seed was drawn, and m the measure. Of S seeds S - 1 are drawn, which gives
their mean its true variance (Rao & Wu 1988). So few seeds leave that variance itself uncertain: with L the variance of
the mean over seeds and V that of d*, the percentiles of d* are moved away from d by the ratio of the quantiles

    t_f / z,    f = (S - 1) (V / L)^2                                                                      (2)

of Student's and the normal distribution (Satterthwaite 1946), which is 1 where the cases are what is uncertain.

Where the best of several ratios is looked for, each interval has the level 1 - 0.05 / ratios (Bonferroni), so that the
chance that any of them excludes 0 by luck stays 5 %.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from sfumato.evaluation.prove.arms import Arm
from sfumato.evaluation.prove.train import Answers
from sfumato.metrics.classification import CaseWeights
from sfumato.metrics.interval import Estimate as Estimate

_RESAMPLES = 5000
_SEED = 0
ALPHA = 0.05

_CHUNK = 2_000_000
"""Numbers held at once while cases are drawn (16 MB)."""

ScoreFunction = Callable[[Answers, CaseWeights], Float[np.ndarray, " b"]]
"""A score of one model for each row of weights of the test cases."""

_Scores = Float[np.ndarray, "seeds"]
Draws = Float[np.ndarray, " b"]


class Difference(NamedTuple):
    """An arm minus a control.

    Attributes:
        arm: the arm.
        control: what it is compared with.
        estimate: the difference and its interval.
        level: of the interval.
        p: the chance of so large a difference if there were none, times the number of ratios.
    """

    arm: Arm
    control: Arm
    estimate: Estimate
    level: float
    p: float


@dataclass(frozen=True)
class Resampled:
    """The scores of every arm, as they are and as they would be on other cases with other seeds.

    Attributes:
        scores: of each arm, one for each seed.
        draws: of each arm, one for each time that cases and seeds were drawn.
    """

    scores: Mapping[Arm, _Scores]
    draws: Mapping[Arm, Draws]

    def estimate(self, arm: Arm) -> Estimate:
        """The mean over seeds, at 95 %."""
        spread = _spread(self.scores[arm], self.draws[arm])
        return Estimate(*np.clip(_interval(spread, self.draws[arm], alpha=ALPHA), 0, 1).tolist())

    def above(self, arm: Arm, constant: "Resampled") -> Estimate:
        """How far an arm is above answers that never change, at 95 %; those are drawn with the same cases and seeds."""
        only = next(iter(constant.scores))
        draws = self.draws[arm] - constant.draws[only]
        return _interval(_spread(self.scores[arm] - constant.scores[only], draws), draws, alpha=ALPHA)

    def difference(self, arm: Arm, control: Arm, *, ratios: int) -> Difference:
        """(1), with the interval that holds for the best of so many ratios."""
        draws, alpha = self.draws[arm] - self.draws[control], ALPHA / ratios
        spread = _spread(self.scores[arm] - self.scores[control], draws)
        estimate = _interval(spread, draws, alpha=alpha)
        return Difference(arm, control, estimate, 1 - alpha, min(1.0, spread.p() * ratios))


class _Spread(NamedTuple):
    """A mean over seeds, the standard deviation of its draws, and the degrees of freedom f of (2)."""

    value: float
    deviation: float
    freedom: float

    def p(self) -> float:
        """The chance of so large a number, of either sign, if it were 0."""
        if self.deviation == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.deviation, self.freedom))

    def widening(self, alpha: float) -> float:
        """(2)."""
        return float(stats.t.ppf(1 - alpha / 2, self.freedom) / stats.norm.ppf(1 - alpha / 2))


def _spread(scores: _Scores, draws: Draws) -> _Spread:
    luck, variance = float(scores.var(ddof=1)) / len(scores), float(np.nanvar(draws))
    freedom = (len(scores) - 1) * max(1.0, variance / luck) ** 2 if luck > 0 else np.inf
    return _Spread(float(scores.mean()), float(variance**0.5), float(freedom))


def _interval(spread: _Spread, draws: Draws, *, alpha: float) -> Estimate:
    """Percentiles, widened by (2); draws in which a class is missing say nothing."""
    low, high = np.nanquantile(draws, [alpha / 2, 1 - alpha / 2])
    wider = spread.widening(alpha)
    return Estimate(
        spread.value,
        float(spread.value + wider * (low - spread.value)),
        float(spread.value + wider * (high - spread.value)),
    )


def resample(
    answers: Mapping[Arm, Sequence[Answers]],
    measure: ScoreFunction,
    groups: Sequence[str],
    *,
    resamples: int = _RESAMPLES,
) -> Resampled:
    """Draw cases and seeds again.

    Args:
        answers: of each arm, one for each seed, two at least, in the same order.
        measure: the score.
        groups: what each test case belongs to and is drawn with: its patient, or itself.
        resamples: how many draws.
    """
    seeds, cases = len(next(iter(answers.values()))), len(groups)
    rng = np.random.default_rng(_SEED)
    often = rng.multinomial(seeds - 1, [1 / seeds] * seeds, size=resamples) / (seeds - 1)
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count = int(member.max()) + 1
    scores = {arm: _each(of_arm, measure, np.ones((1, cases)))[0] for arm, of_arm in answers.items()}
    draws = {arm: np.empty(resamples) for arm in answers}
    rows = max(1, _CHUNK // cases)
    for start in range(0, resamples, rows):
        part = slice(start, min(start + rows, resamples))
        weights = rng.multinomial(count, [1 / count] * count, size=part.stop - start)[:, member].astype(np.float64)
        for arm, of_arm in answers.items():
            draws[arm][part] = (_each(of_arm, measure, weights) * often[part]).sum(1)
    return Resampled(scores, draws)


def _each(answers: Sequence[Answers], measure: ScoreFunction, weights: CaseWeights) -> Float[np.ndarray, "b seeds"]:
    return np.stack([measure(of_seed, weights) for of_seed in answers], axis=1)
