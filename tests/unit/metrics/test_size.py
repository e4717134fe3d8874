"""Presence and size of classes: counts, the interval's law, and what a single map of probabilities stands for."""

import numpy as np
import pytest

from sfumato import slabs
from sfumato.metrics.size import level_sizes, member_sizes, presence_variance, size_distribution, size_spread


def sizes_of(*pixels: int) -> np.ndarray:
    """The sizes of one class in some members."""
    return np.array(pixels)[:, None]


def test_pixels_are_counted_by_member_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(0).integers(0, 3, (4, 6, 8, 5))
    expected = np.array([[(mask == index).sum() for index in (1, 2)] for mask in masks])
    np.testing.assert_array_equal(member_sizes(masks, classes=3), expected)
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 50)
    np.testing.assert_array_equal(member_sizes(masks, classes=3), expected)
    by_plane = [member_sizes(masks[:, plane], classes=3) for plane in range(6)]
    np.testing.assert_array_equal(np.sum(by_plane, axis=0), expected)


def test_presence_is_the_share_of_members_that_have_the_class_be_it_a_pixel() -> None:
    sizes = np.array([[0, 3], [1, 0], [0, 0], [500, 0]])
    np.testing.assert_allclose(size_distribution(sizes).presence, [0.5, 0.25])
    np.testing.assert_allclose(size_distribution(sizes).expected, [501 / 4, 3 / 4])


@pytest.mark.parametrize(("members", "low", "high"), [(2, 1, 2), (4, 1, 4), (9, 1, 9), (19, 2, 18), (29, 3, 27)])
def test_the_interval_ends_at_members_and_is_their_range_below_nine(members: int, low: float, high: float) -> None:
    found = size_distribution(sizes_of(*np.random.default_rng(0).permutation(np.arange(1, members + 1))))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("members", "share"), [(4, 0.6), (9, 0.8), (19, 0.8)])
def test_a_further_mask_lies_in_the_interval_as_often_as_it_says(members: int, share: float) -> None:
    """Of skewed sizes: 20,000 ensembles, whose share has a standard error of 0.003."""
    drawn = np.round(1e6 * np.random.default_rng(1).exponential(size=(20_000, members + 1))).astype(np.int64)
    found = size_distribution(drawn[:, :-1].T)
    inside = (found.low <= drawn[:, -1]) & (drawn[:, -1] <= found.high)
    assert inside.mean() == pytest.approx(share, abs=0.015)


def test_a_single_map_stands_for_nested_masks() -> None:
    probability = np.zeros((2, 10, 10))
    probability[1, 0], probability[1, 1], probability[1, 2] = 0.95, 0.5, 0.05
    probability[0] = 1 - probability[1]
    found = size_distribution(level_sizes(probability))
    assert found.presence == pytest.approx(0.95)
    assert found.expected == pytest.approx(probability[1].sum())
    assert (found.low, found.high) == (pytest.approx(10), pytest.approx(20))


def test_what_is_next_to_impossible_is_no_object_in_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    probability = np.full((3, 300, 300), 0.004, np.float32)
    probability[2, :5, :5] = 1.0
    whole = level_sizes(probability)
    found = size_distribution(whole)
    assert found.presence.tolist() == [0, 1] and found.expected.tolist() == [0, 25]
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 1000)
    np.testing.assert_array_equal(level_sizes(probability.astype(np.float16)), whole)


def test_how_far_members_differ_in_size_and_presence() -> None:
    two = size_distribution(np.array([[10, 0], [30, 0]]))
    assert size_spread(two) == pytest.approx((20 / 20 + 0) / 2) and presence_variance(two) == 0
    one_has_it = size_distribution(sizes_of(0, 0, 0, 8))
    assert presence_variance(one_has_it) == pytest.approx(0.25 * 0.75)
    assert size_spread(size_distribution(sizes_of(7, 7, 7))) == 0
