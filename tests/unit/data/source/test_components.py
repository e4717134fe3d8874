import json
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.channels import channels_within, read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

AXIAL = np.diag([1.0, 1, 4, 1])


def volume(path: Path, shape: tuple[int, ...], dtype: type = np.int16) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = (np.arange(np.prod(shape)).reshape(shape) % 97).astype(dtype)
    write_volume(path, voxels, AXIAL)
    return voxels


def drawn(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(shape, np.uint8)
    labels[1:3, 1:3] = 1
    write_volume(path, labels, AXIAL, label=True)


def decathlon(folder: Path, *names: str, values: int = 2) -> Path:
    for number in range(2):
        volume(folder / f"imagesTr/p_{number}.nii.gz", (4, 5, 3, values))
        drawn(folder / f"labelsTr/p_{number}.nii.gz", (4, 5, 3))
    content = {"modality": {str(place): name for place, name in enumerate(names)}, "labels": {"0": "none", "1": "zone"}}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def metaimage(path: Path, sizes: tuple[int, ...], content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"ObjectType = Image\nNDims = {len(sizes)}\nDimSize = {' '.join(map(str, sizes))}\n"
    path.write_bytes(f"{head}ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode() + content)


def in_colours(folder: Path, *, masks: bool = True) -> Path:
    for number in range(2):
        colours = np.stack([np.full((5, 4), shade + number, np.uint8) for shade in (10, 60, 200)])
        metaimage(folder / f"images/{number}.mha", (4, 5, 3), colours.tobytes())
        if masks:
            metaimage(folder / f"masks/{number}.mha", (4, 5), bytes([0, 1] * 10))
    return folder


def test_values_of_a_voxel_whose_labels_have_one_are_channels(tmp_path: Path) -> None:
    voxels = volume(tmp_path / "images/a.nii.gz", (4, 5, 3, 2))
    drawn(tmp_path / "masks/a.nii.gz", (4, 5, 3))
    found = find_cases(tmp_path)
    pixels = read_case(found.cases[1])
    assert pixels.shape == (5, 4, 2) and read_mask(found.cases[1].masks[0]).shape == (5, 4)
    assert {tuple(pixel) for row in pixels for pixel in row} == {
        tuple(pixel) for row in voxels[:, :, 1] for pixel in row
    }
    assert any("images of 2 channels: 1; --component 0" in note for note in found.notes)
    assert read_case(find_cases(tmp_path, hints=ReadOptions(component=1)).cases[0]).shape == (5, 4, 1)


def test_many_values_may_be_points_in_time(tmp_path: Path) -> None:
    volume(tmp_path / "images/a.nii.gz", (4, 5, 3, 9))
    drawn(tmp_path / "masks/a.nii.gz", (4, 5, 3))
    with pytest.raises(DataError, match="9 components") as caught:
        find_cases(tmp_path)
    assert "--component all" in str(caught.value)
    assert read_case(find_cases(tmp_path, hints=ReadOptions(component="all")).cases[0]).shape == (5, 4, 9)


def test_values_of_a_voxel_without_labels_are_channels_as_asked(tmp_path: Path) -> None:
    volume(tmp_path / "a.nii.gz", (4, 5, 3, 2))
    with pytest.raises(DataError, match="2 components"):
        find_cases(tmp_path)
    found = find_cases(tmp_path, hints=ReadOptions(component="all"))
    assert read_case(found.cases[0]).shape == (5, 4, 2) and channels_within(found.cases[0]) == "all"


def test_a_decathlon_names_its_channels(tmp_path: Path) -> None:
    found = find_cases(decathlon(tmp_path / "two", "T2", "ADC"))
    assert read_case(found.cases[0]).shape == (5, 4, 2)
    assert any("0000 is T2, 0001 is ADC" in note for note in found.notes) and found.channels == ()
    many = find_cases(decathlon(tmp_path / "many", *"abcdefghij", values=10))
    assert read_case(many.cases[0]).shape == (5, 4, 10)
    with pytest.raises(DataError, match=r"2 components .*dataset\.json names 1"):
        find_cases(decathlon(tmp_path / "other", "MRI"))


def test_a_model_of_a_decathlon_reads_images_without_it(tmp_path: Path) -> None:
    decathlon(tmp_path, "T2", "ADC")
    taught = ReadOptions(images_only=True, component="all")
    assert read_case(find_cases(tmp_path / "imagesTr", hints=taught).cases[0]).shape == (5, 4, 2)


def test_three_planes_with_masks_of_one_are_colours(tmp_path: Path) -> None:
    found = find_cases(in_colours(tmp_path))
    case = found.cases[0]
    assert [case.id for case in found.cases] == ["0", "1"] and channels_within(case) == "planes"
    assert read_case(case)[2, 1].tolist() == [10, 60, 200]
    assert read_mask(case.masks[0]).shape == (5, 4)
    assert any("images in colours, a plane each: 2" in note for note in found.notes)


def test_three_planes_without_masks_are_a_volume(tmp_path: Path) -> None:
    assert len(find_cases(in_colours(tmp_path, masks=False)).cases) == 6
    found = find_cases(tmp_path, hints=ReadOptions(component="planes", images_only=True))
    assert read_case(found.cases[0]).shape == (5, 4, 3)


def test_frames_with_a_mask_each_stay_frames(tmp_path: Path) -> None:
    volume(tmp_path / "images/a.nii.gz", (4, 5, 3, 2))
    drawn(tmp_path / "masks/a.nii.gz", (4, 5, 3, 2))
    for hints in (ReadOptions(), ReadOptions(component="all")):
        found = find_cases(tmp_path, hints=hints)
        assert len(found.cases) == 6 and not found.cases[0].channels
        assert any("read frame by frame: 2 frames" in note for note in found.notes)
