"""Arrays of different sizes in one, and boxes that are cut out of them."""

import numpy as np
import pytest

from sfumato.data.ragged import Ragged, cut_out, stacked

SHAPES = [(2, 3, 1), (4, 1, 1), (2, 3, 1)]


def ragged() -> Ragged:
    return Ragged(np.arange(16, dtype=np.uint8), SHAPES)


def test_each_array_is_where_the_ones_before_it_end() -> None:
    arrays = ragged()
    assert [arrays[row].shape for row in range(len(arrays))] == SHAPES
    assert np.concatenate([arrays[row].ravel() for row in range(3)]).tolist() == list(range(16))
    assert arrays[1].ravel().tolist() == [6, 7, 8, 9] and arrays.dtype == np.uint8


def test_arrays_of_one_shape_are_stacked_and_others_refused() -> None:
    assert stacked(ragged(), [2, 0]).shape == (2, 2, 3, 1)
    with pytest.raises(ValueError, match="shape"):
        stacked(ragged(), [0, 1])
    even = np.arange(6).reshape(3, 2)
    assert stacked(even, [2, 0]).tolist() == [[4, 5], [0, 1]]


def test_a_flat_array_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 numbers"):
        Ragged(np.zeros(15), SHAPES)


def test_a_box_within_is_a_view() -> None:
    array = np.arange(24).reshape(4, 6)
    box = cut_out(array, (1, 2), (2, 3))
    assert box.tolist() == [[8, 9, 10], [14, 15, 16]] and np.shares_memory(box, array)


def test_beyond_an_array_lies_its_reflection_as_numpy_pads_it() -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 2))
    padded = np.pad(image, ((13, 13), (13, 13), (0, 0)), mode="symmetric")
    for corner in [(-3, 2), (-13, -13), (4, 5), (0, -1)]:
        box = cut_out(image, corner, (6, 9))
        start = [place + 13 for place in corner]
        assert np.array_equal(box, padded[start[0] : start[0] + 6, start[1] : start[1] + 9])


@pytest.mark.parametrize("corner", [(-2, -1), (3, 4), (-9, 0), (40, 40)])
def test_beyond_a_mask_lies_one_value(corner: tuple[int, int]) -> None:
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7)
    padded = np.pad(mask, 50, constant_values=255)
    box = cut_out(mask, corner, (4, 5), outside=255)
    down, across = (place + 50 for place in corner)
    assert np.array_equal(box, padded[down : down + 4, across : across + 5])


def test_volumes_are_cut_on_three_axes() -> None:
    volume = np.arange(60).reshape(3, 4, 5)
    assert np.array_equal(cut_out(volume, (1, 1, 2), (2, 2, 2)), volume[1:3, 1:3, 2:4])
