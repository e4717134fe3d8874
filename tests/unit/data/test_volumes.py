"""Planes put together: whole volumes, their spacing, and planes beside a plane."""

import numpy as np
import pytest

from sfumato.data.manifest import Case
from sfumato.data.placement import Canvas, fit_canvas, resize, restore
from sfumato.data.three_planes import GAP, fullest, three_planes
from sfumato.data.volumes import are_worth_it, as_volume, by_volume, target_spacing, with_neighbours
from sfumato.errors import DataError


def planes(volume: str, count: int, channels: int = 0) -> list[Case]:
    return [
        Case(
            id=f"{volume}_{place}",
            image=f"{volume}.nii::axial/{place}",
            channels=tuple(f"{volume}_{channel}.nii::axial/{place}" for channel in range(1, channels + 1)),
            volume=volume,
        )
        for place in range(count)
    ]


def test_the_planes_of_each_volume_lie_together() -> None:
    found = by_volume([*planes("a", 3), *planes("b", 2)])
    assert [len(run) for run in found] == [3, 2]
    assert [as_volume(run).id for run in found] == ["a", "b"]
    assert as_volume(found[1]).image == "b.nii::axial/0"


def test_an_image_among_volumes_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 2 cases are single images, such as flat\.png"):
        by_volume([*planes("a", 3), Case(id="flat", image="flat.png")])


@pytest.mark.parametrize(
    ("spacings", "target"),
    [
        ([(1, 1, 1), (2, 1, 1), (2, 2, 2)], (2, 1, 1)),
        ([(step, 1, 1) for step in range(2, 13)], (3, 1, 1)),  # median 7 is thick: the tenth percentile
        ([(0.5, 0.5, step) for step in range(2, 13)], (0.5, 0.5, 3)),
        ([(3, 1, 1)] * 3, (3, 1, 1)),  # three times as coarse is not thick yet, and alike in any case
        ([(3, 1, 1), (2, 1, 1), (3, 1, 1)], (3, 1, 1)),
    ],
)
def test_a_thick_axis_takes_the_tenth_percentile(spacings: list, target: tuple) -> None:
    assert target_spacing(spacings) == pytest.approx(target)


@pytest.mark.parametrize(
    ("counts", "spacings", "worth"),
    [
        ([16, 16], [(1, 1, 1)] * 2, True),
        ([15, 15], [(1, 1, 1)] * 2, False),
        ([40, 4, 40], [(2.9, 1, 1)] * 3, True),
        ([40, 40], [(3, 1, 1)] * 2, False),
        ([40, 40], [(2, 1, 0.5)] * 2, False),
    ],
)
def test_volumes_are_whole_where_they_have_planes_and_these_are_near(counts: list, spacings: list, worth: bool) -> None:
    assert are_worth_it(counts, spacings) == worth


def test_neighbours_are_channels_and_an_end_is_repeated() -> None:
    first, middle, last, alone = with_neighbours([*planes("a", 3, channels=1), *planes("b", 1, channels=1)], 1)

    def numbers(case: Case) -> list[str]:
        return [name.replace(".nii::axial/", " ") for name in (case.image, *case.channels)]

    assert numbers(first) == ["a 0", "a_1 0", "a 0", "a_1 0", "a 1", "a_1 1"]
    assert numbers(middle) == ["a 1", "a_1 1", "a 0", "a_1 0", "a 2", "a_1 2"]
    assert numbers(last) == ["a 2", "a_1 2", "a 1", "a_1 1", "a 2", "a_1 2"]
    assert numbers(alone) == ["b 0", "b_1 0"] * 3
    assert len(with_neighbours(planes("a", 5), 2)[2].channels) == 4


def test_a_ramp_is_a_ramp_at_another_spacing_and_back() -> None:
    z, y, x = np.meshgrid(np.arange(12), np.arange(20), np.arange(16), indexing="ij")
    ramp = (3 * z + 2 * y + x).astype(np.float32)[..., None]
    placement = Canvas(None, spacing=(1.0, 1.0, 1.0)).place((12, 20, 16), (2.0, 1.0, 0.5))
    assert placement.canvas == (24, 20, 8) and placement.pixels_each == 1.0
    fine = fit_canvas(ramp, placement, nearest=False)
    inside = np.s_[2:-2, 2:-2, 2:-2]
    z, y, x = np.meshgrid((np.arange(24) + 0.5) / 2 - 0.5, np.arange(20), (np.arange(8) + 0.5) * 2 - 0.5, indexing="ij")
    # sums of a few products in float32 of numbers below 128
    np.testing.assert_allclose(fine[..., 0][inside], (3 * z + 2 * y + x)[inside], rtol=0, atol=1e-4)
    back = restore(fine, placement, nearest=False)
    np.testing.assert_allclose(back[3:-3, 3:-3, 4:-4], ramp[3:-3, 3:-3, 4:-4], rtol=0, atol=1e-4)


def test_classes_stay_classes_through_planes() -> None:
    mask = np.zeros((8, 6, 6), np.uint8)
    mask[2:5], mask[5:] = 7, 255
    fine = resize(mask, (16, 6, 6), nearest=True)
    assert fine.dtype == np.uint8 and set(np.unique(fine)) == {0, 7, 255}
    assert [int((fine == value).all(axis=(1, 2)).sum()) for value in (0, 7, 255)] == [4, 6, 6]
    assert np.array_equal(resize(fine, (8, 6, 6), nearest=True), mask)
    assert np.array_equal(resize(mask, (8, 6, 6), nearest=True), mask)


def test_a_volume_at_its_own_spacing_is_itself() -> None:
    volume = np.random.default_rng(0).integers(0, 1000, (5, 7, 6, 2)).astype(np.int16)
    placement = Canvas(None, spacing=(3.0, 0.8, 0.8)).place((5, 7, 6), (3.0, 0.8, 0.8))
    assert placement.keeps_all and fit_canvas(volume, placement, nearest=False) is volume


def test_three_planes_meet_where_there_is_most_to_be_seen() -> None:
    mask = np.zeros((6, 10, 8), np.uint8)
    mask[2:4, 5:9, 1:3] = 1
    mask[3, 6, 2] = 2
    empty = np.zeros_like(mask)
    assert fullest([empty, mask]) == (2, 5, 1) and fullest([empty]) == (3, 5, 4)
    picture = three_planes(mask, (3, 6, 2), spacing=(2.0, 1.0, 1.0), axis="axial", nearest=True)
    assert picture.shape == (12, 8 + 8 + 10 + 2 * GAP)  # planes are twice as far apart as pixels
    axial, coronal, sagittal = picture[:10, :8], picture[:, 8 + GAP : 16 + GAP], picture[:, 16 + 2 * GAP :]
    assert np.array_equal(axial, mask[3])
    assert np.array_equal(coronal, mask[::-1, 6].repeat(2, axis=0)), "the head is up"
    assert np.array_equal(sagittal, mask[::-1, :, 2].repeat(2, axis=0))
    assert not picture[10:, :8].any() and not picture[:, 8 : 8 + GAP].any()
    long = three_planes(mask, (3, 6, 2), spacing=(1.0, 3.0, 1.0), axis="axial", nearest=True)
    assert long.shape == (30, 8 + 8 + 30 + 2 * GAP), "rows are three times as far apart as columns"
    assert np.array_equal(long[:6, 16 + 2 * GAP :], mask[::-1, :, 2].repeat(3, axis=1))
    other = three_planes(mask, (3, 6, 2), spacing=(2.0, 1.0, 1.0), axis="coronal", nearest=True)
    assert np.array_equal(other[:, 8 + GAP : 16 + GAP], mask[:, 6].repeat(2, axis=0))
