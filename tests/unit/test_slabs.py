"""Large images a slab at a time: what is said of them does not depend on where they are cut."""

from collections.abc import Callable

import numpy as np
import pytest

from sfumato import slabs
from sfumato.data.intensity import Intensity, stored_pixels
from sfumato.data.spec import Spec
from sfumato.data.statistics import statistics
from sfumato.metrics.calibration import band
from sfumato.metrics.ensemble import agreement, doubtful_region, image_uncertainty
from sfumato.outputs.predictions import _whole_numbers, coded
from sfumato.reporting.figures import overlay

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(-900, 900, (37, 23, 2)).astype(np.int16)
SCATTERED = RANDOM.random((37, 23)) > 0.995
MASKS = RANDOM.integers(0, 3, (3, 37, 23)).astype(np.uint8)
SHARES = RANDOM.dirichlet((4.0, 1.0, 1.0), (37, 23)).transpose(2, 0, 1)
VOLUME = np.zeros((40, 9, 8), bool)
VOLUME[[0, 17, 18, 39], 4, [0, 3, 4, 7]] = True
WINDOW = Intensity("window", -500.0, 700.0, "")
SPEC = Spec(size=None, channels=1, dtype="uint8", intensity=WINDOW, mask_classes=("background", "a", "b"), readers=1)

SAID: dict[str, Callable[[], np.ndarray | float]] = {
    "what is stored of an image": lambda: stored_pixels(PIXELS, WINDOW, [statistics(PIXELS)]),
    "what lies near a region": lambda: band(SCATTERED, width=5),
    "what lies near a region of a volume": lambda: band(VOLUME, width=5),
    "nothing near nothing": lambda: band(np.zeros((9, 9), bool), width=2),
    "where an image is doubtful": lambda: doubtful_region(SHARES),
    "how members agree": lambda: agreement(MASKS, classes=3),
    "classes as they are stored": lambda: coded((MASKS[0] > 0).astype(np.uint8), SPEC),
    "a map as a picture": lambda: _whole_numbers(SHARES[1], np.uint16(65535)),
    "an overlay": lambda: overlay(RANDOM_PICTURE, MASKS[0]),
}
RANDOM_PICTURE = RANDOM.integers(0, 255, (37, 23, 3)).astype(np.uint8)


@pytest.mark.parametrize("what", SAID)
def test_where_an_image_is_cut_changes_no_bit(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.asarray(SAID[what]())
    for pixels in (1, 3 * 23, 72):
        monkeypatch.setattr(slabs, "PIXELS_TOGETHER", pixels)
        parts = np.asarray(SAID[what]())
        assert parts.dtype == whole.dtype and np.array_equal(parts, whole), pixels


def test_a_mean_over_rows_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = np.zeros_like(SHARES)
    shares[0], shares[:, :9, :9] = 1, SHARES[:, :9, :9]
    assert doubtful_region(shares).mean() < 0.5
    whole = image_uncertainty(shares)
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 50)
    assert image_uncertainty(shares) == pytest.approx(whole, rel=1e-12)


def test_shares_become_the_nearest_whole_numbers() -> None:
    assert _whole_numbers(np.array([[0.0, 0.499, 0.4 / 255, 0.6 / 255, 1.0]]), np.uint8(255)).tolist() == [
        [0, 127, 0, 1, 255]
    ]


@pytest.mark.parametrize("size", [(1, 5), (7, 5), (7, 5, 3), (4, 0)])
@pytest.mark.parametrize("times", [1, 4])
def test_slabs_cover_an_axis_once(size: tuple[int, ...], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 10)
    parts = slabs.slabs(size, times=times)
    covered = np.concatenate([np.arange(size[0])[part] for part in parts])
    assert covered.tolist() == list(range(size[0]))
    rows = max(len(np.arange(size[0])[part]) for part in parts)
    assert rows == 1 or rows * np.prod(size[1:]) <= 10 * times
