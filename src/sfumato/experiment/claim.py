"""The name of an output: a command claims it before it works, and takes nothing away that it was not told to replace.

What is there when the name is claimed is remembered. Finished work gets the name only where that is unchanged: a folder
or file that came or changed meanwhile is somebody's, stays as it is, and the work is kept beside it.

    .NAME.staging-KEY/  .lock      held by the process that writes; of a process that is gone, the next one clears up
                        files/     what becomes the output
                        replaced/  what had the name, from the moment that it gives it up until it is removed

All of this lies beside the output; or within it, where the folder itself must stay: a mount point, the folder in which
the command was started, one in whose parent nobody may write.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sfumato.errors import ResourceError, UsageError
from sfumato.lock import HOLDER, FolderLock
from sfumato.shortage import shortages_told

CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})
"""What systems put into folders by themselves: a folder with nothing else is empty."""

_LAST = "provenance.json"
"""The file that says that a folder is whole, where files are moved one by one."""


@dataclass(frozen=True)
class Claim:
    """A name for an output, and what had it when it was claimed.

    Attributes:
        out: the output, links resolved.
        there: what `census` said of it.
    """

    out: Path
    there: str | None

    @classmethod
    def of(cls, out: Path) -> "Claim":
        """Claim a name, and clear up what processes left behind that wrote there and are gone.

        Raises:
            UsageError: another process writes there.
        """
        for home in {out.parent, home_of(out)}:
            _sweep(home, out)
        return cls(out, census(out))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder that gets the name when the block ends well; else it is removed.

        Raises:
            UsageError: at the end, something else has the name; the folder is kept beside it.
        """
        with _staging(self.out) as place:
            files = place / "files"
            files.mkdir()
            yield files
            self.give(files, place)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A fresh file that gets the name when the block ends well, see `folder`."""
        with _staging(self.out) as place:
            (place / "files").mkdir()
            draft = place / "files" / self.out.name
            yield draft
            self.give(draft, place)

    def give(self, finished: Path, place: Path) -> None:
        """Let finished work have the name, and remove what had it when it was claimed.

        Args:
            finished: the file or folder.
            place: a folder at `home_of` the output, for what is replaced.

        Raises:
            UsageError: something else has the name; the work is kept beside it.
        """
        try:
            self._check(self.out)
            if place.parent == self.out or not self._swap(finished, place / "replaced"):
                _refill(self.out, finished, place / "replaced")
        except OSError as error:
            kept = _keep_beside(finished, self.out, place.parent)
            if not isinstance(error, FileExistsError):
                raise ResourceError(f"{self.out}: {error.strerror}", remedy=f"what was made is in {kept}") from error
            raise UsageError(
                f"{self.out} appeared or was changed while this command worked: it stays as it is",
                expected="a name that nobody else uses",
                remedy=f"what was made is whole: it is in {kept}",
            ) from error
        shutil.rmtree(place / "replaced", ignore_errors=True)

    def _check(self, found: Path) -> None:
        if census(found) != self.there:
            raise FileExistsError(found)

    def _swap(self, finished: Path, replaced: Path) -> bool:
        """Rename the one away and the other into its place; if that fails, back. False where the system forbids it."""
        with ExitStack() as undo:
            if self.there is not None:
                try:
                    self.out.rename(replaced)
                except OSError as error:
                    if error.errno in (errno.EBUSY, errno.EXDEV):  # a mount that does not look like one
                        return False
                    raise
                undo.callback(replaced.rename, self.out)
                self._check(replaced)
                if finished.is_dir():
                    shutil.copymode(replaced, finished)
            _rename(finished, self.out)
            undo.pop_all()
        return True


def home_of(out: Path) -> Path:
    """Where an output is prepared: the folder that it lies in, or the output where that itself must stay."""
    if not out.is_dir():
        return out.parent
    with suppress(FileNotFoundError):  # the folder that the command was started in is gone
        if Path.cwd().is_relative_to(out):
            return out
    return out if os.path.ismount(out) or not os.access(out.parent, os.W_OK) else out.parent


def is_ours(name: str, out: Path) -> bool:
    """Whether an entry of a folder is unfinished work on an output, and no part of it."""
    return name.startswith(tuple(f".{out.name}.{kind}" for kind in ("staging-", "unfinished-", "preparing")))


def folder_contents(out: Path) -> list[Path]:
    """What is in a folder, but for what systems and unfinished work put there."""
    return [path for path in out.iterdir() if path.name not in CLUTTER and not is_ours(path.name, out)]


def census(path: Path) -> str | None:
    """What a file or folder is, told from what it may become: all names, sizes and times; None if there is nothing."""
    if not os.path.lexists(path):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for entry in sorted(folder_contents(path)) if path.is_dir() else [path]:
        for file in _below(entry):
            status = file.lstat()
            about = None if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
            digest.update(repr((str(file.relative_to(path)), about)).encode())
    return digest.hexdigest()


def _below(entry: Path) -> Iterator[Path]:
    """An entry of a folder and all that is in it; links are not followed."""
    yield entry
    if entry.is_dir() and not entry.is_symlink():
        for folder, folders, files in os.walk(entry, onerror=refuse):
            folders.sort()
            yield from (Path(folder) / name for name in sorted([*folders, *files]) if name not in CLUTTER)


def refuse(error: OSError) -> None:
    """A folder that cannot be looked into."""
    raise error


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder of this process to write in; removed at the end."""
    place = home_of(out) / f".{out.name}.staging-{secrets.token_hex(4)}"
    place.mkdir(parents=True)
    try:
        with ExitStack() as held, shortages_told(out):
            with suppress(OSError):  # a disk without locks
                held.enter_context(FolderLock(place, work="writes"))
            _refuse_earlier(place, out)
            yield place
            for rest in ("files", "replaced"):
                shutil.rmtree(place / rest, ignore_errors=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _refuse_earlier(place: Path, out: Path) -> None:
    """Refuse to work beside a process that began to write there after both had claimed the name, and before this one.

    Raises:
        UsageError: there is one.
    """
    for rest in _stagings(place.parent, out):
        with suppress(OSError):  # it is done, or nobody's, or a disk without locks
            if _began(rest) < _began(place):
                with _told_of(out, rest), FolderLock(rest, work="writes"):
                    pass


def _began(place: Path) -> tuple[int, str]:
    """When a process took a folder to write in, and its name, so that of two processes one is the first."""
    return (place / HOLDER).stat().st_mtime_ns, place.name


def _stagings(home: Path, out: Path) -> list[Path]:
    """The folders in which processes write, or wrote, what becomes an output."""
    named = re.compile(rf"\.{re.escape(out.name)}\.staging-[0-9a-f]+")
    beside = sorted(home.iterdir()) if home.is_dir() else []
    return [rest for rest in beside if named.fullmatch(rest.name) and rest.is_dir() and not rest.is_symlink()]


@contextmanager
def _told_of(out: Path, rest: Path) -> Iterator[None]:
    """What is refused in the block is told of the output, and not of the folder that it is written in."""
    try:
        yield
    except UsageError as error:
        error.finding = error.finding.replace(str(rest), str(out))
        raise


def _sweep(home: Path, out: Path) -> None:
    """Clear up what processes left that wrote here and are gone.

    Raises:
        UsageError: one of them is at work.
    """
    for rest in _stagings(home, out):
        with suppress(OSError):  # somebody else's, or a disk without locks
            _settle(rest, out)


def _settle(rest: Path, out: Path) -> None:
    with _told_of(out, rest), FolderLock(rest, work="writes"):
        replaced = rest / "replaced"
        if replaced.exists() and (rest / "files").exists():  # killed between two renames
            _keep_beside(replaced, out, rest.parent) if os.path.lexists(out) else replaced.rename(out)
    shutil.rmtree(rest, ignore_errors=True)


def _refill(out: Path, finished: Path, replaced: Path) -> None:
    """Let a folder stay and change what is in it; if that fails, back."""
    replaced.mkdir()
    last = sorted(finished.iterdir(), key=lambda entry: (entry.name == _LAST, entry.name))
    moves = [*((entry, replaced) for entry in folder_contents(out)), *((entry, out) for entry in last)]
    with ExitStack() as undo:
        for entry, folder in moves:
            shutil.move(entry, folder / entry.name)
            undo.callback(shutil.move, folder / entry.name, entry)
        undo.pop_all()


def _keep_beside(finished: Path, out: Path, home: Path) -> Path:
    """Give finished work the first free name that is like the one that it should have had."""
    name = free_name(home / out.name, ending="" if finished.is_dir() else out.suffix)
    _rename(finished, name)
    return name


def free_name(wanted: Path, *, ending: str = "") -> Path:
    """A name that nothing has: the one that is wanted, or with a number, before its ending: `name-2`, `name-3`."""
    stem, number, name = wanted.name.removesuffix(ending), 1, wanted
    while os.path.lexists(name):
        number += 1
        name = wanted.with_name(f"{stem}-{number}{ending}")
    return name


def _rename(finished: Path, name: Path) -> None:
    """Rename, and never over something.

    Raises:
        FileExistsError: something has the name.
    """
    try:
        if finished.is_dir():
            finished.rename(name)
            return
        try:
            os.link(finished, name)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            if os.path.lexists(name):
                raise
            finished.rename(name)
        finished.unlink(missing_ok=True)
    except OSError as error:
        if os.path.lexists(name):
            raise FileExistsError(name) from error
        raise


def resolved(out: Path) -> Path:
    """The place that a name stands for, links followed.

    Raises:
        UsageError: the links lead in a circle.
    """
    try:
        return out.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{out} cannot be resolved: {error}", remedy="give another --out") from error
