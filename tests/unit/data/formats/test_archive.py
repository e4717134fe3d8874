import gzip
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.archive import Locator, array_headers, read_archived, read_array, read_member
from sfumato.data.formats.image import read_image
from sfumato.errors import DataError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_members_of_every_kind(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    np.save(tmp_path / "a.npy", IMAGES)
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    for member in ("a.npz::images/2", "a.npy::2", "images-idx3-ubyte::2", "images-idx3-ubyte.gz::2"):
        assert np.array_equal(read_image(str(tmp_path / member))[..., 0], IMAGES[2])
    assert array_headers(tmp_path / "a.npz")["images"].shape == (3, 4, 5)
    assert np.array_equal(read_member(Locator(tmp_path / "a.npy", ":/:/2")), IMAGES[:, :, 2])
    assert str(Locator.parse("x.npz::images/2")) == "x.npz::images/2"


@pytest.mark.parametrize("member", ["images/3", "images/x", "other/0"])
def test_members_that_are_not_there(tmp_path: Path, member: str) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_member(Locator(tmp_path / "a.npz", member))


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx(IMAGES))
    np.savez(tmp_path / "whole.npz", images=IMAGES)
    npz = bytearray((tmp_path / "whole.npz").read_bytes())
    npz[npz.index(IMAGES.tobytes()) + 7] ^= 1
    damaged = {
        "half.gz": whole[: len(whole) // 2],
        "trailer.gz": whole[:-4],
        "short.gz": gzip.compress(idx(IMAGES)[:-1]),
        "long.gz": gzip.compress(idx(IMAGES) + b"x"),
        "other.gz": gzip.compress(b"hello, this is text"),
        "flip.npz": bytes(npz),
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_array(tmp_path / name, "images")


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    for path in (tmp_path / "a.npz", tmp_path / "a.npy"):
        for read in (read_array, lambda path, _: array_headers(path)):
            with pytest.raises(DataError, match="never loaded") as caught:
                read(path, "images")
            assert caught.value.code == "DATA-018"


@pytest.mark.parametrize(
    "stored",
    [
        np.arange(60).reshape(3, 4, 5).astype(">i2"),
        np.asfortranarray(np.arange(60).reshape(3, 4, 5).astype(np.uint16)),
        np.arange(60).reshape(3, 4, 5) % 2 == 0,
        np.arange(60).reshape(3, 4, 5) - 7,
        np.arange(60).reshape(3, 4, 5) / 7,
    ],
    ids=["big-endian", "Fortran", "bool", "int64", "float64"],
)
def test_arrays_of_any_order_and_kind(tmp_path: Path, stored: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", stored)
    np.savez(tmp_path / "a.npz", images=stored)
    for member in ("a.npy::1", "a.npz::images/1"):
        image = read_image(str(tmp_path / member))[..., 0]
        assert image.dtype in (np.uint8, np.int16, np.uint16, np.int32, np.float32) and image.dtype.isnative
        assert np.allclose(image, stored[1])


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "cut.npy", IMAGES)
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-5])
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 5, 8)})
    (tmp_path / "huge.gz").write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31)))
    for name in ("cut.npy", "huge.npy"):
        with pytest.raises(DataError, match="was announced"):
            array_headers(tmp_path / name)
    for name in ("cut.npy", "huge.npy", "huge.gz"):
        with pytest.raises(DataError, match=name) as caught:
            read_array(tmp_path / name)
        assert caught.value.code == "DATA-018"
    monkeypatch.setattr("sfumato.data.formats.zipped.RATIO_FLOOR", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros(10**6, np.uint8))
    with pytest.raises(DataError, match="become") as caught:
        array_headers(tmp_path / "bomb.npz")
    assert caught.value.code == "DATA-056"


def zipped(path: Path, *names: str, content: bytes = b"x", **how: int) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a/../../x.png"], "leads out"),
        (["..\\x.png"], "leads out"),
        (["/etc/passwd"], "leads out"),
        (["C:/x.png"], "leads out"),
        (["x.zip"], "archive itself"),
        (["a.png", "A.PNG"], "more than once"),
        (["\u00e4.png", "a\u0308.png"], "more than once"),
    ],
)
def test_members_that_an_attacker_would_send(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_archived(Locator(zipped(tmp_path / "a.zip", "fine.png", *names), "fine.png"))
    assert caught.value.code == "DATA-055"


def test_links_and_encrypted_members_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        link = zipfile.ZipInfo("a.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    secret = bytearray(zipped(tmp_path / "secret.zip", "a.png").read_bytes())
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        secret[secret.index(mark) + place] |= 1
    (tmp_path / "secret.zip").write_bytes(secret)
    for name, words in (("link.zip", "is a link"), ("secret.zip", "is encrypted")):
        with pytest.raises(DataError, match=words) as caught:
            read_archived(Locator(tmp_path / name, "a.png"))
        assert caught.value.code == "DATA-055"


def test_archives_that_grow_beyond_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(tmp_path / "bomb.zip", "a.png", content=bytes(10**6), compression=zipfile.ZIP_DEFLATED)
    for limit, value, words in (
        ("RATIO_FLOOR", 1000, "become"),
        ("MAX_TOTAL", 1000, "in all"),
        ("MAX_MEMBERS", 0, "1 members"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"sfumato.data.formats.zipped.{limit}", value)
            with pytest.raises(DataError, match=words) as caught:
                read_archived(Locator(bomb, "a.png"))
            assert caught.value.code == "DATA-056"
    assert len(read_archived(Locator(bomb, "a.png"))) == 10**6  # empty masks may be small in their archive


def test_damaged_zip_archives(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "a.png", content=b"0123456789" * 10)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"0123456789") + 3] ^= 1
    for content, member in ((whole[:-30], "a.png"), (bytes(flipped), "a.png"), (b"no zip", "a.png"), (whole, "b.png")):
        path.write_bytes(content)
        os.utime(path, ns=(0, hash(content) % 10**9))
        with pytest.raises(DataError, match=r"a\.zip") as caught:
            read_archived(Locator(path, member))
        assert caught.value.code == "DATA-057"


def test_an_archive_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", *(f"{number}.png" for number in range(50)))
    opened = []
    monkeypatch.setattr("zipfile.ZipFile", lambda path, real=zipfile.ZipFile: opened.append(path) or real(path))
    assert all(read_archived(Locator(path, f"{number}.png")) == b"x" for number in range(50))
    assert len(opened) == 1
    zipped_again = path.with_name("b.zip")
    monkeypatch.undo()
    zipped(zipped_again, "0.png", content=b"other").replace(path)
    assert read_archived(Locator(path, "0.png")) == b"other"
