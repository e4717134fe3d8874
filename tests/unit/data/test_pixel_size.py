"""What a pixel covers: by the header of its file, and a plain count where no header says it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UltrasoundMultiFrameImageStorage
from tests.unit.data.formats.dicom.structure_sets import SPACING, named, write_ct

from sfumato.data.formats.image import write_image
from sfumato.data.pixel_size import pixel_size


def test_a_picture_says_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    assert pixel_size(str(tmp_path / "a.png")) == (1.0, "pixels")


def test_voxels_have_a_volume_and_a_plane_an_area(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([0.5, 0.8, 3, 1])), file)
    assert pixel_size(f"{file}::axial/2", planes=6) == (pytest.approx(1.2), "mm3")
    assert pixel_size(f"{file}::axial/2") == (pytest.approx(0.4), "mm2")
    assert pixel_size(f"{file}::sagittal/2") == (pytest.approx(2.4), "mm2")


def test_dicom_says_it_and_what_was_assumed_is_not_said(tmp_path: Path) -> None:
    file = write_ct(tmp_path / "ct")
    across, down, between = SPACING
    assert pixel_size(f"{file}::axial/0", planes=4) == (pytest.approx(across * down * between), "mm3")
    for path in (tmp_path / "ct").iterdir():
        slice_ = dcmread(path)
        del slice_.PixelSpacing
        slice_.save_as(path)
    assert pixel_size(f"{file}::axial/0", planes=4) == (1.0, "voxels")
    assert pixel_size(f"{file}::axial/0") == (1.0, "pixels")


def test_a_film_has_no_cubic_millimetres(tmp_path: Path) -> None:
    """Ultrasound says how far pixels lie apart; what lies between frames is time."""
    film = named(
        UltrasoundMultiFrameImageStorage, "1.2.3", Modality="US", SeriesInstanceUID="1.2", StudyInstanceUID="1.9",
        Rows=4, Columns=5, NumberOfFrames=3, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0,
        SamplesPerPixel=1, BitsAllocated=8, BitsStored=8, HighBit=7, PixelSpacing=[0.5, 0.4], PixelData=bytes(60),
    )  # fmt: skip
    film.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    assert pixel_size(f"{tmp_path}/film.dcm::axial/0", planes=3) == (1.0, "voxels")


@pytest.mark.parametrize(
    ("geometry", "unit"),
    [
        ("space dimension: 3\nspace directions: (2,0,0) (0,2,0) (0,0,2)\n", "mm3"),
        ("spacings: 2 2 2\n", "mm3"),
        ("spacings: 2 2 nan\n", "voxels"),
        ("", "voxels"),
    ],
)
def test_an_nrrd_without_spacing_has_no_millimetres(tmp_path: Path, geometry: str, unit: str) -> None:
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\n{geometry}encoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(24))
    assert pixel_size(f"{tmp_path}/a.nrrd::axial/0", planes=4).unit == unit


def test_a_metaimage_without_spacing_has_no_millimetres(tmp_path: Path) -> None:
    for spacing, unit in (("ElementSpacing = 1 1 1\n", "mm3"), ("", "voxels")):
        head = f"ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\n{spacing}ElementType = MET_UCHAR\n"
        (tmp_path / "a.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + bytes(24))
        assert pixel_size(f"{tmp_path}/a.mha::axial/0", planes=4).unit == unit
