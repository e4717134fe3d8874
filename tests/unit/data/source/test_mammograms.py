"""CBIS-DDSM: images, parts that were cut out of them, and masks are DICOM images, which only a table tells apart."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_mask
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid  # noqa: E402

SHAPE = (40, 30)


def write(path: Path, pixels: np.ndarray, what: str, series: str) -> None:
    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    one.Modality, one.SeriesInstanceUID, one.StudyInstanceUID = "MG", series, generate_uid()
    one.PatientID, one.SeriesDescription = path.relative_to(path.parents[2]).parts[0], what
    one.Rows, one.Columns = pixels.shape
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 0
    one.BitsAllocated = one.BitsStored = 8
    one.HighBit, one.PixelData = 7, pixels.astype(np.uint8).tobytes()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, one, enforce_file_format=True)


def mammograms(folder: Path, *, lesions: int = 2) -> Path:
    """Three persons with two views each; a row of the table for each lesion. Files are named anew, in any order."""
    rows = []
    for number in range(6):
        name = f"Mass-Training_P_0000{number // 2}_LEFT_{('CC', 'MLO')[number % 2]}"
        whole, study = generate_uid(), generate_uid()
        image = np.random.default_rng(number).integers(1, 250, SHAPE)
        write(folder / f"DDSM/{name}/{study}/{whole}/1-1.dcm", image, "full mammogram images", whole)
        for lesion in range(1, lesions + 1):
            place, series = f"{name}_{lesion}/{study}", generate_uid()
            mask = np.zeros(SHAPE)
            mask[12 * lesion : 12 * lesion + 8, 6:14] = 255
            files = ("1-1.dcm", "1-2.dcm") if number % 2 else ("1-2.dcm", "1-1.dcm")
            write(folder / f"DDSM/{place}/{series}/{files[0]}", image[12:20, 6:14], "cropped images", series)
            write(folder / f"DDSM/{place}/{series}/{files[1]}", mask, "ROI mask images", series)
            rows.append(
                {
                    "patient_id": name[14:21],
                    "pathology": "BENIGN",
                    "image file path": f"{name}/{study}/{whole}/000000.dcm",
                    "cropped image file path": f"{place}/{series}/000000.dcm",
                    "ROI mask file path": f"{place}/{series}/000001.dcm\n",
                }
            )
    with (folder / "mass_case_description_train_set.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder


def as_nbia_writes(folder: Path) -> Path:
    """Four tables, of masses and calcifications, for training and testing; folders called after dates and series."""
    parts_of_set = (("Mass", "Training"), ("Mass", "Test"), ("Calc", "Training"), ("Calc", "Test"))
    for place, (kind, split) in enumerate(parts_of_set):
        rows = []
        for number in range(3 * place, 3 * place + 3):
            name, uids = f"{kind}-{split}_P_0000{number}_LEFT_CC", [generate_uid() for _ in range(4)]
            image, mask = np.random.default_rng(number).integers(1, 250, SHAPE), np.zeros(SHAPE)
            mask[12:20, 6:14] = 255
            whole = folder / name / "10-04-2016-DDSM-NA-46942" / f"1.000000-full mammogram images-{number}"
            parts = folder / f"{name}_1" / "10-04-2016-DDSM-NA-10186" / f"1.000000-ROI mask images-{number}"
            write(whole / "1-1.dcm", image, "full mammogram images", uids[1])
            write(parts / "1-1.dcm", image[12:20, 6:14], "ROI mask images", uids[3])
            write(parts / "1-2.dcm", mask, "ROI mask images", uids[3])
            rows.append(
                {
                    "patient_id": f"P_0000{number}",
                    f"{kind.lower()} shape": "OVAL",
                    "pathology": ("BENIGN", "MALIGNANT", "BENIGN")[number % 3],
                    "image file path": f"{name}/{uids[0]}/{uids[1]}/000000.dcm",
                    "cropped image file path": f"{name}_1/{uids[2]}/{uids[3]}/000000.dcm",
                    "ROI mask file path": f"{name}_1/{uids[2]}/{uids[3]}/000001.dcm\n",
                }
            )
        part = "train" if split == "Training" else "test"
        with (folder / f"{kind.lower()}_case_description_{part}_set.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    return folder


def shown(found: DiscoveredDataset) -> list[int]:
    return [int((read_mask(mask) > 0).sum()) for case in found.cases for mask in case.masks]


def test_masks_never_become_images(tmp_path: Path) -> None:
    mammograms(tmp_path)
    for hints in (ReadOptions(), ReadOptions(group_by="parent"), ReadOptions(class_level=1)):
        with pytest.raises(DataError, match=r"12 of 30 images are masks by the description of their series") as caught:
            find_cases(tmp_path / "DDSM", hints=hints)
        assert "--labels" in str(caught.value) and caught.value.code == "DATA-068"


def test_a_table_pairs_an_image_with_the_mask_of_its_size(tmp_path: Path) -> None:
    mammograms(tmp_path, lesions=1)
    table = tmp_path / "mass_case_description_train_set.csv"
    for found in (find_cases(table), find_cases(tmp_path / "DDSM", hints=ReadOptions(table=table))):
        assert len(found.cases) == 6 and shown(found) == [64] * 6
        assert {case.patient for case in found.cases} == {"P_00000", "P_00001", "P_00002"}
        assert not any("PatientID" in note for note in found.notes)  # the table said it


def test_a_row_for_each_lesion_is_a_part(tmp_path: Path) -> None:
    table = mammograms(tmp_path) / "mass_case_description_train_set.csv"
    found = find_cases(table)
    assert shown(found) == [128] * 6
    assert any("masks of several rows of an image are parts of one" in note for note in found.notes)
    assert shown(find_cases(table, hints=ReadOptions(readers_by="suffix"))) == [64] * 12


def test_folders_called_anew_and_a_table_for_each_kind_and_split(tmp_path: Path) -> None:
    """The paths in the tables end in UIDs that no folder has; the split is that of the tables, one alone works too."""
    found = find_cases(as_nbia_writes(tmp_path))
    assert len(found.cases) == 12 and shown(found) == [64] * 12 and found.classes == ("BENIGN", "MALIGNANT")
    assert {case.split for case in found.cases if "Test_" in case.image} == {"test"}
    assert {case.split for case in found.cases if "Training_" in case.image} == {"train"}
    assert not any("the classes are the folders" in note for note in found.notes)
    one = find_cases(tmp_path, hints=ReadOptions(table=tmp_path / "calc_case_description_test_set.csv"))
    assert len(one.cases) == 3 and shown(one) == [64] * 3
    assert not any("folders" in note for note in one.notes)


def test_folders_called_anew_by_patterns(tmp_path: Path) -> None:
    """Single files, whatever lies beside them; folders called after dates are no classes. A table says the rest."""
    by_hand = ReadOptions(images="{id}/*/*full*/1-1.dcm", masks="{id}_1/*/*/1-2.dcm")
    found = find_cases(as_nbia_writes(tmp_path), hints=by_hand)
    assert shown(found) == [64] * 12 and found.classes == ("BENIGN", "MALIGNANT")
    for table in tmp_path.glob("*.csv"):
        table.unlink()
    found = find_cases(tmp_path, hints=by_hand)
    assert shown(found) == [64] * 12 and found.classes == ()


def test_patterns_by_the_names_of_folders_are_told(tmp_path: Path) -> None:
    as_nbia_writes(tmp_path)
    for table in tmp_path.glob("*.csv"):
        table.unlink()
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    images, masks = "{id}/**/1.000000-full mammogram images-*/1-1.dcm", "{id}_1/**/1-2.dcm"
    assert f"--images '{images}' --masks '{masks}'" in str(caught.value)
    assert shown(find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))) == [64] * 12
