"""Signals to end: saved or cleared up, told by the exit code; ignored ones stay ignored."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfumato.cli import main
from sfumato.errors import Stopped
from sfumato.experiment.output_folder import output_folder
from sfumato.experiment.run import Run
from sfumato.experiment.sharded_job import Shard, ShardedJob
from sfumato.training.signals import Terminated, ended_in_order, going_on_later, signals_to_stop

ENDING = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test does to them, the handlers are as before."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    after = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_to_end_clears_up(tmp_path: Path, number: int) -> None:
    with pytest.raises(Terminated) as ended, ended_in_order(), output_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        send(number)
    assert ended.value.exit_code == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", ENDING)
def test_its_exit_code(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "exists", lambda _: send(number))
    with pytest.raises(SystemExit) as ended:
        main(["info", str(tmp_path)])
    assert ended.value.code == 128 + number


def test_other_signals_do_not_disturb_the_clearing_up() -> None:
    cleared = False
    with pytest.raises(Terminated) as ended, ended_in_order():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGHUP)
            cleared = True
    assert cleared
    assert ended.value.number == signal.SIGTERM


def test_the_second_of_its_kind_ends_at_once() -> None:
    with pytest.raises(Terminated), ended_in_order():
        try:
            send(signal.SIGTERM)
        finally:
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop() -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_order(), signals_to_stop() as stopped:
            send(signal.SIGHUP)
            assert not stopped()
    finally:
        signal.signal(signal.SIGHUP, old)


def test_a_closed_terminal_is_a_signal_to_save() -> None:
    with ended_in_order(), signals_to_stop() as stopped:
        send(signal.SIGHUP)
        assert stopped()


def test_other_threads_are_left_alone() -> None:
    failed = []

    def work() -> None:
        try:
            with ended_in_order():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


def test_work_that_is_kept_ends_with_75(tmp_path: Path) -> None:
    work = ShardedJob(out=tmp_path / "out", asked={}, items=["a", "b"])
    told = pytest.raises(Stopped, match=r"stopped: .*out: 1 of 2 are finished.*the same command goes on")
    with told as stopped, ended_in_order(), work.share(Shard(0, 1)) as share:
        share.note("a")
        send(signal.SIGTERM)
    assert stopped.value.exit_code == 75
    assert list(work.finished()) == ["a"]


def test_ctrl_c_is_pythons_own() -> None:
    with pytest.raises(KeyboardInterrupt), ended_in_order(), going_on_later(lambda: "x"):
        send(signal.SIGINT)
