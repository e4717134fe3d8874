import numpy as np
import pytest
from scipy import ndimage

from sfumato.data.shrinking import MOST_OBJECTS, _whole, shrink


def disc(side: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return (np.hypot(y - centre[0], x - centre[1]) <= radius).astype(np.uint8)


def cover(mask: np.ndarray, target: int) -> np.ndarray:
    """Shares of the pixels of a smaller mask that are covered, by exact repetition and blocks."""
    side = len(mask)
    fine = np.kron(mask, np.ones((target, target)))
    return fine.reshape(target, side, target, side).mean(axis=(1, 3))


@pytest.mark.parametrize(("side", "target"), [(64, 16), (60, 24), (64, 44)])
def test_the_area_of_small_objects_is_kept_on_average_over_sizes_and_places(side: int, target: int) -> None:
    rng, before, after = np.random.default_rng(0), 0.0, 0
    for _ in range(1500):
        mask = disc(side, tuple(rng.uniform(12, side - 12, 2)), rng.uniform(1, 9))
        before += mask.sum() * (target / side) ** 2
        after += int(shrink(mask, (target, target)).sum())
    assert after == pytest.approx(before, rel=0.01)


def test_a_pixel_less_or_more_is_all_that_rounding_does_to_a_mask_of_many_objects_and_classes() -> None:
    mask = np.zeros((256, 256), np.uint8)
    for number, (y, x) in enumerate(np.random.default_rng(1).integers(8, 248, (150, 2))):
        mask[disc(256, (y, x), 2.2) > 0] = 1 + number % 3
    small = shrink(mask, (64, 64))
    for value in (1, 2, 3):
        assert abs(int((small == value).sum()) - (mask == value).sum() / 16) < 1


def test_an_object_is_lost_only_where_its_class_has_no_pixel_for_it() -> None:
    mask = disc(128, (64, 64), 30)
    corners = [(y, x) for y in (6, 22, 106, 122) for x in range(6, 126, 12)]
    for y, x in corners:
        mask[y : y + 2, x : x + 2] = 1
    small = shrink(mask, (32, 32))
    assert ndimage.label(small, np.ones((3, 3)))[1] == ndimage.label(mask, np.ones((3, 3)))[1] == len(corners) + 1
    assert abs(int(small.sum()) - mask.sum() / 16) < 1


def test_rests_are_rounded_up_as_often_as_they_are_large() -> None:
    """A quarter of a pixel survives in a quarter of the masks: no object of its size is always or never seen."""
    kept = 0
    for y in range(2, 58):
        for x in range(2, 58):
            mask = np.zeros((60, 60), np.uint8)
            mask[y : y + 2, x : x + 2] = 1
            kept += int(shrink(mask, (15, 15)).sum())
    assert kept == pytest.approx(56 * 56 / 4, rel=0.1)


@pytest.mark.parametrize("target", [10, 17, 24])
def test_the_pixels_are_those_that_are_covered_most(target: int) -> None:
    mask = disc(36, (16.3, 18.1), 9.7) | disc(36, (22.0, 22.0), 8.0)
    small, shares = shrink(mask, (target, target)), cover(mask, target)
    best = np.sort(shares, axis=None)[::-1][: int(small.sum())]
    assert shares[small > 0].sum() == pytest.approx(best.sum(), abs=1e-6)


def test_classes_side_by_side_keep_their_areas() -> None:
    y, x = np.mgrid[:90, :90]
    rings = np.minimum(np.hypot(y - 44, x - 44) // 9, 4)
    mask = (4 - rings).astype(np.uint8)
    small = shrink(mask, (20, 20))
    for value in range(1, 5):
        assert abs(int((small == value).sum()) - (mask == value).sum() * (20 / 90) ** 2) < 1


def test_blocks_come_out_as_they_are() -> None:
    mask = np.random.default_rng(2).integers(0, 4, (12, 9)).astype(np.uint8)
    assert np.array_equal(shrink(np.kron(mask, np.ones((4, 3), np.uint8)), (12, 9)), mask)


def test_of_a_line_the_pixels_that_stay_are_spread_along_it() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20, 2:62] = 1
    small = shrink(mask, (32, 32))
    places = np.flatnonzero(small[10])
    assert small.sum() == len(places) == 15 and np.diff(places).max() <= 3 and np.ptp(places) > 25


def test_a_slanted_line_is_one_object() -> None:
    """Else each of its pixels would be given one of the small mask, at the cost of the large objects."""
    mask = disc(128, (90, 90), 20)
    mask[range(40), range(40)] = 1
    small = shrink(mask, (32, 32))
    assert abs(int(small[16:, 16:].sum()) - mask[64:, 64:].sum() / 16) <= 2


def test_a_pixel_is_given_first_to_the_largest_object_without_and_taken_from_none_with_one() -> None:
    assert _whole(np.array([2.0, 0.2, 0.6]), 0.0).tolist() == [1, 0, 1]
    assert _whole(np.array([3.0, 0.2, 0.6]), 0.0).tolist() == [1, 1, 1]


def test_one_axis_may_grow() -> None:
    mask = disc(40, (20, 20), 12)
    small = shrink(mask, (20, 80))
    assert small.shape == (20, 80) and abs(int(small.sum()) - int(mask.sum())) < 1


def test_textures_and_empty_and_full_masks_keep_their_kind() -> None:
    checks = (np.indices((128, 128)) // 2).sum(axis=0) % 2 * np.indices((128, 128)).prod(axis=0) % 2
    dots = np.zeros((128, 128), np.int16)
    dots[::2, ::2] = 300
    assert ndimage.label(dots, np.ones((3, 3)))[1] > MOST_OBJECTS
    small = shrink(dots, (64, 64))
    assert small.dtype == np.int16 and int((small == 300).sum()) == 64 * 64 // 4
    assert shrink(checks.astype(np.uint8), (64, 64)).shape == (64, 64)
    assert not shrink(np.zeros((9, 9), np.uint8), (4, 4)).any() and (shrink(np.full((9, 9), 3), (4, 4)) == 3).all()


def test_the_same_mask_is_always_made_smaller_in_the_same_way() -> None:
    mask = disc(50, (20.5, 31.2), 3.1)
    assert np.array_equal(shrink(mask, (12, 12)), shrink(np.asfortranarray(mask), (12, 12)))
