import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.data.folds import read_splits, write_splits
from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

PLAIN = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "tumour": 1, "ignore": 2},
    "numTraining": 3,
    "file_ending": ".png",
}


def raw(folder: Path, described: Any = PLAIN, *, channels: int = 1, cases: str = "abc", test: str = "") -> Path:
    for part, names in (("Tr", cases), ("Ts", test)):
        for name in names:
            for kind, ends in (("images", [f"_{channel:04d}" for channel in range(channels)]), ("labels", [""])):
                (folder / f"{kind}{part}").mkdir(parents=True, exist_ok=True)
                for end in ends:
                    write_image(folder / f"{kind}{part}" / f"{name}{end}.png", np.zeros((4, 4), np.uint8))
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def test_images_with_channels_and_what_the_file_says(tmp_path: Path) -> None:
    found = find_cases(raw(tmp_path, channels=2, test="d"))
    assert [case.id for case in found.cases] == list("abcd") and found.form == "nnU-Net raw"
    assert [case.split for case in found.cases] == ["train"] * 3 + ["test"]
    assert [Path(path).name for path in (found.cases[0].image, *found.cases[0].channels, *found.cases[0].masks)] == [
        "a_0000.png", "a_0001.png", "a.png",
    ]  # fmt: skip
    assert dict(found.mask_names) == {0: "background", 1: "tumour"}
    assert (found.ignore, found.modality, found.has_masks) == (2, "CT", True)


def test_numbers_of_cases_are_no_channels(tmp_path: Path) -> None:
    for part, numbers in (("Tr", (1, 4)), ("Va", (8,)), ("Ts", (2,))):
        for kind in ("images", "labels")[: 1 + (part != "Ts")]:
            for number in numbers:
                (tmp_path / f"{kind}{part}").mkdir(exist_ok=True)
                write_image(tmp_path / f"{kind}{part}" / f"amos_{number:04d}.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "dataset.json").write_text(json.dumps({**PLAIN, "numTraining": 2}))
    found = find_cases(tmp_path)
    assert [(case.id, case.split) for case in found.cases] == [
        ("amos_0001", "train"), ("amos_0004", "train"), ("amos_0008", "validation"),
    ]  # fmt: skip
    assert found.channels == () and "cases of imagesTs without labels, not used: 1" in found.notes


def test_regions_and_the_decathlon(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2], "edema": 1}
    found = find_cases(raw(tmp_path / "a", {**PLAIN, "labels": labels, "numTraining": 5}))
    assert found.regions == {"whole": (1, 2), "core": (2,)}
    assert dict(found.mask_names) == {0: "background", 1: "edema", 2: "label 2"}
    assert any("numTraining 5, 3 cases" in note for note in found.notes)
    old = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "anterior"}}
    found = find_cases(raw(tmp_path / "b", old))
    assert dict(found.mask_names) == {0: "background", 1: "anterior"} and found.modality == "MR"


def test_volumes(tmp_path: Path) -> None:
    raw(tmp_path, {**PLAIN, "file_ending": ".nii.gz"}, cases="")
    for name in ("imagesTr/x_0000", "imagesTr/x_0001", "labelsTr/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_volume(tmp_path / f"{name}.nii.gz", np.zeros((4, 5, 6), np.int16), np.diag([1.0, 1, 3, 1]))
    write_splits(tmp_path / "splits_final.json", [{"x": "validation"}])
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases] == [f"x_{plane:03d}" for plane in range(6)]
    assert found.cases[5].channels == (f"{tmp_path}/imagesTr/x_0001.nii.gz::axial/5",)
    assert {case.patient for case in found.cases} == {"x"} and {case.split for case in found.cases} == {"validation"}


def test_files_that_the_data_set_names_itself(tmp_path: Path) -> None:
    raw(tmp_path, {**PLAIN, "dataset": {"one": {"images": ["imagesTr/a_0000.png"], "label": "labelsTr/b.png"}}})
    case = find_cases(tmp_path).cases[0]
    assert (case.id, Path(case.masks[0]).name) == ("one", "b.png")
    entry = {"images": ["../x.png"], "label": "labelsTr/b.png"}
    with pytest.raises(DataError, match="outside") as caught:
        find_cases(raw(tmp_path, {**PLAIN, "dataset": {"one": entry}}))
    assert caught.value.code == "DATA-017"


@pytest.mark.parametrize("beside", [True, False])
def test_folds(tmp_path: Path, beside: bool) -> None:
    folder = raw(tmp_path / "Dataset001_x")
    folds = [{"a": "train", "b": "train", "c": "validation"}, {"a": "validation", "b": "train"}]
    path = (tmp_path if beside else folder) / "splits_final.json"
    write_splits(path, folds)
    assert json.loads(path.read_text()) == [
        {"train": ["a", "b"], "val": ["c"]}, {"train": ["b"], "val": ["a"]},
    ]  # fmt: skip
    found = find_cases(folder)
    assert found.folds == tuple(folds) == read_splits(path)
    assert [case.split for case in found.cases] == ["train", "train", "validation"]
    second = find_cases(folder, hints=ReadOptions(fold=1))
    assert [case.split for case in second.cases] == ["validation", "train", "test"]
    assert any("does not mention" in note for note in second.notes)
    with pytest.raises(DataError, match="fold 2 was asked for") as caught:
        find_cases(folder, hints=ReadOptions(fold=2))
    assert caught.value.code == "DATA-066"


def test_folds_of_another_data_set(tmp_path: Path) -> None:
    folder = raw(tmp_path / "Dataset001_x")
    write_splits(tmp_path / "splits_final.json", [{"q": "train"}])
    found = find_cases(folder)
    assert found.folds == () and any("another data set" in note for note in found.notes)
    write_splits(folder / "splits_final.json", [{"a": "train", "q": "train"}])
    with pytest.raises(DataError, match="1 cases are not in the data set") as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-066"


@pytest.mark.parametrize("text", ["[", "{}", "[]", '[{"train": ["a"]}]', '[{"train": ["a"], "val": ["a"]}]'])
def test_damaged_folds(tmp_path: Path, text: str) -> None:
    (tmp_path / "splits_final.json").write_text(text)
    with pytest.raises(DataError, match=r"splits_final\.json") as caught:
        read_splits(tmp_path / "splits_final.json")
    assert caught.value.code == "DATA-066"


def test_cases_without_partner(tmp_path: Path) -> None:
    folder = raw(tmp_path, test="d")
    (folder / "labelsTr/a.png").unlink()
    (folder / "imagesTr/b_0000.png").unlink()
    (folder / "labelsTs/d.png").unlink()
    with pytest.raises(
        DataError, match=r"1 cases of imagesTr have no label:\n    a\n  1 labels have no image:\n    b"
    ) as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-010"
    found = find_cases(folder, hints=ReadOptions(drop_unpaired=True))
    assert [case.id for case in found.cases] == ["c"] and found.unpaired == ("a", "b")
    assert any("imagesTs without labels, not used: 1" in note for note in found.notes)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({**PLAIN, "labels": {"background": 0, "x": "y"}}, "the label 'x'"),
        ({**PLAIN, "labels": {"background": -1}}, "-1"),
        ({**PLAIN, "dataset": {"one": ["x"]}}, "without images and label"),
    ],
)
def test_descriptions_that_are_refused(tmp_path: Path, described: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        find_cases(raw(tmp_path, described))
    assert caught.value.code == "DATA-065"


def test_missing_channels_and_damaged_json(tmp_path: Path) -> None:
    folder = raw(tmp_path, channels=2)
    (folder / "imagesTr/b_0001.png").unlink()
    with pytest.raises(DataError, match="1 case lacks channels:\n    b: 0000") as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-065"
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read") as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-065"


def test_cases_without_labels_are_images_and_the_data_set_is_found_from_above(tmp_path: Path) -> None:
    root = raw(tmp_path / "in/Dataset001_A", {**PLAIN, "channel_names": {"0": "T1", "1": "T2"}}, channels=2, test="de")
    for name in "de":
        (root / f"labelsTs/{name}.png").unlink()
    found = find_cases(tmp_path / "in")
    assert found.form == "nnU-Net raw" and found.channels == ("0000", "0001") and len(found.cases) == 3
    assert "channels: 0000 is T1, 0001 is T2; masks: labelsTr/*.png (3)" in found.notes[0]
    cases = find_cases(root, hints=ReadOptions(images_only=True, channels=found.channels)).cases
    assert [case.id for case in cases] == list("abcde") and {len(case.channels) for case in cases} == {1}


def with_val(folder: Path, *more: str) -> Path:
    """WORD: like the Decathlon, with `imagesVal`."""
    raw(folder, cases="abc", test="d")
    for kind in ("imagesVal", "labelsVal", *more):
        (folder / kind).mkdir()
        for name in "ef":
            write_image(folder / kind / f"{name}{'_0000' if 'images' in kind else ''}.png", np.zeros((4, 4), np.uint8))
    return folder


def test_val_is_a_part_too(tmp_path: Path) -> None:
    found = find_cases(with_val(tmp_path))
    assert {case.split: sum(other.split == case.split for other in found.cases) for case in found.cases} == {
        "train": 3, "validation": 2, "test": 1,
    }  # fmt: skip
    assert not any("not used" in note for note in found.notes)


def test_what_lies_in_other_folders_is_told(tmp_path: Path) -> None:
    found = find_cases(with_val(tmp_path, "imagesExtra", "labels_of_others"))
    assert "images or volumes in other folders, not used: 4 (imagesExtra (2), labels_of_others (2))" in found.notes


def test_patterns_go_before_what_the_file_says(tmp_path: Path) -> None:
    with_val(tmp_path, "imagesExtra")
    patterns = ReadOptions(images="images*/{id}_0000.png", masks="labels*/{id}.png")
    write_image(tmp_path / "imagesExtra/a_0000.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="DATA-061"):
        find_cases(tmp_path, hints=patterns)  # a, e and f are there twice
    found = find_cases(tmp_path, hints=ReadOptions(images="imagesVal/{id}_0000.png", masks="labelsVal/{id}.png"))
    assert [(case.id, case.split) for case in found.cases] == [("e", "validation"), ("f", "validation")]


def decathlon(folder: Path, **lists: Any) -> Path:
    described = {"labels": {"0": "background", "1": "spleen", "2": "cyst"}, "modality": {"0": "CT"}}
    listed = {
        split: [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
        if isinstance(names, str)
        else names
        for split, names in lists.items()
    }
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir()
        for place, name in enumerate("abcde"):
            values = np.arange(32).reshape(4, 4, 2) * (place + 1) if kind == "imagesTr" else np.ones((4, 4, 2))
            write_volume(folder / kind / f"{name}.nii.gz", values.astype(np.int16), np.eye(4))
    (folder / "dataset.json").write_text(json.dumps({**described, **listed}))
    return folder


@pytest.mark.parametrize("way", ["patterns", "masks", "both"])
def test_names_of_classes_are_kept_where_the_labels_of_the_data_set_are_named(tmp_path: Path, way: str) -> None:
    decathlon(tmp_path, training="abcde")
    hints = {
        "patterns": ReadOptions(images="imagesTr/{id}.nii.gz", masks="labelsTr/{id}.nii.gz"),
        "masks": ReadOptions(masks="labelsTr/{id}.nii.gz"),
        "both": ReadOptions(),
    }[way]
    found = find_cases(tmp_path, masks=tmp_path / "labelsTr" if way == "both" else None, hints=hints)
    assert dict(found.mask_names) == {0: "background", 1: "spleen", 2: "cyst"} and found.form == "volumes"
    assert any("dataset.json names the values" in note for note in found.notes)
    assert not any("dataset.json" in note and "not used" in note for note in found.notes)


def test_an_ignore_label_is_kept_too(tmp_path: Path) -> None:
    found = find_cases(raw(tmp_path), hints=ReadOptions(images="imagesTr/{id}_0000.png", masks="labelsTr/{id}.png"))
    assert (found.ignore, dict(found.mask_names)) == (2, {0: "background", 1: "tumour"})


def test_names_of_the_labels_are_not_those_of_other_masks(tmp_path: Path) -> None:
    decathlon(tmp_path, training="abcde")
    (tmp_path / "labelsTr").rename(tmp_path / "skulls")
    (tmp_path / "labelsTr").mkdir()
    hints = ReadOptions(images="imagesTr/{id}.nii.gz", masks="skulls/{id}.nii.gz")
    found = find_cases(tmp_path, hints=hints)
    assert not found.mask_names and any("dataset.json is not used" in note for note in found.notes)


@pytest.mark.parametrize(("key", "split"), [("validation", "validation"), ("val", "validation"), ("test", "test")])
def test_lists_of_labelled_cases_are_their_split(tmp_path: Path, key: str, split: str) -> None:
    found = find_cases(decathlon(tmp_path, training="abc", **{key: "de"}))
    splits = {case.volume: case.split for case in found.cases}
    assert splits == {**dict.fromkeys("abc", "train"), **dict.fromkeys("de", split)}
    assert any(f"dataset.json lists the cases of splits: train 3, {split} 2" in note for note in found.notes)


def test_lists_without_labels_or_of_one_case_twice_say_no_split(tmp_path: Path) -> None:
    for number, lists in enumerate(({"test": ["./imagesTs/z.nii.gz"]}, {"training": "abcde", "validation": "de"})):
        (tmp_path / str(number)).mkdir()
        found = find_cases(decathlon(tmp_path / str(number), **lists))
        assert {case.split for case in found.cases} == {"train"}
        assert any("2 cases would be in several" in note for note in found.notes) == bool(number)


def paired(folder: Path, *drawn: str) -> Path:
    """Two scans of each patient, by different machines, and folders of labels with words before them."""
    for number in range(1, 7):
        for made_by in ("ct", "mr"):
            name = f"set_{made_by}_whole_{number:03}"
            random = np.random.default_rng(number)
            labels = np.zeros((10, 10, 4), np.uint8)
            labels[2:5, 2:5, 1:3], labels[6:8, 6:8, 1:3] = 1, 2
            contents = {"imagesTr": random.integers(-500, 900, labels.shape).astype(np.int16)}
            contents |= {place: (labels > 0).astype(np.uint8) if "bin" in place else labels for place in drawn}
            for place, voxels in contents.items():
                (folder / place).mkdir(parents=True, exist_ok=True)
                ending = "_0000.nii.gz" if place == "imagesTr" else ".nii.gz"
                write_volume(folder / place / f"{name}{ending}", voxels, np.eye(4))
    return folder


@pytest.mark.parametrize("drawn", [("cow_seg_labelsTr",), ("bin_labelsTr", "cow_seg_labelsTr")])
def test_folders_that_end_as_those_of_labels_hold_labels(tmp_path: Path, drawn: tuple[str, ...]) -> None:
    """TopCoW: a word that nobody knows stands before `labelsTr`."""
    found = find_cases(paired(tmp_path, *drawn))
    assert len({case.volume for case in found.cases}) == 12 and {case.split for case in found.cases} == {"train"}
    assert all("/imagesTr/" in case.image and "/cow_seg_labelsTr/" in case.masks[0] for case in found.cases)


def test_two_scans_of_a_patient_are_kept_together_by_what_is_offered(tmp_path: Path) -> None:
    (told,) = (note for note in find_cases(paired(tmp_path, "labelsTr")).notes if "nobody said" in note)
    (expression,) = re.findall(r"--group-by '(.+?)' \(6 groups\)", told)
    found = find_cases(tmp_path, hints=ReadOptions(group_by=expression))
    whose = {case.volume: case.patient for case in found.cases}
    assert found.patients == 6 and whose["set_ct_whole_001_0000"] == whose["set_mr_whole_001_0000"]


def test_folders_of_few_values_whose_names_lack_the_channel_are_paired_by_what_is_told(tmp_path: Path) -> None:
    (paired(tmp_path, "labelsTr") / "labelsTr").rename(tmp_path / "vessels_drawn")
    with pytest.raises(DataError, match="1 of 2 folders hold pictures of few values") as caught:
        find_cases(tmp_path)
    assert "PLACE" not in (caught.value.remedy or "")
    images, masks = re.findall(r"--(?:images|masks) '(.+?)'", caught.value.remedy or "")[:2]
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len({case.volume for case in found.cases}) == 12 and all(len(case.masks) == 1 for case in found.cases)
