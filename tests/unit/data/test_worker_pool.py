"""Worker processes: what ends them, and what is told."""

import errno
import multiprocessing
import signal
import time

import pytest

from sfumato.data import worker_pool as crews
from sfumato.data.worker_pool import WorkerPool
from sfumato.errors import ResourceError


def sleep(_: None, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_a_signal_to_end_does_not_wait_for_what_is_under_way() -> None:
    with pytest.raises(KeyboardInterrupt), WorkerPool(2) as pool:
        answers = pool.each(sleep, None, [0.0, 0.0, 30.0, 30.0])
        next(answers), next(answers)
        workers = multiprocessing.active_children()
        raise KeyboardInterrupt
    assert len(workers) == 2
    assert all(worker.exitcode == -signal.SIGTERM for worker in workers)


def test_an_error_waits_for_what_is_under_way() -> None:
    with pytest.raises(ZeroDivisionError), WorkerPool(2) as pool:
        next(pool.each(sleep, None, [0.0, 0.1]))
        workers = multiprocessing.active_children()
        _ = 1 / 0
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_processes_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their semaphores lie in /dev/shm."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(crews, "ProcessPoolExecutor", full)
    with pytest.raises(ResourceError, match="worker processes cannot be started") as refused, WorkerPool(2):
        pass
    assert "--shm-size" in refused.value.remedy
