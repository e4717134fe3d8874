"""One process at a time works in a folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from sfumato.errors import UsageError


class FolderLock:
    """Holds a folder for this process; a context manager.

    The kernel holds the lock (`flock` on `.lock`) and drops it when the process ends, however it ends: a killed process
    leaves no stale lock. The file holds the process id for the one who finds it taken.

    Args:
        folder: made if needed.
        work: what is done there, for the error: "trains", "prepares".
        wait: wait until it is free.

    Raises:
        UsageError: on entering, when another process holds the folder.
    """

    def __init__(self, folder: Path, *, work: str, wait: bool = False) -> None:
        self._path, self._work, self._wait = folder / ".lock", work, wait
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise UsageError(
                f"{self._path.parent}: another process {self._work} here (pid {holder})",
                expected="one process at a time",
                remedy="wait for it or stop it, or choose another --out",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
