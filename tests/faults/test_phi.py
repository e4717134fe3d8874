"""Nothing of a patient leaves: twelve strings are planted in inputs and looked for in every byte of every output."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sfumato.data.formats.image import read_image, write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.volume import read_header, read_volume

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian  # noqa: E402

from sfumato.data.formats.dicom import series as dicom  # noqa: E402
from sfumato.data.formats.dicom.seg import write_seg  # noqa: E402

PLANTED = {
    "name": "ZQNAME^ANN",
    "id": "ZQID4711",
    "institution": "ZQHOSPITAL",
    "comment": "ZQCOMMENT",
    "nested": "ZQNESTED",
    "private": "ZQPRIVATE",
    "uid": "1.2.826.9917",
    "birth": "19370419",
    "descrip": "ZQDESCRIP",
    "aux": "ZQAUX",
    "exif": "ZQEXIF",
    "text": "ZQTEXT",
}
PIXELS = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A CT series with a patient in public, nested and private tags, and in all its UIDs."""
    for number in range(3):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{PLANTED['uid']}.1.{number}"
        ds.file_meta.SourceApplicationEntityTitle = PLANTED["id"]
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{PLANTED['uid']}.2", f"{PLANTED['uid']}.3"
        ds.FrameOfReferenceUID, ds.Modality = f"{PLANTED['uid']}.4", "CT"
        ds.PatientName, ds.PatientID, ds.InstitutionName = PLANTED["name"], PLANTED["id"], PLANTED["institution"]
        ds.PatientBirthDate = ds.StudyDate = ds.ContentDate = PLANTED["birth"]
        ds.ImageComments = ds.SeriesDescription = PLANTED["comment"]
        item = Dataset()
        item.PatientName = PLANTED["nested"]
        ds.RequestAttributesSequence = Sequence([item])
        ds.private_block(0x0009, PLANTED["private"], create=True).add_new(1, "LO", PLANTED["private"])
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 4, 5, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.PixelData = [1, 1], PIXELS[number].tobytes()
        (tmp_path / "in").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "in" / f"{number}.dcm", enforce_file_format=True)
    return tmp_path / "in" / "0.dcm"


def nifti(path: Path) -> Path:
    """A volume with a patient in its free text and in an extension."""
    import nibabel

    image = nibabel.Nifti1Image(PIXELS.astype(np.int16), np.eye(4))
    image.header["descrip"], image.header["aux_file"] = PLANTED["descrip"].encode(), PLANTED["aux"].encode()
    image.header["db_name"], image.header["intent_name"] = PLANTED["id"].encode(), PLANTED["name"].encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", PLANTED["comment"].encode()))
    nibabel.save(image, path)
    return path


def png(path: Path) -> Path:
    info, exif = PngImagePlugin.PngInfo(), Image.Exif()
    info.add_text("Patient", PLANTED["text"])
    info.add_itxt("Comment", PLANTED["comment"])
    exif[0x010E], exif[0x013B] = PLANTED["exif"], PLANTED["name"]
    Image.fromarray(PIXELS[0].astype(np.uint8)).save(path, pnginfo=info, exif=exif)
    return path


def jpeg(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010E] = PLANTED["exif"]
    Image.fromarray(PIXELS[0].astype(np.uint8)).save(path, exif=exif, comment=PLANTED["comment"].encode())
    return path


def found_in(folder: Path) -> list[tuple[str, str]]:
    """Which planted strings are in which files, also within compressed ones, in any case of letters."""
    hits = []
    for file in folder.rglob("*"):
        content = file.read_bytes()
        content += gzip.decompress(content) if content[:2] == b"\x1f\x8b" else b""
        hits += [(file.name, text) for text in PLANTED.values() if text.lower().encode() in content.lower()]
    return hits


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
            write_volume(out / f"{number}.nii", volume.voxels, volume.affine)
        write_seg(out / "seg.dcm", np.ones((5, 4, 3), np.uint8), series, names=("liver",))
        for number, source in enumerate((png(tmp_path / "a.png"), jpeg(tmp_path / "a.jpg"))):
            write_image(out / f"{number}.png", read_image(str(source)))
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
    write_seg(tmp_path / "seg.dcm", np.ones((5, 4, 3), np.uint8), series, names=("liver",))
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
