"""ZIP archives, read in place: nothing is ever extracted, and what an attacker would send is refused.

Refused are names that lead out (`..`, absolute, a drive), links, encrypted members, archives within the archive, names
that some systems cannot tell apart, and contents that are far larger than the file. Check sums are verified whenever
a member is read. The index of an archive is read once per process and kept, with the file open.
"""

import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from sfumato.errors import DataError, listed
from sfumato.files import check_regular
from sfumato.shortage import raise_shortage

MAX_MEMBERS = 1_000_000
MAX_TOTAL = 50 * 2**30
"""Bytes of all members together."""

_MAX_RATIO = 200
"""How often a member may be larger than what it takes in the archive. Images come close to 1; empty masks compress a
thousandfold, so members below `RATIO_FLOOR` bytes may do what they like."""

RATIO_FLOOR = 64 * 2**20

_FAULTS = (OSError, KeyError, ValueError, RuntimeError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile)
"""What `zipfile` raises on archives that are damaged, encrypted or compressed by a method it does not know."""

_ENCRYPTED = 0x1
_NESTED = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")


def zip_members(path: Path) -> list[str]:
    """Names of the files in an archive.

    Raises:
        DataError: the archive is damaged, or one of its members is refused (all are listed).
    """
    return [member.filename for member in _opened(path).infolist() if not member.is_dir()]


def read_zip_member(path: Path, name: str) -> bytes:
    """The content of a member, check sum verified.

    Raises:
        DataError: as for `zip_members`, or the archive has no such member.
    """
    archive = _opened(path)
    try:
        return archive.read(name)
    except (*_FAULTS, MemoryError) as error:
        raise_shortage(error, reading=path)
        raise _damaged(path, error, name=name) from error


def check_sizes(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse what would grow beyond all measure when read.

    Raises:
        DataError: too many members, too large in all, one that is far larger than its compressed form or than the
            archive.
    """
    there = path.stat().st_size
    for member in members:
        if member.compress_size > there:
            claim = f"it announces {member.compress_size:,} bytes, the archive has {there:,}"
            raise _damaged(path, ValueError(claim), name=member.filename)
    total = sum(member.file_size for member in members)
    problems = [f"{len(members):,} members"] if len(members) > MAX_MEMBERS else []
    problems += [f"{total:,} bytes in all"] if total > MAX_TOTAL else []
    problems += [
        f"{member.filename}: {member.compress_size:,} bytes become {member.file_size:,}"
        for member in members
        if member.file_size > max(RATIO_FLOOR, _MAX_RATIO * member.compress_size)
    ]
    if problems:
        raise DataError(
            f"{path} is too large when unpacked:\n{listed(problems)}",
            expected=f"at most {MAX_MEMBERS:,} members, {MAX_TOTAL // 2**30} GiB in all, and none that is {_MAX_RATIO} "
            "times larger than its compressed form",
            remedy="pack the images again, or unpack the archive yourself and give the folder",
            code="DATA-056",
        )


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        check_regular(path)
        state = path.stat()
    except OSError as error:
        raise_shortage(error, reading=path)
        raise DataError(f"{path} cannot be read: {error.strerror}", code="DATA-001") from error
    return _open(path, state.st_mtime_ns, state.st_size, os.getpid())


@lru_cache(maxsize=4)
def _open(path: Path, _changed: int, _size: int, _process: int) -> zipfile.ZipFile:
    """An open archive that passed all checks. A forked process opens its own, for they would share the position."""
    try:
        archive = zipfile.ZipFile(path)
    except (*_FAULTS, MemoryError) as error:
        raise_shortage(error, reading=path)
        raise _damaged(path, error) from error
    members = archive.infolist()
    check_sizes(path, members)
    _check_names(path, members)
    return archive


def _damaged(path: Path, error: BaseException, *, name: str = "") -> DataError:
    what = f"{path}::{name}" if name else str(path)
    return DataError(
        f"{what} cannot be read: {error or type(error).__name__}",
        expected="a whole ZIP archive",
        remedy="copy or download it again",
        code="DATA-057",
    )


def _check_names(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    problems = [f"{member.filename!r} {fault}" for member in members if (fault := _fault(member))]
    problems += [f"{name!r} occurs more than once" for name in _alike(member.filename for member in members)]
    if problems:
        raise DataError(
            f"{path} has members that are refused:\n{listed(problems)}",
            expected="plain files with different names below the archive",
            remedy="pack the images again: no links, no passwords, no archives within",
            code="DATA-055",
        )


def _fault(member: zipfile.ZipInfo) -> str:
    """Why a member is refused; empty when it is not."""
    name = member.filename
    if not name:
        return "has no name"
    if ".." in re.split(r"[/\\]", name) or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return "is an archive itself" if name.lower().endswith(_NESTED) else ""


def _alike(names: Iterable[str]) -> list[str]:
    """Names that are the same on a system that ignores case or composes accents."""
    counts = Counter(unicodedata.normalize("NFC", name).casefold() for name in names)
    return [name for name, count in counts.items() if count > 1]
