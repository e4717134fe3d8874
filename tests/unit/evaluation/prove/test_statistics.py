"""The bootstrap of cases and seeds: honest intervals, patients kept together, several ratios paid for."""

import numpy as np
import pytest

from sfumato.evaluation.prove.arms import Arm
from sfumato.evaluation.prove.statistics import Resampled, resample

REAL, MADE = Arm("real"), Arm("synthetic", 1.0)


def mean(answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights @ answers[:, 0]) / weights.sum(1)


def compared(*, gain: float, cases: int = 50, seeds: int = 5, seed: int = 0, luck: float = 0.3) -> Resampled:
    """Two arms that share the difficulty of cases; each model has its own luck."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1, cases)

    def models(shift: float) -> list[np.ndarray]:
        return [(difficulty + shift + rng.normal(0, luck) + rng.normal(0, 0.5, cases))[:, None] for _ in range(seeds)]

    return resample({REAL: models(0), MADE: models(gain)}, mean, [str(k) for k in range(cases)], resamples=400)


def test_pairing_cancels_the_difficulty_of_cases() -> None:
    resampled = compared(gain=0.5, luck=0.0)
    difference = resampled.difference(MADE, REAL, ratios=1).estimate
    alone = resampled.estimate(MADE)
    assert difference.low > 0 and (difference.high - difference.low) < 0.75 * (alone.high - alone.low)


@pytest.mark.parametrize(("seeds", "luck"), [(3, 1.0), (5, 0.3), (5, 0.0)])
def test_of_no_effect_few_intervals_exclude_zero(seeds: int, luck: float) -> None:
    """Without (2), 20 % would with three seeds whose luck is all that differs."""
    drawn = [compared(gain=0.0, seed=k, seeds=seeds, luck=luck, cases=30) for k in range(100)]
    found = [each.difference(MADE, REAL, ratios=1) for each in drawn]
    assert np.mean([not each.estimate.low <= 0 <= each.estimate.high for each in found]) <= 0.09
    assert np.mean([each.p < 0.05 for each in found]) <= 0.09


def test_luck_of_training_widens_the_interval() -> None:
    def width(luck: float) -> float:
        estimate = compared(gain=0.0, luck=luck).difference(MADE, REAL, ratios=1).estimate
        return estimate.high - estimate.low

    assert width(1.0) > 2 * width(0.0)


def test_several_ratios_widen_the_interval_and_raise_p() -> None:
    resampled = compared(gain=0.1, luck=0.0)
    one, three = (resampled.difference(MADE, REAL, ratios=count) for count in (1, 3))
    assert three.level == pytest.approx(1 - 0.05 / 3) and three.p == pytest.approx(min(1, 3 * one.p))
    assert three.estimate.low < one.estimate.low and three.estimate.high > one.estimate.high


def test_cases_of_a_patient_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    answers = {REAL: [np.repeat(rng.normal(0, 1, 20), 10)[:, None]] * 3}
    single, grouped = (
        resample(answers, mean, [str(k // size) for k in range(200)], resamples=500).estimate(REAL) for size in (1, 10)
    )
    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_draws_in_which_a_class_is_missing_say_nothing() -> None:
    draws = {REAL: np.zeros(4), MADE: np.array([1, 1, np.nan, 1.0])}
    difference = Resampled({REAL: np.zeros(2), MADE: np.ones(2)}, draws).difference(MADE, REAL, ratios=1)
    assert difference.estimate == (1, 1, 1) and difference.p == 0
