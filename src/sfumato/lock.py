"""One process at a time works in a folder."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sfumato.atomic import write_atomic
from sfumato.errors import UsageError
from sfumato.files import check_no_link, read_text

LOCK, HOLDER = ".lock", ".lock-holder"
"""The file that is locked, and the one that says by whom: Windows lets nobody else read a locked file."""


class FolderLock:
    """Holds a folder for this process; a context manager.

    The system holds the lock on a file `.lock` and drops it when the process ends, however it ends: a killed process
    leaves no stale lock. Another file holds the process id for the one who finds it taken.

    Args:
        folder: made if needed.
        work: what is done there, for the error: "trains", "prepares".
        wait: wait until it is free.

    Raises:
        UsageError: on entering, when another process holds the folder.
    """

    def __init__(self, folder: Path, *, work: str, wait: bool = False) -> None:
        self._folder, self._work = folder, work
        self._lock = FileLock(folder / LOCK, timeout=-1 if wait else 0, thread_local=False)

    def __enter__(self) -> "FolderLock":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        self._folder.mkdir(parents=True, exist_ok=True)
        check_no_link(self._folder / LOCK)  # older filelocks empty what it leads to
        try:
            self._lock.acquire()
        except NotImplementedError as error:  # how older filelocks say it
            raise OSError(errno.ENOSYS, "no locks on this disk", str(self._folder / LOCK)) from error
        except Timeout:
            raise UsageError(
                f"{self._folder}: another process {self._work} here (pid {self._holder()})",
                expected="one process at a time",
                remedy="wait for it or stop it, or choose another --out",
            ) from None
        with suppress(OSError):  # a full disk: the lock counts, not the note
            write_atomic(self._folder / HOLDER, f"{os.getpid()}\n", sync=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def remove_folder(self) -> None:
        """Remove the folder that is held, and give up the lock; whoever comes next makes it anew."""
        shutil.rmtree(self._folder, ignore_errors=True)
        refused = self._folder.exists()  # Windows does not remove a file that is locked
        self._lock.release()
        if refused:
            with suppress(OSError):  # another process may have it by now
                self._folder.rmdir()

    def _holder(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return read_text(self._folder / HOLDER, encoding="ascii").strip()[:20] or "unknown"
        return "unknown"
