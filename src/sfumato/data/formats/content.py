"""The bytes of a file, whole or refused: nothing empty, no git-lfs pointer, no cut or damaged compression, no bomb.

What a header announces is compared with what its file can hold before anything is allocated. Deflate, the method of
gzip and zlib, makes at most 1032 bytes out of one, so that a small file cannot claim terabytes. Label volumes with
little in them come close to this (957 to 1 has been seen), so a ratio by itself proves no bomb: beyond `MAX_RATIO` a
file is refused only where more than `SURE` bytes are at stake.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from sfumato.errors import DataError
from sfumato.escape import visible
from sfumato.files import open_file
from sfumato.shortage import raise_shortage

DEFLATE_RATIO = 1032
"""Deflate codes at best 258 bytes in 2 bits (RFC 1951)."""

MAX_RATIO = 200
"""A compressed file that claims more than `SURE` bytes and grows more than this is refused."""

SURE = 2**30
"""Bytes that any file may grow to."""

SLACK = 2**20
"""Bytes that may follow the last that is needed: some writers fill up their last block."""

_POINTER = b"version https://git-lfs"


@contextmanager
def opened_file(path: Path, *, expected: str) -> Iterator[BufferedIOBase]:
    """A file at its first byte; what fails while it is read becomes an error about it.

    Args:
        path: the file.
        expected: what it should be, for errors: "a whole NIfTI volume".

    Raises:
        DataError: it cannot be read, is empty or a git-lfs pointer, or its compressed data are cut or damaged.
    """
    try:
        with open_file(path) as file:
            beginning = file.read(len(_POINTER))
            if not beginning:
                raise _refused(f"{path} is empty (0 bytes)", expected, code="DATA-003")
            if beginning == _POINTER:
                finding = f"{path} is a git-lfs pointer, not the file itself"
                raise DataError(finding, expected=expected, remedy="git lfs pull", code="DATA-004")
            file.seek(0)
            yield file
    except MemoryError as error:
        raise_shortage(error, reading=path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise_shortage(error, reading=path)
        raise _refused(f"{path} is damaged: {error}", expected, code="DATA-006") from error
    except OSError as error:
        raise_shortage(error, reading=path)
        raise _refused(f"{path} cannot be read: {error.strerror or error}", expected, code="DATA-001") from error


def _refused(finding: str, expected: str, *, code: str) -> DataError:
    remedy = "copy or export the file again, or take it out of the folder"
    return DataError(finding, expected=expected, remedy=remedy, code=code)


def file_beside(path: Path, name: str) -> Path:
    """The file of voxels that a header names: one that lies beside it, by its plain name.

    Args:
        path: the header.
        name: as the header has it.

    Raises:
        DataError: it names another folder, several files or a hidden one, or there is no such file.
    """
    found = path.parent / name
    plain = name and found.parent == path.parent and not re.search(r"[/\\:%\0]|^\.|^LIST\b", name)
    if not plain or not found.is_file():
        what = "which is not there" if plain else "which is not in its folder"
        raise DataError(
            f"{path}: detached data: its header names another file for its voxels ({visible(name)}), {what}",
            expected="its voxels behind the header, or in a file in the same folder that it names without a path",
            remedy="put the two files into one folder and the plain name into the header, or save it as one file "
            "(.nii.gz, .nrrd, .mha)",
            code="DATA-030",
        )
    return found


def voxels_of(path: Path) -> Path:
    """The file of voxels of a header that names none (`a.hdr`): `a.img` or `a.img.gz` beside it.

    Raises:
        DataError: there is none.
    """
    names = [path.stem + ending for ending in (".img", ".img.gz", ".IMG")]
    found = next((path.parent / name for name in names if (path.parent / name).is_file()), None)
    if found is None:
        raise DataError(
            f"{path}: detached data: {names[0]}, the file of its voxels, is not beside it",
            expected="header (.hdr) and voxels (.img) of one name in one folder",
            remedy="put the two files into one folder, or save it as one file (.nii.gz)",
            code="DATA-030",
        )
    return found


def damaged(path: Path, what: str) -> DataError:
    """The error about a file that is not whole or contradicts itself."""
    return _refused(f"{path} is damaged: {what}", "a whole file", code="DATA-006")


def check_claim(path: Path, claim: int, *, compressed: bool) -> None:
    """Compare what a header announces with the file, before anything is allocated.

    Args:
        path: the file.
        claim: the bytes that it should hold, once expanded.
        compressed: whether they are deflated (gzip, zlib).

    Raises:
        DataError: the file is too short for that, or it looks like a decompression bomb.
    """
    there = path.stat().st_size
    if claim > there * (DEFLATE_RATIO if compressed else 1):
        raise damaged(path, f"its header announces {claim:,} bytes, the file has {there:,}")
    if compressed and claim > max(SURE, MAX_RATIO * there):
        raise _bomb(path, f"{there:,} bytes that grow to {claim:,}")


def take_bytes(stream: BufferedIOBase, size: int, path: Path) -> bytes:
    """The next `size` bytes; a gzip stream is then read to its end, which verifies its check sum and length.

    Raises:
        DataError: there are fewer, or far more follow.
    """
    content = stream.read(size)
    if len(content) < size:
        raise damaged(path, f"{len(content):,} of {size:,} bytes are there")
    if isinstance(stream, gzip.GzipFile) and len(stream.read(SLACK + 1)) > SLACK:
        raise _bomb(path, f"it goes on long after the {size:,} bytes that its header announces")
    return content


def inflate(packed: bytes, size: int, path: Path) -> bytes:
    """`size` bytes out of a zlib stream, check sum verified.

    Raises:
        DataError: it holds more or fewer, or is cut.
    """
    expander = zlib.decompressobj()
    content = expander.decompress(packed, size + 1)
    if len(content) != size or not expander.eof:
        raise damaged(path, f"its compressed data are cut or are not the {size:,} bytes that its header announces")
    return content


def gunzipped(file: BufferedIOBase) -> BufferedIOBase:
    """What a gzip stream holds, from where the file stands."""
    return gzip.GzipFile(fileobj=file)


def is_gzip(file: BufferedIOBase) -> bool:
    """Whether what follows is a gzip stream; the file stays where it is."""
    place = file.tell()
    first = file.read(2)
    file.seek(place)
    return first == b"\x1f\x8b"


def _bomb(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} looks like a decompression bomb: {what}",
        expected=f"at most {MAX_RATIO} times its size beyond {SURE:,} bytes",
        remedy="save it without compression if it is what you want",
        code="DATA-007",
    )
