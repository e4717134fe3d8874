"""Repairs of masks by hand, in planes and volumes."""

import numpy as np
import pytest

from sfumato.metrics.components import component_sizes, drop_small, fill_holes, keep_largest

BLOBS = np.array(
    [
        [1, 1, 0, 0, 0, 2],
        [1, 0, 0, 0, 0, 2],
        [0, 1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [2, 0, 1, 0, 0, 0],
    ],
    dtype=np.uint8,
)
"""Class 1 in components of 4, one pixel of them by a corner alone, 2 and 1; class 2 in two."""


def test_pixels_that_touch_by_a_corner_are_one_component() -> None:
    assert component_sizes(BLOBS, 1).tolist() == [4, 2, 1]
    assert component_sizes(BLOBS, 2).tolist() == [2, 1] and component_sizes(BLOBS, 3).tolist() == []
    corners = np.zeros((2, 2, 2), np.uint8)
    corners[0, 0, 0] = corners[1, 1, 1] = 1
    assert component_sizes(corners, 1).tolist() == [2]


def test_the_largest_component_stays_and_other_classes_do() -> None:
    kept, before = keep_largest(BLOBS, 1), BLOBS.copy()
    expected = BLOBS.copy()
    expected[2, 3:5] = expected[4, 2] = 0
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(BLOBS, before, err_msg="what was drawn is left as it is")
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(keep_largest(BLOBS, 3), BLOBS)


def test_the_first_of_equal_components_stays() -> None:
    np.testing.assert_array_equal(keep_largest(np.array([[0, 1, 0, 1, 0, 1]]), 1), [[0, 1, 0, 0, 0, 0]])


@pytest.mark.parametrize(("least", "left"), [(1.0, [4, 2, 1]), (2.0, [4, 2]), (2.5, [4]), (4.0, [4]), (4.5, [])])
def test_components_below_a_size_go(least: float, left: list[int]) -> None:
    found = drop_small(BLOBS, 1, least=least)
    assert component_sizes(found, 1).tolist() == left
    np.testing.assert_array_equal(found == 2, BLOBS == 2)


def test_background_within_a_class_is_filled() -> None:
    """A ring that closes by corners alone, with a pixel of another class in it, and an open one."""
    drawn = np.array(
        [
            [0, 0, 1, 0, 0, 0, 1, 1, 1],
            [0, 1, 0, 1, 0, 0, 1, 0, 1],
            [1, 0, 2, 0, 1, 0, 1, 0, 1],
            [0, 1, 0, 1, 0, 0, 1, 0, 0],
            [0, 0, 1, 0, 0, 0, 1, 1, 1],
        ],
        dtype=np.uint8,
    )
    expected = drawn.copy()
    expected[1, 2] = expected[2, 1] = expected[2, 3] = expected[3, 2] = 1
    np.testing.assert_array_equal(fill_holes(drawn, 1), expected)
    np.testing.assert_array_equal(fill_holes(drawn, 2), drawn)


def test_a_hole_of_a_volume_is_closed_on_all_sides() -> None:
    shell = np.ones((3, 5, 5), np.uint8)
    shell[1, 1:4, 1:4] = 0
    filled = fill_holes(shell, 1)
    assert filled.all()
    shell[0, 2, 2] = 0
    np.testing.assert_array_equal(fill_holes(shell, 1), shell, err_msg="it is open, though no plane of it is")
    parts = np.zeros((4, 3, 3), np.uint8)
    parts[:3, 0, 0] = parts[2:, 2, 2] = 1
    assert component_sizes(parts, 1).tolist() == [3, 2] and keep_largest(parts, 1).sum() == 3
    assert drop_small(parts, 1, least=3).sum() == 3
