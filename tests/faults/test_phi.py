"""Nothing of a patient leaves: twelve strings are planted in inputs and looked for in every byte of every output."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_image, write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.origin import Origin
from sfumato.data.formats.scan import read_header, read_volume

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from pydicom.dataset import Dataset  # noqa: E402
from tests.faults.planted import PLANTED, dicom_series, found_in, jpeg, nifti, png  # noqa: E402

from sfumato.data.formats.dicom import series as dicom  # noqa: E402
from sfumato.data.formats.dicom.drawn import write_seg  # noqa: E402

ORIGIN = Origin(kind="predicted", model="0" * 64, recipe="segment: gaussian, unet", facts={"Seed": "0"})


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return dicom_series(tmp_path / "in")


def test_the_search_finds_what_was_planted(tmp_path: Path, series: Path) -> None:
    nifti(tmp_path / "in" / "a.nii.gz"), png(tmp_path / "in" / "a.png"), jpeg(tmp_path / "in" / "a.jpg")
    assert {text for _, text in found_in(tmp_path / "in")} == set(PLANTED.values())


def test_no_output_has_a_planted_string(
    tmp_path: Path, series: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with caplog.at_level(logging.INFO):  # Pillow prints EXIF entries when it is debugged
        listed = dicom.list_volumes(list(series.parent.iterdir()))
        for number, source in enumerate((series, nifti(tmp_path / "a.nii.gz"))):
            volume = read_volume(source)
            write_volume(out / f"{number}.nii.gz", volume.voxels, volume.affine)
            write_volume(out / f"{number}.nii", volume.voxels, volume.affine, origin=ORIGIN)
        write_seg(out / "seg.dcm", np.ones((5, 4, 3), np.uint8), series, names=("liver",), origin=ORIGIN)
        for number, source in enumerate((png(tmp_path / "a.png"), jpeg(tmp_path / "a.jpg"))):
            write_image(out / f"{number}.png", read_image(str(source)), text=ORIGIN.texts())
        said = f"{listed} {read_header(series)} {dicom.risks(series)} {caplog.text} {capfd.readouterr()}"
    (out / "said.txt").write_text(said.replace(str(tmp_path), ""))
    assert len(list(out.iterdir())) == 8 and found_in(out) == []


def elements(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Keyword and value of every element, sequences opened."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
        else:
            yield element.keyword, str(element.value)


def test_every_tag_of_a_written_segmentation(tmp_path: Path, series: Path) -> None:
    """No tag about a person or place has a value, no value is one of the source's, but for sizes and geometry."""
    write_seg(tmp_path / "seg.dcm", np.ones((5, 4, 3), np.uint8), series, names=("liver",), origin=ORIGIN)
    source, written = pydicom.dcmread(series), pydicom.dcmread(tmp_path / "seg.dcm")
    tags = [*elements(written.file_meta), *elements(written)]
    personal = ("Patient", "Physician", "Institution", "Operator", "Accession", "Study", "Station", "Comments")
    kept = ("PatientIdentityRemoved", "ImagePositionPatient", "ImageOrientationPatient", "StudyInstanceUID")
    telling = [name for name, value in tags if any(word in name for word in personal) and value and name not in kept]
    assert telling == [] and not any(element.tag.is_private for element in written)
    uids = {value for name, value in elements(source) if name.endswith("InstanceUID") or name == "FrameOfReferenceUID"}
    assert len(uids) == 4 and not uids & {value for _, value in tags}
    assert not any("Referenced" in name and "UID" in name for name, _ in tags)
    assert PLANTED["birth"] not in {value for _, value in tags} and written.ContentDate != source.ContentDate


def test_two_segmentations_of_a_patient_share_no_uid(tmp_path: Path, series: Path) -> None:
    for name in "ab":
        write_seg(tmp_path / f"{name}.dcm", np.ones((5, 4, 3), np.uint8), series, names=("liver",))
    first, second = (
        {value for name, value in elements(pydicom.dcmread(tmp_path / f"{file}.dcm")) if value.startswith("2.25.")}
        for file in "ab"
    )
    assert len(first) >= 4 and not first & second
