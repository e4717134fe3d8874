"""Inputs with a patient in them, in twelve strings, and the search for these strings in outputs."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

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


def dicom_series(folder: Path) -> Path:
    """A CT series with a patient in public, nested and private tags, and in all its UIDs."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

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
        folder.mkdir(exist_ok=True)
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder / "0.dcm"


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
    for file in (path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        content += gzip.decompress(content) if content[:2] == b"\x1f\x8b" else b""
        hits += [(file.name, text) for text in PLANTED.values() if text.lower().encode() in content.lower()]
    return hits
