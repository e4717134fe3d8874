"""Analyze 7.5 volumes, and NIfTI in two files: a header (.hdr) with its voxels beside it (.img, .img.gz).

Analyze says how long voxels are, and nothing of where they lie. As nibabel has it, the first axis runs to the left, the
second to the front, the third to the head, and the middle of the volume is the origin: which of left and right is which
nobody can know. SPM's factor in the header is applied, its origin is not: it differs between files of one grid.
"""

import math
import struct
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.formats import nifti
from sfumato.data.formats.content import check_claim, damaged, gunzipped, is_gzip, opened_file, take_bytes, voxels_of
from sfumato.data.formats.grid import check_geometry
from sfumato.data.formats.rescale import rescaled, rescaled_dtype
from sfumato.data.formats.volume import Alternative, Volume, VolumeHeader
from sfumato.errors import DataError
from sfumato.files import open_file
from sfumato.shortage import raise_shortage
from sfumato.wording import beginning

_WHOLE = "a whole Analyze or NIfTI volume: a header (.hdr) with its voxels beside it (.img)"
NOTE = "Analyze volumes (.hdr with .img) have no orientation: left and right may be exchanged"

_SIZE = 348
"""Bytes of a header, which begins with this number."""

_MAGIC = slice(344, 348)
"""Where NIfTI says what it is."""

_BEGINNINGS = struct.pack("<i", _SIZE), struct.pack(">i", _SIZE)
_NIFTI_2 = struct.pack("<i", 540), struct.pack(">i", 540)
"""First bytes of a header, in both orders."""


def is_analyze(path: Path) -> bool:
    """Whether a file that is called a header begins as one of Analyze or NIfTI: other programs have such names too."""
    try:
        with open_file(path) as file:
            return file.read(4) in (*_BEGINNINGS, *_NIFTI_2)
    except OSError as error:
        raise_shortage(error, reading=path)
        return False


def read_header(path: Path) -> VolumeHeader:
    """See `sfumato.data.formats.scan.read_header`."""
    with opened_file(path, expected=_WHOLE) as file:
        head = file.read(_SIZE)
    return nifti.read_header(path) if _is_nifti(head) else _stored(path, head).header


def read_volume(path: Path) -> Volume:
    """See `sfumato.data.formats.scan.read_volume`."""
    with opened_file(path, expected=_WHOLE) as file:
        head = file.read(_SIZE)
    if _is_nifti(head):
        return nifti.read_volume(path)
    stored = _stored(path, head)
    with opened_file(stored.data, expected=_WHOLE) as file:
        stream: BufferedIOBase = gunzipped(file) if is_gzip(file) else file
        stream.seek(stored.offset)
        content = take_bytes(stream, stored.size, stored.data)
    voxels = np.frombuffer(content, stored.dtype)
    if stored.dtype.names:
        voxels = np.stack([voxels[name] for name in "RGB"], axis=-1)
        voxels = voxels.reshape((*stored.header.shape[:3], 3), order="F")
    voxels = voxels.reshape(stored.header.shape, order="F")
    return Volume(voxels=rescaled(path, voxels, slope=stored.slope), affine=stored.header.affine)


def _is_nifti(head: bytes) -> bool:
    return head[_MAGIC] in (b"ni1\0", b"n+1\0") or head[:4] in _NIFTI_2


class _Stored(NamedTuple):
    """How a file stores its voxels: the file in which they lie, and as in `sfumato.data.formats.nifti`."""

    data: Path
    dtype: np.dtype
    size: int
    offset: int
    slope: float
    header: VolumeHeader


@np.errstate(all="ignore")  # what a damaged header makes of the affine is refused in words
def _stored(path: Path, head: bytes) -> _Stored:
    fields = _fields(path, head)
    try:
        sizes = [int(size) for size in fields.get_data_shape()]
        slope, _ = fields.get_slope_inter()
        affine = np.asarray(fields.get_base_affine(), np.float64)
        offset = int(fields["vox_offset"])
    except Exception as error:  # nibabel raises whatever it likes on damaged headers
        raise_shortage(error, reading=path)
        raise damaged(path, f"its header cannot be understood ({error})") from error
    shape = (*sizes, *[1] * (3 - len(sizes)))
    check_geometry(path, shape, affine)
    dtype = nifti.voxel_dtype(path, fields)
    components = math.prod(shape[3:])
    if dtype.names and components > 1:
        raise damaged(path, "it has colours over time, which are not read")
    last = (3,) if dtype.names else (components,) if components > 1 else ()
    slope = 1.0 if slope is None or dtype.names else float(slope)
    header = VolumeHeader(
        shape=(*shape[:3], *last),
        dtype=rescaled_dtype(path, dtype["R"] if dtype.names else dtype, slope=slope),
        affine=affine,
        notes=(NOTE,),
        alternatives=_alternatives(affine),
        step=0.0 if slope.is_integer() else abs(slope),
    )
    size = math.prod(shape) * dtype.itemsize
    data = voxels_of(path)
    check_claim(data, offset + size, compressed=data.suffix.lower() == ".gz")
    return _Stored(data, dtype, size, offset, slope, header)


def _fields(path: Path, head: bytes) -> Any:
    """The header's fields as nibabel knows them."""
    from nibabel.spm99analyze import Spm99AnalyzeHeader

    if head[:4] not in _BEGINNINGS:
        raise DataError(
            f"{path} is no header of Analyze or NIfTI (it starts with {beginning(head[:8])})",
            expected=_WHOLE,
            remedy="export it as .nii.gz, or take it out of the folder",
            code="DATA-005",
        )
    if len(head) < _SIZE:
        raise damaged(path, f"its header has {len(head)} of {_SIZE} bytes")
    fields = Spm99AnalyzeHeader(head, check=False)
    if not np.isfinite(fields["vox_offset"]) or fields["vox_offset"] < 0:
        raise damaged(path, f"its voxels start at byte {fields['vox_offset']}")
    fields["pixdim"][1:4] = np.abs(fields["pixdim"][1:4])
    fields["pixdim"][1:4][fields["pixdim"][1:4] == 0] = 1  # as nibabel has it: nobody wrote a length
    return fields


def _alternatives(affine: np.ndarray) -> tuple[Alternative, ...]:
    """Where else programs take the voxels to lie: the corner at the origin, turned as in ITK, or as stored."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return tuple(
        Alternative(np.diag([*(np.array(signs) * steps), 1.0]), why)
        for signs, why in (
            ((-1, -1, 1), "the place that programs built on ITK give to such a file"),
            ((1, 1, 1), "the corner of its grid"),
        )
    )
