import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sfumato.data.formats import content
from sfumato.data.formats.nifti import read_header, read_volume, write_volume
from sfumato.errors import DataError

VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 6, 7), np.int16)
AFFINE = np.array([[-0.5, 0, 0, 90.25], [0, 0.75, 0, -120.5], [0, 0, 2.5, -40], [0, 0, 0, 1]])

# places in the header of NIfTI-1
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, QFORM, SFORM, QUATERN = 40, 70, 76, 108, 112, 252, 254, 256
SROW_X, SROW_Z, MAGIC = 280, 312, 344


def nifti(voxels: np.ndarray = VOXELS, affine: np.ndarray = AFFINE, kind: type = nibabel.Nifti1Image) -> bytes:
    """What nibabel writes."""
    return kind(voxels, affine, dtype=voxels.dtype).to_bytes()


def patched(*changes: tuple[int, str, tuple[float, ...]], whole: bytes = nifti()) -> bytes:
    """A file with other values at places of its header."""
    changed = bytearray(whole)
    for place, form, values in changes:
        struct.pack_into(form, changed, place, *values)
    return bytes(changed)


def saved(folder: Path, whole: bytes, name: str = "a.nii") -> Path:
    (folder / name).write_bytes(gzip.compress(whole) if name.lower().endswith(".gz") else whole)
    return folder / name


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_what_nibabel_writes_comes_back(tmp_path: Path, name: str, kind: type) -> None:
    path = saved(tmp_path, nifti(kind=kind), name)
    header, volume = read_header(path), read_volume(path)
    assert np.array_equal(volume.voxels, VOXELS) and volume.voxels.dtype == np.int16
    assert header.shape == VOXELS.shape and header.dtype == np.int16
    assert np.allclose(volume.affine, AFFINE) and np.array_equal(header.affine, volume.affine)
    assert not header.label and header.notes == ()


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ("u1", "u1"), ("i1", "i1"), ("u2", "u2"), ("i2", "i2"), ("i4", "i4"), ("u4", "i4"), ("i8", "i4"), ("u8", "i4"),
        ("f4", "f4"), ("f8", "f4"), (">i2", "i2"), (">f8", "f4"),
    ],
)  # fmt: skip
def test_kinds_of_numbers(tmp_path: Path, stored: str, kept: str) -> None:
    voxels = np.arange(60).reshape(3, 4, 5).astype(stored)
    header = nibabel.Nifti1Header(endianness=">" if stored[0] == ">" else "<")
    header.set_data_dtype(stored)
    path = saved(tmp_path, nibabel.Nifti1Image(voxels, AFFINE, header).to_bytes())
    volume = read_volume(path)
    assert volume.voxels.dtype == np.dtype(kept) == read_header(path).dtype and volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, np.arange(60).reshape(3, 4, 5))


@pytest.mark.parametrize(
    ("slope", "inter", "kept"),
    [
        (1, 0, "i2"), (0, 5, "i2"), (float("nan"), 5, "i2"), (1, -1024, "i2"), (-2, 3, "i2"), (100, 0, "i4"),
        (1e8, 0, "f4"), (0.5, 0, "f4"), (1, 0.25, "f4"),
    ],
)  # fmt: skip
def test_rescaling_keeps_whole_numbers(tmp_path: Path, slope: float, inter: float, kept: str) -> None:
    path = saved(tmp_path, patched((SLOPE, "<ff", (slope, inter))))
    volume = read_volume(path)
    used = (slope, inter) if slope and slope == slope else (1, 0)
    assert volume.voxels.dtype == np.dtype(kept)
    assert np.allclose(volume.voxels, VOXELS * np.float64(used[0]) + used[1], rtol=1e-6)


def test_what_is_not_finite_is_kept(tmp_path: Path) -> None:
    voxels = np.array([1, np.nan, np.inf, -np.inf, 1e300]).reshape(5, 1, 1)
    read = read_volume(saved(tmp_path, nifti(voxels))).voxels.ravel()
    assert np.array_equal(read, np.float32([1, np.nan, np.inf, -np.inf, np.inf]), equal_nan=True)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((4, 5), (4, 5, 1)), ((4,), (4, 1, 1)), ((4, 5, 1), (4, 5, 1)), ((4, 5, 6, 1), (4, 5, 6)),
        ((4, 5, 6, 2), (4, 5, 6, 2)), ((4, 5, 6, 1, 3), (4, 5, 6, 3)), ((4, 5, 1, 2, 3), (4, 5, 1, 6)),
    ],
)  # fmt: skip
def test_further_axes_are_components(tmp_path: Path, shape: tuple[int, ...], kept: tuple[int, ...]) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    path = saved(tmp_path, nifti(voxels))
    assert read_header(path).shape == kept
    assert np.array_equal(read_volume(path).voxels, voxels.reshape(kept, order="F"))


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colours_are_three_components(tmp_path: Path, names: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5, len(names)), np.uint8)
    structured = np.zeros((3, 4, 5), [(name, "u1") for name in names])
    for index, name in enumerate(names):
        structured[name] = colours[..., index]
    path = saved(tmp_path, nifti(structured), "a.nii.gz")
    assert np.array_equal(read_volume(path).voxels, colours[..., :3])
    assert read_header(path).shape == (3, 4, 5, 3) and read_header(path).dtype == np.uint8


def test_labels_are_known_by_their_intent(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS.astype(np.uint8), AFFINE)
    image.header.set_intent("label")
    assert read_header(saved(tmp_path, image.to_bytes())).label


def test_name_and_content_may_differ(tmp_path: Path) -> None:
    (tmp_path / "raw.nii.gz").write_bytes(nifti())
    (tmp_path / "packed.nii").write_bytes(gzip.compress(nifti()))
    for name, note in (("raw.nii.gz", "not compressed"), ("packed.nii", "is compressed")):
        assert np.array_equal(read_volume(tmp_path / name).voxels, VOXELS)
        assert note in read_header(tmp_path / name).notes[0]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_spacing_of_nothing_is_told(tmp_path: Path, name: str) -> None:
    unplaced = ((QFORM, "<hh", (0, 0)), (PIXDIM, "<4f", (1, 2, 2, 0)))
    header = read_header(saved(tmp_path, patched(*unplaced), name))
    assert "pixdim 0): taken as 1 mm" in header.notes[-1]
    assert np.allclose(np.diag(header.affine), (-2, 2, 1, 1))
    assert not any("pixdim" in note for note in read_header(saved(tmp_path, patched((PIXDIM + 12, "<f", (0,))))).notes)


def test_which_orientation_counts(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, None)
    image.set_sform(AFFINE, code=1)
    image.set_qform(np.diag([1.0, 1, 1, 1]), code=1)
    both = saved(tmp_path, image.to_bytes(), "both.nii")
    assert np.allclose(read_header(both).affine, AFFINE)
    assert "disagree" in read_header(both).notes[0]
    only = saved(tmp_path, patched((SFORM, "<h", (0,)), whole=image.to_bytes()), "only.nii")
    assert np.allclose(read_header(only).affine, np.eye(4)) and not read_header(only).notes
    none = saved(tmp_path, patched((QFORM, "<hh", (0, 0)), whole=image.to_bytes()), "none.nii")
    assert np.array_equal(read_header(none).affine, nibabel.load(none).affine)
    assert "no orientation" in read_header(none).notes[0]


NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 32), np.uint8)
PACKED = gzip.compress(nifti(NOISE))


def flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]


def several_members() -> bytes:
    return gzip.compress(nifti()[:400]) + gzip.compress(nifti()[400:])


@pytest.mark.parametrize(
    ("damage", "code", "finding"),
    [
        (lambda: PACKED[: len(PACKED) // 2], "DATA-006", "damaged.*end-of-stream"),
        (lambda: nifti()[:500], "DATA-006", "announces 772 bytes, the file has 500"),
        (lambda: nifti()[:352], "DATA-006", "announces 772 bytes, the file has 352"),
        (lambda: gzip.compress(nifti()[:352]) + bytes(0), "DATA-006", "0 of 420 bytes"),
        (lambda: nifti()[:200], "DATA-006", "ends within its header"),
        (lambda: PACKED[:-8], "DATA-006", "damaged.*end-of-stream"),
        (lambda: PACKED[:-1], "DATA-006", "damaged.*end-of-stream"),
        (lambda: flipped(PACKED, -6), "DATA-006", "CRC"),
        (lambda: flipped(PACKED, -2), "DATA-006", "length"),
        (lambda: flipped(PACKED, len(PACKED) // 2), "DATA-006", "damaged"),
        (lambda: PACKED + b"x", "DATA-006", "damaged"),
        (
            lambda: patched((DIM, "<4h", (3, 1200, 1200, 1200))),
            "DATA-006",
            "announces 3,456,000,352 bytes",
        ),
        (lambda: gzip.compress(patched((DIM, "<4h", (3, 900, 900, 900)))), "DATA-006", "announces 1,458,000,352"),
        (lambda: patched((DIM, "<6h", (5, 8000, 8000, 8000, 1, 1))), "DATA-007", "512,000,000,000 voxels"),
        (lambda: patched((DIM, "<8h", (7, *[32767] * 7))), "DATA-007", "too large"),
        (lambda: patched((DIM, "<4h", (3, 5, -6, 7))), "DATA-009", "5 x -6 x 7"),
        (lambda: patched((DIM, "<4h", (3, 5, 0, 7))), "DATA-009", "5 x 0 x 7"),
        (lambda: patched((DIM, "<5h", (4, 5, 6, 7, 0))), "DATA-009", "5 x 6 x 7 x 0"),
        (lambda: nifti(VOXELS.astype(np.complex64)), "DATA-031", "complex64"),
        (lambda: nifti(VOXELS.astype(np.int64) * 2**32), "DATA-031", "integers from -3"),
        (lambda: patched((DATATYPE, "<h", (1536,))), "DATA-031", "128|type 1536"),
        (lambda: patched((DATATYPE, "<h", (1,))), "DATA-031", "kind that is not read: NIfTI data type 1"),
        (lambda: patched((DATATYPE, "<h", (77,))), "DATA-031", "kind that is not read: NIfTI data type 77"),
        (lambda: patched((SLOPE, "<ff", (1, float("inf")))), "DATA-006", "intercept inf"),
        (lambda: patched((VOX_OFFSET, "<f", (float("nan"),))), "DATA-006", "start at byte nan"),
        (lambda: patched((VOX_OFFSET, "<f", (1e9,))), "DATA-006", "announces 1,000,000,420 bytes"),
        (lambda: patched((SROW_Z, "<4f", (0, 0, 0, 0))), "DATA-032", "degenerate"),
        (lambda: patched((SROW_X, "<f", (float("nan"),))), "DATA-032", "degenerate"),
        (lambda: patched((SROW_X + 12, "<f", (float("nan"),))), "DATA-032", "degenerate"),
        (lambda: patched((SFORM, "<h", (0,)), (QFORM, "<h", (1,)), (QUATERN, "<3f", (1, 1, 1))), "DATA-006", "w2"),
        (lambda: patched((MAGIC, "4s", (b"ni1",))), "DATA-030", "detached data"),
        (lambda: patched((MAGIC, "4s", (b"abc",))), "DATA-005", "not a NIfTI"),
        (lambda: b"hello, this is text" * 50, "DATA-005", "not a NIfTI"),
        (lambda: gzip.compress(b"hello"), "DATA-005", "not a NIfTI"),
        (lambda: b"", "DATA-003", "empty"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "DATA-004", "git-lfs"),
        (lambda: gzip.compress(nifti() + bytes(2**22)), "DATA-007", "bomb.*goes on long after"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_damage_is_refused(tmp_path: Path, name: str, damage: Callable[[], bytes], code: str, finding: str) -> None:
    path = tmp_path / name
    path.write_bytes(damage())
    with pytest.raises(DataError, match=finding) as caught:
        read_volume(path)
    assert caught.value.code == code and name in caught.value.finding and caught.value.expected


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    for name, finding in (("folder.nii", "it is a folder, not a file"), ("none.nii", "No such file")):
        with pytest.raises(DataError, match=finding) as caught:
            read_header(tmp_path / name)
        assert caught.value.code == "DATA-001"


def test_compression_in_pieces_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(several_members())
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").voxels, VOXELS)


def test_only_large_files_are_refused_for_their_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, nifti(np.zeros((64, 64, 64), np.uint8)), "empty.nii.gz")
    assert path.stat().st_size * 200 < 64**3
    assert not read_volume(path).voxels.any()
    monkeypatch.setattr(content, "SURE", 2**16)
    with pytest.raises(DataError, match=r"bomb: .* bytes that grow to 262,496") as caught:
        read_header(path)
    assert caught.value.code == "DATA-007"


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    "voxels",
    [
        VOXELS,
        VOXELS.astype(np.uint16),
        VOXELS.astype(np.float32) / 7,
        np.stack([VOXELS] * 2, axis=-1),
        VOXELS[:, :1],
        VOXELS > 0,
    ],
)
def test_what_is_written_comes_back(tmp_path: Path, name: str, voxels: np.ndarray) -> None:
    affine = AFFINE.copy()
    affine[:3, :3] = Rotation.from_rotvec((0.3, -0.2, 0.1)).as_matrix() @ AFFINE[:3, :3]
    write_volume(tmp_path / name, voxels, affine)
    read = read_volume(tmp_path / name)
    assert np.array_equal(read.voxels, voxels)
    assert read.voxels.dtype == (np.uint8 if voxels.dtype == bool else voxels.dtype)
    assert np.allclose(read.affine, affine, rtol=1e-6, atol=1e-6)
    image = nibabel.load(tmp_path / name)
    assert image.shape == voxels.shape and (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
    assert np.allclose(image.get_qform(), affine, atol=1e-4) and image.header.get_xyzt_units()[0] == "mm"
    assert read_header(tmp_path / name).notes == ()


def test_a_sheared_affine_is_written_as_sform_only(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.3
    write_volume(tmp_path / "a.nii.gz", VOXELS, sheared)
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").affine, sheared, rtol=1e-6)
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert header["qform_code"] == 0 and np.allclose(header.get_zooms(), np.linalg.norm(sheared[:3, :3], axis=0))


@pytest.mark.parametrize(("highest", "kept"), [(3, np.uint8), (255, np.uint8), (256, np.uint16), (70000, np.uint32)])
def test_labels_are_written_small(tmp_path: Path, highest: int, kept: type) -> None:
    labels = np.full((2, 2, 2), highest, np.int64)
    write_volume(tmp_path / "a.nii.gz", labels, AFFINE, label=True)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == kept and read_header(tmp_path / "a.nii.gz").label
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").voxels, labels)


def test_nothing_but_voxels_and_geometry_is_written(tmp_path: Path) -> None:
    secret = nibabel.Nifti1Image(VOXELS, AFFINE)
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        secret.header[field] = b"Miller^Ann"
    secret.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Miller^Ann"))
    volume = read_volume(saved(tmp_path, secret.to_bytes(), "in.nii"))
    for name in ("one.nii.gz", "two.nii.gz"):
        write_volume(tmp_path / name, volume.voxels, volume.affine)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.nii.gz", "two.nii.gz"))
    assert one == two and one[4:8] == bytes(4)  # no time
    with gzip.open(io.BytesIO(one)) as file:
        assert b"Miller" not in file.read()
    header = nibabel.load(tmp_path / "one.nii.gz").header
    assert not any(header[field].item() for field in ("descrip", "aux_file", "db_name", "intent_name"))
    assert not header.extensions
    assert {path.name for path in tmp_path.iterdir()} == {"in.nii", "one.nii.gz", "two.nii.gz"}
