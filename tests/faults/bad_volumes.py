"""Volumes (NIfTI, NRRD, MetaImage, DICOM) that are cut, damaged, dangerous, or do not fit each other."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from .bad import Bad, flipped, within

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (10, 9, 8)).astype(np.int16)
AFFINE = np.diag((1.0, 1.0, 2.0, 1.0))
LABELS = (VOXELS > 0).astype(np.uint8)


def nifti(voxels: np.ndarray = VOXELS, affine: np.ndarray = AFFINE) -> bytes:
    content: bytes = nibabel.Nifti1Image(voxels, affine).to_bytes()
    return content


def with_header(place: int, form: str, *values: float) -> bytes:
    """A NIfTI file with other numbers at a place of its header."""
    content = bytearray(nifti())
    struct.pack_into(form, content, place, *values)
    return bytes(content)


PLAIN, PACKED = nifti(), gzip.compress(nifti())
DIMENSIONS, KIND = 40, 70
"""Places of `dim` and `datatype` in the header. Source: nifti1.h."""


def labelled(image: bytes, label: bytes, *, suffix: str = ".nii") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for part, content in (("images", image), ("labels", label)):
            (folder / part).mkdir()
            (folder / part / f"scan{suffix}").write_bytes(content)
        return folder

    return make


NIFTI = (
    Bad("NIfTI.gz cut in half", within("a.nii.gz", PACKED[: len(PACKED) // 2]), "DATA-006", ("a.nii.gz",)),
    Bad("NIfTI.gz without its last bytes", within("a.nii.gz", PACKED[:-8]), "DATA-006", ("a.nii.gz",)),
    Bad("NIfTI.gz with a wrong check sum", within("a.nii.gz", flipped(PACKED, 0.997)), "DATA-006", ("a.nii.gz",)),
    Bad("NIfTI.gz with a flipped byte", within("a.nii.gz", flipped(PACKED)), "DATA-006", ("a.nii.gz",)),
    Bad("NIfTI cut in half", within("a.nii", PLAIN[:900]), "DATA-006", ("a.nii", "1,792", "900")),
    Bad("NIfTI that is a header only", within("a.nii", PLAIN[:348]), "DATA-006", ("a.nii",)),
    Bad("empty NIfTI", within("a.nii", b""), "DATA-003", ("a.nii", "0 bytes")),
    Bad("text called NIfTI", within("a.nii", b"Page not found" * 99), "DATA-005", ("a.nii", "Page not")),
    Bad(
        "NIfTI that claims 1.2 TB",
        within("a.nii", with_header(DIMENSIONS, "<4h", 3, 10_000, 10_000, 6_000)),
        "DATA-007",
        ("a.nii", "10000"),
    ),
    Bad("NIfTI of no width", within("a.nii", with_header(DIMENSIONS, "<4h", 3, 0, 9, 8)), "DATA-009", ("a.nii",)),
    Bad(
        "NIfTI of negative width", within("a.nii", with_header(DIMENSIONS, "<4h", 3, -5, 9, 8)), "DATA-009", ("a.nii",)
    ),
    Bad("NIfTI of complex numbers", within("a.nii", nifti(VOXELS.astype(np.complex64))), "DATA-031", ("a.nii",)),
    Bad("NIfTI in two files", within("a.nii", PLAIN[:344] + b"ni1\0" + PLAIN[348:]), "DATA-030", ("a.nii", ".img")),
    Bad(
        "NIfTI of 5 components", within("a.nii", nifti(np.stack([VOXELS] * 5, -1))), "DATA-063", ("a.nii", "component")
    ),
    Bad(
        "labels on another grid",
        labelled(PLAIN, nifti(LABELS, np.diag((1.0, 1.0, 2.5, 1.0)))),
        "DATA-012",
        ("labels/scan.nii",),
    ),
    Bad("labels of another size", labelled(PLAIN, nifti(LABELS[:-1])), "DATA-012", ("labels/scan.nii",)),
    Bad("labels with fractions", labelled(PLAIN, nifti(LABELS * np.float32(0.5))), "DATA-014", ("labels/scan.nii",)),
    Bad("labels with NaN", labelled(PLAIN, nifti(LABELS * np.float32(np.nan))), "DATA-015", ("labels/scan.nii",)),
)

NRRD_HEAD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 10 9 8\nendian: little\nencoding: raw\n"
MHA_HEAD = b"ObjectType = Image\nNDims = 3\nDimSize = 10 9 8\nElementType = MET_SHORT\n"
DATA = VOXELS.tobytes("F")

METAIMAGE = (
    Bad("NRRD cut short", within("a.nrrd", NRRD_HEAD + b"\n" + DATA[:-99]), "DATA-006", ("a.nrrd",)),
    Bad(
        "NRRD that names a file of the system",
        within("a.nhdr", NRRD_HEAD + b"data file: /etc/passwd\n\n"),
        "DATA-030",
        ("a.nhdr", "another file"),
    ),
    Bad("text called NRRD", within("a.nrrd", b"Page not found"), "DATA-005", ("a.nrrd",)),
    Bad("NRRD in BZ2", within("a.nrrd", NRRD_HEAD.replace(b"raw", b"bz2") + b"\n"), "DATA-033", ("a.nrrd", "bz2")),
    Bad("MHA cut short", within("a.mha", MHA_HEAD + b"ElementDataFile = LOCAL\n" + DATA[:-99]), "DATA-006", ("a.mha",)),
    Bad(
        "MHD that leads out of the folder",
        within("a.mhd", MHA_HEAD + b"ElementDataFile = ../../secret.raw\n"),
        "DATA-030",
        ("a.mhd", "another file"),
    ),
)


def dicom(number: int, **changes: object) -> pydicom.Dataset:
    """A slice of a CT series."""
    made = pydicom.Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = f"1.2.3.{number + 1}"
    made.SeriesInstanceUID, made.StudyInstanceUID, made.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
    made.Modality, made.PatientID, made.InstanceNumber = "CT", "p", number
    made.Rows, made.Columns = 9, 10
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 1, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.PixelSpacing, made.SliceThickness = [1, 1], 2
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * number]
    made.PixelData = VOXELS[:, :, number].tobytes()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def series(*slices: pydicom.Dataset) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for number, piece in enumerate(slices):
            piece.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        return folder

    return make


def without_pixels() -> pydicom.Dataset:
    made = dicom(0)
    del made.PixelData
    return made


DICOM = (
    Bad("text called DICOM", within("a.dcm", b"Page not found" * 20), "DATA-005", ("a.dcm",)),
    Bad("DICOM with half of its pixels", series(dicom(0, PixelData=DATA[:90])), "DATA-006", ("0.dcm",)),
    Bad("DICOM of 60000 x 60000", series(dicom(0, Rows=60_000, Columns=60_000)), "DATA-007", ("0.dcm", "60000")),
    Bad("DICOM without pixels", series(without_pixels()), "DATA-006", ("0.dcm", "pixels")),
    Bad("a slice is missing", series(*(dicom(number) for number in (0, 1, 2, 4, 5))), "DATA-041", (".dcm",)),
    Bad("a slice is there twice", series(dicom(0), dicom(1), dicom(1), dicom(2)), "DATA-042", (".dcm",)),
    Bad(
        "slices of two sizes",
        series(dicom(0), dicom(1), dicom(2, Rows=8, PixelData=DATA[:160])),
        "DATA-043",
        (".dcm", "10 x 9"),
    ),
)

VOLUMES = (*NIFTI, *METAIMAGE, *DICOM)
