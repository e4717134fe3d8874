"""Arrays of many images in one file: NPZ, NPY and IDX.

Nothing here executes what it reads (no pickled objects), archives are read to their end, so that their check sums are
verified, and what a header announces is compared with what is there before anything is allocated. Arrays come in the
byte order of this machine.

IDX: two zero bytes, a type byte (0x08 = unsigned byte), the number of dimensions, each dimension as a big-endian
32-bit number, then the values.
"""

import gzip
import io
import math
import struct
import tokenize
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfumato.data.formats.locator import Locator as Locator
from sfumato.data.formats.zipped import check_sizes, read_zip_member
from sfumato.errors import DataError
from sfumato.files import open_file
from sfumato.shortage import raise_shortage

Array = NDArray[Any]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FAULTS: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError, MemoryError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)
"""What readers raise on damaged files (a header of NumPy is parsed as Python text)."""

MAX_HEADER = 2**16
"""Bytes of a NumPy file that are looked at for its header, which may have 10,000 characters."""

MAX_EXPANSION = 1032
"""How many bytes gzip makes of one at most."""


class ArrayHeader(NamedTuple):
    """What is known of an array without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_member(locator: Locator) -> Array:
    """One image of an archive, as stored.

    Raises:
        DataError: the archive is damaged or has no such member.
    """
    name, *rest = locator.member.split("/")
    in_npz = locator.path.suffix.lower() == ".npz"
    array: Any = read_array(locator.path, name if in_npz else "")
    rows = rest if in_npz else [name, *rest] if name else []
    try:
        return _plain(np.asarray(array[tuple(slice(None) if row == ":" else int(row) for row in rows)]))
    except (IndexError, ValueError) as error:
        finding = f"{locator}: no such member ({error}); the array has shape {array.shape}"
        raise DataError(finding, expected="the rows of one image of plain numbers", code="DATA-018") from error


def _plain(values: Array) -> Array:
    """Numbers in a kind that images have: truth values as 0 and 1, at most 32 bits."""
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinity is refused later, with its place
            return values.astype(np.float32, copy=False)
    if values.dtype.itemsize > 2 and (values.min(initial=0) < -(2**31) or values.max(initial=0) >= 2**31):
        raise ValueError("integers beyond 32 bits")
    return values.astype(np.int32) if values.dtype.itemsize > 2 else values


def read_archived(locator: Locator) -> bytes:
    """The content of a file in a ZIP archive, check sum verified.

    Raises:
        DataError: the archive is damaged or refused, or has no such member.
    """
    return read_zip_member(locator.path, locator.member)


def read_array(path: Path, key: str = "") -> Array:
    """An array of an NPZ (by key), NPY or IDX file. The latest few are remembered.

    Raises:
        DataError: the file cannot be read, is damaged, has no such key or holds Python objects.
    """
    try:
        found = _remembered(path, key, path.stat().st_mtime_ns)
    except OSError as error:
        raise _unreadable(path, key, error) from error
    if isinstance(found, DataError):
        raise found
    return found


def open_array(path: Path) -> Array:
    """An array of a file, see `read_array`; it is not remembered, so whoever drops it lets go of the file.

    Windows does not rename a folder in which a file is mapped.
    """
    if isinstance(found := _read_or_tell(path, ""), DataError):
        raise found
    return found


@lru_cache(maxsize=8)
def _remembered(path: Path, key: str, _changed: int) -> Array | DataError:
    return _read_or_tell(path, key)


def _read_or_tell(path: Path, key: str) -> Array | DataError:
    """The array, or why it cannot be read: every image in it asks, and a damaged file takes long to read."""
    try:
        return _read_array(path, key)
    except _FAULTS as error:
        return _unreadable(path, key, error)


def _unreadable(path: Path, key: str, error: BaseException) -> DataError:
    raise_shortage(error, reading=path)
    return DataError(
        f"{path}{f' ({key})' if key else ''} cannot be read: {error or type(error).__name__}",
        expected="a complete NPZ, NPY or IDX file of plain numbers",
        remedy="copy or download the file again; arrays of objects (pickle) must be saved as numbers",
        code="DATA-018",
    )


def _read_array(path: Path, key: str) -> Array:
    if path.suffix.lower() == ".npy":
        with open_file(path) as file:
            _checked_header(file, path.stat().st_size)
        return _native(np.load(path, mmap_mode="r", allow_pickle=False))
    if path.suffix.lower() == ".npz":
        with open_file(path) as packed, zipfile.ZipFile(packed) as archive:
            member = archive.getinfo(f"{key}.npy")
            check_sizes(path, [member])
            with archive.open(member) as file:
                _checked_header(file, member.file_size)
            content = io.BytesIO(archive.read(member))
        return _native(np.lib.format.read_array(content, allow_pickle=False))
    return _read_idx(path)


def _native(array: Array) -> Array:
    """The array in the byte order of this machine; a memory map that has it stays one."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))


def _read_idx(path: Path) -> Array:
    with open_file(path) as stored, gzip.GzipFile(fileobj=stored) if _is_gzip(path) else stored as file:
        header = _idx_header(path, file)
        size = math.prod(header.shape) * header.dtype.itemsize
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{header.shape} was announced, {len(content)} of {size} bytes are there")
    return np.frombuffer(content, header.dtype).reshape(header.shape).astype(header.dtype.newbyteorder("="))


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def idx_header(path: Path) -> ArrayHeader:
    """Shape and kind of the array in an IDX file, `.gz` or not.

    Raises:
        DataError: it does not start like an IDX file.
    """
    try:
        with open_file(path) as stored, gzip.GzipFile(fileobj=stored) if _is_gzip(path) else stored as file:
            return _idx_header(path, file)
    except _FAULTS as error:
        raise _unreadable(path, "", error) from error


def _idx_header(path: Path, file: io.BufferedIOBase) -> ArrayHeader:
    zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
    if zero or kind not in IDX_TYPES:
        raise ValueError("it does not start like an IDX file")
    header = ArrayHeader(struct.unpack(f">{dimensions}I", file.read(4 * dimensions)), np.dtype(IDX_TYPES[kind]))
    size = math.prod(header.shape) * header.dtype.itemsize
    if size > path.stat().st_size * (MAX_EXPANSION if _is_gzip(path) else 1):
        raise ValueError(f"{header.shape} was announced, which a file of this size cannot hold")
    return header


def array_headers(path: Path) -> dict[str, ArrayHeader]:
    """Shape and kind of each array in an NPZ file by its name, or of an NPY file by "", without reading the values.

    Raises:
        DataError: it is not a readable NPZ or NPY file, announces more than it holds, or holds Python objects.
    """
    try:
        if path.suffix.lower() == ".npy":
            with open_file(path) as file:
                return {"": _checked_header(file, path.stat().st_size)}
        with open_file(path) as packed, zipfile.ZipFile(packed) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            check_sizes(path, members)
            return {member.filename.removesuffix(".npy"): _member_header(archive, member) for member in members}
    except _FAULTS as error:
        raise _unreadable(path, "", error) from error


def _member_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(member) as file:
        return _checked_header(file, member.file_size)


def _checked_header(file: Any, size: int) -> ArrayHeader:
    """The header of a NumPy file of so many bytes; refused when the file cannot hold what it announces."""
    beginning = io.BytesIO(file.read(MAX_HEADER))  # a damaged header may claim to be of gigabytes
    version = np.lib.format.read_magic(beginning)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(beginning)
    except MemoryError:  # so says Python's parser of brackets and signs that are nested too deeply
        raise ValueError("its header cannot be parsed") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if dtype.kind not in "biufSU":
        raise ValueError(f"it holds {dtype}, which are no plain numbers")
    announced, there = math.prod(shape) * dtype.itemsize, size - beginning.tell()
    if announced > there:
        raise ValueError(f"{shape} of {dtype} was announced ({announced:,} bytes), {there:,} bytes are there")
    return ArrayHeader(tuple(shape), dtype)
