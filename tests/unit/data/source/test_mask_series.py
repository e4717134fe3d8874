"""Masks that are DICOM series of images, on some of the slices of their scan (I2CVB)."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from tests.unit.data.formats.dicom.structure_sets import FIRST, write_ct, write_slices

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
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


def areas(found: DiscoveredDataset) -> list[int]:
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


BOXES = {"bone": (18, 22), "liver": (2, 10), "venoussystem": (4, 6)}


def liver_scans(root: Path, joint: Sequence[str] = tuple(BOXES)) -> Path:
    """3D-IRCADb: a folder for each organ, the venous system within the liver; and numbers of some of them in one."""
    for number in (1, 2):
        folder, series = root / f"3Dircadb1.{number}", f"1.2.{number}"
        write_ct(folder / "PATIENT_DICOM", series=series, shape=(3, 24, 20))
        labels = np.zeros((24, 20), np.int16)
        for value, (name, (top, bottom)) in enumerate(BOXES.items(), start=1):
            organ = np.zeros((24, 20), np.int16)
            organ[top:bottom, 3:7] = 255
            write_slices(folder / "MASKS_DICOM" / name, dict.fromkeys(range(3), organ), series=f"{series}.{value}")
            labels[organ > 0] = 32 * value * (name in joint)
        write_slices(folder / "LABELLED_DICOM", dict.fromkeys(range(3), labels), series=f"{series}.9")
    return root


def test_files_of_classes_go_before_numbers_of_them_in_one(tmp_path: Path) -> None:
    found = find_cases(liver_scans(tmp_path))
    assert dict(found.mask_names) == {0: "background", 1: "bone", 2: "liver", 3: "venoussystem"}
    (told,) = (note for note in found.notes if "3Dircadb1.*/LABELLED_DICOM (2)" in note)
    assert "--images '**/{id}/PATIENT_DICOM' --masks '**/{id}/LABELLED_DICOM'" in told
    other = find_cases(tmp_path, hints=ReadOptions(images="**/{id}/PATIENT_DICOM", masks="**/{id}/LABELLED_DICOM"))
    assert np.unique(read_mask(other.cases[0].masks[0])).tolist() == [0, 32, 64, 96]


def test_numbers_of_what_no_file_of_classes_shows_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 masks have no image"):
        find_cases(liver_scans(tmp_path, joint=["bone"]))


@pytest.mark.parametrize(
    "hints",
    [
        ReadOptions(class_names=("bone", "liver")),
        ReadOptions(images="{id}/PATIENT_DICOM", masks="{id}/MASKS_DICOM/{class}", class_names=("bone", "liver")),
    ],
)
def test_of_some_of_the_classes_nothing_of_the_others_is_told(tmp_path: Path, hints: ReadOptions) -> None:
    """What is told of the venous system, which lies in the liver, does not concern these."""
    found = find_cases(liver_scans(tmp_path), hints=hints)
    assert dict(found.mask_names) == {0: "background", 1: "bone", 2: "liver"}
    assert not any("lies in files of several classes" in note for note in found.notes)
    assert "MASKS_DICOM/* (4)" in found.notes[0]


def test_series_of_one_examination_on_other_grids_are_told_with_that_of_the_masks(tmp_path: Path) -> None:
    """I2CVB: a dynamic series and the one that was drawn on, in folders of their own; what is told works as typed."""
    for number in (1, 2):
        folder, series = tmp_path / f"Patient_{number}", f"1.2.{number}"
        write_ct(folder / "ADC", series=f"{series}.1", shape=(3, 12, 10))
        (folder / "ADC/0.dcm").rename(folder / "ADC/00.dcm")  # the first file is called otherwise
        write_ct(folder / "T2W", series=f"{series}.2", shape=(PLANES, 24, 20))
        for name, planes in (("prostate", (2, 3, 4)), ("tumour", (3,))):
            write_slices(folder / "GT" / name, drawn(planes), series=f"{series}.{len(name)}")
    with pytest.raises(DataError, match="channels of one image") as caught:
        find_cases(tmp_path)
    told = str(caught.value)
    assert "those like T2W alone, on whose grid the masks lie" in told
    assert "--images '**/{id}/T2W' --masks '**/{id}/GT/{class}'" in told
    found = find_cases(tmp_path, hints=ReadOptions(images="**/{id}/T2W", masks="**/{id}/GT/{class}"))
    assert len(found.cases) == 2 * PLANES and set(found.mask_names.values()) == {"background", "prostate", "tumour"}


def drawn_on(series: Path, file: Path, number: int) -> None:
    """A scan, and a volume of another format on its grid, in which something is drawn."""
    write_ct(series, series=f"1.2.{number}", shape=(4, 24, 20))
    scan = read_volume(series / "0.dcm")
    voxels = np.zeros(scan.voxels.shape, np.int16)
    voxels[4:9, 3:7, 1:3] = 1
    file.parent.mkdir(exist_ok=True)
    write_volume(file, voxels, scan.affine)


@pytest.mark.parametrize("label", ["TCIA_pancreas_labels/label{n:04}", "out/label{n:04}", "out/v2_{n:04}_3"])
def test_series_and_volumes_of_one_number_are_paired_by_the_pattern_that_is_told(tmp_path: Path, label: str) -> None:
    """Pancreas-CT: further numbers stand in the paths of the series, and the labels are of another format."""
    for number in (3, 4, 7, 12):
        study = f"PANCREAS_{number:04}/11-24-2015-P{number:04}-{18000 + 7 * number}"
        drawn_on(tmp_path / f"manifest-15/{study}/Pancreas-63", tmp_path / f"{label.format(n=number)}.nii.gz", number)
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    ((images, masks),) = re.findall(r"--images '([^']+)' --masks '([^']+)'", caught.value.remedy or "")
    assert images == "**/PANCREAS_{id}/**/*.dcm"
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len({case.volume for case in found.cases}) == 4 and all(case.masks for case in found.cases)
    for alone in re.findall(r"all are images with --images '([^']+)'", caught.value.remedy or ""):
        assert len({case.volume for case in find_cases(tmp_path, hints=ReadOptions(images=alone)).cases}) == 8


def test_what_is_to_be_filled_in_ends_as_the_files_do(tmp_path: Path) -> None:
    for number, name in ((3, "a"), (4, "b")):
        drawn_on(tmp_path / f"scans/{number}", tmp_path / f"drawn/{name}.nii.gz", number)
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert "--images 'PLACE/{id}/*.dcm' --masks 'PLACE/{id}.nii.gz'" in (caught.value.remedy or "")
