"""Calibration: closed forms, bounds, pooling, and little foreground that must not fool the band."""

import math

import numpy as np
import pytest
from scipy import ndimage

from sfumato.metrics.calibration import band, brier, calibration, ece, nll, pooled, reliability


def binary(foreground: np.ndarray) -> np.ndarray:
    return np.stack([1 - foreground, foreground])


def lesion() -> np.ndarray:
    """About 2 % foreground."""
    reference = np.zeros((100, 100), np.int64)
    reference[40:54, 40:54] = 1
    return reference


def test_perfect_and_worst() -> None:
    reference = lesion()
    best = calibration(np.eye(2)[reference].transpose(2, 0, 1), reference)
    assert best == pytest.approx((0, 0, 0, 0))
    worst = calibration(np.eye(2)[1 - reference].transpose(2, 0, 1), reference)
    assert worst == pytest.approx((1, -math.log(1e-12), 1, 1))


def test_closed_forms_for_two_classes() -> None:
    p, y = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 0])
    assert brier(binary(p), y) == pytest.approx(((p - y) ** 2).mean())
    assert nll(binary(p), y) == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())


def test_brier_of_three_classes() -> None:
    assert brier(np.array([[0.2], [0.5], [0.3]]), np.array([1])) == pytest.approx((0.04 + 0.25 + 0.09) / 2)


def test_ece_is_the_gap_between_confidence_and_accuracy() -> None:
    p = np.full(10, 0.8)
    reference = np.array([1] * 6 + [0] * 4)
    everywhere = np.ones(10, bool)
    assert ece(reliability(binary(p), reference, where=everywhere)) == pytest.approx(0.2)


def test_ece_does_not_let_over_and_under_confidence_cancel() -> None:
    p, reference = np.array([0.95] * 10 + [0.55] * 10), np.array([1] * 8 + [0] * 2 + [1] * 7 + [0] * 3)
    bins = reliability(binary(p), reference, where=np.ones(20, bool))
    assert ece(bins) == pytest.approx((0.15 + 0.15) / 2)
    assert bins.pixels.sum() == 20


def test_bins_are_equally_wide_and_the_last_one_holds_full_confidence() -> None:
    p = np.array([0.5, 0.59, 0.61, 0.79, 0.81, 1.0])
    bins = reliability(binary(p), np.ones(6, int), where=np.ones(6, bool), bins=5)
    np.testing.assert_array_equal(bins.pixels, [0, 0, 2, 2, 2])
    np.testing.assert_allclose(bins.confidence, [0, 0, 1.09, 1.4, 1.81])


def test_pooled_bins_weigh_pixels_and_not_cases() -> None:
    parts = [(np.full(n, 0.8), np.r_[np.ones(k, int), np.zeros(n - k, int)]) for n, k in ((10, 8), (30, 15))]
    bins = [reliability(binary(p), y, where=np.ones(len(p), bool)) for p, y in parts]
    together = reliability(
        binary(np.concatenate([parts[0][0], parts[1][0]])),
        np.concatenate([parts[0][1], parts[1][1]]),
        where=np.ones(40, bool),
    )
    for found, expected in zip(pooled(bins), together, strict=True):
        np.testing.assert_allclose(found, expected)
    assert ece(pooled(bins)) == pytest.approx(0.8 - 23 / 40)


def test_the_band_ranks_a_useless_constant_below_a_good_model() -> None:
    reference = lesion()
    constant = calibration(binary(np.full(reference.shape, reference.mean())), reference)
    sharp = calibration(binary(np.where(reference == 1, 0.99, 0.01)), reference)
    assert constant.ece < sharp.ece
    assert constant.ece_foreground > 10 * sharp.ece_foreground


def test_no_foreground_leaves_the_band_undefined() -> None:
    nothing = calibration(binary(np.full((9, 9), 0.1)), np.zeros((9, 9), np.int64))
    assert math.isnan(nothing.ece_foreground) and nothing.ece == pytest.approx(0.1)


def test_band_is_round_and_works_in_any_dimension() -> None:
    point = np.zeros((11, 11, 11), bool)
    point[5, 5, 5] = True
    distance = np.sqrt(sum((axis - 5) ** 2 for axis in np.indices(point.shape)))
    np.testing.assert_array_equal(band(point, width=3), distance <= 3)
    np.testing.assert_array_equal(band(point, width=0), point)
    assert not band(np.zeros((5, 5), bool), width=3).any()


def test_pixels_of_unknown_class_count_nowhere() -> None:
    reference, p = lesion(), np.random.default_rng(0).random((100, 100))
    known = np.zeros((100, 100), bool)
    known[:, :60] = True
    spoilt = np.where(known, reference, 1 - reference)
    for found, expected in zip(
        calibration(binary(p), spoilt, where=known)[:3],
        calibration(binary(p)[:, :, :60], reference[:, :60])[:3],
        strict=True,
    ):
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_band_reaches_as_far_as_if_all_were_measured(width: int) -> None:
    random = np.random.default_rng(width)
    for shape in ((12, 40), (9, 14, 11)):
        region = np.zeros(shape, bool)
        region[tuple(random.integers(0, side, 3) for side in shape)] = True
        everywhere = ndimage.distance_transform_edt(~region) <= width
        assert np.array_equal(band(region, width=width), everywhere)
