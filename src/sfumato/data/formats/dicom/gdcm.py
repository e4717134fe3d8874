"""JPEG that pydicom's own plugins do not decode (lossless, 12 bits), through SimpleITK, which has GDCM within.

GDCM reads files, not bytes, and rescales. So a frame is written into a file of its own, with nothing but what its
pixels are: no tag of the patient, no slope. Where compressed data end early it fills up the rest and says so on the
standard error of the process, and nowhere else: what it says is caught, and such a frame is refused.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped

from sfumato.data.formats.dicom.facts import Encoding
from sfumato.data.formats.dicom.file import library

SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (51, 57, 70))
"""Transfer syntaxes: JPEG extended, lossless, and lossless with first-order prediction."""

DAMAGE = (b"premature end", b"Corrupt JPEG", b"Bad Huffman", b"bad Huffman")
"""What the decoder says of data that are cut or damaged."""

STANDARD_ERROR = 2

_alone = Lock()  # the standard error is that of the whole process


def decode_frame(frame: bytes, encoding: Encoding) -> Shaped[np.ndarray, "h w *c"]:
    """The stored numbers of a compressed frame.

    Raises:
        ValueError: its data are damaged, as a clause for a message.
        RuntimeError: GDCM does not read them.
    """
    simple = library("SimpleITK")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        _bare(frame, encoding).save_as(path, enforce_file_format=True)
        with _alone, _standard_error() as said:
            pixels = simple.GetArrayFromImage(simple.ReadImage(str(path)))
            os.lseek(STANDARD_ERROR, 0, os.SEEK_SET)
            words = said.read()
    if any(word in words for word in DAMAGE):
        raise ValueError("its compressed data end early or are damaged")
    return np.asarray(pixels[0]).astype(np.dtype(f"{'i' if encoding.signed else 'u'}{encoding.allocated // 8}"))


@contextmanager
def _standard_error() -> Iterator[BinaryIO]:
    """A file that takes, for a while, what libraries write to the standard error."""
    kept = os.dup(STANDARD_ERROR)
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), STANDARD_ERROR)
            yield file
        finally:
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)


def _bare(frame: bytes, encoding: Encoding) -> Any:
    """A file with one frame and what its pixels are."""
    pydicom = library("pydicom")
    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = encoding.syntax
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(prefix=None)
    bare.Rows, bare.Columns, bare.SamplesPerPixel = encoding.rows, encoding.columns, encoding.samples
    bare.PhotometricInterpretation = "MONOCHROME2" if encoding.samples == 1 else encoding.photometric
    bare.BitsAllocated, bare.BitsStored, bare.HighBit = encoding.allocated, encoding.stored, encoding.stored - 1
    bare.PixelRepresentation = int(encoding.signed)
    if encoding.samples > 1:
        bare.PlanarConfiguration = 0
    bare.PixelData = pydicom.encaps.encapsulate([frame])
    bare["PixelData"].is_undefined_length = True
    return bare
