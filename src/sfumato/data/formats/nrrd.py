"""NRRD volumes ("nearly raw raster data"), 3D Slicer's segmentations among them.

pynrrd understands the text header; the voxels, raw or gzip, are taken from behind it, or from the file beside it that
it names by its plain name. One that names a file elsewhere is refused: it could name any file of this machine. Keys of
somebody's own (`key:=value`), where exports from DICOM keep the patient's name, are not kept, other than the names of
segments.

Axes without a direction in space (`list`, `vector`, `RGB-color`) become the components, which come last.
"""

import io
import math
import re
from collections import defaultdict
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.formats.content import check_claim, damaged, file_beside, gunzipped, opened_file, take_bytes
from sfumato.data.formats.grid import Affine, check_geometry
from sfumato.data.formats.lengths import LengthUnit, scaled, unit_of
from sfumato.data.formats.rescale import rescaled, rescaled_dtype
from sfumato.data.formats.volume import Volume, VolumeHeader
from sfumato.errors import DataError
from sfumato.shortage import raise_shortage
from sfumato.wording import beginning

_WHOLE = "a whole NRRD volume (.nrrd, or .nhdr with its .raw beside it)"

_MAX_TEXT = 2**20
"""Bytes that a text header may have."""

_DETACHED = re.compile(rb"^data ?file\s*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
"""The line that names another file for the voxels."""

_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
"""How the axes of a space run in terms of RAS. A header without space is taken for LPS, as ITK does."""


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
    voxels = np.frombuffer(content, stored.dtype).reshape(stored.shape, order="F").transpose(stored.order)
    return Volume(voxels=rescaled(path, voxels.reshape(stored.header.shape)), affine=stored.header.affine)


def _content(stored: "_Stored", file: BufferedIOBase) -> bytes:
    """The voxels, from where their file stands."""
    return take_bytes(gunzipped(file) if stored.compressed else file, stored.size, stored.data)


class _Stored(NamedTuple):
    """How a file stores its voxels.

    Attributes:
        data: the file in which they lie.
        shape: along all axes.
        order: these axes, those in space first.
        dtype: of the stored numbers.
        compressed: by gzip.
        header: what it is to others.
    """

    data: Path
    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: np.dtype
    compressed: bool
    header: VolumeHeader

    @property
    def size(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def _stored(path: Path, file: BufferedIOBase) -> _Stored:
    """The header of an NRRD file, checked against the size of the file, which is left at the first byte of the data."""
    text = _text(path, file)
    file.seek(len(text))
    named = _DETACHED.search(text)
    data = path if named is None else file_beside(path, named[1].decode(errors="replace").strip())
    try:
        with np.errstate(all="ignore"):  # sizes that are no numbers are refused below
            return _understood(path, data, text, _fields(_DETACHED.sub(b"#", text)))
    except DataError:
        raise
    except Exception as error:  # the parser raises whatever it likes on damaged headers
        raise_shortage(error, reading=path)
        raise damaged(path, f"its header cannot be understood ({error or type(error).__name__})") from error


def _text(path: Path, file: BufferedIOBase) -> bytes:
    """The header up to the empty line that ends it, which is the last line in files without data."""
    head = file.read(_MAX_TEXT)
    if not head.startswith(b"NRRD"):
        remedy = "export it as .nrrd, or take it out of the folder"
        finding = f"{path} is not an NRRD volume (it starts with {beginning(head)})"
        raise DataError(finding, expected=_WHOLE, remedy=remedy, code="DATA-005")
    end = re.search(rb"\r?\n\r?\n", head)
    text = head[: end.end()] if end else head
    if not end and not _DETACHED.search(text):
        raise damaged(path, "its header has no end")
    return text


def _fields(text: bytes) -> dict[str, Any]:
    try:
        import nrrd
    except ImportError as error:
        raise DataError(
            "NRRD files need a library that is not installed",
            expected="pynrrd",
            remedy="pip install 'sfumato[dicom]'",
            code="DATA-034",
        ) from error
    fields: dict[str, Any] = nrrd.read_header(io.BytesIO(text))
    # pynrrd has the table of types, but shows it only through the arrays that it makes
    empty = fields | {"encoding": "raw", "dimension": 1, "sizes": np.zeros(1, np.int64)}
    return fields | {"dtype": nrrd.read_data(empty, io.BytesIO()).dtype}


def _understood(path: Path, data: Path, text: bytes, fields: dict[str, Any]) -> _Stored:
    encoding = fields["encoding"].lower()
    skips = [fields.get(name) for name in ("byte skip", "byteskip", "line skip", "lineskip")]
    if encoding not in ("raw", "gzip", "gz") or any(skips):
        raise DataError(
            f"{path}: its voxels are stored as {encoding}{' behind other data' if any(skips) else ''}",
            expected="the encoding raw or gzip, right behind the header",
            remedy="save it as gzip",
            code="DATA-033",
        )
    shape = tuple(int(size) for size in fields["sizes"])
    if len(shape) != fields["dimension"]:
        raise damaged(path, f"it has the dimension {fields['dimension']} and {len(shape)} sizes")
    placed = _placed(fields, shape)
    axes = [axis for axis in range(len(shape)) if axis not in placed]
    sizes = (*(shape[axis] for axis in placed), *[1] * (3 - len(placed)))
    components = math.prod(shape[axis] for axis in axes)
    unit = _unit(path, fields)
    plain = _affine(fields, placed)
    affine = scaled(plain, unit.millimetres)
    check_geometry(path, (*sizes, *(shape[axis] for axis in axes)), affine)
    segments = {key: value for key, value in fields.items() if re.match(r"Segment\d+_", key)}
    names, clash = _names(segments)
    header = VolumeHeader(
        shape=sizes if components == 1 else (*sizes, components),
        dtype=rescaled_dtype(path, fields["dtype"]),
        affine=affine,
        label=bool(segments),
        names=names,
        notes=(*clash, *_notes(path, text, fields), *unit.notes),
        alternatives=unit.alternatives(plain),
        measured=_is_measured(fields, placed),
    )
    stored = _Stored(data, shape, (*placed, *axes), fields["dtype"], encoding != "raw", header)
    before = 0 if stored.compressed or data != path else len(text)
    check_claim(data, stored.size + before, compressed=stored.compressed)
    return stored


def _placed(fields: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that lie in space, at most three."""
    kinds = fields.get("kinds", ["domain"] * len(shape))
    within = [kind in ("domain", "space") for kind in kinds]
    if (directions := fields.get("space directions")) is not None:
        within = list(np.isfinite(directions).all(axis=1))
    return tuple(np.flatnonzero(within)[:3].tolist())


def _is_measured(fields: dict[str, Any], placed: tuple[int, ...]) -> bool:
    """Whether the header says how far voxels lie apart along each axis in space."""
    if fields.get("space directions") is not None:
        return True
    spacings = fields.get("spacings")
    return spacings is not None and bool(np.isfinite(np.asarray(spacings)[list(placed)]).all())


def _affine(fields: dict[str, Any], placed: tuple[int, ...]) -> Affine:
    """From index to millimetres (RAS); what the header leaves open is one millimetre, from zero."""
    steps, origin = np.eye(3), np.zeros(3)
    directions, spacings = fields.get("space directions"), fields.get("spacings")
    for column, axis in enumerate(placed):
        if directions is not None:
            steps[:, column] = 0
            steps[: directions.shape[1], column] = directions[axis]
        elif spacings is not None and np.isfinite(spacings[axis]):
            steps[column, column] = spacings[axis]
    if len(placed) == 2:
        normal = np.cross(steps[:, 0], steps[:, 1])
        steps[:, 2] = normal / (np.linalg.norm(normal) or 1)
    start = fields.get("space origin")
    if start is not None and np.isfinite(start).all():
        origin[: len(start)] = start
    ras = np.array(_TO_RAS.get(fields.get("space", "lps").lower(), _TO_RAS["lps"]), np.float64)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps * ras[:, None], origin * ras
    return affine


def _unit(path: Path, fields: dict[str, Any]) -> LengthUnit:
    """The unit of length: of the space, or of axes without a space."""
    named = fields.get("space units") if "space directions" in fields else fields.get("units")
    return unit_of(path, named or ())


def _names(segments: dict[str, str]) -> tuple[dict[int, str] | None, tuple[str, ...]]:
    """Names of the label values, and a note where layers use one value for several segments."""
    found = defaultdict[int, list[str]](list)
    for key, name in segments.items():
        if key.endswith("_Name"):
            found[int(segments.get(key.removesuffix("_Name") + "_LabelValue", "1"))].append(name)
    if any(len(names) > 1 for names in found.values()):
        several = ", ".join(f"{value} is {' and '.join(names)}" for value, names in sorted(found.items()))
        return None, (f"its layers use label values for several segments ({several}): the names were left out",)
    return {value: names[0] for value, names in sorted(found.items())} or None, ()


def _notes(path: Path, text: bytes, fields: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    space = fields.get("space", "")
    if space.lower() not in _TO_RAS:
        said = f"of its space only '{space}'" if space else "no space"
        notes.append(f"{path.name} says {said}: LPS was assumed")
    if own := re.findall(rb"^(?!Segment)[^#:\n][^:\n]*:=", text, re.MULTILINE):
        notes.append(f"{path.name} has {len(own)} fields of its writer's own, which may name the patient: not kept")
    return tuple(notes)
