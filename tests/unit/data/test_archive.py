import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.archive import Locator, array_names, read_array, read_member
from sfumato.data.image import read_image
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
    assert array_names(tmp_path / "a.npz") == {"images": (3, 4, 5)}
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
    with pytest.raises(DataError, match=r"a\.npz"):
        read_array(tmp_path / "a.npz", "images")
