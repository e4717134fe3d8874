"""A volume: voxels, where they lie in the patient, and the planes that networks see.

Voxels are kept in the order in which they are stored. Planes are cut in the order of radiology, whatever that order
is: the axes are turned to L, P, S first (to the patient's left, back and head), so an axial plane has the patient's
front at the top and his left at the right, as on a DICOM screen:

    axial     slices along S, rows along P, columns along L
    coronal   slices along P, rows along -S, columns along L
    sagittal  slices along L, rows along -S, columns along P

`Volume.planes` gives this view and `as_stored` is its inverse, so what is predicted plane by plane goes back voxel by
voxel. The locator of a plane is `file::axial/17`; of the third component of a volume with several, `file::axial/17/2`.

A DICOM segmentation stores no empty planes at its ends. Its planes are numbered from the first that is stored, and
those before and behind (`seg.dcm::axial/-2`) are read as empty masks; `formats.dicom.drawn.seg_offset` counts them.

What follows an `@` says how a mask is laid on its image where the two do not lie on one grid by themselves (see
`formats.laid`): `seg.nrrd::axial/-2@12of256x40of300` begins at row 12 of 256 and column 40 of 300, and its planes
before the first and behind the last are empty; `mask.nii::axial/17@LAS` is cut as if its stored axes ran to L, A, S.
`seg.dcm::axial/3@values:5=1,3=2` has the value 1 where the file says 5, 2 where it says 3, and 0 elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from jaxtyping import Shaped

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.grid import MAX_VOXELS as MAX_VOXELS
from sfumato.data.formats.grid import Affine as Affine
from sfumato.data.formats.grid import Grid, codes_to_lps, to_lps

Axis = Literal["axial", "coronal", "sagittal"]
Voxels = Shaped[np.ndarray, "i j k *c"]
Planes = Shaped[np.ndarray, "slices h w *c"]
VolumePlane = Shaped[np.ndarray, "h w *c"]

_PLANE = re.compile(
    r"(?P<axis>axial|coronal|sagittal)/(?P<number>-?\d+)(?:/(?P<component>\d+))?"
    r"(?:@(?:(?P<codes>[LRAPSI]{3})|(?P<window>\d+of\d+x\d+of\d+)))?"
    r"(?:@values:(?P<values>\d+=\d+(?:,\d+=\d+)*))?"
)

AXES: Mapping[Axis, tuple[tuple[int, int, int], tuple[int, ...]]] = {
    "axial": ((2, 1, 0), ()),
    "coronal": ((1, 2, 0), (1,)),
    "sagittal": ((0, 2, 1), (1,)),
}
"""From L, P, S order: which axes become slices, rows, columns, and which of those are then flipped."""


class Alternative(NamedTuple):
    """Another place that programs give to the voxels of a file whose header leaves a choice.

    Attributes:
        affine: as in `VolumeHeader`.
        why: what it is, for a note: "its qform, which ITK takes".
    """

    affine: Affine
    why: str


class VolumeHeader(NamedTuple):
    """What is known of a volume without reading its voxels.

    Attributes:
        shape: voxels along the three stored axes, and the number of components if there are several.
        dtype: of the values after rescaling.
        affine: from stored index (i, j, k) to millimetres, to the patient's right, front and head (RAS, as in NIfTI).
        modality: "CT", "MR" ... where the file says so.
        label: whether the file says that it holds labels (DICOM SEG, NIfTI intent).
        names: names of the stored label values, where the file has them.
        reference: for labels, the files that they were drawn on, where the file says so.
        notes: what a careful reader should know, in sentences: contradictions, and what was assumed.
        window: lowest and highest value to be shown, where the file says so (DICOM).
        alternatives: where other programs take the voxels to lie: masks drawn in them lie there.
        colours: whether three components are the red, green and blue of a voxel, whatever their kind of number.
        step: between neighbouring values, where a slope that is no whole number makes them; else 0.
        called_mask: whether an image is described as a mask (the SeriesDescription of DICOM).
        space: the frame of reference in which it lies (DICOM), as a hash that means nothing outside of this process.
        measured: whether the file says how far its voxels lie apart; where it does not, 1 mm is taken.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    affine: Affine
    modality: str | None = None
    label: bool = False
    names: Mapping[int, str] | None = None
    reference: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    alternatives: tuple[Alternative, ...] = ()
    step: float = 0.0
    colours: bool = False
    called_mask: bool = False
    space: bytes | None = None
    measured: bool = True


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Voxels in stored order, rescaled (CT in Hounsfield units), and where they lie.

    Attributes:
        voxels: (i, j, k) or (i, j, k, components).
        affine: as in `VolumeHeader`.
        endless: whether there are planes before the first and behind the last, all of them empty (DICOM SEG).
    """

    voxels: Voxels
    affine: Affine
    endless: bool = False

    def planes(self, axis: Axis, codes: str = "") -> Planes:
        """A view of the voxels as planes along an axis.

        Args:
            axis: along which they are cut.
            codes: where the stored axes run to, such as "LAS", if not to where the affine says.
        """
        order, signs = codes_to_lps(codes) if codes else to_lps(self.affine)
        return _turned(self.voxels, order, signs, axis)


def first_plane(volume: Volume, axis: Axis) -> Volume:
    """The first plane along an axis, as a volume of this plane alone."""
    order, signs = to_lps(volume.affine)
    along = AXES[axis][0][0]
    stored = order[along]
    number = 0 if signs[along] > 0 else volume.voxels.shape[stored] - 1
    affine = volume.affine.copy()
    affine[:3, 3] += number * affine[:3, stored]
    return Volume(voxels=volume.voxels.take([number], stored), affine=affine)


def as_stored(planes: Planes, axis: Axis, affine: Affine) -> Voxels:
    """The inverse of `Volume.planes`: voxels in stored order, as a view."""
    order, signs = to_lps(affine)
    axes, flips = AXES[axis]
    rest = range(3, planes.ndim)
    lps = np.transpose(np.flip(planes, flips), (*np.argsort(axes), *rest))
    stored = lps[tuple(slice(None, None, sign) for sign in signs)]
    return np.transpose(stored, (*np.argsort(order), *rest))


def spacing(affine: Affine, axis: Axis) -> tuple[float, float, float]:
    """Millimetres between slices, rows and columns of the planes along an axis."""
    order, _ = to_lps(affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    between, down, across = (float(steps[order[source]]) for source in AXES[axis][0])
    return between, down, across


def count_planes(header: VolumeHeader, axis: Axis) -> int:
    """How many planes a volume has along an axis."""
    order, _ = to_lps(header.affine)
    return header.shape[order[AXES[axis][0][0]]]


def thickest_axis(header: VolumeHeader) -> Axis:
    """The axis with the largest distance between its planes; axial where none is 1.5 times the smallest.

    Within such planes the resolution is best, so these are the images that a scanner made.
    """
    between = {axis: spacing(header.affine, axis)[0] for axis in cast(tuple[Axis, ...], get_args(Axis))}
    thickest = max(between, key=lambda axis: between[axis])
    return thickest if between[thickest] > 1.5 * min(between.values()) else "axial"


def _turned(voxels: Voxels, order: tuple[int, ...], signs: tuple[int, ...], axis: Axis) -> Planes:
    lps = np.transpose(voxels, (*order, *range(3, voxels.ndim)))[tuple(slice(None, None, sign) for sign in signs)]
    axes, flips = AXES[axis]
    return np.flip(np.transpose(lps, (*axes, *range(3, voxels.ndim))), flips)


def grid_of(header: VolumeHeader) -> Grid:
    """Where the voxels lie, for comparison."""
    return Grid.of(header.shape, header.affine)


class Window(NamedTuple):
    """Where a smaller plane lies in a larger one: its first row of how many, its first column of how many."""

    row: int
    rows: int
    column: int
    columns: int

    def __str__(self) -> str:
        return f"{self.row}of{self.rows}x{self.column}of{self.columns}"

    def pasted(self, plane: VolumePlane) -> Shaped[np.ndarray, "rows columns *c"]:
        """The larger plane, which is 0 elsewhere."""
        whole = np.zeros((self.rows, self.columns, *plane.shape[2:]), plane.dtype)
        whole[self.row : self.row + plane.shape[0], self.column : self.column + plane.shape[1]] = plane
        return whole


class PlaneAddress(NamedTuple):
    """Which plane of a volume: `axial/17`, or `axial/17/2` for the third component; and how it is laid on an image.

    Attributes:
        axis: along which it is cut.
        number: of the plane.
        component: of several.
        codes: where the stored axes run to, if not to where the affine says.
        window: where it lies in the plane of its image, if it is smaller; then planes that are not there are empty.
        values: pairs of a stored value and the one that it stands for, others for 0; empty where all stay.
    """

    axis: Axis
    number: int
    component: int | None = None
    codes: str = ""
    window: Window | None = None
    values: tuple[tuple[int, int], ...] = ()


def named_place(member: str) -> PlaneAddress | None:
    """The place that a locator's member names; None without one."""
    if not (named := _PLANE.fullmatch(member)):
        return None
    component, window, values = named["component"], named["window"], named["values"]
    return PlaneAddress(
        axis=cast(Axis, named["axis"]),
        number=int(named["number"]),
        component=int(component) if component else None,
        codes=named["codes"] or "",
        window=Window(*map(int, re.findall(r"\d+", window))) if window else None,
        values=told_values(values) if values else (),
    )


def told_values(text: str) -> tuple[tuple[int, int], ...]:
    """The pairs in `5=1,3=2`."""
    stored, meant = ([int(number) for number in re.findall(side, text)] for side in (r"(\d+)=", r"=(\d+)"))
    return tuple(zip(stored, meant, strict=True))


def place_in(volume: Volume, locator: Locator) -> PlaneAddress:
    """The plane of its volume that a locator means; without a member, the only one."""
    return named_place(locator.member) or PlaneAddress(flat_axis(volume.voxels.shape, volume.affine), 0)


def flat_axis(shape: tuple[int, ...], affine: Affine) -> Axis:
    """The axis along which a volume has a single plane."""
    order, _ = to_lps(affine)
    axes = cast(tuple[Axis, ...], get_args(Axis))
    return next(axis for axis in axes if shape[order[AXES[axis][0][0]]] == 1)
