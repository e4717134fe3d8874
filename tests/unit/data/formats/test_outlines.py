import numpy as np
import pytest
from matplotlib.path import Path as Curve

from sfumato.data.formats.outlines import filled

HEIGHT, WIDTH = 40, 50
CENTRES = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).reshape(-1, 2)


def star(seed: int, corners: int = 30) -> np.ndarray:
    """A ring around the middle, also out of the image, through no centre of a pixel."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(3, 30, corners)
    return np.stack([24.3 + reach * np.cos(angles), 19.7 + reach * np.sin(angles)], axis=1)


def by_matplotlib(ring: np.ndarray) -> np.ndarray:
    return Curve(ring).contains_points(CENTRES).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("seed", range(12))
def test_pixels_whose_centres_lie_inside(seed: int) -> None:
    ring = star(seed)
    mask = filled([ring], HEIGHT, WIDTH)
    assert np.array_equal(mask, by_matplotlib(ring)) and 0 < mask.sum() < mask.size
    assert np.array_equal(filled([ring[::-1]], HEIGHT, WIDTH), mask)  # whichever way it is walked


def test_an_even_number_of_rings_is_outside() -> None:
    rings = [star(1), star(2), star(3)]
    odd = sum(by_matplotlib(ring).astype(int) for ring in rings) % 2 == 1
    assert np.array_equal(filled(rings, HEIGHT, WIDTH), odd)


def test_a_channel_to_a_hole_takes_nothing_away() -> None:
    outer = np.array([(2.5, 2.5), (30.5, 2.5), (30.5, 25.5), (2.5, 25.5)])
    inner = np.array([(10.5, 10.5), (10.5, 18.5), (20.5, 18.5), (20.5, 10.5)])
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    assert np.array_equal(filled([keyhole], HEIGHT, WIDTH), filled([outer, inner], HEIGHT, WIDTH))
    assert filled([keyhole], HEIGHT, WIDTH).sum() == 28 * 23 - 10 * 8


def test_regions_side_by_side_share_no_pixel_and_leave_none_out() -> None:
    """Corners at the centres of pixels, where each pixel of an edge could belong to both."""
    middle = np.array([23.0, 17.0])
    rim = np.array([(-5, -5), (30, -5), (60, -5), (60, 20), (60, 50), (11, 50), (-5, 50), (-5, 13)], np.float64)
    parts = [np.stack([middle, one, other]) for one, other in zip(rim, np.roll(rim, -1, axis=0), strict=True)]
    times = sum(filled([part], HEIGHT, WIDTH).astype(int) for part in parts)
    assert (times == 1).all()


def test_what_encloses_nothing_is_empty() -> None:
    line = np.array([(1.0, 1.0), (30.0, 20.0)])
    far = np.array([(1e300, 1e300), (2e300, 1e300), (2e300, 3e300)])
    assert not filled([line, line[:1], far, far - 4e300], HEIGHT, WIDTH).any()
