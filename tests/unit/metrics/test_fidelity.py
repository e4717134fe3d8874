"""Distances between sets of images: bounds, unbiasedness, closed forms, what the pixel space sees."""

from inspect import signature

import numpy as np
import pytest
import torch
from monai.metrics.fid import compute_frechet_distance
from scipy.linalg import sqrtm
from torchmetrics.image.fid import _compute_fid

from sfumato.metrics.fidelity import (
    PixelSpace,
    _drawn_pairs,
    feature_moments,
    frechet,
    frechet_interval,
    frechet_moments,
    kid,
    kid_interval,
)


def normal(seed: int, count: int, *, dimensions: int = 6, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, dimensions))


def test_kid_of_one_distribution_is_zero_in_the_mean_at_any_size():
    for count in (4, 20):
        values = [kid(normal(2 * k, count), normal(2 * k + 1, count)) for k in range(300)]
        assert abs(np.mean(values)) < 4 * np.std(values) / 300**0.5
        assert min(values) < 0 < max(values)


def test_kid_grows_with_the_shift_and_is_symmetric():
    x = normal(0, 200)
    distances = [kid(x, normal(1, 150, shift=shift)) for shift in (0.0, 0.3, 1.0)]
    assert distances[0] < 0.2 < distances[1] < distances[2]
    y = normal(1, 150, shift=1.0)
    assert kid(x, y) == pytest.approx(kid(y, x), rel=1e-12)


def test_kid_is_its_formula():
    x, y = normal(0, 3, dimensions=2), normal(1, 4, dimensions=2)
    k = lambda a, b: (a @ b / 2 + 1) ** 3  # noqa: E731
    among_x = np.mean([k(x[i], x[j]) for i in range(3) for j in range(3) if i != j])
    among_y = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y) == pytest.approx(among_x + among_y - 2 * between, rel=1e-12)


def test_kid_needs_pairs():
    with pytest.raises(ValueError, match="two images on each side, here are 1 and 5"):
        kid(normal(0, 1), normal(1, 5))


def test_frechet_of_equal_sets_is_zero_and_of_a_shift_its_square():
    x = normal(0, 500)
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-10)
    assert frechet(x, x + 2.0) == pytest.approx(4.0 * 6, rel=1e-10)
    assert frechet(x, 3.0 * x - 2.0 * x.mean(0)) == pytest.approx(4 * np.trace(np.cov(x, rowvar=False)), rel=1e-10)


def test_pixel_space_sees_intensity_and_keeps_its_scale():
    images = normal(0, 80, dimensions=5 * 7).reshape(80, 1, 5, 7)
    space = PixelSpace.of(images, dimensions=12)
    features = space.features(images)
    assert features.shape == (80, 12)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-10)
    assert (features**2).mean() == pytest.approx(1.0, rel=1e-10)
    new = normal(5, 60, dimensions=35).reshape(60, 1, 5, 7)
    assert kid(space.features(new), space.features(images)) < 0.1 * kid(space.features(new + 1), space.features(images))


def test_pixel_space_of_few_images_has_few_dimensions():
    images = normal(0, 5, dimensions=30)
    assert PixelSpace.of(images).features(images).shape == (5, 4)


def test_frechet_of_few_images_in_many_dimensions_is_the_same_by_singular_values():
    x, y = normal(0, 12, dimensions=30), normal(1, 20, dimensions=30, shift=0.4)
    assert frechet(x, y) == pytest.approx(frechet_moments(feature_moments(x), feature_moments(y)), rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("count", "dimensions"), [(500, 64), (40, 64), (100, 224)])
def test_frechet_is_that_of_monai_and_torchmetrics(count: int, dimensions: int):
    x, y = normal(0, count, dimensions=dimensions), normal(1, count + 7, dimensions=dimensions, shift=0.5, scale=1.3)
    (mean_x, spread_x), (mean_y, spread_y) = (tuple(map(torch.from_numpy, feature_moments(side))) for side in (x, y))
    ours = frechet(x, y)
    assert ours == pytest.approx(_compute_fid(mean_x, spread_x, mean_y, spread_y).item(), rel=1e-6)
    # scipy's root of singular matrices, which MONAI takes, is inexact; of SciPy 1.18 it knows no root at all
    if count > dimensions and "disp" in signature(sqrtm).parameters:
        theirs = compute_frechet_distance(mean_x, spread_x, mean_y, spread_y)
        assert ours == pytest.approx(float(theirs), rel=1e-9)


def test_intervals_hold_the_value_and_what_other_samples_give():
    x, y = normal(0, 150), normal(1, 150, shift=0.3)
    for distance, interval in ((kid, kid_interval), (frechet, frechet_interval)):
        found = interval(x, y, seed=0)
        assert found.value == distance(x, y) and found.low < found.value < found.high
        others = [distance(normal(2 * k, 150), normal(2 * k + 1, 150, shift=0.3)) for k in range(1, 60)]
        assert 0.5 < (found.high - found.low) / (4 * np.std(others)) < 2
        assert interval(x, y, seed=0) == found != interval(x, y, seed=1)


def test_a_resampled_kernel_distance_leaves_out_pairs_of_an_image_with_itself():
    x = normal(0, 8)
    often = np.array([[3, 0, 2, 1, 1, 1, 0, 0]], float)
    rows = np.repeat(np.arange(8), often[0].astype(int))
    kernel = (x @ x.T / x.shape[1] + 1) ** 3
    pairs = [kernel[i, j] for i in rows for j in rows if i != j]
    assert _drawn_pairs(kernel, often)[0] == pytest.approx(np.mean(pairs))
