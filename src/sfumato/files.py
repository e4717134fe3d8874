"""The one door through which files are opened: regular files, and nothing that looks like one.

A named pipe waits for a writer that never comes, a device may have no end, a socket is no data. Links are followed to
what they point at. What a path names is looked at before it is opened, since opening a device can do things, and again
when it is open, since it may have been exchanged meanwhile; no opening waits (`O_NONBLOCK`, where the system has it).

Written are files of a name that nothing has (`sfumato.atomic` lets them take the place of others); and logs, which are
added to. There too a folder may be a stranger's: a link in it could lead to any file of this machine.

Every fault is an `OSError` whose `strerror` says what there is, so that readers word it like any other.
"""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

_CAREFUL = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_FLAGS = os.O_RDONLY | _CAREFUL
APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | _CAREFUL

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class NotAFile(OSError):  # noqa: N818 - what there is
    """A path names a folder, pipe, socket or device."""


def open_file(path: Path) -> io.BufferedReader:
    """A regular file at its first byte.

    Raises:
        NotAFile: it is a folder, pipe, socket or device.
        OSError: it is not there or may not be read.
    """
    check_regular(path)
    descriptor = os.open(path, _FLAGS)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def append_to(path: Path) -> io.FileIO:
    """A regular file at its end, made if it is not there; what is written is not held back.

    Raises:
        NotAFile: it is a link, folder, pipe, socket or device.
        OSError: it may not be written.
    """
    check_free_or_file(path)
    descriptor = os.open(path, APPENDING, 0o666)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return io.FileIO(descriptor, "ab")
    except BaseException:
        os.close(descriptor)
        raise


def check_free_or_file(path: Path) -> None:
    """Refuse to write, for libraries that open the file themselves, what is there and is no regular file.

    Raises:
        NotAFile: it is a link, folder, pipe, socket or device.
    """
    check_no_link(path)
    with suppress(FileNotFoundError):
        check_regular(path)


def check_no_link(path: Path) -> None:
    """Refuse to write through a link.

    Raises:
        NotAFile: it is one.
    """
    if path.is_symlink():
        raise NotAFile(errno.ELOOP, "it is a link, not a file", str(path))


def check_regular(path: Path) -> None:
    """Refuse what is no regular file, for readers that open it themselves.

    Raises:
        OSError: as for `open_file`.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise FileNotFoundError(errno.ENOENT, "it is a link to what is not there", str(path)) from error
        raise
    _check(mode, path)


def read_file(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as for `open_file`.
    """
    with open_file(path) as file:
        return file.read()


def read_text(path: Path, *, encoding: str = "utf-8", errors: str = "strict", newline: str | None = None) -> str:
    """The text of a regular file; the arguments are those of `open`.

    Raises:
        OSError: as for `open_file`.
        UnicodeDecodeError: it is in another encoding.
    """
    with io.TextIOWrapper(open_file(path), encoding=encoding, errors=errors, newline=newline) as file:
        return file.read()


def matching(folder: Path, pattern: str) -> list[Path]:
    """What lies in a folder under names that fit, sorted; nothing where there is no such folder.

    `Path.glob` finds nothing either where a folder cannot be read (Python 3.13): a run would begin anew, and its best
    checkpoint be thrown away.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    try:
        with os.scandir(folder) as items:
            return sorted(Path(item.path) for item in items if fnmatchcase(item.name, pattern))
    except (FileNotFoundError, NotADirectoryError):
        return []


def matching_below(folder: Path, pattern: str) -> Iterator[Path]:
    """The same for files at any depth.

    Raises:
        OSError: a folder is there and cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for root, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(root, name) for name in sorted(names) if fnmatchcase(name, pattern))


def what_is(mode: int) -> str:
    """What there is instead of a regular file, by the mode that `stat` gives; empty for a regular file."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def _check(mode: int, path: Path) -> None:
    if found := what_is(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise NotAFile(number, f"it is {found}, not a file", str(path))


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern of files (`*/{id}.png`, `re:...`), and not the name of one that is there."""
    return (text.startswith("re:") or any(sign in text for sign in "*?{")) and not Path(text).exists()
