"""Masks that are DICOM series of images, on some of the slices of their scan (I2CVB)."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from tests.unit.data.formats.dicom.structure_sets import FIRST, write_ct, write_slices

from sfumato.data.formats.image import read_mask
from sfumato.data.source import Found, find_cases
from sfumato.errors import DataError

PLANES = 8


def drawn(planes: tuple[int, ...]) -> dict[int, np.ndarray]:
    """A square on each slice, which is larger on each further one."""
    slices = {}
    for plane in planes:
        slices[plane] = np.zeros((24, 20), np.int16)
        slices[plane][2 : 4 + plane, 3:7] = 1
    return slices


def patients(root: Path, planes: tuple[int, ...], *, space: str = "", shift: float = 0) -> Path:
    for number in (1, 2):
        folder, series = root / f"Patient_{number}", f"1.2.{number}"
        write_ct(folder / "T2W", series=series, space=f"1.9.{number}", shape=(PLANES, 24, 20))
        place = (FIRST[0], FIRST[1], FIRST[2] + shift)
        said = space or f"1.9.{number}"
        write_slices(folder / "prostate_mask", drawn(planes), series=f"{series}.8", space=said, place=place)
    return root


def areas(found: Found) -> list[int]:
    return [int(read_mask(case.masks[0]).sum()) for case in found.cases if case.volume == found.cases[0].volume]


@pytest.mark.parametrize("planes", [(2, 3, 4, 5), (5,), (0, 1), (2, 3, 6)])
def test_masks_on_some_slices_are_laid_on_their_scan(tmp_path: Path, planes: tuple[int, ...]) -> None:
    """Also on a single slice, and with gaps."""
    found = find_cases(patients(tmp_path, planes))
    assert len(found.cases) == 2 * PLANES
    assert areas(found) == [4 * (2 + plane) * (plane in planes) for plane in range(PLANES)]
    assert any("slices without one are empty" in note for note in found.notes)


@pytest.mark.parametrize(("space", "shift"), [("1.8", 0), ("", 1.0), ("", -5.0)])
def test_masks_of_another_place_are_refused(tmp_path: Path, space: str, shift: float) -> None:
    """Of another frame of reference, between the slices, beyond the end."""
    with pytest.raises(DataError, match="another grid") as caught:
        find_cases(patients(tmp_path, (1, 2), space=space, shift=shift))
    assert caught.value.code == "DATA-012"


def test_a_scan_with_a_missing_slice_is_no_mask(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", shape=(PLANES, 24, 20))
    (tmp_path / "ct/3.dcm").unlink()
    with pytest.raises(DataError, match="1 missing"):
        find_cases(tmp_path)
