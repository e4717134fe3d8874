"""One trainer per run folder."""

import os

import pytest

from sfumato.errors import UsageError
from sfumato.training.lock import RunLock


def test_a_second_trainer_is_refused_with_the_pid_of_the_first(tmp_path):
    run = tmp_path / "run"
    with RunLock(run), pytest.raises(UsageError, match=rf"run: another process trains here \(pid {os.getpid()}\)"):
        RunLock(run).__enter__()
    with RunLock(run):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    child = os.fork()
    if child == 0:
        RunLock(tmp_path).__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / ".lock").read_text() == f"{child}\n"
    with RunLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
