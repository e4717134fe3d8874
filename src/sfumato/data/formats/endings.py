"""How names of volumes end, by the module that reads them: a new format is one entry here and its module."""

from collections.abc import Mapping

VOLUMES: Mapping[str, tuple[str, ...]] = {
    "nifti": (".nii", ".nii.gz"),
    "nrrd": (".nrrd", ".nhdr"),
    "metaimage": (".mha", ".mhd"),
    "analyze": (".hdr",),
    "dicom.series": (".dcm", ".dicom", ".ima", ".seg"),
}
"""Module beside this one, which has `read_header` and `read_volume` -> endings.

Names that end otherwise may be DICOM still, and `.hdr` is a name of many things: see `formats.scan.is_volume`.
"""

DICOM = "dicom.series"
"""The module whose volumes are folders of files, or files without ending."""
