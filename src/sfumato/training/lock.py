"""One trainer per run folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from sfumato.errors import UsageError


class RunLock:
    """Holds a run folder for this process; a context manager.

    The kernel holds the lock (`flock` on `.lock`) and drops it when the process ends, however it ends: a killed trainer
    leaves no stale lock. The file holds the process id for the one who finds it taken.

    Args:
        run: the run folder, made if needed.

    Raises:
        UsageError: on entering, when another process holds the run.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / ".lock"
        self._descriptor: int | None = None

    def __enter__(self) -> "RunLock":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise UsageError(
                f"{self._path.parent}: another process trains here (pid {holder})",
                expected="one trainer per run folder",
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
