import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import nrrd
import numpy as np
import pytest

from sfumato.data.formats.nrrd import read_header, read_volume
from sfumato.data.formats.scan import read_volume as read_any
from sfumato.data.formats.volume import VolumeHeader
from sfumato.errors import DataError

VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 6, 7), np.int16)
DIRECTIONS = np.array([[0, 0.5, 0], [-0.75, 0, 0], [0, 0, 2.5]])
ORIGIN = np.array([10.5, -20.0, 30.0])
LPS = {"space": "left-posterior-superior", "space directions": DIRECTIONS, "space origin": ORIGIN}


def saved(folder: Path, voxels: np.ndarray = VOXELS, **fields: object) -> Path:
    header = {key.replace("_", " "): value for key, value in fields.items()}
    nrrd.write(str(folder / "a.nrrd"), voxels, header)
    return folder / "a.nrrd"


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "f4", "f8", "i8", ">i2", ">f4"])
def test_what_pynrrd_writes_comes_back(tmp_path: Path, encoding: str, kind: str) -> None:
    voxels = np.abs(VOXELS % 100).astype(kind)
    path = saved(tmp_path, voxels, **LPS, encoding=encoding)
    header, volume = read_header(path), read_any(path)
    assert np.array_equal(volume.voxels, voxels) and volume.voxels.dtype.isnative
    assert volume.voxels.dtype == header.dtype == {"i8": np.int32, "f8": np.float32}.get(kind, np.dtype(kind[-2:]))
    assert header.shape == VOXELS.shape and np.array_equal(header.affine, volume.affine)
    assert not header.label and header.notes == ()


@pytest.mark.parametrize(
    ("space", "ras"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_spaces_become_ras(tmp_path: Path, space: str, ras: tuple[int, int, int]) -> None:
    header = read_header(saved(tmp_path, **(LPS | {"space": space})))
    assert np.array_equal(header.affine[:3, :3], DIRECTIONS.T * np.array(ras)[:, None])
    assert np.array_equal(header.affine[:3, 3], ORIGIN * ras)


def test_without_orientation_it_is_lps(tmp_path: Path) -> None:
    header = read_header(saved(tmp_path, spacings=[0.5, 2, 3]))
    assert np.array_equal(header.affine, np.diag([-0.5, -2, 3, 1]))
    assert header.notes == ("a.nrrd says no space: LPS was assumed",)
    header = read_header(saved(tmp_path, space="3D-right-handed", space_directions=np.diag([1.0, 1, 4])))
    assert np.array_equal(header.affine, np.diag([-1, -1, 4, 1]))
    assert "'3D-right-handed'" in header.notes[0]


def test_layers_come_last(tmp_path: Path) -> None:
    layers = np.stack([VOXELS, VOXELS + 1])
    directions = np.vstack([np.full(3, np.nan), DIRECTIONS])
    kinds = ["list", "domain", "domain", "domain"]
    written: list[dict[str, object]] = [
        {"space": "LPS", "space_directions": directions, "space_origin": ORIGIN, "kinds": kinds},
        {"space": "LPS", "space_directions": directions},
        {"kinds": kinds, "spacings": [np.nan, 0.75, 0.5, 2.5]},
    ]
    for fields in written:
        path = saved(tmp_path, layers, **fields)
        header = read_header(path)
        assert header.shape == (5, 6, 7, 2)
        assert np.array_equal(read_volume(path).voxels, np.stack([VOXELS, VOXELS + 1], axis=-1))
        assert sorted(np.linalg.norm(header.affine[:3, :3], axis=0)) == [0.5, 0.75, 2.5]


def test_flat_images_are_volumes_of_one_plane(tmp_path: Path) -> None:
    flat = VOXELS[:, :, 0]
    path = saved(tmp_path, flat, space="LPS", space_directions=np.array([[0, 0, 2.0], [0, 3, 0]]), space_origin=ORIGIN)
    assert np.array_equal(read_any(path).voxels[..., 0], flat)
    assert np.array_equal(read_header(path).affine[:3, :3], [[0, 0, 1], [0, -3, 0], [2, 0, 0]])
    assert np.array_equal(read_header(saved(tmp_path, flat)).affine, np.diag([-1, -1, 1, 1]))
    with pytest.raises(DataError, match="degenerate"):
        read_header(saved(tmp_path, flat, space="LPS", space_directions=np.array([[0, 0, 2.0], [0, 0, 3]])))


def test_names_of_segments(tmp_path: Path) -> None:
    segments = {
        "Segment0_ID": "S1", "Segment0_Name": "liver", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
        "Segment1_Name": "spine", "Segment1_LabelValue": "5",
    }  # fmt: skip
    header = nrrd_header(tmp_path, segments)
    assert header.label and header.names == {1: "liver", 5: "spine"} and not header.notes
    header = nrrd_header(tmp_path, segments | {"Segment1_LabelValue": "1", "Segment1_Layer": "1"})
    assert header.label and header.names is None and "1 is liver and spine" in header.notes[0]


def nrrd_header(folder: Path, fields: dict[str, str]) -> VolumeHeader:
    nrrd.write(str(folder / "a.nrrd"), VOXELS, LPS | fields)
    return read_header(folder / "a.nrrd")


def test_fields_of_the_writers_own_are_not_kept(tmp_path: Path) -> None:
    header = nrrd_header(tmp_path, {"0010|0010": "Miller^Ann", "PatientsName": "Miller^Ann"})
    assert "Miller" not in repr(header) and "2 fields of its writer's own" in header.notes[0]


def text(*lines: str, sizes: str = "5 6 7") -> bytes:
    return "\n".join(["NRRD0004", "type: short", "dimension: 3", f"sizes: {sizes}", "endian: little", *lines]).encode()


PLANAR = "space directions: (1,0,0) (0,1,0) (1,1,0)"
RAW = text("encoding: raw", "", "") + VOXELS.tobytes(order="F")
PACKED = text("encoding: gzip", "", "") + gzip.compress(VOXELS.tobytes(order="F"))


def flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]


def test_the_files_that_are_damaged_below_are_sound(tmp_path: Path) -> None:
    for whole in (RAW, PACKED, RAW.replace(b"\n", b"\r\n", 8)):
        (tmp_path / "a.nrrd").write_bytes(whole)
        assert np.array_equal(read_volume(tmp_path / "a.nrrd").voxels, VOXELS)


@pytest.mark.parametrize(
    ("damage", "code", "finding"),
    [
        (lambda: RAW[:-1], "DATA-006", "announces 497 bytes, the file has 496"),
        (lambda: RAW[:40], "DATA-006", "no end"),
        (lambda: PACKED[:-100], "DATA-006", "end-of-stream"),
        (lambda: PACKED[:-4], "DATA-006", "end-of-stream"),
        (lambda: flipped(PACKED, -6), "DATA-006", "CRC"),
        (lambda: flipped(PACKED, len(PACKED) // 2), "DATA-006", "damaged"),
        (lambda: text("encoding: gzip", "", "") + gzip.compress(bytes(418)), "DATA-006", "418 of 420 bytes"),
        (lambda: text("encoding: gzip", "", "") + gzip.compress(bytes(2**22)), "DATA-007", "goes on long after"),
        (lambda: text("encoding: raw", "", "", sizes="1200 1200 1200"), "DATA-006", "announces 3,456,000,"),
        (lambda: text("encoding: gzip", "", "", sizes="9000 9000 9000"), "DATA-007", "729,000,000,000 voxels"),
        (lambda: text("encoding: raw", "", "", sizes="5 -6 7"), "DATA-009", "5 x -6 x 7"),
        (lambda: text("encoding: raw", "", "", sizes="5 6 0"), "DATA-009", "5 x 6 x 0"),
        (lambda: text("encoding: raw", "", "", sizes="5 6"), "DATA-006", "dimension 3 and 2 sizes"),
        (lambda: text("encoding: raw", "", "", sizes="a b c"), "DATA-006", "cannot be understood"),
        (lambda: text("", ""), "DATA-006", "cannot be understood"),
        (lambda: RAW.replace(b"type: short", b"type: block"), "DATA-006", "cannot be understood"),
        (lambda: RAW.replace(b"type: short", b"type: small"), "DATA-006", "cannot be understood"),
        (lambda: RAW.replace(b"type: short", b"type: short\ntype: short"), "DATA-006", "Duplicate"),
        (lambda: text("encoding: ascii", "", "1 2 3"), "DATA-033", "stored as ascii"),
        (lambda: text("encoding: raw", "byte skip: 7", "", "1 2 3"), "DATA-033", "behind other data"),
        (lambda: text("encoding: raw", "data file: /etc/passwd", "", ""), "DATA-030", "detached data"),
        (lambda: text("encoding: raw", "datafile: ../../a.raw"), "DATA-030", "detached data"),
        (lambda: text("encoding: raw", "Data File: LIST", "a.raw", "b.raw"), "DATA-030", "detached data"),
        (lambda: text("encoding: raw", "data file: ..\\\\a.raw"), "DATA-030", "detached data"),
        (lambda: text("encoding: raw", "data file: b.raw"), "DATA-030", "which is not there"),
        (lambda: text("encoding: raw", "space dimension: 3", PLANAR, "", ""), "DATA-032", "degenerate"),
        (lambda: b"hello, this is text", "DATA-005", "not an NRRD"),
        (lambda: b"NRRD" + bytes(2**21), "DATA-006", "no end"),
        (lambda: b"", "DATA-003", "empty"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "DATA-004", "git-lfs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_damage_is_refused(tmp_path: Path, name: str, damage: Callable[[], bytes], code: str, finding: str) -> None:
    path = tmp_path / name
    path.write_bytes(damage())
    with pytest.raises(DataError, match=finding) as caught:
        read_any(path)
    assert caught.value.code == code and name in caught.value.finding and caught.value.expected


def test_without_pynrrd_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nrrd").write_bytes(RAW)
    monkeypatch.setitem(sys.modules, "nrrd", None)
    with pytest.raises(DataError, match=r"pip install 'sfumato\[dicom\]'") as caught:
        read_header(tmp_path / "a.nrrd")
    assert caught.value.code == "DATA-034"


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_voxels_in_a_file_beside_the_header(tmp_path: Path, encoding: str) -> None:
    """What pynrrd writes as .nhdr; shorter than its header says is damage."""
    nrrd.write(str(tmp_path / "b.nhdr"), VOXELS, dict(LPS, encoding=encoding), detached_header=True)
    (data,) = (path for path in tmp_path.iterdir() if path.suffix != ".nhdr")
    assert np.array_equal(read_any(tmp_path / "b.nhdr").voxels, VOXELS)
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(DataError, match=data.name):
        read_volume(tmp_path / "b.nhdr")


@pytest.mark.parametrize(("units", "share"), [(["um"] * 3, 0.001), (["mm"] * 3, 1), (["furlong"] * 3, 1)])
def test_units_of_length(tmp_path: Path, units: list[str], share: float) -> None:
    header = read_header(saved(tmp_path, **LPS, space_units=units))
    assert np.allclose(header.affine[:3, :3], DIRECTIONS.T * np.array([-1, -1, 1])[:, None] * share)
    assert bool(header.notes) == (units[0] != "mm") and bool(header.alternatives) == (share != 1)


def test_several_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several units"):
        read_header(saved(tmp_path, **LPS, space_units=["um", "um", "mm"]))
