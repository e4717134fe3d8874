"""Texts that list the images of a split."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases

NAMES = [f"0000000{patient}_00{number}.png" for patient in range(1, 5) for number in range(2)]


def find(folder: Path, lists: Mapping[str, list[str]], names: list[str] = NAMES) -> DiscoveredDataset:
    for number, name in enumerate(names):
        path = folder / f"images_00{1 + number // 4}" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8))
    for name, lines in lists.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(lines))
    return find_cases(folder)


def splits(found: DiscoveredDataset) -> list[str | None]:
    return [case.split for case in found.cases]


def test_lists_name_the_split_which_is_told(tmp_path: Path) -> None:
    found = find(tmp_path, {"train_val_list.txt": NAMES[:6], "test_list.txt": NAMES[6:]})
    assert splits(found) == ["train"] * 6 + ["test"] * 2
    assert any("the split is that of test_list.txt, train_val_list.txt; to divide" in note for note in found.notes)
    assert "splits that the source brings: train (6), test (2)" in found.notes
    assert not any("not used" in note for note in found.notes) and not found.classes


def test_a_list_that_says_less_gives_way(tmp_path: Path) -> None:
    stems = [f"./images/{name[:-4]} 1" for name in NAMES]
    lists = {"train": stems[:4], "val": stems[4:6], "trainval": stems[:6], "test": stems[6:7]}
    found = find(tmp_path, {f"ImageSets/{name}.txt": lines for name, lines in lists.items()})
    assert splits(found) == ["train"] * 4 + ["validation"] * 2 + ["test", None]
    (note,) = (note for note in found.notes if "the split is that of" in note)
    assert "1 case of no list" in note and "what else their lines say is not read" in note


@pytest.mark.parametrize(
    "lists",
    [
        {"train.txt": NAMES[:5], "test.txt": NAMES[4:]},
        {"trainval.txt": NAMES[:5], "test.txt": NAMES[4:]},
    ],
)
def test_lists_that_disagree_are_told_and_not_followed(tmp_path: Path, lists: dict[str, list[str]]) -> None:
    found = find(tmp_path, lists)
    assert set(splits(found)) == {None}
    assert any("not followed: 1 image would be in several" in note for note in found.notes)


def test_names_that_several_images_have_are_not_followed(tmp_path: Path) -> None:
    found = find(tmp_path, {"train.txt": ["a.png", "b.png"]}, ["a.png", "b.png", "c.png", "d.png", "a.png"])
    assert set(splits(found)) == {None}


@pytest.mark.parametrize("name", ["train_polyp.txt", "notes.txt", "train.txt"])
def test_other_texts_are_no_lists(tmp_path: Path, name: str) -> None:
    lines = ["what", "was", "drawn"] if name == "train.txt" else NAMES
    assert set(splits(find(tmp_path, {name: lines}))) == {None}


def test_lists_beside_a_table_name_the_split(tmp_path: Path) -> None:
    """NIH: `Data_Entry_2017.csv` says whose the images are, two lists say the split."""
    names = [f"{who:08}_{number:03}.png" for who in range(6) for number in range(2)]
    for name in names:
        (tmp_path / name).touch()
    rows = [f"{name},{['Hernia', 'Mass'][int(name[:8]) % 2]},{int(name[:8])}" for name in names]
    (tmp_path / "Data_Entry.csv").write_text("\n".join(["Image Index,Finding Labels,Patient ID", *rows]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:8]))
    (tmp_path / "test_list.txt").write_text("\n".join(names[8:]))
    found = find_cases(tmp_path)
    assert found.form == "table" and found.patients == 6
    assert [case.split for case in found.cases] == ["train"] * 8 + ["test"] * 4
    assert not any("not used: 2" in note for note in found.notes)
    assert any("the class is taken from the column 'Finding Labels'" in note for note in found.notes)
    assert found.classes == ("Hernia", "Mass")


@pytest.mark.parametrize("form", ["{split}_{number}.png", "{split}A_{number}.png", "images/{number}_{split}ing.png"])
def test_names_that_all_say_a_split_are_one(tmp_path: Path, form: str) -> None:
    for split, count in (("train", 5), ("test", 3)):
        for number in range(count):
            path = tmp_path / form.format(split=split, number=number)
            path.parent.mkdir(exist_ok=True)
            path.touch()
    found = find_cases(tmp_path)
    assert sorted(case.split or "" for case in found.cases) == ["test"] * 3 + ["train"] * 5
    assert any(note.startswith("the split is that of the names; ") for note in found.notes)
    assert "splits that the source brings: train (5), test (3)" in found.notes
    (path.parent / "other.png").touch()
    assert {case.split for case in find_cases(tmp_path).cases} == {None}


@pytest.mark.parametrize("form", ["LCTSC-{}-S1-{:03}/scan/{}.png", "set/ct_{}_site{}/{}.png"])
def test_folders_of_cases_with_a_word_for_the_split_are_it(tmp_path: Path, form: str) -> None:
    for split, people in (("Train", (1, 2, 3)), ("Test", (11, 12))):
        for who in people:
            for number in range(2):
                file = tmp_path / form.format(split, who, number)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    found = find_cases(tmp_path)
    assert {("Train" in case.image, case.split) for case in found.cases} == {(True, "train"), (False, "test")}
    assert any(note.startswith("the split is that of the names; ") for note in found.notes)


def test_folders_of_which_some_say_no_split_say_none(tmp_path: Path) -> None:
    for folder in ("crash test 1", "crash test 2", "road 3", "my train 4"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    assert {case.split for case in find_cases(tmp_path).cases} == {None}


def test_a_split_of_names_that_tears_a_patient_is_told_and_not_followed(tmp_path: Path) -> None:
    names = [f"{split}_{number}.png" for split in ("train", "test") for number in range(3)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "t.csv").write_text("\n".join(["image,patient", *(f"{name},{name[-5]}" for name in names)]))
    found = find_cases(tmp_path)
    assert {case.split for case in found.cases} == {None} and not found.problems
    assert any("not followed: 3 patients would be in several; --keep-split follows" in note for note in found.notes)
    kept = find_cases(tmp_path, hints=ReadOptions(keep_split=True))
    assert [case.split for case in kept.cases] == ["train"] * 3 + ["test"] * 3 and not kept.problems
    assert any("3 patients in several splits, kept as --keep-split says" in note for note in kept.notes)


def stems(*numbers: int) -> list[str]:
    return [NAMES[number][:-4] for number in numbers]


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (NAMES, {"train": stems(0, 1, 2, 3), "val": stems(4, 5), "test": [f"images/{name}" for name in NAMES[6:]]}),
        ([f"{number:04}.png" for number in range(8)], {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7]}),
        ([f"tn_{number:03}.png" for number in range(3, 11)], {"train": [3, 4, 5, 6], "val": [7, 8], "test": [9, 10]}),
    ],
)
def test_a_small_json_of_splits_is_followed(tmp_path: Path, names: list[str], parts: dict[str, list[str]]) -> None:
    """TG3K: `tg3k-trainval.json` has numbers; it was passed over."""
    found = find(tmp_path, {"tg3k-trainval.json": [json.dumps(parts)]}, names)
    assert splits(found) == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    assert any("the split is that of tg3k-trainval.json; to divide" in note for note in found.notes)
    assert not any("not used" in note for note in found.notes)


@pytest.mark.parametrize(
    "content",
    [
        {"train": [0, 1, 2, 3], "val": [4, 5, 6, 7]},  # places in a list: the files count from 1
        {"train": [1, 2, 3, 4, 5], "val": [5, 6, 7, 8]},
        {"train": ["a", "b"], "val": ["c"]},
        {"train": [{"image": "1.png"}], "val": []},
        {"name": "set", "train": [1, 2, 3, 4]},
        [1, 2],
    ],
)
def test_other_json_says_no_split(tmp_path: Path, content: object) -> None:
    found = find(tmp_path, {"set.json": [json.dumps(content)]}, [f"{number}.png" for number in range(1, 9)])
    assert set(splits(found)) == {None}
    assert any("set.json" in note for note in found.notes)


PATIENTS = {"training": ["7A", "9B"], "validation": ["11C"], "testing": ["12D"]}


def find_of_patients(folder: Path, names: Mapping[str, list[str]], path: str) -> DiscoveredDataset:
    """A source whose lists name patients, with two images of each."""
    for who in ("7A", "9B", "11C", "12D"):
        for number in range(2):
            image = folder / "database" / path.format(who=who, number=number)
            image.parent.mkdir(parents=True, exist_ok=True)
            write_image(image, np.random.default_rng([len(who), number]).integers(0, 255, (8, 8), np.uint8))
    for name, lines in names.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(lines))
    return find_cases(folder)


@pytest.mark.parametrize("path", ["P{who}/view_{number}.png", "P{who}_view_{number}.png", "view_P{who}_{number}.png"])
@pytest.mark.parametrize("name", ["database_split/subgroup_{split}.txt", "{split}.list", "{split}.csv"])
def test_lists_of_patients_name_the_split(tmp_path: Path, path: str, name: str) -> None:
    """CAMUS: `subgroup_training.txt` with lines `patient0001`."""
    lists = {name.format(split=split): [f"P{who}" for who in people] for split, people in PATIENTS.items()}
    found = find_of_patients(tmp_path, lists, path)
    assert {case.split for case in found.cases if "7A" in case.image or "9B" in case.image} == {"train"}
    assert {case.split for case in found.cases if "11C" in case.image} == {"validation"}
    assert {case.split for case in found.cases if "12D" in case.image} == {"test"}
    assert any("the split is that of" in note and "(lists of patients)" in note for note in found.notes)


def test_patients_of_several_lists_are_told_and_not_followed(tmp_path: Path) -> None:
    found = find_of_patients(
        tmp_path, {"train.txt": ["P7A", "P9B", "P11C"], "val.txt": ["P11C"]}, "P{who}_{number}.png"
    )
    assert set(splits(found)) == {None}
    assert any("name the patients of splits, not followed: 1 patient would be in" in note for note in found.notes)


def test_lists_of_what_is_not_here_are_told(tmp_path: Path) -> None:
    found = find_of_patients(tmp_path, {"train.txt": ["who", "knows"], "test.txt": ["what"]}, "P{who}_{number}.png")
    assert set(splits(found)) == {None}
    assert any(
        "called after splits, not followed" in note and "2 (test.txt, train.txt)" in note for note in found.notes
    )


@pytest.mark.parametrize("path", ["{who:03}/view_{number}.png", "patient{who:02}_{number}.png", "{who}_t{number}.png"])
def test_lists_of_numbers_are_those_of_persons_and_not_of_their_images(tmp_path: Path, path: str) -> None:
    for who in range(1, 5):
        for number in range(1, 4):
            image = tmp_path / "data" / path.format(who=who, number=number)
            image.parent.mkdir(parents=True, exist_ok=True)
            write_image(image, np.random.default_rng([who, number]).integers(0, 255, (8, 8), np.uint8))
    (tmp_path / "train.txt").write_text("1\n2\n")
    (tmp_path / "test.txt").write_text("3\n4\n")
    assert sorted(case.split or "" for case in find_cases(tmp_path).cases) == ["test"] * 6 + ["train"] * 6


@pytest.mark.parametrize("parts", [3, 1])
def test_lists_of_images_with_labels_are_followed_where_they_say_several_splits(tmp_path: Path, parts: int) -> None:
    """As MONAI writes them, beside patterns that a person gave."""
    keys = ("training", "validation", "test")[:parts]
    content: dict[str, object] = {"labels": {"0": "background"}}
    content |= {
        key: [{"image": f"./{name}", "label": "x"} for name in NAMES[place * 2 : place * 2 + 2]]
        for place, key in enumerate(keys)
    }
    find(tmp_path, {})
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    found = find_cases(tmp_path, hints=ReadOptions(images="**/{id}.png"))
    said: list[str | None] = ["train", "train", "validation", "validation", "test", "test", None, None]
    assert splits(found) == (said if parts == 3 else [None] * 8)
    assert any("that of dataset.json" in note for note in found.notes) is (parts == 3)


def test_columns_called_after_splits_are_lists_of_their_cells(tmp_path: Path) -> None:
    """MAMA-MIA: `train_split` and `test_split` name patients, and no column names the images."""
    for who in ("DUKE_001", "DUKE_002", "DUKE_019", "NACT_01", "NACT_02"):
        for number in range(2):
            path = tmp_path / "images" / who / f"{who.lower()}_000{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.random.default_rng(number).integers(0, 255, (12, 12), np.uint8))
    (tmp_path / "splits.csv").write_text("train_split,test_split\nDUKE_001,NACT_01\nDUKE_002,NACT_02\nDUKE_019,\n")
    found = find_cases(tmp_path)
    assert len(found.cases) == 10
    assert {case.split for case in found.cases if "duke" in case.image} == {"train"}
    assert {case.split for case in found.cases if "nact" in case.image} == {"test"}
