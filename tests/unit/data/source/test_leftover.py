"""Masks that lie beside the images of a table, which does not name them."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import ReadOptions, find_cases

SIDE, COUNT = 24, 4


def save(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, content)


def photos(folder: Path) -> None:
    for case in range(COUNT):
        save(folder / "images" / f"im{case}.png", np.random.default_rng(case).integers(20, 230, (SIDE, SIDE), np.uint8))


def drawings(folder: Path, name: str) -> None:
    for case in range(COUNT):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4 : 8 + case, 4:9] = 255
        save(folder / name.format(case, "abcd"[case]), mask)


def table(folder: Path, columns: str, row: str) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([columns, *(row.format(case, "xy"[case % 2]) for case in range(COUNT))]) + "\n")
    return path


@pytest.mark.parametrize("as_source", [False, True])
def test_pictures_of_few_values_beside_a_table_are_told_with_the_flag_that_uses_them(
    tmp_path: Path, as_source: bool
) -> None:
    photos(tmp_path)
    drawings(tmp_path, "lesions of all/im{}.png")
    path = table(tmp_path, "image,label", "images/im{}.png,{}")
    found = find_cases(path) if as_source else find_cases(tmp_path, hints=ReadOptions(table=path))
    (note,) = [note for note in found.notes if "look like masks" in note]
    assert "4 files that look like masks" in note and "lesions of all/*.png (4)" in note
    flag = re.search(r"--masks (.+) uses them", note)
    assert flag and not found.has_masks
    (masks,) = shlex.split(flag[1])
    with_masks = find_cases(tmp_path, masks=masks, hints=ReadOptions(table=path))
    assert with_masks.has_masks and len(with_masks.cases) == COUNT
    assert not any("left out" in note or "look like masks" in note for note in with_masks.notes)


def test_masks_that_a_pattern_takes_are_not_told_as_left_out(tmp_path: Path) -> None:
    photos(tmp_path)
    drawings(tmp_path, "lesions/im{}.png")
    path = table(tmp_path, "image,label", "images/im{}.png,{}")
    found = find_cases(tmp_path, masks="lesions/{id}.png", hints=ReadOptions(table=path))
    assert found.has_masks and not any("left out" in note for note in found.notes)


@pytest.mark.parametrize("name", ["masks_vessel/im{}.png", "groundtruth/im{}.png", "masks/im{}_vessel_mask.png"])
def test_masks_beside_those_that_a_table_names_are_told(tmp_path: Path, name: str) -> None:
    photos(tmp_path)
    drawings(tmp_path, "masks/im{}.png")
    drawings(tmp_path, name)
    path = table(tmp_path, "image,mask,label", "images/im{0}.png,masks/im{0}.png,{1}")
    found = find_cases(tmp_path, hints=ReadOptions(table=path))
    (note,) = [note for note in found.notes if "look like masks" in note]
    assert "4 files that look like masks" in note and "the column mask" in note


@pytest.mark.parametrize("name", ["masks/{1}_mask.png", "lesions/{1}.png"])
def test_masks_of_other_names_are_told(tmp_path: Path, name: str) -> None:
    photos(tmp_path)
    drawings(tmp_path, name)
    found = find_cases(table(tmp_path, "image,label", "images/im{}.png,{}"))
    (note,) = [note for note in found.notes if "look like masks" in note]
    assert "4 files that look like masks" in note and "a column mask" in note


def test_photographs_without_a_row_are_no_masks(tmp_path: Path) -> None:
    photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text("image,label\nim0.png,x\nim1.png,y\n")
    notes = find_cases(path).notes
    assert not any("look like masks" in note for note in notes) and any("left out: 2" in note for note in notes)
