from dataclasses import replace

import numpy as np
import pytest

from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.placement import Canvas
from sfumato.data.sharpness import FEWEST_MASKS, FILES_OPENED, MASKS_MEASURED, OriginalMask, rows_to_measure, sharpness


def stripes(width: int) -> np.ndarray:
    """Stripes of a width in pixels, with as much between them."""
    return np.broadcast_to(np.arange(64) // width % 2, (64, 64)).astype(np.uint8)


def test_what_is_as_wide_as_a_pixel_comes_back_whole_and_what_is_finer_does_not() -> None:
    coarse, fine = sharpness([OriginalMask(stripes(8))], [Canvas((8, 8)), Canvas((4, 4))])
    assert coarse.dice == 1 and coarse.lost == coarse.emptied == 0 and coarse.objects == 4
    assert fine.dice == pytest.approx(0.5, abs=0.05)


def test_what_is_lost_is_counted_and_told() -> None:
    dots = np.zeros((64, 64), np.uint8)
    dots[[3, 30, 50], [5, 40, 20]] = 1
    empty = np.zeros((64, 64), np.uint8)
    (cost,) = sharpness([OriginalMask(dots), OriginalMask(stripes(16)), OriginalMask(empty)], [Canvas((4, 4))])
    assert (cost.masks, cost.objects) == (2, 5)
    assert cost.lost == 3 and cost.emptied == 1
    assert cost.sentence == (
        "at 4 x 4 a perfect mask reaches Dice 0.50 (2 masks measured); "
        "3 of 5 objects are lost; 1 of 2 masks come out empty"
    )
    assert sharpness([OriginalMask(empty)], [Canvas((4, 4))]) == []


def test_pixels_that_say_nothing_do_not_count() -> None:
    mask = stripes(8).copy()
    mask[:, 32:] = IGNORED
    (cost,) = sharpness([OriginalMask(mask)], [Canvas((8, 8))])
    assert cost.dice == 1 and cost.objects == 2
    mask[:], mask[:, 48:] = 1, IGNORED
    (cost,) = sharpness([OriginalMask(mask)], [Canvas((2, 2))])
    seen, drawn = 64 * 48, 64 * 32 + 32 * 16  # three of four pixels; of the third the part that says something
    assert cost.dice == pytest.approx(2 * drawn / (seen + drawn))


def test_large_masks_are_measured_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.sharpness.MOST_PIXELS", 2 * 64 * 64)
    taken = []

    def large() -> object:
        for number in range(20):
            taken.append(number)
            yield OriginalMask(stripes(8))

    (cost,) = sharpness(large(), [Canvas((8, 8))])
    assert cost.masks == len(taken) == FEWEST_MASKS


def test_rows_are_spread_and_few_volumes_are_opened() -> None:
    files = [Case(id=str(k), image=f"{k}.png", masks=(f"m{k}.png",)) for k in range(500)]
    rows = rows_to_measure(files)
    assert len(rows) == MASKS_MEASURED and min(rows) < 10 and max(rows) >= 490
    planes = [replace(case, masks=(f"v{k // 25}.nii.gz::axial/{k % 25}",)) for k, case in enumerate(files)]
    rows = rows_to_measure(planes)
    assert len({row // 25 for row in rows}) == FILES_OPENED and len(rows) == 100
    assert rows_to_measure([replace(case, masks=()) for case in files]) == []
