"""When one process fails, all end within seconds, and one of them says which it was, and why."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sfumato.errors import DataError, Stopped
from sfumato.training import watchdog
from sfumato.training.processes import add_up, any_of, gather_rows, process_group, smallest, wait_for_all

from .forks import Outcome, together

WORLD = 3


def steps(count: int) -> None:
    for _ in range(count):
        add_up([], torch.ones(1))
        time.sleep(0.01)


def working(fault: Callable[[], object], *, patience: float = 60.0) -> Callable[[int], None]:
    """Work in which process 1 has a fault."""

    def work(rank: int) -> None:
        watchdog.BEAT = 0.2
        with process_group(patience=patience):
            steps(3)
            if rank == 1:
                fault()
            steps(10_000)

    return work


def raising(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def last_lines(done: list[Outcome]) -> list[str]:
    """What each process said of a failure."""
    return [line for each in done for line in each.said.splitlines() if "failed:" in line]


def test_an_error_ends_all_with_its_exit_code_and_the_others_are_silent(tmp_path: Path) -> None:
    began = time.monotonic()
    done = together(tmp_path, working(raising(DataError("a.png: cut"))))
    assert [each.code for each in done] == [3, 3]
    assert done[0].said == "" and "a.png: cut" in done[1].said
    assert time.monotonic() - began < 10


def test_also_while_the_others_wait_for_one_that_works_for_all(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        watchdog.BEAT = 0.2
        with process_group():
            if rank == 1:
                raise ValueError("boom")
            wait_for_all()

    done = together(tmp_path, work, world=WORLD)
    assert [each.code for each in done] == [1, 1, 1]
    assert [each.said == "" for each in done] == [True, False, True]


def test_a_killed_process_is_named_by_one_of_the_others(tmp_path: Path) -> None:
    done = together(tmp_path, working(lambda: os.kill(os.getpid(), signal.SIGKILL)), world=WORLD)
    assert [each.code for each in done] == [1, -signal.SIGKILL, 1]
    assert len(last_lines(done)) == 1 and "process 1 of 3" in last_lines(done)[0] and "killed" in last_lines(done)[0]
    assert {each.said.strip().splitlines()[-1] for each in done if each.said} == set(last_lines(done))


def test_a_killed_process_that_keeps_the_store_is_named(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        watchdog.BEAT = 0.2
        with process_group():
            steps(3)
            if rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            steps(10_000)

    done = together(tmp_path, work)
    assert [each.code for each in done] == [-signal.SIGKILL, 1]
    assert "process 0 of 2" in done[1].said.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("fault", "told"),
    [(lambda: time.sleep(600), "it hangs"), (lambda: os.kill(os.getpid(), signal.SIGSTOP), "stopped")],
)
def test_a_process_that_hangs_is_named_after_the_patience(
    tmp_path: Path, fault: Callable[[], object], told: str
) -> None:
    def work(rank: int) -> None:
        if rank == 1 and told == "stopped":  # nothing wakes it but its parent, which waits for it
            parent = os.fork()
            if parent:
                time.sleep(6)
                os.kill(parent, signal.SIGKILL)
                os.waitpid(parent, 0)
                return
        working(fault, patience=1.5)(rank)

    done = together(tmp_path, work)
    assert done[0].code == 1
    (line,) = last_lines(done)
    assert "process 1 of 2" in line and told in line


def test_uneven_work_cannot_hang(tmp_path: Path) -> None:
    """One process comes to its end, the others would wait for ever."""

    def work(rank: int) -> None:
        watchdog.BEAT = 0.2
        with process_group(patience=1.5):
            steps(3 + rank)

    done = together(tmp_path, work)
    assert [each.code for each in done] == [1, 1]
    (line,) = last_lines(done)
    assert "process 0 of 2" in line and "came to the end" in line


def test_stopping_is_no_failure_and_the_first_has_time_to_save(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        watchdog.BEAT = 0.1
        with process_group():
            steps(3)
            if rank == 0:
                time.sleep(1.0)
                (tmp_path / "saved").touch()
            raise Stopped("stopped after saving")

    done = together(tmp_path, work)
    assert [each.code for each in done] == [75, 75] and not last_lines(done)
    assert (tmp_path / "saved").exists()


def test_what_processes_tell_each_other(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with process_group():
            gradient = torch.full((2, 2), float(rank))
            assert add_up([gradient], torch.tensor([1.0, rank])).tolist() == [3.0, 3.0]
            assert gradient.tolist() == [[3.0, 3.0]] * 2
            assert any_of(rank == 2) and not any_of(False)
            assert smallest(7 - rank) == 5
            assert gather_rows([rank, 10 - rank]) == [0, 1, 2, 8, 9, 10]
            wait_for_all()

    done = together(tmp_path, work, world=WORLD)
    assert [each.code for each in done] == [0] * WORLD, done


def test_processes_that_do_not_find_each_other_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.training.processes.PATIENCE", 1.0)

    def work(rank: int) -> None:
        if rank == 0:
            with process_group():
                pass

    done = together(tmp_path, work)
    assert done[0].code == 4 and "2 processes cannot meet at 127.0.0.1" in done[0].said
