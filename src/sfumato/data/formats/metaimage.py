"""MetaImage volumes: header and voxels in one file (.mha), or the voxels in another one beside it (.mhd, .raw, .zraw).

A text header of `Key = Value` lines ends with `ElementDataFile = LOCAL`, behind which the voxels follow, or with the
plain name of a file of the same folder. They are raw or a zlib stream, components first, then the first axis, and are
read here and not by ITK, which fills up what is missing with zeros and opens whatever file a header names. Row i of
TransformMatrix is the direction of axis i, in LPS, as in ITK.
"""

import math
import re
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.content import check_claim, damaged, file_beside, inflate, opened_file, take_bytes
from sfumato.data.formats.grid import Affine, check_geometry
from sfumato.data.formats.lengths import scaled, unit_of
from sfumato.data.formats.rescale import rescaled, rescaled_dtype
from sfumato.data.formats.volume import Volume, VolumeHeader
from sfumato.errors import DataError

_WHOLE = "a whole MetaImage volume (.mha, or .mhd with its .raw beside it)"

_MAX_TEXT = 2**20
"""Bytes that a text header may have."""

_TYPES: Mapping[str, str] = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""A long has four bytes in these files, wherever they were written."""

_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_NM": "NM", "MET_MOD_US": "US"}


def read_header(path: Path) -> VolumeHeader:
    """See `sfumato.data.formats.scan.read_header`."""
    with opened_file(path, expected=_WHOLE) as file:
        return _stored(path, file).header


def read_volume(path: Path) -> Volume:
    """See `sfumato.data.formats.scan.read_volume`."""
    with opened_file(path, expected=_WHOLE) as file:
        stored = _stored(path, file)
        if stored.data == path:
            content = _content(stored, file)
        else:
            with opened_file(stored.data, expected=_WHOLE) as data:
                content = _content(stored, data)
    voxels = np.frombuffer(content, stored.dtype).reshape(stored.shape, order="F")
    voxels = np.moveaxis(voxels, 0, -1).reshape(stored.header.shape, order="F")
    return Volume(voxels=rescaled(path, voxels), affine=stored.header.affine)


def _content(stored: "_Stored", file: BufferedIOBase) -> bytes:
    """The voxels, from where their file stands."""
    if stored.compressed:
        return inflate(file.read(stored.packed), stored.size, stored.data)
    return take_bytes(file, stored.size, stored.data)


class _Stored(NamedTuple):
    """How a file stores its voxels.

    Attributes:
        data: the file in which they lie.
        shape: components, then all axes.
        dtype: of the stored numbers.
        compressed: as a zlib stream.
        packed: bytes of this stream; -1 for all that follow.
        header: what it is to others.
    """

    data: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    compressed: bool
    packed: int
    header: VolumeHeader

    @property
    def size(self) -> int:
        """Bytes of the voxels, once expanded."""
        return math.prod(self.shape) * self.dtype.itemsize


def _stored(path: Path, file: BufferedIOBase) -> _Stored:
    """The header of a MetaImage, checked against the size of the file, which is left at the first byte of the data."""
    fields = _fields(path, file)
    try:
        return _understood(path, fields, file.tell())
    except (KeyError, ValueError, OverflowError) as error:
        raise damaged(path, f"its header cannot be understood ({error})") from error


def _fields(path: Path, file: BufferedIOBase) -> dict[str, str]:
    """The lines of the header up to the one that says where the voxels are."""
    fields: dict[str, str] = {}
    while file.tell() < _MAX_TEXT and "ElementDataFile" not in fields:
        line = re.fullmatch(r"\s*([^=]+?)\s*=\s*(.*?)\s*", file.readline(_MAX_TEXT).decode("latin-1"))
        if not line:
            break
        fields[line[1]] = line[2]
    if not fields.keys() & {"ObjectType", "NDims", "DimSize"}:
        remedy = "export it as .mha, or take it out of the folder"
        raise DataError(f"{path} is not a MetaImage volume", expected=_WHOLE, remedy=remedy, code="DATA-005")
    if "ElementDataFile" not in fields:
        raise damaged(path, "its header has no end (ElementDataFile)")
    return fields


def _understood(path: Path, fields: dict[str, str], start: int) -> _Stored:
    unlike = [
        f"{key} = {fields[key]}"
        for key, usual in (("ObjectType", "Image"), ("BinaryData", "True"), ("HeaderSize", "0"))
        if fields.get(key, usual) != usual
    ]
    kind = fields["ElementType"].removesuffix("_ARRAY")
    if unlike or kind not in _TYPES:
        raise DataError(
            f"{path}: its voxels are stored in a way that is not read ({', '.join(unlike) or kind})",
            expected="an image of binary numbers, right behind the header",
            remedy="save it as .mha or .nii.gz with plain numbers",
            code="DATA-033",
        )
    sizes = [int(size) for size in fields["DimSize"].split()]
    if len(sizes) != int(fields["NDims"]):
        raise damaged(path, f"it has {fields['NDims']} dimensions and {len(sizes)} sizes")
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    unit = unit_of(path, [fields[name] for name in ("DistanceUnits", "ElementSizeUnits") if name in fields][:1])
    plain = _affine(fields, len(sizes))
    affine = scaled(plain, unit.millimetres)
    check_geometry(path, (*sizes, channels), affine)
    components = channels * math.prod(sizes[3:])
    outer = (*sizes[:3], *[1] * (3 - len(sizes)))
    swapped = _either(fields, ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "False").lower() == "true"
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if swapped else "<")
    header = VolumeHeader(
        shape=outer if components == 1 else (*outer, components),
        dtype=rescaled_dtype(path, dtype),
        affine=affine,
        modality=_MODALITIES.get(fields.get("Modality", "")),
        notes=(*_notes(path, fields), *unit.notes),
        alternatives=unit.alternatives(plain),
        measured="ElementSpacing" in fields or "ElementSize" in fields,
    )
    compressed = fields.get("CompressedData", "False").lower() == "true"
    packed = int(fields.get("CompressedDataSize", "-1"))
    where = fields["ElementDataFile"]
    data = path if where.upper() == "LOCAL" else file_beside(path, where)
    stored = _Stored(data, (channels, *sizes), dtype, compressed, packed, header)
    check_claim(data, stored.size + (0 if compressed or data != path else start), compressed=compressed)
    return stored


def _affine(fields: dict[str, str], dimensions: int) -> Affine:
    """From index to millimetres (RAS); what the header leaves open is one millimetre, from zero."""
    inner = min(dimensions, 3)
    matrix, steps, start = np.eye(3), np.ones(3), np.zeros(3)
    identity = " ".join(map(str, np.eye(dimensions).ravel()))
    rows = np.array(_either(fields, ("TransformMatrix", "Orientation", "Rotation"), identity).split(), np.float64)
    matrix[:inner, :inner] = rows.reshape(dimensions, dimensions)[:inner, :inner].T
    steps[:inner] = _numbers(fields, ("ElementSpacing", "ElementSize"), ["1"] * inner)[:inner]
    start[:inner] = _numbers(fields, ("Offset", "Origin", "Position"), ["0"] * inner)[:inner]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix * steps, start
    return np.diag([-1.0, -1, 1, 1]) @ affine


def _either(fields: dict[str, str], names: tuple[str, ...], default: str) -> str:
    """The first of these fields that is there: MetaImage has several names for some."""
    return next((fields[name] for name in names if name in fields), default)


def _numbers(fields: dict[str, str], names: tuple[str, ...], default: list[str]) -> list[float]:
    return [float(number) for number in _either(fields, names, " ".join(default)).split()]


def _notes(path: Path, fields: dict[str, str]) -> tuple[str, ...]:
    if own := [key for key in fields if re.fullmatch(r"[0-9a-fA-F]{4}\|[0-9a-fA-F]{4}", key)]:
        return (f"{path.name} has {len(own)} DICOM fields, which may name the patient: not kept",)
    return ()
