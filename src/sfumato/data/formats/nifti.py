"""NIfTI volumes: read whole or refused, and written with nothing but voxels, geometry and what a model says of itself.

Whether a file is compressed is known by its first bytes, not by its name. It is read once, to its end; nibabel
understands the header. Of sform and qform, the sform counts; without either, nibabel's assumption does (the first
axis to the left, the middle of the volume at the origin). ITK takes the qform where the sform's code is not 1, and puts
the first voxel of a file without orientation at the origin: such places are `Header.alternatives`. Lengths in metres
or micrometres (`xyzt_units`) become millimetres.

What follows the third axis becomes one axis of components, in the order in which it is stored; RGB has three.
"""

import gzip
import logging
import math
import struct
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from sfumato.atomic import write_atomic
from sfumato.data.formats.content import check_claim, damaged, gunzipped, is_gzip, opened_file, take_bytes, voxels_of
from sfumato.data.formats.endings import VOLUMES
from sfumato.data.formats.grid import GRID_TOLERANCE, Affine, check_geometry
from sfumato.data.formats.lengths import IGNORING, scaled, scaled_note
from sfumato.data.formats.origin import INTENT, Origin
from sfumato.data.formats.rescale import rescaled, rescaled_dtype, strange_numbers
from sfumato.data.formats.volume import Alternative, Volume, VolumeHeader, Voxels
from sfumato.errors import DataError
from sfumato.shortage import raise_shortage
from sfumato.wording import beginning, counted

_WHOLE = "a whole NIfTI volume (.nii, .nii.gz)"

_LABEL = 1002
"""The intent code of NIFTI_INTENT_LABEL."""

_MILLIMETRES = {1: 1000.0, 3: 0.001}
"""Of a metre and a micrometre, by the lowest three bits of `xyzt_units`; 2 is the millimetre, 0 says nothing."""

_SPACE = 7
"""The bits of `xyzt_units` that are about space; the others are about time."""

_PLACING = (
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)
"""The fields that say where voxels lie, besides `pixdim` and `xyzt_units`."""

_MENDS = logging.Logger("sfumato.data.formats.nifti", level=logging.CRITICAL + 1)
"""Where nibabel says what it mends (a zero `pixdim[0]`, say); such trifles are in most files."""


def is_nifti(path: Path) -> bool:
    """Whether a file is called a NIfTI volume."""
    return path.name.lower().endswith(VOLUMES["nifti"])


def read_header(path: Path) -> VolumeHeader:
    """See `sfumato.data.formats.scan.read_header`."""
    with opened_file(path, expected=_WHOLE) as file:
        return _stored(path, gunzipped(file) if is_gzip(file) else file).header


def read_volume(path: Path) -> Volume:
    """See `sfumato.data.formats.scan.read_volume`."""
    with opened_file(path, expected=_WHOLE) as file:
        stored = _stored(path, gunzipped(file) if is_gzip(file) else file)
    with opened_file(stored.data, expected=_WHOLE) as file:
        stream = gunzipped(file) if is_gzip(file) else file
        stream.seek(stored.offset)
        content = take_bytes(stream, stored.size, stored.data)
    count = math.prod(stored.shape[3:])
    voxels: Shaped[np.ndarray, "..."] = np.frombuffer(content, stored.dtype)
    voxels = voxels.reshape((*stored.shape[:3], count), order="F")
    if voxels.dtype.names:
        voxels = np.stack([voxels[name] for name in "RGB"], axis=-1).reshape(*stored.shape[:3], 3 * count)
    if voxels.shape[3] == 1:
        voxels = voxels[..., 0]
    return Volume(voxels=rescaled(path, voxels, slope=stored.slope, inter=stored.inter), affine=stored.header.affine)


class _Stored(NamedTuple):
    """How a file stores its voxels.

    Attributes:
        data: the file in which they lie.
        shape: along the three axes and those that follow.
        dtype: of the stored numbers; of colours, with the names R, G, B.
        offset: bytes before the first voxel.
        slope: see `sfumato.data.formats.rescale`.
        inter: see there.
        header: what it is to others.
    """

    data: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    header: VolumeHeader

    @property
    def size(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


@np.errstate(all="ignore")  # what a damaged header makes of the affine is refused in words
def _stored(path: Path, stream: BufferedIOBase) -> _Stored:
    """The header of a NIfTI file, checked against the size of the file."""
    fields = _fields(path, stream)
    try:
        sizes = [int(size) for size in fields.get_data_shape()]
        slope, inter = fields.get_slope_inter()
        unit = _MILLIMETRES.get(int(fields["xyzt_units"]) & _SPACE, 1.0)
        affine = scaled(np.asarray(fields.get_best_affine(), np.float64), unit)
    except Exception as error:  # nibabel raises whatever it likes on damaged headers
        raise_shortage(error, reading=path)
        raise damaged(path, f"its header cannot be understood ({error})") from error
    dtype = voxel_dtype(path, fields)
    shape = (*sizes, *[1] * (3 - len(sizes)))
    check_geometry(path, shape, affine)
    components = math.prod(shape[3:]) * (3 if dtype.names else 1)
    slope, inter = (1.0, 0.0) if slope is None or dtype.names else (slope, inter)
    header = VolumeHeader(
        shape=shape[:3] if components == 1 else (*shape[:3], components),
        dtype=rescaled_dtype(path, dtype["R"] if dtype.names else dtype, slope=slope, inter=inter),
        affine=affine,
        label=int(fields["intent_code"]) == _LABEL,
        notes=(
            *_notes(path, fields, compressed=isinstance(stream, gzip.GzipFile)),
            *_about_spacing(path, stream, fields),
        ),
        alternatives=_alternatives(fields, affine, unit),
        step=0.0 if float(slope).is_integer() else abs(slope),
    )
    apart = fields["magic"].item() == fields.pair_magic
    offset = max(int(fields["vox_offset"]), 0 if apart else fields.single_vox_offset)
    stored = _Stored(voxels_of(path) if apart else path, shape, dtype, offset, slope, inter, header)
    compressed = stored.data.suffix.lower() == ".gz" if apart else isinstance(stream, gzip.GzipFile)
    check_claim(stored.data, offset + stored.size, compressed=compressed)
    return stored


def voxel_dtype(path: Path, fields: Any) -> np.dtype:
    """The kind of the stored numbers, by the code in a header.

    Raises:
        DataError: nobody knows it, or nibabel cannot read it.
    """
    from nibabel.nifti1 import data_type_codes

    code = int(fields["datatype"])
    dtype = data_type_codes.dtype.get(code, np.dtype("V"))
    if dtype.itemsize == 0:  # nibabel knows its name, but cannot read it
        raise strange_numbers(path, f"NIfTI data type {code}")
    stored: np.dtype = dtype.newbyteorder(fields.endianness)
    return stored


def _fields(path: Path, stream: BufferedIOBase) -> Any:
    """The header's fields as nibabel knows them, with trifles mended."""
    import nibabel

    head = stream.read(nibabel.Nifti2Header.sizeof_hdr)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        size = kind.sizeof_hdr
        if head[:4] in (struct.pack("<i", size), struct.pack(">i", size)):
            break
    else:
        raise _foreign(path, f"it starts with {beginning(head)}")
    if len(head) < size:
        raise damaged(path, f"it ends within its header, after {counted(len(head), 'byte')}")
    fields = kind(head[:size], check=False)
    magic = fields["magic"].item()
    if magic == kind.pair_magic and path.suffix.lower() == ".hdr":
        fields = _pair(size)(head[:size], check=False)
    elif magic == kind.pair_magic:
        raise DataError(
            f"{path}: detached data: its voxels lie in another file (.img)",
            expected="one file with header and voxels",
            remedy="save it as .nii.gz",
            code="DATA-030",
        )
    elif magic != kind.single_magic:
        raise _foreign(path, f"its magic string is {beginning(magic)}")
    if not np.isfinite(fields["vox_offset"]) or fields["vox_offset"] < 0:
        raise damaged(path, f"its voxels start at byte {fields['vox_offset']}")
    fields.check_fix(logger=_MENDS, error_level=50)
    return fields


def _about_spacing(path: Path, stream: BufferedIOBase, fields: Any) -> tuple[str, ...]:
    """Where a header without sform says 0 mm for an axis, nibabel makes 1 mm of it."""
    stream.seek(0)
    stored = type(fields)(stream.read(type(fields).sizeof_hdr), check=False)
    if int(stored["sform_code"]) or stored["pixdim"][1 : 1 + min(3, int(stored["dim"][0]))].all():
        return ()
    return (f"{path.name} does not say how far its voxels lie apart (pixdim 0): taken as 1 mm",)


def _pair(size: int) -> Any:
    """The header of voxels in another file, by its bytes."""
    from nibabel.nifti1 import Nifti1PairHeader
    from nibabel.nifti2 import Nifti2PairHeader

    return Nifti1PairHeader if size == Nifti1PairHeader.sizeof_hdr else Nifti2PairHeader


def _foreign(path: Path, what: str) -> DataError:
    remedy = "export it as .nii.gz, or take it out of the folder"
    return DataError(f"{path} is not a NIfTI volume ({what})", expected=_WHOLE, remedy=remedy, code="DATA-005")


def _notes(path: Path, fields: Any, *, compressed: bool) -> tuple[str, ...]:
    """What a careful reader should know: another name than content, and orientations that disagree or are missing."""
    notes = []
    if compressed != path.name.lower().endswith(".gz"):
        notes.append(f"{path.name} is {'' if compressed else 'not '}compressed, whatever its name says")
    codes = int(fields["sform_code"]), int(fields["qform_code"])
    if codes == (0, 0):
        notes.append(f"{path.name} has no orientation (sform and qform are 0): left and right may be exchanged")
    if all(codes) and not _agree(fields):
        notes.append(f"{path.name} has two orientations, sform and qform, that disagree: the sform was taken")
    if (unit := int(fields["xyzt_units"]) & _SPACE) in _MILLIMETRES:
        notes.append(scaled_note("metres" if unit == 1 else "micrometres"))
    return tuple(notes)


def _alternatives(fields: Any, affine: Affine, unit: float) -> tuple[Alternative, ...]:
    """Where ITK takes the voxels to lie, and where programs do that know no unit but the millimetre."""
    found = []
    codes = int(fields["sform_code"]), int(fields["qform_code"])
    if all(codes) and not _agree(fields):
        try:
            found.append(Alternative(scaled(fields.get_qform(), unit), "its qform, which programs built on ITK take"))
        except Exception as error:  # a qform that is no rotation
            raise_shortage(error, reading="a header")
    if codes == (0, 0):
        across, down, through = fields["pixdim"][1:4].astype(np.float64)
        corner = np.diag([-across, -down, through, 1])
        found.append(Alternative(scaled(corner, unit), "the place that programs built on ITK give to such a file"))
    if unit != 1:
        found.append(Alternative(scaled(affine, 1 / unit), IGNORING))
    return tuple(found)


def _agree(fields: Any) -> bool:
    try:
        sform, qform = fields.get_sform(), fields.get_qform()
    except Exception as error:  # a qform that is no rotation
        raise_shortage(error, reading="a header")
        return False
    steps = np.linalg.norm(sform[:3, :3], axis=0)
    return bool((np.abs(sform - qform)[:3] <= GRID_TOLERANCE * np.append(steps, steps.min())).all())


def read_intent(path: Path) -> tuple[str, str]:
    """`intent_name` and `descrip` of a volume: what a model says of itself, or whatever others wrote there."""
    with opened_file(path, expected=_WHOLE) as file:
        fields = _fields(path, gunzipped(file) if is_gzip(file) else file)
    intent, described = (bytes(fields[name].item()).decode("latin-1") for name in ("intent_name", "descrip"))
    return intent, described


def _stored_fields(path: Path) -> Any:
    """The fields of a header as they are stored, with nothing mended."""
    with opened_file(path, expected=_WHOLE) as file:
        stream = gunzipped(file) if is_gzip(file) else file
        kind = type(_fields(path, stream))
        stream.seek(0)
        return kind(stream.read(kind.sizeof_hdr), check=False)


def _place(header: Any, affine: Affine) -> None:
    """Say where voxels lie: as sform, and as qform too where that can say it."""
    from nibabel.spatialimages import HeaderDataError

    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    try:
        header.set_qform(affine, code="scanner", strip_shears=False)
    except HeaderDataError:
        header.set_qform(None, code=0)
        header.set_zooms([*np.linalg.norm(affine[:3, :3], axis=0), *header.get_zooms()[3:]])


def _copy_place(scan: Any, header: Any) -> None:
    """Say what another header says of where its voxels lie, field by field."""
    for name in _PLACING:
        header[name] = scan[name]
    header["pixdim"][:4] = scan["pixdim"][:4]  # the sign of the qform, and the steps
    header["xyzt_units"] = int(scan["xyzt_units"]) & _SPACE


def write_volume(
    path: Path,
    voxels: Voxels,
    affine: Affine,
    *,
    label: bool = False,
    origin: Origin | None = None,
    like: Path | None = None,
) -> None:
    """Write voxels and where they lie, and nothing else: no description but `origin`, no names, no extensions, no time.

    The file appears under its name only when it is whole, and equal volumes become equal bytes.

    Args:
        path: ends in `.nii.gz`, or in `.nii` for no compression.
        voxels: (i, j, k) or (i, j, k, components); kinds of numbers as in `formats.rescale` (float64 becomes float32).
        affine: from stored index to millimetres (RAS), as in `VolumeHeader`. As qform too, where it is a rotation.
        label: these are class indices: written as the smallest unsigned integers that hold them, and called labels.
        origin: the model that made them.
        like: the NIfTI file whose voxels these lie on, if there is one. Then not `affine` is written but what that file
            says: both forms with their codes, steps and unit, as they are, so that every program lays one on the other.

    Raises:
        DataError: the numbers are of no kind that is written, or `like` cannot be read.
    """
    import nibabel

    kept = voxels.astype(np.min_scalar_type(int(voxels.max()))) if label else rescaled(path, voxels)
    scan = None if like is None else _stored_fields(like)
    if scan is not None and int(scan["dim"][0]) == 2:  # programs would not lay a volume of one plane on a picture
        kept = kept.reshape(*kept.shape[:2], *kept.shape[3:])
    wide = max(kept.shape) >= 2**15 or isinstance(scan, nibabel.Nifti2Header)
    image = (nibabel.Nifti2Image if wide else nibabel.Nifti1Image)(kept, None)
    if scan is None:
        _place(image.header, affine)
    else:
        _copy_place(scan, image.header)
    if label:
        image.header["intent_code"] = _LABEL
    if origin is not None:
        image.header["intent_name"], image.header["descrip"] = INTENT[origin.kind], origin.descrip()
    content = image.to_bytes()
    write_atomic(path, gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)
