import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from sfumato.data.formats.metaimage import read_header, read_volume
from sfumato.data.formats.scan import read_volume as read_any
from sfumato.errors import DataError

VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 6, 7), np.int16)


def saved(folder: Path, voxels: np.ndarray = VOXELS, *, compressed: bool = False, **fields: str) -> Path:
    """What ITK writes of voxels in its own order (k, j, i, components), lying obliquely."""
    image = SimpleITK.GetImageFromArray(voxels, isVector=voxels.ndim > 3)
    size = image.GetDimension()
    turned = Rotation.from_rotvec((0.3, -0.2, 0.4)).as_matrix()[[2, 0, 1]]
    image.SetSpacing((0.5, 0.75, 2.5)[:size])
    image.SetOrigin((10.5, -20, 30)[:size])
    image.SetDirection((turned if size == 3 else np.array([[0.6, -0.8], [0.8, 0.6]])).ravel().tolist())
    for key, value in fields.items():
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, str(folder / "a.mha"), compressed)
    return folder / "a.mha"


def place(path: Path, index: list[int]) -> np.ndarray:
    """Where ITK puts a voxel, in RAS."""
    return np.array(SimpleITK.ReadImage(str(path)).TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_what_itk_writes_comes_back(tmp_path: Path, compressed: bool, kind: str) -> None:
    voxels = np.abs(VOXELS % 100).astype(kind)
    path = saved(tmp_path, voxels, compressed=compressed)
    header, volume = read_header(path), read_any(path)
    assert np.array_equal(volume.voxels, voxels.T) and header.shape == (7, 6, 5)
    assert volume.voxels.dtype == header.dtype == {"i8": "i4", "u4": "i4", "f8": "f4"}.get(kind, kind)
    assert np.array_equal(header.affine, volume.affine) and header.notes == ()
    for index in ([0, 0, 0], [6, 0, 0], [0, 5, 0], [0, 0, 4], [3, 2, 1]):
        assert np.allclose(volume.affine[:3] @ (*index, 1), place(path, index), atol=1e-4)


def test_components_come_last(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    path = saved(tmp_path, colours)
    assert read_header(path).shape == (7, 6, 5, 3)
    assert np.array_equal(read_volume(path).voxels, colours.transpose(2, 1, 0, 3))


def test_flat_images_are_volumes_of_one_plane(tmp_path: Path) -> None:
    path = saved(tmp_path, VOXELS[0])
    assert np.array_equal(read_volume(path).voxels[..., 0], VOXELS[0].T)
    assert np.allclose(read_header(path).affine[:2] @ (6, 5, 0, 1), place_flat(path))
    assert read_header(path).affine[2].tolist() == [0, 0, 1, 0]


def place_flat(path: Path) -> np.ndarray:
    return -np.array(SimpleITK.ReadImage(str(path)).TransformIndexToPhysicalPoint([6, 5]))


def test_fields_from_dicom_are_not_kept(tmp_path: Path) -> None:
    header = read_header(saved(tmp_path, **{"0010|0010": "Miller^Ann"}))
    assert "Miller" not in repr(header) and "1 DICOM fields" in header.notes[0]


def text(**fields: object) -> bytes:
    usual = {"ObjectType": "Image", "NDims": 3, "BinaryData": "True", "DimSize": "5 6 7", "ElementType": "MET_SHORT"}
    lines = [f"{key} = {value}\n" for key, value in (usual | fields).items() if value is not None]
    return "".join([*lines, "" if "ElementDataFile" in fields else "ElementDataFile = LOCAL\n"]).encode()


RAW = text() + VOXELS.tobytes(order="F")
PACKED = text(CompressedData="True") + zlib.compress(VOXELS.tobytes(order="F"))


@pytest.mark.parametrize(("written", "known"), [("MET_MOD_CT", "CT"), ("MET_MOD_MR", "MR"), ("MET_MOD_OTHER", None)])
def test_the_modality_is_known(tmp_path: Path, written: str, known: str | None) -> None:
    (tmp_path / "a.mha").write_bytes(text(Modality=written) + VOXELS.tobytes(order="F"))
    assert read_header(tmp_path / "a.mha").modality == known


def flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]


@pytest.mark.parametrize(
    ("whole", "affine"),
    [
        (RAW, np.diag([-1, -1, 1, 1])),
        (PACKED, np.diag([-1, -1, 1, 1])),
        (RAW.replace(b"\n", b"\r\n", 6), np.diag([-1, -1, 1, 1])),
        (
            text(ElementByteOrderMSB="True", Origin="1 2 3", ElementSize="1 2 3") + VOXELS.astype(">i2").tobytes("F"),
            np.array([[-1, 0, 0, -1], [0, -2, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1]]),
        ),
    ],
)
def test_other_ways_to_write_it(tmp_path: Path, whole: bytes, affine: np.ndarray) -> None:
    (tmp_path / "a.mha").write_bytes(whole)
    volume = read_volume(tmp_path / "a.mha")
    assert np.array_equal(volume.voxels, VOXELS) and np.array_equal(volume.affine, affine)


@pytest.mark.parametrize(
    ("damage", "code", "finding"),
    [
        (lambda: RAW[:-1], "DATA-006", "announces 531 bytes, the file has 530"),
        (lambda: RAW[:70], "DATA-006", "no end"),
        (lambda: PACKED[:-100], "DATA-006", "cut"),
        (lambda: PACKED[:-1], "DATA-006", "cut"),
        (lambda: flipped(PACKED, -2), "DATA-006", "incorrect data check"),
        (lambda: flipped(PACKED, len(PACKED) // 2), "DATA-006", "damaged"),
        (lambda: text(CompressedData="True") + zlib.compress(bytes(418)), "DATA-006", "not the 420 bytes"),
        (lambda: text(CompressedData="True") + zlib.compress(bytes(2**22)), "DATA-006", "not the 420 bytes"),
        (lambda: text(DimSize="1200 1200 1200"), "DATA-006", "announces 3,456,000,"),
        (lambda: text(DimSize="1200 1200 1200", CompressedData="True"), "DATA-006", "announces 3,456,000,"),
        (lambda: text(DimSize="9000 9000 9000"), "DATA-007", "729,000,000,000 voxels"),
        (lambda: text(DimSize="5 -6 7"), "DATA-009", "5 x -6 x 7"),
        (lambda: text(ElementNumberOfChannels=0), "DATA-009", "5 x 6 x 7 x 0"),
        (lambda: text(DimSize="5 6"), "DATA-006", "3 dimensions and 2 sizes"),
        (lambda: text(DimSize="a b c"), "DATA-006", "cannot be understood"),
        (lambda: text(DimSize=None), "DATA-006", "cannot be understood"),
        (lambda: text(TransformMatrix="1 0 0"), "DATA-006", "cannot be understood"),
        (lambda: text(TransformMatrix="1 0 0 0 1 0 1 1 0"), "DATA-032", "degenerate"),
        (lambda: text(ElementSpacing="1 1 nan"), "DATA-032", "degenerate"),
        (lambda: text(ElementType="MET_STRING"), "DATA-033", "MET_STRING"),
        (lambda: text(BinaryData="False"), "DATA-033", "BinaryData = False"),
        (lambda: text(ObjectType="Mesh"), "DATA-033", "ObjectType = Mesh"),
        (lambda: text(HeaderSize="-1"), "DATA-033", "HeaderSize = -1"),
        (lambda: text(ElementDataFile="/etc/passwd"), "DATA-030", "detached data"),
        (lambda: text(ElementDataFile="../a.raw") + b"ElementDataFile = LOCAL\n", "DATA-030", "detached data"),
        (lambda: text(ElementDataFile="LIST"), "DATA-030", "detached data"),
        (lambda: text(ElementDataFile="a%03d.raw 1 9 1"), "DATA-030", "detached data"),
        (lambda: text(ElementDataFile="b.raw"), "DATA-030", "which is not there"),
        (lambda: b"hello = this is text\n" * 9, "DATA-005", "not a MetaImage"),
        (lambda: bytes(range(256)) * 9000, "DATA-005", "not a MetaImage"),
        (lambda: b"", "DATA-003", "empty"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "DATA-004", "git-lfs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_damage_is_refused(tmp_path: Path, name: str, damage: Callable[[], bytes], code: str, finding: str) -> None:
    path = tmp_path / name
    path.write_bytes(damage())
    with pytest.raises(DataError, match=finding) as caught:
        read_any(path)
    assert caught.value.code == code and name in caught.value.finding and caught.value.expected


@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_in_a_file_beside_the_header(tmp_path: Path, compressed: bool) -> None:
    """What ITK writes as .mhd and .raw or .zraw; shorter than its header says is damage."""
    whole = saved(tmp_path, compressed=compressed)
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(whole)), str(tmp_path / "b.mhd"), compressed)
    data = tmp_path / ("b.zraw" if compressed else "b.raw")
    assert np.array_equal(read_any(tmp_path / "b.mhd").voxels, VOXELS.T)
    assert np.array_equal(read_header(tmp_path / "b.mhd").affine, read_header(whole).affine)
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DataError, match=data.name):
        read_volume(tmp_path / "b.mhd")


@pytest.mark.parametrize(("unit", "steps"), [("um", 0.0005), ("mm", 0.5), ("cm", 5), ("?", 0.5)])
def test_units_of_length(tmp_path: Path, unit: str, steps: float) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(text(DimSize="2 2 2", ElementSpacing="0.5 0.5 0.5", DistanceUnits=unit) + bytes(16))
    header = read_header(path)
    assert np.allclose(np.linalg.norm(header.affine[:3, :3], axis=0), steps)
    assert bool(header.notes) == bool(header.alternatives) == (unit in ("um", "cm"))
