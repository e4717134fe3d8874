"""One process at a time works in a folder."""

import os

import pytest

from sfumato.errors import UsageError
from sfumato.lock import FolderLock


def test_a_second_trainer_is_refused_with_the_pid_of_the_first(tmp_path):
    run = tmp_path / "run"
    finding = rf"run: another process trains here \(pid {os.getpid()}\)"
    with FolderLock(run, work="trains"), pytest.raises(UsageError, match=finding):
        FolderLock(run, work="trains").__enter__()
    with FolderLock(run, work="trains"):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    child = os.fork()
    if child == 0:
        FolderLock(tmp_path, work="trains").__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / ".lock").read_text() == f"{child}\n"
    with FolderLock(tmp_path, work="trains"):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
