"""Worker processes that take work one piece after another, a few pieces in advance."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import TypeVar

from sfumato.errors import ResourceError

_Piece = TypeVar("_Piece")
_Answer = TypeVar("_Answer")
_Subject = TypeVar("_Subject")

_AHEAD = 2
"""Pieces under way for each worker: one at work, one waiting."""


class WorkerPool:
    """Workers; a context manager. One worker is this process itself.

    Workers are started afresh (not forked: threads of libraries do not survive that), use one thread each, leave
    Ctrl-C to this process, and end when it ends, however it ends.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._others: frozenset[multiprocessing.process.BaseProcess] = frozenset()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "WorkerPool":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        self._others = frozenset(multiprocessing.active_children())
        if self._workers > 1:
            context = multiprocessing.get_context("spawn")
            try:
                self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_start)
            except OSError as error:  # semaphores lie in shared memory
                raise ResourceError(
                    f"worker processes cannot be started: {error}",
                    remedy="--workers 1; or, in a container, more shared memory (--shm-size)",
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None and not issubclass(kind, Exception):  # a signal to end: nobody waits for what is under way
            for worker in set(multiprocessing.active_children()) - self._others:
                worker.terminate()
        self._pool.shutdown(cancel_futures=True)

    def each(
        self, function: Callable[[_Subject, _Piece], _Answer], subject: _Subject, pieces: Iterable[_Piece]
    ) -> Iterator[tuple[_Piece, _Answer]]:
        """`function(subject, piece)` for every piece; pairs of piece and answer in the order in which they are done.

        Args:
            function: of a module, so that workers find it.
            subject: the same for all pieces.
            pieces: taken only as fast as they are worked on.

        Raises:
            ResourceError: a worker was killed, most likely for want of memory.
        """
        if self._pool is None:
            for piece in pieces:
                yield piece, function(subject, piece)
            return
        try:
            yield from _spread(self._pool, function, subject, iter(pieces), _AHEAD * self._workers)
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process ended before its time",
                expected="enough memory for one decoded file in each of the "
                f"{self._workers} workers; in a script, `if __name__ == '__main__':` around the call",
                remedy="use fewer workers, or one",
            ) from error


def _spread(
    pool: ProcessPoolExecutor,
    function: Callable[[_Subject, _Piece], _Answer],
    subject: _Subject,
    pieces: Iterator[_Piece],
    ahead: int,
) -> Iterator[tuple[_Piece, _Answer]]:
    flight: dict[Future[_Answer], _Piece] = {}
    while True:
        flight |= {pool.submit(function, subject, piece): piece for piece in islice(pieces, ahead - len(flight))}
        if not flight:
            return
        for future in wait(flight, return_when=FIRST_COMPLETED).done:
            yield flight.pop(future), future.result()


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
