import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.data.channels import read_case
from sfumato.data.formats.image import encode_png
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

NAMES = ["00000/img00000000.png", "00000/img00000001.png", "00000/img00000002.png"]


def content(value: int) -> bytes:
    return encode_png(np.full((4, 5), value, np.uint8))


def bundle(path: Path, described: Any, *, names: list[str] = NAMES, above: str = "") -> Path:
    members = {above + name: content(row) for row, name in enumerate(names)}
    if described is not None:
        members[f"{above}dataset.json"] = json.dumps(described).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        for name, data in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["set.zip", "set"])
def test_archives_and_folders(tmp_path: Path, name: str) -> None:
    labels = list(zip(NAMES, (1, 0, 1), strict=True))
    found = find_cases(bundle(tmp_path / name, {"labels": labels}))
    assert [case.label for case in found.cases] == ["1", "0", "1"] and found.form.startswith("EDM")
    assert read_case(found.cases[2])[0, 0, 0] == 2


def test_names_that_the_form_loses_come_back(tmp_path: Path) -> None:
    described = {
        "labels": [[NAMES[0], [0, 1]], [NAMES[1], [1.0, 0.0]], [NAMES[2], [0, 1]]],
        "class_names": ["benign", "malignant"],
        "file_names": {NAMES[0]: "ISIC_1.png", NAMES[1]: "1.2.840", NAMES[2]: "ISIC_3.png"},
    }
    found = find_cases(bundle(tmp_path / "a.zip", described, above="wrapped/"))
    assert [case.id for case in found.cases] == ["ISIC_1", "1.2.840", "ISIC_3"]
    assert found.classes == ("benign", "malignant") and found.cases[0].label == "malignant"


def test_without_labels_and_without_dataset_json(tmp_path: Path) -> None:
    found = find_cases(bundle(tmp_path / "a.zip", {"labels": None}))
    assert found.classes == () and any("no labels" in note for note in found.notes)
    names = ["__MACOSX/x.png", "cat/1.png", "dog/1.png", "dog/.DS_Store"]
    found = find_cases(bundle(tmp_path / "b.zip", None, names=names))
    assert [(case.id, case.label) for case in found.cases] == [("cat_1", "cat"), ("dog_1", "dog")]
    assert "hidden files or folders passed over: 2" in found.notes
    pairs = find_cases(bundle(tmp_path / "c.zip", None, names=["images/1.png", "masks/1.png"]))
    assert pairs.has_masks and read_case(pairs.cases[0])[0, 0, 0] == 0
    with pytest.raises(DataError, match="image has no mask"):
        find_cases(bundle(tmp_path / "d.zip", None, names=["images/1.png", "images/2.png", "masks/1.png"]))
    deep = bundle(tmp_path / "e.zip", None, names=["x/cat/1.png", "y/dog/1.png"])
    assert find_cases(deep, hints=ReadOptions(class_level=2)).classes == ("cat", "dog")


LABELS = [[name, 0] for name in NAMES]


@pytest.mark.parametrize(
    ("described", "code", "words"),
    [
        ({"labels": [*LABELS, ["q.png", 0]]}, "DATA-058", "1 labels are of files that are not there"),
        ({"labels": LABELS[:1]}, "DATA-058", "2 images have no label"),
        ({"labels": [*LABELS, LABELS[0]]}, "DATA-058", "name a file again"),
        ({"labels": "x"}, "DATA-058", "labels is not of the expected form"),
        ({"labels": [[1, 2, 3]]}, "DATA-058", "labels"),
        ([], "DATA-058", "the file"),
        ({"labels": LABELS, "class_names": []}, "DATA-058", "no name for 0"),
        ({"labels": LABELS, "file_names": ["x"]}, "DATA-058", "file_names"),
        ({"labels": [*LABELS[:2], [NAMES[2], [0.3, 0.7]]]}, "DATA-059", "[0.3, 0.7]"),
        ({"labels": [*LABELS[:2], [NAMES[2], [0, 5]]]}, "DATA-059", "[0, 5]"),
        ({"labels": [*LABELS[:2], [NAMES[2], -1]]}, "DATA-059", "-1"),
        ({"labels": [*LABELS[:2], [NAMES[2], ["x", 1]]]}, "DATA-059", "['x', 1]"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, described: Any, code: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(bundle(tmp_path / "a.zip", described))
    assert caught.value.code == code and words in str(caught.value)


def test_damaged_json_and_empty_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        find_cases(bundle(tmp_path / "a.zip", {"labels": None}, names=[]))
    with zipfile.ZipFile(bundle(tmp_path / "b.zip", None), "a") as archive:
        archive.writestr("dataset.json", '{"labels": [')
    with pytest.raises(DataError, match="no JSON") as caught:
        find_cases(tmp_path / "b.zip")
    assert caught.value.code == "DATA-058"
