"""Radiomics-like features: against SciPy and scikit-image, and what they must and must not see."""

import numpy as np
import pytest
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from sfumato.metrics.radiomics import FAR, LEVELS, RadiomicsSpace, radiomics


def images(count: int = 4, channels: int = 1, size: tuple[int, int] = (20, 24), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(count, channels, *size)).cumsum(2).cumsum(3)
    spread = np.abs(smooth).max((1, 2, 3), keepdims=True)
    return (smooth / spread).astype(np.float32)


def test_first_order_against_scipy():
    given = images()
    shown = ((given.astype(float) + 1) / 2).reshape(4, -1)
    found = radiomics(given)
    np.testing.assert_allclose(found[:, 0], shown.mean(1))
    np.testing.assert_allclose(found[:, 1], shown.std(1))
    np.testing.assert_allclose(found[:, 2], stats.skew(shown, axis=1))
    np.testing.assert_allclose(found[:, 3], stats.kurtosis(shown, axis=1, fisher=False))
    np.testing.assert_allclose(found[:, 9], np.median(shown, axis=1), atol=0.01)
    counts = [np.histogram(each, 32, (0, 1))[0] for each in shown]
    np.testing.assert_allclose(found[:, 16], stats.entropy(counts, axis=1))


@pytest.mark.parametrize(("distance", "first"), [(1, 18), (3, 26)])
def test_co_occurrence_against_scikit_image(distance: int, first: int):
    given = images()
    found = radiomics(given)[:, first : first + 8]
    for image, row in zip(given[:, 0], found, strict=True):
        levels = (((image.astype(float) + 1) / 2) * LEVELS).astype(int).clip(0, LEVELS - 1).astype(np.uint8)
        # scikit-image steps by rounded sines; diagonal neighbours at distance 3 are 2 apart there and 3 here
        counts = sum(shifted(levels, down, right) for down, right in directions(distance))
        matrix = (counts + counts.T) / (counts + counts.T).sum()
        stack = matrix[:, :, None, None]
        names = ("contrast", "dissimilarity", "homogeneity", "energy", "entropy", "correlation")
        expected = [graycoprops(stack, name)[0, 0] for name in names]
        np.testing.assert_allclose(row[:6], expected, rtol=1e-6)
    if distance == 1:
        theirs = graycomatrix(levels, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], LEVELS, symmetric=True)
        np.testing.assert_array_equal(theirs[:, :, 0].sum(2), counts + counts.T)


def directions(distance: int) -> list[tuple[int, int]]:
    return [(0, distance), (distance, 0), (distance, distance), (distance, -distance)]


def shifted(levels: np.ndarray, down: int, right: int) -> np.ndarray:
    counts = np.zeros((LEVELS, LEVELS))
    height, width = levels.shape
    for row in range(height - down):
        for column in range(max(0, -right), min(width, width - right)):
            counts[levels[row, column], levels[row + down, column + right]] += 1
    return counts


def test_flips_change_the_place_alone_and_colour_has_features_of_its_own():
    given = images()
    plain, flipped = radiomics(given), radiomics(given[:, :, ::-1].copy())
    np.testing.assert_allclose(plain[:, :-2], flipped[:, :-2], atol=1e-9)
    np.testing.assert_allclose(plain[:, -2], -flipped[:, -2], atol=1e-9)
    assert plain.shape == (4, 47) and radiomics(images(channels=3)).shape == (4, 53)
    grey = radiomics(np.repeat(given, 3, axis=1))
    np.testing.assert_allclose(grey[:, :47], plain, atol=1e-6)
    np.testing.assert_allclose(grey[:, 47:], 0, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (16, 16)])
def test_constant_and_tiny_images_have_finite_features(size: tuple[int, int]):
    for value in (-1.0, 0.3, 1.0):
        assert np.isfinite(radiomics(np.full((2, 1, *size), value, np.float32))).all()


def test_the_space_is_scaled_on_real_images_and_bounded():
    given = images(40)
    space = RadiomicsSpace.of(given)
    features = space.features(given)
    np.testing.assert_allclose(features.mean(0), 0, atol=0.2)
    assert np.abs(space.features(np.full_like(given, 1.0))).max() == FAR
    same = RadiomicsSpace.of(np.repeat(given[:1], 5, axis=0))
    assert same.features(given).shape == (40, 0)
