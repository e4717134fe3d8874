"""How names of volumes end, by the module that reads them: a new format is one entry here and its module.

A reader is a module with two functions, `read_header(path) -> VolumeHeader` and `read_volume(path) -> Volume`, both
whole or refused (`nrrd` is the model):

* `content.opened_file` opens the file; what cannot be understood, is cut, or says two things is `content.damaged`;
* before room is made, `content.check_claim` holds what the header announces against the size of the file;
* `grid.check_geometry` refuses sizes and axes that no scan has; without a direction the axes run to L, P, S;
* voxels are (i, j, k) with x first, numbers as stored; the affine leads to millimetres, right, front, head (RAS);
* what a person should know of the header is in `notes`; words of the file pass through `escape.visible`.
"""

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
