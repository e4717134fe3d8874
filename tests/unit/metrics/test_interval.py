"""Bootstrap intervals: coverage, seeds, pairs, and samples too small or too uniform to say anything."""

import math

import numpy as np
import pytest

from sfumato.metrics.interval import (
    difference_interval,
    drawn_again,
    grouped_mean_interval,
    mean_interval,
    share_interval,
)


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


def test_images_of_one_patient_count_together() -> None:
    """Twenty copies of five patients know as much as the five: the interval does not shrink."""
    patients = np.random.default_rng(0).random(5)
    values, whose = np.repeat(patients, 20), np.repeat(list("abcde"), 20).tolist()
    grouped, naive = grouped_mean_interval(values, whose, seed=0), mean_interval(values, seed=0)
    alone = mean_interval(patients, seed=0)
    assert grouped.mean == pytest.approx(patients.mean()) and grouped.cases == 100
    assert grouped[1:3] == pytest.approx(alone[1:3], abs=0.02)
    assert grouped.high - grouped.low > 3 * (naive.high - naive.low)


def test_the_mean_is_that_of_the_cases_whatever_the_sizes_of_groups() -> None:
    values, whose = np.array([0.0, 1.0, 1.0, 1.0]), ["a", "b", "b", "b"]
    assert grouped_mean_interval(values, whose, seed=0).mean == 0.75
    means, sizes = np.array([0.4, 0.5, 0.6, 0.5, 0.45]), [1, 40, 2, 25, 1]
    whose = np.repeat(list("abcde"), sizes).tolist()
    interval = grouped_mean_interval(np.repeat(means, sizes), whose, seed=0)
    assert 0.4 <= interval.low < interval.mean < interval.high <= 0.6


def test_groups_of_one_case_are_the_cases_themselves() -> None:
    values = np.random.default_rng(0).random(12)
    assert grouped_mean_interval(values, [str(k) for k in range(12)], seed=3) == mean_interval(values, seed=3)


def test_one_patient_leaves_the_interval_unknown() -> None:
    single = grouped_mean_interval(np.array([0.2, 0.9]), ["a", "a"], seed=0)
    assert single.mean == pytest.approx(0.55) and math.isnan(single.low)
    assert grouped_mean_interval(np.full(4, 0.3), ["a", "a", "b", "b"], seed=0)[:3] == pytest.approx((0.3, 0.3, 0.3))
    with pytest.raises(ValueError, match="2 values in 1 groups"):
        grouped_mean_interval(np.zeros(2), ["a"], seed=0)
    with pytest.raises(ValueError, match="finite"):
        grouped_mean_interval(np.array([0.0, np.nan, 1.0]), ["a", "a", "b"], seed=0)


def test_a_share_keeps_its_interval_within_its_bounds() -> None:
    """Wilson's interval of 10 of 10, by hand: n / (n + z^2) at the lower end."""
    whole = share_interval(10, 10)
    assert (whole.mean, whole.high) == (1, 1) and whole.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    assert math.isnan(share_interval(0, 0).mean)


def test_groups_are_drawn_again_whole() -> None:
    samples = list(drawn_again(["a", "b", "a", "c"], seed=0, times=50))
    for rows in samples:
        counts = np.bincount(rows, minlength=4)
        assert counts[0] == counts[2] and counts[[0, 1, 3]].sum() == 3
    assert len({tuple(rows) for rows in samples}) > 5
    again = drawn_again(["a", "b", "a", "c"], seed=0, times=50)
    assert all(np.array_equal(*pair) for pair in zip(samples, again, strict=True))
