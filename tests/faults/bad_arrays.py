"""NPZ, NPY and IDX files that are damaged, dangerous, or whose arrays do not fit each other."""

import gzip
import io
import struct
import zipfile

import numpy as np

from .bad import PIXELS, Bad, file, flipped, within


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def npz_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("images.npy", npy_header((100, 1000, 1000)) + bytes(100_000_000))
    return buffer.getvalue()


STACK = np.stack([PIXELS] * 4)
IDX = struct.pack(">HBBIII", 0, 8, 3, 4, 24, 20) + STACK.tobytes()

ARRAYS = (
    Bad("NPY of objects", file("a.npy", npy(np.array([{}, []], object))), "DATA-018", ("a.npy",)),
    Bad("NPY cut short", file("a.npy", npy(STACK)[:-100]), "DATA-018", ("a.npy",)),
    Bad("NPY that claims 300 GB", file("a.npy", npy_header((300, 100_000, 10_000))), "DATA-018", ("a.npy",)),
    Bad("NPZ that is none", file("a.npz", b"PK\3\4 no"), "DATA-018", ("a.npz",)),
    Bad("NPZ with a flipped byte", file("a.npz", flipped(archive(images=STACK))), "DATA-018", ("a.npz",)),
    Bad("NPZ cut short", file("a.npz", archive(images=STACK)[:-50]), "DATA-018", ("a.npz",)),
    Bad("NPZ of objects", file("a.npz", archive(images=np.array([{}], object))), "DATA-018", ("a.npz",)),
    Bad("NPZ bomb", file("a.npz", npz_bomb()), "DATA-056", ("a.npz", "too large")),
    Bad("NPZ without images", file("a.npz", archive(x=STACK, y=STACK)), "DATA-018", ("a.npz", "x, y")),
    Bad(
        "NPZ with fewer labels",
        file("a.npz", archive(images=STACK, labels=np.zeros(3, int))),
        "DATA-019",
        ("a.npz", "4 images"),
    ),
    Bad(
        "NPZ with fewer masks",
        file("a.npz", archive(images=STACK, masks=STACK[:3])),
        "DATA-012",
        ("a.npz", "(3, 24, 20)"),
    ),
    Bad(
        "NPZ with several findings per image",
        file("a.npz", archive(images=STACK, labels=np.ones((4, 14), int))),
        "DATA-019",
        ("a.npz",),
    ),
    Bad("IDX cut short", within("t10k-images-idx3-ubyte", IDX[:-5]), "DATA-018", ("t10k-images", "announced")),
    Bad("IDX with more than it says", within("t10k-images-idx3-ubyte", IDX + b"x"), "DATA-018", ("t10k-images",)),
    Bad("IDX of another kind", within("t10k-images-idx3-ubyte", b"\1" + IDX), "DATA-018", ("t10k-images",)),
    Bad("IDX that claims 60 GB", within("t10k-images-idx3-ubyte", IDX[:4] + b"\0\1\0\0" * 3), "DATA-018", ("t10k",)),
    Bad("gzipped IDX cut short", within("t10k-images-idx3-ubyte.gz", gzip.compress(IDX)[:-9]), "DATA-018", ("t10k",)),
    Bad(
        "gzipped IDX with a wrong check sum",
        within("t10k-images-idx3-ubyte.gz", flipped(gzip.compress(IDX), 0.998)),
        "DATA-018",
        ("t10k",),
    ),
)
