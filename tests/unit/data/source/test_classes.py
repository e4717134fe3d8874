"""Classes by the names that people give them."""

import csv
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.copies import Copies
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.inspection.splits import find_in_splits
from sfumato.data.manifest import DEVICE, Case, file_names, folded, write_manifest
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.data.source.people.classes import plain_name
from sfumato.errors import UsageError
from sfumato.experiment.sample_requests import known_classes, plan_images
from sfumato.outputs.samples import sample_files

FOLDERS = ["Grade 1, left", "IDC=pos", "5\u201310 mm", "na\u00efve", "None", "CON", "a.b", "benign", "grids"]
TEXTS = [*FOLDERS, "HSIL/CIN 2", "N/A", "..", "nevus: atypical?", "=1+1", "-", "manifest.csv", "x" * 300, "trailing."]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.random.default_rng(len(str(path))).integers(0, 255, (8, 8), np.uint8))


def in_folders(root: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        for row in range(2):
            picture(root / name / f"{number}_{row}.png")


def in_table(root: Path, names: list[str]) -> None:
    rows = [("image", "label")]
    for number, name in enumerate(names):
        for row in range(2):
            picture(root / f"im{number}_{row}.png")
            rows.append((f"im{number}_{row}.png", name))
    with (root / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def counts(root: Path) -> Counter[str | None]:
    return Counter(case.label for case in find_cases(root).cases)


def test_names_of_folders_are_kept(tmp_path: Path) -> None:
    in_folders(tmp_path, FOLDERS)
    assert counts(tmp_path) == dict.fromkeys(FOLDERS, 2)


def test_names_in_tables_are_kept(tmp_path: Path) -> None:
    in_table(tmp_path, TEXTS)
    found = find_cases(tmp_path)
    assert Counter(case.label for case in found.cases) == dict.fromkeys(TEXTS, 2)
    for name in ("N/A", "None", "-"):
        assert any(
            note.startswith(f"'{name}' in the column 'label' was read as a class (2 rows)") for note in found.notes
        )


def test_samples_of_any_class_are_read_back(tmp_path: Path) -> None:
    wanted = plan_images(TEXTS, count=2 * len(TEXTS))
    files = sample_files(wanted, channels=1)
    for image in wanted:
        picture(tmp_path / files[image.number])
    cases = [
        Case(id=f"{image.number}", image=str(tmp_path / files[image.number]), label=image.label) for image in wanted
    ]
    write_manifest(tmp_path / "manifest.csv", cases)
    assert counts(tmp_path) == dict.fromkeys(TEXTS, 2)


@pytest.mark.parametrize("make", [in_folders, in_table])
def test_what_looks_the_same_is_one_class_and_said(tmp_path: Path, make) -> None:
    composed = "na\u00efve nevus"
    several = [composed, unicodedata.normalize("NFD", composed), "na\u00efve  nevus"]
    make(tmp_path, [*several, "other"])
    found = find_cases(tmp_path)
    assert Counter(case.label for case in found.cases) == {composed: 6, "other": 2}
    assert found.classes == (composed, "other")
    assert [note for note in found.notes if note.startswith(f"3 spellings of the class '{composed}' (6 cases)")]


def test_one_spelling_is_not_worth_a_word(tmp_path: Path) -> None:
    in_folders(tmp_path, [unicodedata.normalize("NFD", "na\u00efve"), "other "])
    found = find_cases(tmp_path)
    assert found.classes == ("na\u00efve", "other")
    assert not [note for note in found.notes if "spelling" in note]


def test_a_difference_of_case_is_said(tmp_path: Path) -> None:
    in_folders(tmp_path, ["Nevus", "nevus", "x"])
    found = find_cases(tmp_path)
    assert found.classes == ("Nevus", "nevus", "x")
    told = [finding for finding in find_in_splits(found, Copies((), ())) if finding.code == "DATA-098"]
    assert [finding.text for finding in told] == [
        "classes differ by upper and lower case alone: 'Nevus' (2 images) and 'nevus' (2 images)"
    ]
    assert [Path(file).parent.name for file in told[0].files] == ["Nevus", "Nevus", "nevus", "nevus"]


def test_prepare_says_so_too(tmp_path: Path) -> None:
    in_folders(tmp_path / "source", ["Nevus", "nevus", "x"])
    list(prepare_cases(find_cases(tmp_path / "source"), tmp_path / "set", PreparationSettings(size=(8, 8), workers=1)))
    told = [note for note in Dataset.open(tmp_path / "set").notes if "upper and lower case" in note]
    assert len(told) == 1 and "name them alike if they are one" in told[0]


def test_classes_are_known_by_what_is_seen() -> None:
    classes = ["Grade 1, left", "IDC=pos", "na\u00efve", "benign", "a,b"]
    assert known_classes("Grade 1, left", classes) == ["Grade 1, left"]
    assert known_classes("benign,Grade 1, left", classes) == ["benign", "Grade 1, left"]
    assert known_classes("a,b,unconditional", classes) == ["a,b", None]
    assert known_classes(unicodedata.normalize("NFD", " na\u00efve"), classes) == ["na\u00efve"]
    with pytest.raises(UsageError, match="no class Grade 1"):
        known_classes("Grade 1", classes)
    assert known_classes("unconditional", ["unconditional", "x"]) == ["unconditional"], (
        "a class of this name comes first"
    )


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ("Grade 1, left=2,IDC=pos=1", ["Grade 1, left", "Grade 1, left", "IDC=pos"]),
        ("benign=1, Grade 1, left=1", ["benign", "Grade 1, left"]),
        ("unconditional=1,benign=1", [None, "benign"]),
    ],
)
def test_numbers_of_classes_with_commas(words: str, labels: list[str | None]) -> None:
    wanted = plan_images(["Grade 1, left", "IDC=pos", "benign"], per_class=words)
    assert [image.label for image in wanted] == labels


@pytest.mark.parametrize("words", ["nobody=3,benign=1", "benign", "benign=0", "Grade 1=2", "=3", "Grade 1, left"])
def test_wrong_numbers_of_classes(words: str) -> None:
    with pytest.raises(UsageError):
        plan_images(["Grade 1, left", "benign"], per_class=words)


def test_file_names_are_names_on_every_system() -> None:
    ids = [
        "CON",
        "nul.png",
        "com1",
        "LPT\u00b9",
        "aux .x",
        "a.",
        "a",
        "A",
        "b ",
        "b",
        " c",
        "..",
        ".",
        "",
        "x_1",
        "x/1",
    ]
    ids += ["na\u00efve", unicodedata.normalize("NFD", "na\u00efve"), "a_6", "a_7", "\u2026", "console", "y" * 400]
    names = file_names(ids)
    assert len(set(map(folded, names))) == len(ids)
    assert not [
        name for name in names if DEVICE.fullmatch(name) or name != name.strip(" .") or len(name.encode()) > 250
    ]
    assert names[ids.index("console")] == "console"
    assert file_names(["grids", "x"], taken=["Grids"]) == ["grids_0", "x"]


def test_plain_names() -> None:
    assert plain_name("  a \u00a0 b\t") == "a b"
    assert plain_name("e\u0301") == "\u00e9"


def test_the_splits_of_a_source_are_told(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2), ("more", 1)):
        for number in range(count):
            picture(tmp_path / part / "a" / f"{part}{number}.png")
    told = [note for note in find_cases(tmp_path).notes if note.startswith("splits")]
    assert told == ["splits that the source brings: train (3), test (2), nothing said of 1"]
    assert not any(note.startswith("splits") for note in find_cases(tmp_path / "train").notes)
