"""A volume: voxels, where they lie in the patient, and the planes that networks see.

Voxels are kept in the order in which they are stored. Planes are cut in the order of radiology, whatever that order
is: the axes are turned to L, P, S first (to the patient's left, back and head), so an axial plane has the patient's
front at the top and his left at the right, as on a DICOM screen:

    axial     slices along S, rows along P, columns along L
    coronal   slices along P, rows along -S, columns along L
    sagittal  slices along L, rows along -S, columns along P

`Volume.planes` gives this view and `as_stored` is its inverse, so what is predicted plane by plane goes back voxel by
voxel. The locator of a plane is `file::axial/17`; of the third component of a volume with several, `file::axial/17/2`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast, get_args

import numpy as np
from jaxtyping import Float64, Shaped

from sfumato.data.archive import Locator
from sfumato.errors import DataError

Axis = Literal["axial", "coronal", "sagittal"]
Voxels = Shaped[np.ndarray, "i j k *c"]
Planes = Shaped[np.ndarray, "slices h w *c"]
Affine = Float64[np.ndarray, "4 4"]

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".dicom", ".ima", ".seg")
"""How names of volumes end. DICOM files often have no ending: they are known by `DICM` at byte 128."""

MAX_VOXELS = 2**31
"""More voxels than this are refused before anything is allocated."""

_AXES: Mapping[Axis, tuple[tuple[int, int, int], tuple[int, ...]]] = {
    "axial": ((2, 1, 0), ()),
    "coronal": ((1, 2, 0), (1,)),
    "sagittal": ((0, 2, 1), (1,)),
}
"""From L, P, S order: which axes become slices, rows, columns, and which of those are then flipped."""


class Header(NamedTuple):
    """What is known of a volume without reading its voxels.

    Attributes:
        shape: voxels along the three stored axes, and the number of components if there are several.
        dtype: of the values after rescaling.
        affine: from stored index (i, j, k) to millimetres, to the patient's right, front and head (RAS, as in NIfTI).
        modality: "CT", "MR" ... where the file says so.
        label: whether the file says that it holds labels (DICOM SEG, NIfTI intent).
        names: names of the stored label values, where the file has them.
        reference: for labels, the files that they were drawn on, where the file says so.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    affine: Affine
    modality: str | None = None
    label: bool = False
    names: Mapping[int, str] | None = None
    reference: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Voxels in stored order, rescaled (CT in Hounsfield units), and where they lie.

    Attributes:
        voxels: (i, j, k) or (i, j, k, components).
        affine: as in `Header`.
    """

    voxels: Voxels
    affine: Affine

    def planes(self, axis: Axis) -> Planes:
        """A view of the voxels as planes along an axis."""
        order, signs = _to_lps(self.affine)
        return _turned(self.voxels, order, signs, axis)


def as_stored(planes: Planes, axis: Axis, affine: Affine) -> Voxels:
    """The inverse of `Volume.planes`: voxels in stored order."""
    size = math.prod(planes.shape[:3])
    order, signs = _to_lps(affine)
    axes, _ = _AXES[axis]
    stored = [0, 0, 0]
    for target, source in enumerate(axes):
        stored[order[source]] = planes.shape[target]
    where = _turned(np.arange(size).reshape(stored), order, signs, axis)
    flat = np.empty((size, *planes.shape[3:]), planes.dtype)
    flat[where.reshape(-1)] = planes.reshape(size, *planes.shape[3:])
    return flat.reshape(*stored, *planes.shape[3:])


def spacing(affine: Affine, axis: Axis) -> tuple[float, float, float]:
    """Millimetres between slices, rows and columns of the planes along an axis."""
    order, _ = _to_lps(affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    between, down, across = (float(steps[order[source]]) for source in _AXES[axis][0])
    return between, down, across


def count_planes(header: Header, axis: Axis) -> int:
    """How many planes a volume has along an axis."""
    order, _ = _to_lps(header.affine)
    return header.shape[order[_AXES[axis][0][0]]]


def thickest_axis(header: Header) -> Axis:
    """The axis with the largest distance between its planes; axial where none is 1.5 times the smallest.

    Within such planes the resolution is best, so these are the images that a scanner made.
    """
    between = {axis: spacing(header.affine, axis)[0] for axis in cast(tuple[Axis, ...], get_args(Axis))}
    thickest = max(between, key=lambda axis: between[axis])
    return thickest if between[thickest] > 1.5 * min(between.values()) else "axial"


def _turned(voxels: Voxels, order: tuple[int, ...], signs: tuple[int, ...], axis: Axis) -> Planes:
    lps = np.transpose(voxels, (*order, *range(3, voxels.ndim)))[tuple(slice(None, None, sign) for sign in signs)]
    axes, flips = _AXES[axis]
    return np.flip(np.transpose(lps, (*axes, *range(3, voxels.ndim))), flips)


def _to_lps(affine: Affine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which stored axis lies along L, P and S, and whether it runs that way (1) or against it (-1)."""
    import nibabel

    towards = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(affine), nibabel.orientations.axcodes2ornt("LPS")
    )
    order = tuple(int(np.flatnonzero(towards[:, 0] == target)[0]) for target in range(3))
    return order, tuple(int(towards[source, 1]) for source in order)


def is_volume(path: Path) -> bool:
    """Whether a file is a volume (NIfTI, NRRD, MHA, DICOM), by its name or, without ending, by its first bytes."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return True
    if "." in name[1:] and not name.rsplit(".", 1)[1].isdigit():  # DICOM files are often called 1.2.840.113
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """What is known of a volume without its voxels.

    Raises:
        DataError: it is damaged, or not understood.
    """
    return _reader(path).read_header(path)


def read_volume(path: Path) -> Volume:
    """A volume. The latest two are remembered.

    Raises:
        DataError: it is damaged or not whole, too large, or not understood.
    """
    try:
        return _read_volume(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", code="DATA-001") from error


@lru_cache(maxsize=2)
def _read_volume(path: Path, _changed: int) -> Volume:
    return _reader(path).read_volume(path)


class _Reader(Protocol):
    """A module that reads a format."""

    def read_header(self, path: Path) -> Header: ...  # noqa: D102
    def read_volume(self, path: Path) -> Volume: ...  # noqa: D102


def _reader(path: Path) -> _Reader:
    """The module that reads a format; heavy libraries are imported only when they are needed."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        from sfumato.data import nifti

        return nifti
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        from sfumato.data import metaimage

        return metaimage
    from sfumato.data import dicom

    return dicom


def read_plane(locator: Locator) -> np.ndarray:
    """The plane that a locator names, (h, w) or (h, w, components); without a member, the only plane of the volume.

    Raises:
        DataError: the volume cannot be read or has no such plane.
    """
    volume = read_volume(locator.path)
    axis, index, *component = locator.member.split("/") if locator.member else ("axial", "0")
    planes = volume.planes(cast(Axis, axis)) if axis in get_args(Axis) else np.empty((0, 0, 0))
    if locator.member and index.isdigit() and int(index) < len(planes):
        plane = planes[int(index)]
        return np.ascontiguousarray(plane[..., int(component[0])] if component else plane)
    if not locator.member and 1 in volume.voxels.shape[:3]:
        flat = volume.planes(flat_axis(volume.voxels.shape, volume.affine))
        return np.ascontiguousarray(flat[0])
    raise DataError(
        f"{locator}: no such plane; the volume has the shape {volume.voxels.shape}",
        expected="axial, coronal or sagittal and the number of a plane, such as axial/17",
        code="DATA-018",
    )


def flat_axis(shape: tuple[int, ...], affine: Affine) -> Axis:
    """The axis along which a volume has a single plane."""
    order, _ = _to_lps(affine)
    axes = cast(tuple[Axis, ...], get_args(Axis))
    return next(axis for axis in axes if shape[order[_AXES[axis][0][0]]] == 1)
