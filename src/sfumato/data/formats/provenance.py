"""What an image file says about where it comes from, read back from PNG, TIFF, other pictures, NIfTI and DICOM.

Nothing but the fields of `sfumato.data.formats.origin` is read, and from a file of another program no more than
whether it says that a model made it.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.data.formats.dicom.file import is_dicom, read_dataset
from sfumato.data.formats.endings import VOLUMES
from sfumato.data.formats.image import read_image
from sfumato.data.formats.nifti import read_intent
from sfumato.data.formats.origin import DESCRIPTION, INTENT, said_in_texts, source_type
from sfumato.data.formats.picture import open_picture
from sfumato.data.formats.png import SIGNATURE
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.tiff import is_tiff, read_texts
from sfumato.files import read_file

_TAGS = ("ImageType", "Manufacturer", "SoftwareVersions", "SeriesDescription", "SegmentSequence")


def read_origin(path: Path) -> dict[str, str]:
    """What a file says about being made by a model; nothing if it says nothing.

    Raises:
        DataError: it is damaged, or no image.
    """
    if is_dicom(path):
        return _in_dicom(path)
    if path.name.lower().endswith(VOLUMES["nifti"]):
        return _in_nifti(path)
    if is_volume(path):  # NRRD and MetaImage, which no model of ours writes
        read_header(path)
        return {}
    return _in_picture(path)


def _in_picture(path: Path) -> dict[str, str]:
    read_image(str(path))  # whole, or refused
    content = read_file(path)
    ours, code = said_in_texts(_texts(content)), source_type(content)
    return ours | ({} if code is None else {"Digital source type": code})


def _texts(content: bytes) -> Mapping[str, object]:
    """The texts of a PNG or TIFF by their keys; none of other pictures."""
    if is_tiff(content):
        return read_texts(content)
    if not content.startswith(SIGNATURE):
        return {}
    with open_picture(io.BytesIO(content)) as image:
        texts: Mapping[str, object] = getattr(image, "text", {})
        return texts


def _in_nifti(path: Path) -> dict[str, str]:
    intent, described = read_intent(path)
    kind = next((kind for kind, word in INTENT.items() if word == intent and "sfumato" in described), None)
    return {} if kind is None else {"Description": DESCRIPTION[kind], "descrip": described}


def _in_dicom(path: Path) -> dict[str, str]:
    tags = read_dataset(path, _TAGS)
    if tags.get("Manufacturer") != "sfumato":
        return {}
    said = {"Series": str(tags.get("SeriesDescription", "")), "Software": f"sfumato {tags.get('SoftwareVersions', '')}"}
    said["Image type"] = "/".join(tags.get("ImageType", ()))
    for segment in list(tags.get("SegmentSequence", ()))[:1]:
        said |= _of_algorithm(segment)
    return said


def _of_algorithm(segment: Any) -> dict[str, str]:
    """Type and parameters of the algorithm that drew a segment."""
    said = {"Algorithm": str(segment.get("SegmentAlgorithmType", ""))}
    for algorithm in segment.get("SegmentationAlgorithmIdentificationSequence", ()):
        pairs = (line.partition("=") for line in str(algorithm.get("AlgorithmParameters", "")).split(","))
        said |= {name.strip(): value for name, _, value in pairs if value}
    return said
