"""Arrays that say whose their images are: one patient is in one split, also where an array stands for each part."""

from pathlib import Path

import numpy as np
import pytest

from sfumato import check, prepare
from sfumato.data.source import find_cases
from sfumato.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 12, 10), np.uint8)
MASKS = (IMAGES > 127).astype(np.uint8)
PATIENTS = np.array([f"P{number // 3}" for number in range(24)])


def test_patients_of_an_array_stay_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, masks=MASKS, patients=PATIENTS)
    checked = check(tmp_path / "a.npz")
    assert not checked.errors and checked.found.patients == 8
    assert "whose the images are is said by the array 'patients': 8 patients" in checked.found.notes
    splits: dict[str | None, set[str | None]] = {}
    for case in prepare(tmp_path / "a.npz", out=tmp_path / "set").dataset.cases:
        splits.setdefault(case.patient, set()).add(case.split)
    assert set(splits) == set(PATIENTS) and all(len(found) == 1 for found in splits.values())


def test_a_patient_of_several_parts_is_one(tmp_path: Path) -> None:
    for fold, rows in (("fold1", slice(0, 13)), ("fold2", slice(13, 24))):
        (tmp_path / fold).mkdir()
        for name, array in (("images", IMAGES), ("masks", MASKS), ("patients", PATIENTS)):
            np.save(tmp_path / fold / f"{name}.npy", array[rows])
    found = find_cases(tmp_path)
    assert len(found.cases) == 24 and {case.patient for case in found.cases} == set(PATIENTS)
    assert [len({case.id.partition("_")[0] for case in found.cases if case.patient == "P4"})] == [2]


def test_numbers_are_names_and_each_image_has_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=IMAGES, train_patients=np.arange(24) // 3)
    assert {case.patient for case in find_cases(tmp_path / "a.npz").cases} == {str(number) for number in range(8)}
    np.savez(tmp_path / "b.npz", images=IMAGES, patients=PATIENTS[:5])
    with pytest.raises(DataError, match=r"has the shape \(5,\) for 24 images"):
        find_cases(tmp_path / "b.npz")
