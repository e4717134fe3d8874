"""Texts that list the images of a split."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import Found, find_cases

NAMES = [f"0000000{patient}_00{number}.png" for patient in range(1, 5) for number in range(2)]


def find(folder: Path, lists: Mapping[str, list[str]], names: list[str] = NAMES) -> Found:
    for number, name in enumerate(names):
        path = folder / f"images_00{1 + number // 4}" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8))
    for name, lines in lists.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(lines))
    return find_cases(folder)


def splits(found: Found) -> list[str | None]:
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
