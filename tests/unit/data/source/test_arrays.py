from pathlib import Path

import numpy as np
import pytest

from sfumato.data.channels import read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.source import ReadOptions, find_cases
from sfumato.data.source.arrays.axes import axes_of
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
    found = find_cases(tmp_path / "a.npz", hints=ReadOptions(slice_axis=axis))
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
    volume = find_cases(tmp_path, hints=ReadOptions(slice_axis="sagittal"))
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


def nuclei(folder: Path, *, count: int = 4, classes: int = 3, overlap: bool = False, background: bool = True) -> Path:
    """A fold of PanNuke: a channel of numbered objects for each class, and one of the background."""
    folder.mkdir(parents=True, exist_ok=True)
    masks = np.zeros((count, 16, 20, classes + background))
    for channel in range(classes):
        masks[:, 4 * channel : 4 * channel + 3 + overlap * 2, 2:6, channel] = 7
        masks[:, 4 * channel : 4 * channel + 3, 12:14, channel] = 40 + channel
    if background:
        masks[..., -1] = ~masks[..., :-1].any(-1)
    np.save(folder / "images.npy", np.arange(count * 16 * 20 * 3).reshape(count, 16, 20, 3) % 251.0)
    np.save(folder / "masks.npy", masks)
    np.save(folder / "types.npy", np.array(["Breast", "Colon"] * (count // 2)))
    return folder


def test_channels_of_masks_are_classes(tmp_path: Path) -> None:
    for lenient in (False, True):  # `check` leaves out what has no partner
        found = find_cases(nuclei(tmp_path), hints=ReadOptions(drop_unpaired=lenient))
        assert [case.id for case in found.cases] == ["0", "1", "2", "3"] and found.unpaired == ()
        mask = read_mask(found.cases[1].masks[0])
        assert mask.shape == (16, 20) and [mask[4 * row, 3] for row in range(3)] == [1, 2, 3] and mask[15, 19] == 0
        assert mask[0, 12] == 1 and mask[8, 12] == 3  # objects have numbers, which say nothing of the class
        notes = " ".join(found.notes)
        assert "3 channels of the masks is a class, 1 to 3; the last one is the background" in notes
        assert "types (4 texts: Breast, Colon; called labels they would be the classes" in notes
    (tmp_path / "types.npy").rename(tmp_path / "labels.npy")
    assert find_cases(tmp_path).classes == ("Breast", "Colon")


def test_channels_that_overlap(tmp_path: Path) -> None:
    assert "the smaller object is on top" in " ".join(find_cases(nuclei(tmp_path, overlap=True)).notes)
    nuclei(tmp_path, overlap=True, background=False)
    with pytest.raises(DataError, match="3 channels that overlap, and what they are is not clear") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-064" and "--classes-by suffix" in str(caught.value)
    readers = find_cases(tmp_path, hints=ReadOptions(readers_by="suffix")).cases[0].masks
    assert [read_mask(mask)[4, 3] for mask in readers] == [1, 1, 0]
    parts = read_mask(find_cases(tmp_path, hints=ReadOptions(join_masks=True)).cases[0].masks[0])
    assert set(np.unique(parts)) == {0, 1} and parts[4, 3] == parts[8, 12] == 1
    assert set(
        np.unique(read_mask(find_cases(tmp_path, hints=ReadOptions(classes_by="suffix")).cases[0].masks[0]))
    ) == {*range(4)}


@pytest.mark.parametrize("last", [True, False])
def test_one_hot_masks_in_a_file_each(tmp_path: Path, last: bool) -> None:
    for number in range(3):
        classes = np.zeros((12, 14), int)
        classes[2:5, 3:9], classes[7:9, number] = 1, 2
        hot = np.eye(3)[classes] if last else np.moveaxis(np.eye(3)[classes], 2, 0)
        np.savez(tmp_path / f"{number}.npz", image=np.ones((12, 14), np.float32), mask=hot.astype(np.uint8))
    found = find_cases(tmp_path)
    assert np.array_equal(read_mask(found.cases[2].masks[0]), classes)
    assert "each of 2 channels of the masks is a class, 1 to 2; the first one is the background" in found.notes


def test_channels_of_masks_of_volumes_and_of_many_channels(tmp_path: Path) -> None:
    classes = np.arange(2 * 5 * 6 * 7).reshape(2, 5, 6, 7) % 3
    np.savez(tmp_path / "a.npz", volumes=VOLUMES, masks=np.eye(3, dtype=bool)[classes])
    for axis, number in (("axial", 0), ("coronal", 1), ("sagittal", 2)):
        case = find_cases(tmp_path / "a.npz", hints=ReadOptions(slice_axis=axis)).cases[-1]
        # 0, 1 and 2 are as frequent: the first channel is taken as the background
        assert np.array_equal(read_mask(case.masks[0]), np.take(classes[1], -1, axis=number))
    np.savez(
        tmp_path / "b.npz",
        images=np.ones((4, 9, 8, 12)),
        masks=np.eye(3)[np.arange(72).reshape(9, 8) % 3][None].repeat(4, 0),
    )
    case = find_cases(tmp_path / "b.npz").cases[0]
    assert read_case(case).shape == (9, 8, 12) and read_mask(case.masks[0]).max() == 2


def test_grey_masks_of_three_channels_and_fractions(tmp_path: Path) -> None:
    shows = np.zeros((2, 9, 8), np.uint8)
    shows[:, 2:4, 3:5] = 2
    np.savez(tmp_path / "grey.npz", images=shows, masks=shows[..., None].repeat(3, -1))
    assert set(np.unique(read_mask(find_cases(tmp_path / "grey.npz").cases[0].masks[0]))) == {0, 2}
    drawn = np.stack([shows == 0, shows > 0], -1)
    np.savez(tmp_path / "two.npz", images=shows, masks=drawn)
    assert np.array_equal(read_mask(find_cases(tmp_path / "two.npz").cases[0].masks[0]), shows[0] > 0)
    np.savez(tmp_path / "turned.npz", images=shows, masks=drawn[..., ::-1])
    with pytest.raises(DataError, match="which one is the background"):
        find_cases(tmp_path / "turned.npz")
    np.savez(tmp_path / "soft.npz", images=shows, masks=np.full((2, 9, 8, 4), 0.25))
    with pytest.raises(DataError, match="4 channels of fractions"):
        find_cases(tmp_path / "soft.npz")


def test_parts_of_a_set_in_folders(tmp_path: Path) -> None:
    for fold in (1, 2):
        parts = nuclei(tmp_path / f"new{fold}", count=2)
        for name, role in (("images", "images"), ("types", "images"), ("masks", "masks")):
            place = tmp_path / f"Fold {fold}/{role}/fold{fold}/{name}.npy"
            place.parent.mkdir(parents=True, exist_ok=True)
            (parts / f"{name}.npy").rename(place)
        parts.rmdir()
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases] == ["fold1_0", "fold1_1", "fold2_0", "fold2_1"] and not found.classes
    assert read_mask(found.cases[3].masks[0]).max() == 3
    for name in ("train", "test"):
        np.save(nuclei(tmp_path / f"split/{name}") / "masks.npy", np.ones((4, 16, 20), np.uint8))
    assert {case.id.split("_")[0]: case.split for case in find_cases(tmp_path / "split").cases} == {
        "train": "train", "test": "test"
    }  # fmt: skip
