"""Arrays of many images in one file: NPZ, NPY and IDX, and how one image in them is named.

A locator names an image: a path, or a path and a member: `scans.npz::images/17` (array `images`, row 17),
`masks.npy::17/0` (row 17, then 0), `t10k-images-idx3-ubyte.gz::17`.

Nothing here executes what it reads (no pickled objects), and archives are read to their end, so that their check sums
are verified.

IDX: two zero bytes, a type byte (0x08 = unsigned byte), the number of dimensions, each dimension as a big-endian
32-bit number, then the values.
"""

import gzip
import io
import math
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import DataError

Array = NDArray[Any]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Locator(NamedTuple):
    """A file, or a member of an archive."""

    path: Path
    member: str = ""

    @classmethod
    def parse(cls, text: str) -> "Locator":
        """From `path` or `path::member`."""
        path, _, member = text.partition("::")
        return cls(Path(path), member)

    def __str__(self) -> str:
        return f"{self.path}::{self.member}" if self.member else str(self.path)


def read_member(locator: Locator) -> Array:
    """One image of an archive, as stored.

    Raises:
        DataError: the archive is damaged or has no such member.
    """
    name, *rest = locator.member.split("/")
    key, rows = (name, rest) if locator.path.suffix == ".npz" else ("", [name, *rest])
    array: Any = read_array(locator.path, key)
    try:
        for row in rows:
            array = array[int(row)]
    except (IndexError, ValueError) as error:
        raise DataError(f"{locator}: no such member; the array has shape {array.shape}", code="DATA-018") from error
    return np.asarray(array)


def read_bytes(locator: Locator) -> bytes:
    """The content of a file in a ZIP archive, check sum verified.

    Raises:
        DataError: the archive is damaged, encrypted, or has no such member.
    """
    try:
        with zipfile.ZipFile(locator.path) as archive:
            return archive.read(locator.member)
    except (OSError, KeyError, RuntimeError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{locator} cannot be read: {error}", code="DATA-018") from error


def read_array(path: Path, key: str = "") -> Array:
    """An array of an NPZ (by key), NPY or IDX file. The latest few are remembered.

    Raises:
        DataError: the file cannot be read, is damaged, has no such key or holds Python objects.
    """
    try:
        return _read_array(path, key, path.stat().st_mtime_ns)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        MemoryError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"{path}{f' ({key})' if key else ''} cannot be read: {error or type(error).__name__}",
            expected="a complete NPZ, NPY or IDX file of plain numbers",
            remedy="copy or download the file again",
            code="DATA-018",
        ) from error


@lru_cache(maxsize=8)
def _read_array(path: Path, key: str, _changed: int) -> Array:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read(f"{key}.npy"))
        return np.asarray(np.lib.format.read_array(content, allow_pickle=False))
    return _read_idx(path)


def _read_idx(path: Path) -> Array:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zero or kind not in IDX_TYPES:
            raise ValueError("it does not start like an IDX file")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        dtype = np.dtype(IDX_TYPES[kind])
        size = math.prod(shape) * dtype.itemsize
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{shape} was announced, {len(content)} of {size} bytes are there")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def array_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each array in an NPZ file, without reading the values.

    Raises:
        DataError: it is not a readable NPZ file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _shape(archive, name) for name in names}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable NPZ file: {error}", code="DATA-018") from error


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return tuple(read(file)[0])
