"""Synthetic CT with known truth: a body with an organ and lesions in it, in Hounsfield units.

Each volume shows, in normalised coordinates (x to the left, y to the back, z to the head, each from -1 to 1), air, a
ring of fat, soft tissue, spine, aorta, and the organ (class 1), whose lesions (classes 2, 3 ...) differ in density.
What real scans have is there too: slices are further apart than pixels, the axes are stored in another order from one
volume to the next, every second scan is tilted a little, and there is noise.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int16, UInt8
from scipy import ndimage

from sfumato.data.formats import nifti
from sfumato.data.formats.volume import Affine
from sfumato.data.toys.toy import refuse_filled
from sfumato.errors import UsageError
from sfumato.randomness import derive_seed

_WIDTH = 360.0
"""Millimetres from side to side."""

ORIENTATIONS = ("LPS", "RAS", "PSR", "LAS")
"""Where the stored axes lead, in turn."""

DENSITIES = (45, 170, 5, 240, 80)
"""Hounsfield units of the lesions, class by class: hypodense, enhancing, cyst, calcified, faint."""

ORGAN = 110
_MAX_MASK_CLASSES = 2 + len(DENSITIES)

_Space = Float32[np.ndarray, "i j k"]
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Centre and radii along x, y and z."""


class _Scan(NamedTuple):
    """A volume and its labels, with axes along L, P and S."""

    voxels: Int16[np.ndarray, "i j k"]
    labels: UInt8[np.ndarray, "i j k"]


def make_toy_volumes(folder: Path, *, cases: int = 12, size: int = 64, mask_classes: int = 3, seed: int = 0) -> None:
    """Draw volumes into a new folder.

    Writes `images/scan_000.nii.gz`, `labels/scan_000.nii.gz` ... and `truth.json`. Volume i depends on the seed, the
    size, the number of classes and i only; each is of another patient.

    Args:
        folder: where to; must be new or empty.
        cases: number of volumes.
        size: height and width of slices; there are a third as many slices.
        mask_classes: background, organ, and kinds of lesions.
        seed: another seed, other volumes.

    Raises:
        UsageError: the folder is not empty, or a number is impossible.
    """
    if cases < 1 or size < 16 or not 2 <= mask_classes <= _MAX_MASK_CLASSES:
        raise UsageError(
            f"toy volumes need at least 1 case, a size of 16, and 2 to {_MAX_MASK_CLASSES} classes of voxels"
        )
    refuse_filled(folder)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    truths = [_make_scan(folder, index, size=size, mask_classes=mask_classes, seed=seed) for index in range(cases)]
    known = {"mask_classes": _names(mask_classes), "volumes": truths}
    (folder / "truth.json").write_text(json.dumps(known, indent=1), encoding="utf-8")


def _names(mask_classes: int) -> list[str]:
    return ["background", "organ", *(f"lesion {number}" for number in range(1, mask_classes - 1))]


def _make_scan(folder: Path, index: int, *, size: int, mask_classes: int, seed: int) -> dict[str, object]:
    random = np.random.default_rng(derive_seed(seed, "toy volume", size, index))
    name = f"scan_{index:03d}"
    scan = draw_scan(random, size=size, lesions=mask_classes - 2)
    between = _WIDTH / size * float(random.uniform(1.8, 3.0))
    orientation = ORIENTATIONS[index % len(ORIENTATIONS)]
    affine = _affine(scan.voxels.shape, (_WIDTH / size, _WIDTH / size, between), tilt=8.0 * (index % 2))
    for part, voxels in (("images", scan.voxels), ("labels", scan.labels)):
        stored = _turned(voxels, affine, orientation)
        nifti.write_volume(folder / part / f"{name}.nii.gz", *stored, label=part == "labels")
    litres = abs(np.linalg.det(affine[:3, :3])) / 1e6
    volumes = {
        label: round(float((scan.labels == number).sum() * litres * 1000), 2)
        for number, label in enumerate(_names(mask_classes))
        if number
    }
    return {"id": name, "orientation": orientation, "millimetres_between_slices": between, "millilitres": volumes}


def draw_scan(random: np.random.Generator, *, size: int, lesions: int) -> _Scan:
    """A body with an organ and this many kinds of lesions in it."""
    space = _axes(size)
    voxels = _body(random, space)
    organ = (random.uniform(-0.38, -0.28), random.uniform(-0.1, 0.02), random.uniform(-0.2, 0.2))
    radii = (random.uniform(0.28, 0.36), random.uniform(0.24, 0.32), random.uniform(0.5, 0.7))
    bumps = 0.14 * _waves(random, space)
    inside = _distance(space, (organ, radii)) + bumps < 1
    labels = inside.astype(np.uint8)
    voxels[inside] = ORGAN
    for number in range(lesions):
        lesion = _lesion(random, (organ, radii))
        found = (_distance(space, lesion) + bumps < 1) & inside
        voxels[found], labels[found] = DENSITIES[number], 2 + number
    smooth = ndimage.gaussian_filter(voxels, (0.6, 0.6, 0.2))
    noisy = smooth + random.normal(0, 14, smooth.shape)
    return _Scan(np.rint(noisy).clip(-1024, 3071).astype(np.int16), labels)


def _lesion(random: np.random.Generator, organ: Ellipsoid) -> Ellipsoid:
    """A place within the organ."""
    x, y, z = (at + 0.55 * r * random.uniform(-1, 1) for at, r in zip(*organ, strict=True))
    radius = random.uniform(0.07, 0.15)
    return (x, y, z), (radius, radius, 2.4 * radius)


def _body(random: np.random.Generator, space: tuple[_Space, _Space, _Space]) -> _Space:
    """Everything around the organ."""
    trunk = _distance(space, ((0.0, 0.0, 0.0), (random.uniform(0.8, 0.92), random.uniform(0.58, 0.7), 9.0)))
    voxels = np.full(trunk.shape, -1000.0, np.float32)
    voxels[trunk < 1] = -100
    voxels[trunk < random.uniform(0.72, 0.85)] = 45
    bone = _distance(space, ((0.0, 0.36, 0.0), (0.13, 0.11, 9.0)))
    voxels[bone < 1], voxels[bone < 0.6] = 600, 220
    voxels[_distance(space, ((0.1, 0.18, 0.0), (0.065, 0.065, 9.0))) < 1] = 190
    gas = (random.uniform(0.3, 0.45), random.uniform(-0.3, -0.2), random.uniform(-0.5, 0.5))
    voxels[_distance(space, (gas, (0.16, 0.1, 0.3))) < 1] = -900
    return voxels


def _axes(size: int) -> tuple[_Space, _Space, _Space]:
    """Coordinates of the voxels along x, y and z."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    slices = np.linspace(-1, 1, max(4, size // 3), dtype=np.float32)
    x, y, z = np.meshgrid(line, line, slices, indexing="ij")
    return x, y, z


def _distance(space: tuple[_Space, _Space, _Space], ellipsoid: Ellipsoid) -> _Space:
    """Square of the distance from an ellipsoid's centre, 1 on its surface."""
    centre, radii = ellipsoid
    return np.asarray(sum(((line - at) / r) ** 2 for line, at, r in zip(space, centre, radii, strict=True)))


def _waves(random: np.random.Generator, space: tuple[_Space, _Space, _Space]) -> _Space:
    """A smooth function between -1 and 1 that makes surfaces uneven."""
    x, y, z = space
    a, b, c = random.uniform(0, 2 * np.pi, 3).astype(np.float32)
    return np.asarray(np.sin(7 * x + a) * np.sin(6 * y + b) * np.cos(3 * z + c))


def _affine(shape: tuple[int, ...], steps: tuple[float, float, float], *, tilt: float) -> Affine:
    """From indices along L, P, S to millimetres; the patient is turned by `tilt` degrees around his long axis."""
    turn = np.radians(tilt)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag((-steps[0], -steps[1], steps[2]))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def _turned(voxels: np.ndarray, affine: Affine, orientation: str) -> tuple[np.ndarray, Affine]:
    """The same volume with its axes stored in another order and direction."""
    from nibabel import orientations as axes

    change = axes.ornt_transform(axes.axcodes2ornt("LPS"), axes.axcodes2ornt(orientation))
    return axes.apply_orientation(voxels, change), affine @ axes.inv_ornt_aff(change, voxels.shape)
