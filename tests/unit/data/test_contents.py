"""Two prepared data sets are the same by what they hold, wherever they lie; else the differences are told."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sfumato.commands import prepare, toy
from sfumato.data.contents import content_differences, dataset_contents, digest_of, stamps
from sfumato.data.dataset import Dataset


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contents")
    toy.toy(folder / "toy", cases=8, size=16, classes=2, readers=1)
    prepare.prepare(folder / "toy", out=folder / "dataset", size="16")
    return folder / "dataset"


def described(folder: Path) -> dict[str, object]:
    """As it comes back from JSON."""
    back: dict[str, object] = json.loads(json.dumps(dataset_contents(Dataset.open(folder))))
    return back


def pixel(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        array = np.load(folder / name)
        array[3].flat[5] ^= 1
        np.save(folder / name, array)

    return change


def line(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "manifest.csv"
        head, *rows = file.read_text().splitlines()
        file.write_text("\n".join([head, *change(rows)]) + "\n")

    return apply


def rule(folder: Path) -> None:
    file = folder / "dataset.json"
    file.write_text(file.read_text().replace('"high": 255.0', '"high": 254.0'))


def swapped(rows: list[str]) -> list[str]:
    split = next(name for name in ("train", "validation", "test") if f",{name}," in rows[3])
    rows[3] = rows[3].replace(f",{split},", ",test," if split == "train" else ",train,")
    return rows


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pixel of an image": (pixel("images.npy"), "other pixels in 1 case: 000003"),
    "pixel of a mask": (pixel("masks.npy"), "other pixels in 1 case: 000003"),
    "split": (line(swapped), "another split in 1 case: 000003"),
    "class": (line(lambda rows: [row.replace("grade 1", "grade 2") for row in rows]), "another class in "),
    "patient": (
        line(lambda rows: [*rows[:-1], rows[-1].replace("patient ", "somebody ")]),
        "another patient, volume or origin in 1 case: 000007",
    ),
    "order": (line(lambda rows: rows[::-1]), "the cases are in another order"),
    "rule": (rule, "intensity: {'kind': 'unit', 'low': 0.0, 'high': 255.0} in the run, "),
    "name": (line(lambda rows: [*rows[:-1], "x" + rows[-1]]), "1 case of the run are missing: 000007"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_difference_is_told(original: Path, tmp_path: Path, change: str) -> None:
    other = shutil.copytree(original, tmp_path / "other")
    act, told = CHANGES[change]
    act(other)
    found = content_differences(described(original), described(other))
    assert any(line.startswith(told) for line in found), found
    if change != "rule":
        assert digest_of(described(original)) != digest_of(described(other))


def test_a_copy_elsewhere_is_the_same_and_its_stamps_are_not(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    os.utime(copy / "images.npy", (1, 1))
    assert stamps(copy) != stamps(original) and stamps(original) == stamps(original)
    before, after = described(original), described(copy)
    assert content_differences(before, after) == [] and digest_of(before) == digest_of(after)


def test_a_rule_that_is_told_in_other_words_is_the_same(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    file = copy / "dataset.json"
    file.write_text(file.read_text().replace("8-bit images", "Images of 8 bits"))
    assert content_differences(described(original), described(copy)) == []


def test_no_patient_and_no_path_is_written(original: Path) -> None:
    text = json.dumps(described(original))
    assert "patient" not in text and "/" not in text
