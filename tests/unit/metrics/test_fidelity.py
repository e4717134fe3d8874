"""Distances between sets of images: bounds, unbiasedness, closed forms, what the pixel space sees."""

import numpy as np
import pytest

from sfumato.metrics.fidelity import PixelSpace, frechet, kid


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
