"""What is said is no part of the work: lost readers, closed descriptors, full disks of logs."""

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfumato.commands.output.console import console
from sfumato.progress import bar, say
from sfumato.terminal import lasting_streams


def gone() -> int:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def hung_up() -> int:
    """A terminal that was closed."""
    master, slave = os.openpty()
    os.close(master)
    return slave


def full() -> int:
    """A device without room."""
    return os.open("/dev/full", os.O_WRONLY)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Make a descriptor both standard output and standard error."""
    opened = []

    def use(descriptor: int) -> None:
        for name in ("stdout", "stderr"):
            stream = open(os.dup(descriptor), "w", encoding="ascii")  # noqa: SIM115, PTH123
            monkeypatch.setattr(sys, name, stream)
            opened.append(stream)
        os.close(descriptor)

    yield use
    for stream in opened:
        stream.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such devices here")
@pytest.mark.parametrize("lost", [gone, hung_up, full])
def test_work_goes_on_without_a_reader(lost: Callable[[], int], streams: Callable[[int], None]) -> None:
    streams(lost())
    handler = logging.StreamHandler()
    with lasting_streams():
        for _ in range(3):
            say("a line of interest")
            console.print("[bold]bold")
            with bar("working", total=3) as shown:
                shown.update(1, note="x" * 20_000)
            sys.stdout.write("x" * 20_000)
            sys.stdout.flush()
            sys.stderr.writelines(["a", "b"])
            handler.stream = sys.stderr
            handler.emit(logging.LogRecord("x", 1, "x", 1, "x", (), None))
    sys.stdout.flush()  # as the interpreter does at its end
    sys.stderr.flush()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond a hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_result_in_a_file_must_arrive_and_a_log_need_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, log = tmp_path / "result.json", tmp_path / "log"
    with out.open("w") as result, log.open("w") as said:
        monkeypatch.setattr(sys, "stdout", result)
        monkeypatch.setattr(sys, "stderr", said)
        with lasting_streams():
            sys.stderr.write("x" * 20_000)
            sys.stderr.flush()
            with pytest.raises(OSError, match="File too large"):
                sys.stdout.write("x" * 20_000)
        result.flush()
    assert out.stat().st_size <= 100


def test_closed_descriptors_and_lost_readers_of_a_real_command(tmp_path: Path) -> None:
    """Its exit code is that of the work, and no file of it gets a number that others write to."""
    command = f"{sys.executable} -m sfumato toy --cases 2 --size 16 --json"
    for number, tail in enumerate(("| true", ">&- 2>&- <&-")):
        out = tmp_path / str(number)
        done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{command} {out} 2>&1 {tail}"], check=False)
        assert done.returncode == 0
        assert (out / "manifest.csv").is_file()
