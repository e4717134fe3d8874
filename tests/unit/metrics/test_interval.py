"""Bootstrap intervals: coverage, seeds, pairs, and samples too small or too uniform to say anything."""

import math

import numpy as np
import pytest

from sfumato.metrics.interval import difference_interval, mean_interval


def test_close_to_the_normal_interval_for_normal_data() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = mean_interval(values, seed=1)
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert (interval.level, interval.cases) == (0.95, 400)


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    samples = rng.beta(6, 1, (200, 40))
    hits = [i.low <= 6 / 7 <= i.high for i in (mean_interval(s, seed=0, level=0.8, resamples=499) for s in samples)]
    assert 0.72 < np.mean(hits) < 0.88


def test_the_seed_is_the_only_randomness() -> None:
    values = np.random.default_rng(0).random(30)
    np.random.seed(1)  # the global state must not matter
    first = mean_interval(values, seed=5)
    assert first == mean_interval(values, seed=5) != mean_interval(values, seed=6)


def test_pairs_cancel_the_difficulty_of_the_cases() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.random(60)
    first, second = difficulty + 0.02 + 0.005 * rng.standard_normal(60), difficulty
    paired = difference_interval(first, second, seed=0)
    assert 0 < paired.low < paired.mean < paired.high < 0.03
    alone = mean_interval(first, seed=0)
    assert alone.high - alone.low > 10 * (paired.high - paired.low)


def test_difference_changes_sign_with_the_order() -> None:
    first, second = np.random.default_rng(0).random((2, 50))
    there, back = difference_interval(first, second, seed=0), difference_interval(second, first, seed=0)
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high, abs=0.02)


def test_a_model_against_itself_differs_by_nothing() -> None:
    values = np.random.default_rng(0).random(20)
    assert difference_interval(values, values, seed=0)[:3] == (0, 0, 0)


def test_one_case_leaves_the_interval_unknown() -> None:
    single = mean_interval(np.array([0.7]), seed=0)
    assert single.mean == 0.7 and math.isnan(single.low) and math.isnan(single.high)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf, 1.0]])
def test_values_that_would_poison_the_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval(np.array(values, dtype=float), seed=0)
