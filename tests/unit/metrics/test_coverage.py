"""Precision, recall, density, coverage: against their definitions, and on sets whose answer is known."""

import numpy as np
import pytest

from sfumato.metrics.coverage import coverage


def by_definition(real: np.ndarray, generated: np.ndarray, k: int) -> list[float]:
    """The four numbers, ball by ball."""

    def radius(points: np.ndarray, place: int) -> float:
        return sorted(np.linalg.norm(points[place] - other) for j, other in enumerate(points) if j != place)[k - 1]

    def inside(point: np.ndarray, points: np.ndarray) -> list[bool]:
        return [np.linalg.norm(point - centre) < radius(points, j) for j, centre in enumerate(points)]

    around = [inside(y, real) for y in generated]
    return [
        np.mean([any(balls) for balls in around]),
        np.mean([any(inside(x, generated)) for x in real]),
        np.mean([sum(balls) / k for balls in around]),
        np.mean(np.any(around, axis=0)),
    ]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_definitions(k: int):
    rng = np.random.default_rng(k)
    real, generated = rng.normal(size=(20, 3)), 1.4 * rng.normal(size=(15, 3)) + 0.3
    found = coverage(real, generated, neighbours=k)
    assert [len(each) for each in found] == [15, 20, 15, 20]
    np.testing.assert_allclose([each.mean() for each in found], by_definition(real, generated, k))


def test_far_sets_and_collapsed_ones():
    rng = np.random.default_rng(0)
    real, fresh = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    assert [each.mean() for each in coverage(real, fresh + 100)] == [0, 0, 0, 0]
    alike, collapsed = coverage(real, fresh), coverage(real, np.tile(fresh[:10], (20, 1)))
    assert min(each.mean() for each in alike) > 0.8
    assert collapsed.precision.mean() > 0.8 and collapsed.recall.mean() < 0.1 and collapsed.coverage.mean() < 0.4


def test_too_few():
    with pytest.raises(ValueError, match="5 neighbours"):
        coverage(np.zeros((9, 2)), np.zeros((5, 2)))
