import numpy as np
import pytest

from sfumato.data.placement import Canvas, Placement, restore
from sfumato.data.placement import fit_canvas as fit_at


def fit(array: np.ndarray, size: tuple[int, int], *, nearest: bool, **options: bool) -> tuple[np.ndarray, Placement]:
    placement = Canvas(size, **options).place((array.shape[0], array.shape[1]))
    return fit_at(array, placement, nearest=nearest), placement


def blob(height: int, width: int, classes: int = 2) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((np.hypot(x, y) < 0.7).astype(np.uint8) * (1 + (x > 0) * (classes - 2))).astype(np.uint8)


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("size", [(50, 80), (31, 17), (64, 64), (200, 90)])
def test_masks_come_back_at_their_size(size: tuple[int, int], *, keep_aspect: bool) -> None:
    mask = blob(*size, classes=3)
    fitted, placement = fit(mask, (64, 64), keep_aspect=keep_aspect, nearest=True)
    back = restore(fitted, placement, nearest=True)
    assert fitted.shape == (64, 64) and back.shape == size and back.dtype == mask.dtype
    assert set(np.unique(fitted)) == {0, 1, 2}
    assert (back == mask).mean() > 0.93


def test_shrunk_masks_keep_the_area_of_what_they_show() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::4] = 5  # a quarter of each block
    assert (fit(stripes, (16, 16), keep_aspect=False, nearest=True)[0] == 5).mean() == 0.25
    stripes[:, 1::4] = stripes[:, 2::4] = stripes[:, 3::4] = 5
    assert (fit(stripes, (16, 16), keep_aspect=False, nearest=True)[0] == 5).all()


def test_enlarged_masks_repeat_the_pixel_in_which_the_middle_lies() -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    grown = fit(mask, (5, 7), keep_aspect=False, nearest=True)[0]
    assert grown[0].tolist() == [0, 0, 1, 1, 1, 2, 2] and grown[:, 0].tolist() == [0, 0, 3, 3, 3]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_are_averaged_when_they_shrink(dtype: type) -> None:
    checker = ((np.indices((32, 32)).sum(0) % 2) * 200).astype(dtype)[..., None]
    small, _ = fit(checker, (8, 8), keep_aspect=False, nearest=False)
    assert small.dtype == dtype and small.shape == (8, 8, 1)
    assert np.abs(small[2:-2, 2:-2].astype(float) - 100).max() < 3


def test_aspect_is_kept_with_a_dark_margin() -> None:
    image = np.full((20, 40, 3), 90, np.uint8)
    fitted, placement = fit(image, (32, 32), keep_aspect=True, nearest=False)
    assert placement == ((20, 40), (8, 0, 16, 32), (32, 32))
    assert (fitted[8:24] == 90).all() and not fitted[:8].any() and not fitted[24:].any()
    assert (restore(fitted, placement, nearest=False) == image).all()


def test_the_same_size_is_untouched() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    fitted, placement = fit(image, (4, 4), keep_aspect=True, nearest=False)
    assert (fitted == image).all() and (restore(fitted, placement, nearest=False) == image).all()


def test_a_crop_shows_the_centre_undistorted() -> None:
    image = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30, 1)
    fitted, placement = fit(image, (20, 20), crop=True, nearest=False)
    assert placement == ((20, 30), (0, -5, 20, 30), (20, 20)) and np.array_equal(fitted, image[:, 5:25])
    back = restore(fitted, placement, nearest=False)
    assert np.array_equal(back[:, 5:25], image[:, 5:25]) and not back[:, :5].any() and not back[:, 25:].any()
    wide, placement = fit(image, (10, 40), crop=True, nearest=False)
    assert placement.box == (-9, 0, 27, 40) and wide.shape == (10, 40, 1)


def test_a_spacing_pads_and_cuts_around_the_centre() -> None:
    canvas = Canvas((8, 8), spacing=2.0)
    placement = canvas.place((10, 10), (1.0, 4.0))
    assert placement == ((10, 10), (1, -6, 5, 20), (8, 8))
    mask = np.ones((10, 10), np.uint8)
    fitted = fit_at(mask, placement, nearest=True)
    assert fitted[1:6].all() and fitted.sum() == 40
    assert restore(fitted, placement, nearest=True).sum() == 10 * 4


def test_without_a_size_every_image_has_a_canvas_of_its_own() -> None:
    image = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30, 1)
    placement = Canvas(None).place((20, 30))
    assert placement == ((20, 30), (0, 0, 20, 30), (20, 30))
    assert np.array_equal(restore(fit_at(image, placement, nearest=False), placement, nearest=False), image)
    spaced = Canvas(None, spacing=2.0).place((20, 30), (1.0, 4.0))
    assert spaced == ((20, 30), (0, 0, 10, 60), (10, 60)) and fit_at(image, spaced, nearest=False).shape == (10, 60, 1)
