"""What a machine runs out of (disk, memory, open files, processes), and disks that fail: told from faults of the data.

Libraries say it in many ways: with an `errno`; with a number in their text (Rust's "(os error 28)", torch's "(12)");
with words of their own, such as NumPy's "90000 requested and 1872 written". Whoever turns what a reader raised into an
error about its file asks here first: a sound file is never called damaged because memory ran out while it was read.
"""

import errno
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sfumato.errors import ResourceError, SfumatoError
from sfumato.memory import out_of_memory
from sfumato.wording import told_size


class _Shortage(NamedTuple):
    """What is short, and what helps.

    Attributes:
        words: what is short.
        remedy: what helps.
        limit: of the module `resource`, told with its number where one is set.
        where: whether it is about the disk that is written to.
        room: whether it helps to know how much is free there.
    """

    words: str
    remedy: str
    limit: str = ""
    where: bool = False
    room: bool = False


_FAILING = _Shortage("the disk or network share fails", "check the disk and its mount, then run it again", where=True)
_KNOWN: dict[str, _Shortage] = {
    "ENOMEM": _Shortage(
        "out of memory",
        "a smaller --batch (train: --set train.accumulate=2 makes the same batch in two pieces), fewer --workers, or a "
        "machine with more memory",
        "RLIMIT_AS",
    ),
    "ENOSPC": _Shortage("the disk is full", "free some space, or write to another disk", where=True, room=True),
    "EDQUOT": _Shortage("the quota of the disk is used up", "free some space, or ask for more", where=True),
    "EFBIG": _Shortage(
        "a file would become larger than files may be here",
        "raise the limit: ulimit -f unlimited; or write to a disk that holds larger files",
        "RLIMIT_FSIZE",
        where=True,
    ),
    "EMFILE": _Shortage(
        "too many files are open at once", "raise the limit: ulimit -n 4096; or fewer --workers", "RLIMIT_NOFILE"
    ),
    "ENFILE": _Shortage("too many files are open on this machine", "close other programs, or fewer --workers"),
    "EAGAIN": _Shortage(
        "no more processes or threads may be started", "raise the limit: ulimit -u; or --workers 1", "RLIMIT_NPROC"
    ),
    **dict.fromkeys(("EIO", "ESTALE", "EREMOTEIO", "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT"), _FAILING),
}
SHORTAGES = {getattr(errno, name): known for name, known in _KNOWN.items() if hasattr(errno, name)}
"""By error number."""

_NUMBERED = re.compile(r"\(os error (\d+)\)$|Os \{ code: (\d+),|: [A-Z][A-Za-z /]+ \((\d+)\)$")
"""How programs in Rust (said, or its parts shown: safetensors 0.5) and torch tell an error of the system."""

_IN_WORDS = {
    r"^\d+ requested and \d+ written$": "ENOSPC",
    r"database or disk is full": "ENOSPC",
    r"inline_container.*unexpected pos": "ENOSPC",
    r"disk I/O error": "EIO",
    r"^can't start new thread$": "EAGAIN",
    r"[Cc]annot allocate memory|failed to map segment|^out of memory|^Error -4 while": "ENOMEM",
}
"""NumPy, SQLite, torch, threads, the loader of shared libraries, Pillow, zlib."""

_TALKATIVE = ("RuntimeError", "OSError", "ImportError", "SafetensorError", "OperationalError", "error")
"""Kinds of errors whose text is that of a library, and never quotes a file."""


def shortage(error: BaseException, *, during: str = "", disk: Path | None = None) -> ResourceError | None:
    """What the machine ran out of, in words; None where an error says anything else.

    Args:
        error: it, with what led to it.
        during: what was being done, like "while a.png was read".
        disk: where was written.
    """
    for each in _chain(error):
        if isinstance(each, ResourceError):
            return each
        if (number := _number(each)) in SHORTAGES:
            return _told(SHORTAGES[number], each, during=during, disk=disk)
    if any(type(each).__name__ == "BrokenProcessPool" for each in _chain(error)):
        return ResourceError(
            f"a worker process ended before its time {during}".rstrip(),
            expected="enough memory for the work of each process",
            remedy="fewer --workers, or one",
        )
    return None


def raise_shortage(error: BaseException, *, reading: object) -> None:
    """Before what a reader raised is told as an error of its file: nothing, unless the machine ran out of something.

    Raises:
        ResourceError: it did.
    """
    if found := shortage(error, during=f"while {reading} was read"):
        raise found from error


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Around what reads a file: where memory runs out, it is told which.

    Raises:
        ResourceError: it did.
    """
    try:
        yield
    except MemoryError as error:
        raise_shortage(error, reading=what)
        raise


@contextmanager
def shortages_told(disk: Path) -> Iterator[None]:
    """Around work that is written to a disk: what the machine runs out of is told in words.

    Raises:
        ResourceError: it ran out of something.
    """
    try:
        yield
    except SfumatoError:
        raise
    except Exception as error:
        if found := shortage(error, disk=disk):
            raise found from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, as far as tracebacks tell it."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _number(error: BaseException) -> int | None:
    """The error number that an error stands for."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if out_of_memory(error) or _left_no_room_to_load(error):
        return errno.ENOMEM
    if not any(kind.__name__ in _TALKATIVE for kind in type(error).__mro__):
        return None
    if numbered := _NUMBERED.search(str(error)):
        return int(numbered[numbered.lastindex or 0])
    name = next((name for words, name in _IN_WORDS.items() if re.search(words, str(error))), "")
    if name in ("ENOSPC", "EIO") and _limit("RLIMIT_FSIZE") is not None:
        name = "EFBIG"  # libraries that do not pass on why they could not write
    return getattr(errno, name, None)


def _left_no_room_to_load(error: BaseException) -> bool:
    """Whether a library could not be loaded where memory is limited; loaders rarely pass on why."""
    if not isinstance(error, SystemError | ImportError) or isinstance(error, ModuleNotFoundError):
        return False
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    loading = any(frame.f_code.co_filename.startswith("<frozen importlib") for frame in frames)
    return loading and _limit("RLIMIT_AS") is not None


def _told(known: _Shortage, error: BaseException, *, during: str, disk: Path | None) -> ResourceError:
    parts = [f"{known.words} {during}".rstrip()]
    if disk is not None and known.where:
        parts.append(f"{told_size(_free(disk))} are free at {disk}" if known.room else str(disk))
    if (limit := _limit(known.limit)) is not None:
        parts.append(f"the limit is {limit:,}")
    if said := str(error):
        parts.append(said)
    return ResourceError(": ".join(parts), remedy=known.remedy)


def _free(disk: Path) -> int:
    there = next((folder for folder in (disk, *disk.absolute().parents) if os.path.lexists(folder)), Path())
    return shutil.disk_usage(there).free


def _limit(name: str) -> int | None:
    """A limit of this process; None where there is none, or none is known."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(getattr(resource, name)) if hasattr(resource, name) else (-1, -1)
    return None if soft == resource.RLIM_INFINITY or soft < 0 else soft
