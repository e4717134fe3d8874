"""One process at a time works in a folder."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.lock import FolderLock

HOLD = """
import sys, time
from pathlib import Path
from sfumato.lock import FolderLock

with FolderLock(Path(sys.argv[1]), work="trains", wait=len(sys.argv) > 2):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def holding(folder: Path, *options: str):
    """A process that holds the folder, or waits for it, and never gives it up."""
    command = [sys.executable, "-c", HOLD, str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def holds(process: subprocess.Popen[str]) -> bool:
    """Wait until it does."""
    assert process.stdout is not None
    return process.stdout.readline() == "held\n"


def refused(pid: int) -> str:
    return rf"another process trains here \(pid {pid}\)"


def test_a_second_trainer_is_refused_with_the_pid_of_the_first(tmp_path):
    run = tmp_path / "run"
    for _ in range(2):  # asking for it takes nothing away from the one who has it
        with FolderLock(run, work="trains"), pytest.raises(UsageError, match=f"run: {refused(os.getpid())}"):
            FolderLock(run, work="trains").__enter__()
    with FolderLock(run, work="trains"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    with holding(tmp_path) as holder:
        assert holds(holder)
        for _ in range(2):
            with pytest.raises(UsageError, match=refused(holder.pid)):
                FolderLock(tmp_path, work="trains").__enter__()
    with FolderLock(tmp_path, work="trains"), pytest.raises(UsageError, match=refused(os.getpid())):
        FolderLock(tmp_path, work="trains").__enter__()


def test_who_waits_gets_it_when_it_is_free(tmp_path):
    with holding(tmp_path) as holder:
        assert holds(holder)
        with holding(tmp_path, "wait") as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(2)
            holder.kill()
            assert holds(waiting)
            with pytest.raises(UsageError, match=refused(waiting.pid)):
                FolderLock(tmp_path, work="trains").__enter__()


def test_a_folder_that_is_removed_takes_its_lock_along(tmp_path):
    with FolderLock(tmp_path / "run", work="trains") as lock:
        (tmp_path / "run" / "deep").mkdir()
        lock.remove_folder()
        assert not (tmp_path / "run").exists()
        with FolderLock(tmp_path / "run", work="trains"):
            pass


def test_a_disk_without_room_for_the_note_locks_all_the_same(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sfumato.lock.write_atomic", full)
    with FolderLock(tmp_path, work="trains"), pytest.raises(UsageError, match="pid unknown"):
        FolderLock(tmp_path, work="trains").__enter__()
