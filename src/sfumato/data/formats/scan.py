"""Volumes as files: which files they are, and their headers, voxels and planes, whatever the format.

Each format is read by a module of its own, imported when it is needed. The latest volumes are remembered, since planes
of one volume are asked for in turn.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Protocol, cast, runtime_checkable

import numpy as np

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.endings import DICOM, VOLUMES
from sfumato.data.formats.volume import PlaneAddress, Volume, VolumeHeader, VolumePlane, flat_axis, named_place
from sfumato.errors import DataError
from sfumato.files import open_file
from sfumato.shortage import raise_shortage

AMBIGUOUS = ".hdr"
"""An ending of volumes and of many other things: the first bytes say which."""

VOLUME_SUFFIXES = tuple(ending for endings in VOLUMES.values() for ending in endings if ending != AMBIGUOUS)
"""How names of volumes end. DICOM files often have no ending: they are known by `DICM` at byte 128."""

FILES = tuple(ending for module, endings in VOLUMES.items() if module != DICOM for ending in endings)
"""Endings of volumes that are a file each; all others are DICOM."""

MAX_REMEMBERED = 2**29
"""Bytes of volumes that are remembered (the latest one always is): planes of one volume are asked for in turn."""


def is_volume(path: Path) -> bool:
    """Whether a file is a volume (NIfTI, NRRD, MHA, Analyze, DICOM), by its name.

    Without ending, and as `.hdr`, which is a name of many things, by its first bytes.
    """
    name = path.name.lower()
    if name.endswith(VOLUME_SUFFIXES):
        return True
    if name.endswith(AMBIGUOUS):
        from sfumato.data.formats import analyze

        return analyze.is_analyze(path)
    if "." in name[1:] and not name.rsplit(".", 1)[1].isdigit():  # DICOM files are often called 1.2.840.113
        return False
    try:
        with open_file(path) as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise_shortage(error, reading=path)
        return False


def read_header(path: Path) -> VolumeHeader:
    """What is known of a volume without its voxels.

    Raises:
        DataError: it is damaged, or not understood.
    """
    return _reader(path).read_header(path)


def read_volume(path: Path) -> Volume:
    """A volume, not to be written to: the latest ones are remembered, and so are those that cannot be read.

    Raises:
        DataError: it is damaged or not whole, too large, or not understood.
    """
    return _remember((path, _changed(path)), lambda: _reader(path).read_volume(path))


def read_contour_plane(locator: Locator, image: Path) -> np.ndarray:
    """A plane of contours (RTSTRUCT) that are laid on an image; like volumes, the latest are remembered.

    Raises:
        DataError: a file cannot be read, or the contours do not lie on that image.
    """
    from sfumato.data.formats.dicom import contours

    path, place = locator.path, named_place(locator.member)
    values = place.values if place else ()
    key = (path, image, values, _changed(path), _changed(image))
    volume = _remember(key, lambda: contours.read_contours(path, image, values))
    return _required(locator, volume, place and place._replace(values=()))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise_shortage(error, reading=path)
        raise DataError(f"{path} cannot be read: {error.strerror}", code="DATA-001") from error


def _remember(key: Hashable, read: Callable[[], Volume]) -> Volume:
    with _lock:
        found = _remembered.pop(key, None) or _volume_or_error(read)
        _remembered[key] = found
        while len(_remembered) > 1 and (
            len(_remembered) > _MANY or sum(map(_size, _remembered.values())) > MAX_REMEMBERED
        ):
            _remembered.popitem(last=False)
    if isinstance(found, DataError):
        raise found.with_traceback(None)
    return found


_MANY = 64
"""Volumes and errors that are remembered at most."""

_remembered: OrderedDict[Hashable, Volume | DataError] = OrderedDict()
_lock = RLock()  # planes are read by several threads; the first decodes the volume for all


def _volume_or_error(read: Callable[[], Volume]) -> Volume | DataError:
    try:
        volume = read()
    except DataError as error:  # a copy: the original keeps alive what was read of the file
        return DataError(error.finding, expected=error.expected, remedy=error.remedy, code=error.code)
    volume.voxels.flags.writeable = False
    return volume


def _size(found: Volume | DataError) -> int:
    return found.voxels.nbytes if isinstance(found, Volume) else 0


@runtime_checkable
class _Reader(Protocol):
    """A module that reads a format."""

    def read_header(self, path: Path) -> VolumeHeader: ...
    def read_volume(self, path: Path) -> Volume: ...


def _reader(path: Path) -> _Reader:
    """The module that reads a format; heavy libraries are imported only when they are needed."""
    name = path.name.lower()
    module = next((module for module, endings in VOLUMES.items() if name.endswith(endings)), DICOM)
    return cast(_Reader, import_module(f"{__package__}.{module}"))


def read_plane(locator: Locator) -> np.ndarray:
    """The plane that a locator names, (h, w) or (h, w, components); without a member, the only plane of the volume.

    Raises:
        DataError: the volume cannot be read or has no such plane.
    """
    place = named_place(locator.member)
    return _required(locator, read_volume(locator.path), place)


def _required(locator: Locator, volume: Volume, place: PlaneAddress | None) -> np.ndarray:
    plane = _plane(volume, place)
    if plane is None:
        raise DataError(
            f"{locator}: no such plane; the volume has the shape {volume.voxels.shape}",
            expected="axial, coronal or sagittal and the number of a plane, such as axial/17",
            code="DATA-018",
        )
    return np.array(plane, order="C")


def _plane(volume: Volume, place: PlaneAddress | None) -> VolumePlane | None:
    if place is None:
        flat = 1 in volume.voxels.shape[:3]
        return np.asarray(volume.planes(flat_axis(volume.voxels.shape, volume.affine))[0]) if flat else None
    planes, index = volume.planes(place.axis, place.codes), place.number
    components = planes[..., None] if place.component is None else planes.reshape(*planes.shape[:3], -1)
    component = place.component or 0
    if component >= components.shape[-1]:
        return None
    if 0 <= index < len(planes):
        plane = np.asarray(components[index, ..., component])
    elif volume.endless or place.window is not None:
        plane = np.zeros(planes.shape[1:3], planes.dtype)
    else:
        return None
    plane = _with_values(plane, place.values) if place.values else plane
    return plane if place.window is None else place.window.pasted(plane)


def _with_values(labels: np.ndarray, values: Sequence[tuple[int, int]]) -> np.ndarray:
    """Labels with other values: pairs of the stored one and the one that it stands for; what is not named is 0."""
    meant = np.zeros(labels.shape, np.uint8 if max(value for _, value in values) < 256 else np.uint16)
    for stored, value in values:
        meant[labels == stored] = value
    return meant
