from pathlib import Path

import numpy as np
import pytest

from sfumato.data.channels import read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.source import Hints, find_cases
from sfumato.data.source.axes import axes_of
from sfumato.errors import DataError

VOLUMES = np.arange(2 * 5 * 6 * 7).reshape(2, 5, 6, 7).astype(np.int16)


@pytest.mark.parametrize(
    ("shape", "counted", "text"),
    [
        ((9, 8), None, "(height, width)"),
        ((5, 9, 8), None, "(count, height, width)"),
        ((9, 8, 3), None, "(height, width, channels)"),
        ((5, 9, 8, 3), None, "(count, height, width, channels)"),
        ((9, 8, 2), None, "(height, width, channels)"),
        ((5, 9, 8, 6), True, "(count, height, width, channels)"),
        ((5, 4, 9, 8, 2), True, "(count, depth, height, width, channels), cut into planes along its depth"),
        ((5, 3, 9, 8), True, "(count, channels, height, width)"),
        ((5, 4, 9, 8), True, "(count, depth, height, width), cut into planes along its depth"),
        ((5, 7, 9, 8, 1), True, "(count, depth, height, width, channels), cut into planes along its depth"),
        ((7, 9, 8), False, "(depth, height, width), cut into planes along its depth"),
        ((3, 3, 3), True, "(count, height, width)"),
        ((3, 9, 8), False, "(channels, height, width)"),
    ],
)
def test_axes_by_rule(shape: tuple[int, ...], counted: bool | None, text: str) -> None:
    assert str(axes_of("x", shape, counted=counted)).endswith(f"was read as {text}")


@pytest.mark.parametrize(
    ("shape", "counted"),
    [
        ((3, 3, 3), None),
        ((3, 9, 3), False),
        ((5, 3, 9, 3), True),
        ((5, 6, 7, 8, 9), True),
        ((5, 3, 7, 9, 3), True),
        ((0, 4, 4), None),
    ],
)
def test_ambiguous_axes_are_refused(shape: tuple[int, ...], counted: bool | None) -> None:
    with pytest.raises(DataError, match="x has the shape") as caught:
        axes_of("x", shape, counted=counted)
    assert caught.value.code == "DATA-060"


@pytest.mark.parametrize(("axis", "number"), [("auto", 0), ("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_volumes_are_cut_along_any_axis(tmp_path: Path, axis: str, number: int) -> None:
    np.savez(tmp_path / "a.npz", volumes=VOLUMES, labels=VOLUMES % 3)
    found = find_cases(tmp_path / "a.npz", hints=Hints(slice_axis=axis))
    assert len(found.cases) == 2 * VOLUMES.shape[1 + number] and found.has_masks
    case = found.cases[-1]
    expected = np.take(VOLUMES[1], -1, axis=number)
    assert np.array_equal(read_case(case)[..., 0], expected) and np.array_equal(read_mask(case.masks[0]), expected % 3)
    assert (case.id, case.volume, case.patient) == (f"1_{VOLUMES.shape[1 + number] - 1:03d}", "1", "1")
    assert any("(count, depth, height, width)" in note for note in found.notes)


def test_a_single_array_is_a_stack_or_a_volume(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUMES[0])
    stack = find_cases(tmp_path / "a.npy")
    assert [case.id for case in stack.cases] == [f"a_{row:03d}" for row in range(5)]
    assert {case.volume for case in stack.cases} == {None} and stack.form == "npy"
    assert np.array_equal(read_case(stack.cases[2])[..., 0], VOLUMES[0, 2])
    volume = find_cases(tmp_path, hints=Hints(slice_axis="sagittal"))
    assert len(volume.cases) == 7 and {case.volume for case in volume.cases} == {"a"}
    assert np.array_equal(read_case(volume.cases[3])[..., 0], VOLUMES[0, :, :, 3])
    np.save(tmp_path / "a.npy", VOLUMES[0, 0])
    assert np.array_equal(read_case(find_cases(tmp_path).cases[0])[..., 0], VOLUMES[0, 0])


def test_channels_that_come_first(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 3, 8, 9), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks=images[:, :1])
    case = find_cases(tmp_path / "a.npz").cases[2]
    assert np.array_equal(read_case(case), np.moveaxis(images[2], 0, -1))
    assert np.array_equal(read_mask(case.masks[0]), images[2, 0])


def test_one_file_for_each_case(tmp_path: Path) -> None:
    for row, name in enumerate("ab"):
        np.savez(tmp_path / f"{name}.npz", image=VOLUMES[row, 0], label=VOLUMES[row, 0] % 2)
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases] == ["a", "b"] and found.has_masks
    assert np.array_equal(read_mask(found.cases[1].masks[0]), VOLUMES[1, 0] % 2)


def test_arrays_in_folders_are_arranged_like_pictures(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for row, name in enumerate("ab"):
            np.save(tmp_path / folder / f"{name}.npy", VOLUMES[row] % (2 if folder == "masks" else 999))
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases[4:6]] == ["a_004", "b_000"] and found.has_masks
    assert np.array_equal(read_mask(found.cases[5].masks[0]), VOLUMES[1, 0] % 2)
    (tmp_path / "masks/b.npy").unlink()
    with pytest.raises(DataError, match="1 image has no mask"):
        find_cases(tmp_path)


def test_arrays_in_files_of_their_own(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", VOLUMES[0])
    np.save(tmp_path / "labels.npy", np.eye(5, dtype=np.uint8))
    found = find_cases(tmp_path)
    assert [case.label for case in found.cases] == list("01234") and found.form == "npy"


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"images": np.zeros((10, 8, 8)), "labels": np.zeros(9)}, "DATA-019"),
        ({"images": np.zeros((10, 8, 8)), "labels": np.ones((10, 4))}, "DATA-019"),
        ({"images": np.zeros((10, 8, 8)), "masks": np.zeros((9, 8, 8))}, "DATA-012"),
        ({"images": np.zeros((10, 8, 8), complex)}, "DATA-018"),
        ({"train_labels": np.zeros(10), "x": np.zeros(3)}, "DATA-018"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], code: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"a\.npz") as caught:
        find_cases(tmp_path)
    assert caught.value.code == code


def test_several_data_sets_in_a_folder(tmp_path: Path) -> None:
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", images=VOLUMES[0])
    with pytest.raises(DataError, match="2 hold a data set each") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-018"


@pytest.mark.parametrize("shape", [(10, 16, 20, 8), (10, 8, 16, 20), (10, 16, 20, 2), (10, 3, 16, 20)])
@pytest.mark.parametrize("mask", [(10, 16, 20), (10, 16, 20, 1), (10, 1, 16, 20)])
def test_masks_say_which_axis_is_that_of_the_channels(
    tmp_path: Path, shape: tuple[int, ...], mask: tuple[int, ...]
) -> None:
    images = np.arange(np.prod(shape)).reshape(shape).astype(np.float32)
    masks = np.random.default_rng(0).integers(0, 2, mask).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks=masks)
    found = find_cases(tmp_path / "a.npz")
    assert len(found.cases) == 10
    expected = images[7] if shape[1:3] == (16, 20) else np.moveaxis(images[7], 0, -1)
    assert np.array_equal(read_case(found.cases[7]), expected)
    assert np.array_equal(read_mask(found.cases[7].masks[0]), masks[7].reshape(16, 20))


def test_one_file_for_each_image_of_many_channels(tmp_path: Path) -> None:
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", image=np.ones((16, 20, 12), np.float32), mask=np.ones((16, 20), np.uint8))
    found = find_cases(tmp_path)
    assert len(found.cases) == 2 and read_case(found.cases[0]).shape == (16, 20, 12)


def test_labels_of_two_axes_beside_images_are_classes(tmp_path: Path) -> None:
    labels = np.eye(4, dtype=np.uint8)[[0, 1, 2, 3, 0, 1]]
    np.savez(tmp_path / "a.npz", images=np.zeros((6, 9, 8), np.uint8), labels=labels)
    assert not find_cases(tmp_path / "a.npz").has_masks
