import re
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path
from typing import get_args

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sfumato.data.formats import nifti, scan
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.grid import grid_differences
from sfumato.data.formats.laid import lay_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import is_volume, read_header, read_plane, read_volume
from sfumato.data.formats.volume import (
    Axis,
    Volume,
    VolumeHeader,
    as_stored,
    count_planes,
    grid_of,
    spacing,
    thickest_axis,
)
from sfumato.errors import DataError

SHAPE = (3, 4, 5)
STEPS = np.array([0.5, 1.0, 3.0])
ORDERS = [np.eye(3)[:, list(order)] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
AXES: tuple[Axis, ...] = get_args(Axis)

# towards what slices, rows and columns of a plane run, in RAS
TOWARDS = {
    "axial": ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),
    "coronal": ((0, -1, 0), (0, 0, -1), (-1, 0, 0)),
    "sagittal": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
}


def affine_of(directions: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions * STEPS, (10, -20, 30)
    return affine


def places(affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A volume that holds at each voxel where it lies, in millimetres."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    scan._remembered.clear()
    yield
    scan._remembered.clear()


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("directions", ORDERS)
@settings(max_examples=3, deadline=None)
@given(tilt=st.tuples(*[st.floats(-0.3, 0.3)] * 3))
def test_planes_face_the_reader_and_go_back(
    axis: Axis, directions: np.ndarray, tilt: tuple[float, float, float]
) -> None:
    affine = affine_of(Rotation.from_rotvec(tilt).as_matrix() @ directions)
    voxels = places(affine)
    planes = Volume(voxels=voxels, affine=affine).planes(axis)
    header = VolumeHeader(shape=SHAPE, dtype=np.dtype(float), affine=affine)
    assert len(planes) == count_planes(header, axis)
    assert np.array_equal(as_stored(planes, axis, affine), voxels)
    assert np.array_equal(as_stored(planes[..., 0].copy(), axis, affine), voxels[..., 0])
    for along, (towards, step) in enumerate(zip(TOWARDS[axis], spacing(affine, axis), strict=True)):
        moved = np.diff(planes, axis=along)
        assert np.allclose(np.linalg.norm(moved, axis=-1), step)
        assert (moved @ np.array(towards) > 0.5 * step).all()


def test_the_thickest_axis() -> None:
    shape, dtype = (3, 3, 3), np.dtype(np.uint8)
    steps = {"axial": (1, 1, 3), "coronal": (1, 3, 1), "sagittal": (3, 1, 1)}
    for axis, sizes in steps.items():
        assert thickest_axis(VolumeHeader(shape, dtype, np.diag([*sizes, 1.0]))) == axis
    assert thickest_axis(VolumeHeader(shape, dtype, np.diag([1.4, 1, 1, 1.0]))) == "axial"


def test_a_grid_is_the_same_in_whatever_order_it_is_stored() -> None:
    affine = affine_of(Rotation.from_rotvec((0.1, 0.2, 0.05)).as_matrix())
    stored = VolumeHeader(SHAPE, np.dtype(np.uint8), affine)
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = affine[:3, [2, 0, 1]] * (1, -1, 1), affine[:3] @ (SHAPE[0] - 1, 0, 0, 1)
    other = stored._replace(shape=(SHAPE[2], SHAPE[0], SHAPE[1], 2), affine=turned)
    grid = grid_of(stored)
    assert not grid_differences(grid, grid_of(other)) and not grid_differences(grid_of(other), grid)
    assert not grid_differences(grid, grid_of(stored._replace(affine=affine + 1e-4 * np.eye(4))))
    assert grid_differences(grid, grid_of(other._replace(affine=affine)))


def tilted(affine: np.ndarray) -> np.ndarray:
    turned = affine.copy()
    turned[:3, :3] = Rotation.from_rotvec((0, 0, 0.02)).as_matrix() @ affine[:3, :3]
    return turned


@pytest.mark.parametrize(
    ("shape", "affine", "finding"),
    [
        ((3, 4, 6), affine_of(np.eye(3)), r"3 x 4 x 6 voxels instead of 3 x 4 x 5$"),
        (SHAPE, affine_of(np.eye(3)) @ np.diag([2, 1, 1, 1]), r"spacing 1 x 1 x 3 mm instead of 0.5 x 1 x 3 mm"),
        (SHAPE, affine_of(np.eye(3)) + np.eye(4, k=3), r"origin \(12, -17, 30\) mm instead of \(11, -17, 30\) mm$"),
        (SHAPE, tilted(affine_of(np.eye(3))), r"turned by 1.15 degrees"),
    ],
)
def test_masks_on_another_grid_are_refused(
    tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, finding: str
) -> None:
    write_volume(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16), affine_of(np.eye(3)))
    write_volume(tmp_path / "mask.nii.gz", np.zeros(shape, np.uint8), affine)
    lay_mask(tmp_path / "image.nii.gz", tmp_path / "image.nii.gz")
    with pytest.raises(DataError, match=r"mask.*image.*") as caught:
        lay_mask(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    assert caught.value.code == "DATA-012"
    assert re.search(finding, caught.value.finding)


def test_planes_by_name(tmp_path: Path) -> None:
    voxels = np.arange(2 * 3 * 4 * 2, dtype=np.int16).reshape(2, 3, 4, 2)
    affine = np.diag([-1.0, -1, 1, 1])  # stored in LPS order
    write_volume(tmp_path / "a.nii.gz", voxels, affine)
    write_volume(tmp_path / "flat.nii.gz", voxels[:, :1, :, 0], affine)
    path = tmp_path / "a.nii.gz"
    assert np.array_equal(read_plane(Locator(path, "axial/3")), voxels[:, :, 3].transpose(1, 0, 2))
    assert np.array_equal(read_plane(Locator(path, "axial/3/1")), voxels[:, :, 3, 1].T)
    assert np.array_equal(read_plane(Locator(path, "coronal/1/0")), voxels[:, 1, ::-1, 0].T)
    assert np.array_equal(read_plane(Locator(path, "sagittal/0/0")), voxels[0, :, ::-1, 0].T)
    flat = read_plane(Locator(tmp_path / "flat.nii.gz"))
    assert np.array_equal(flat, voxels[:, 0, ::-1, 0].T)
    assert np.array_equal(read_plane(Locator(tmp_path / "flat.nii.gz", "coronal/0/0")), flat)
    write_volume(tmp_path / "grey.nii.gz", voxels[..., 0], affine)
    plane = read_plane(Locator(tmp_path / "grey.nii.gz", "axial/3"))
    plane[:] = 0  # belongs to the caller
    assert read_plane(Locator(tmp_path / "grey.nii.gz", "axial/3")).any()


@pytest.mark.parametrize(
    "member", ["", "axial", "axial/4", "axial/-1", "axial/x", "axial/0/2", "axial/0/-1", "axial/0/0/0", "top/0"]
)
def test_planes_that_are_not_there(tmp_path: Path, member: str) -> None:
    write_volume(tmp_path / "a.nii.gz", np.zeros((2, 3, 4, 2), np.uint8), np.eye(4))
    with pytest.raises(DataError, match=r"no such plane.*\(2, 3, 4, 2\)") as caught:
        read_plane(Locator(tmp_path / "a.nii.gz", member))
    assert caught.value.code == "DATA-018"


def test_each_volume_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{name}.nii.gz" for name in "abcde"]
    for path in paths:
        write_volume(path, np.full((2, 2, 2), 7, np.uint8), np.eye(4))
    (tmp_path / "bad.nii.gz").write_bytes(paths[0].read_bytes()[:-4])
    decoded: list[str] = []
    read = nifti.read_volume
    monkeypatch.setattr(nifti, "read_volume", lambda path: (decoded.append(path.stem[0]), read(path))[1])
    for _ in range(3):
        for path in paths:
            assert read_volume(path).voxels.sum() == 56
        with pytest.raises(DataError, match=r"bad.nii.gz is damaged"):
            read_volume(tmp_path / "bad.nii.gz")
    assert "".join(decoded) == "abcdeb"
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2)), np.eye(4)), tmp_path / "float64.nii")
    with pytest.raises(ValueError, match="read-only"):
        read_volume(tmp_path / "float64.nii").voxels[0] = 1
    monkeypatch.setattr(scan, "MAX_REMEMBERED", 16)
    for path in paths * 2:
        read_volume(path)
    assert len(scan._remembered) == 2


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    for value in (1, 2):
        write_volume(path, np.full((2, 2, 2), value, np.uint8), np.eye(4))
        assert (read_volume(path).voxels == value).all()
    path.unlink()
    with pytest.raises(DataError, match="No such file") as caught:
        read_volume(path)
    assert caught.value.code == "DATA-001"


def test_volumes_are_known_by_name_or_first_bytes(tmp_path: Path) -> None:
    for name in ("a.nii", "a.NII.GZ", "a.nrrd", "a.mha", "a.dcm"):
        assert is_volume(tmp_path / name)
    (tmp_path / "1.2.840").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "readme").write_bytes(bytes(200))
    assert is_volume(tmp_path / "1.2.840")
    assert (
        not is_volume(tmp_path / "readme") and not is_volume(tmp_path / "missing") and not is_volume(tmp_path / "a.png")
    )


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_the_header_tells_what_the_volume_is(tmp_path: Path, name: str) -> None:
    write_volume(tmp_path / name, np.zeros((2, 3, 4), np.int16), affine_of(np.eye(3)))
    header, read = read_header(tmp_path / name), read_volume(tmp_path / name)
    assert header.shape == read.voxels.shape and header.dtype == read.voxels.dtype
    assert np.array_equal(header.affine, read.affine)
