"""A disk that fills up, refuses or is limited: the message, exit code 4, and everything that was there before."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sfumato import cli
from sfumato.commands import prepare, toy
from sfumato.errors import ResourceError
from sfumato.training import checkpoint

MB = 1 << 20
NETWORK = "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB of its own, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    toy.toy(folder / "toy", cases=12, size=16, classes=2, readers=1)
    prepare.prepare(folder / "toy", out=folder / "dataset", size="16")
    return folder / "dataset"


def save(folder: Path, step: int) -> None:
    """A checkpoint of 1 MB."""
    tensors = {"model": {"weight": torch.full((MB // 4,), float(step))}}
    checkpoint.save(folder, step=step, tensors=tensors, headers={}, state={"step": step})


def assert_two_are_left(folder: Path) -> None:
    assert checkpoint.newest(folder).step == 2
    assert not checkpoint.newest(folder).skipped
    assert sorted(path.name for path in folder.iterdir()) == ["last", "step-00000001", "step-00000002"]


def fill(disk: Path, *, leave: int) -> None:
    with (disk / "others").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - leave))


def test_a_disk_without_room_is_refused_and_then_goes_on(small_disk: Path) -> None:
    folder = small_disk / "checkpoints"
    for step in (1, 2):
        save(folder, step)
    fill(small_disk, leave=MB)
    with pytest.raises(ResourceError, match=r"disk is full, a checkpoint needs 1\.\d+ MB") as caught:
        save(folder, 3)
    assert caught.value.exit_code == 4
    assert_two_are_left(folder)
    (small_disk / "others").unlink()
    save(folder, 3)
    assert checkpoint.newest(folder).step == 3


@pytest.mark.parametrize("leave", [0, 4096, MB // 2, MB])
def test_a_disk_that_fills_up_while_a_checkpoint_is_written(small_disk: Path, monkeypatch, leave: int) -> None:
    """Someone else takes the room that was free when the checkpoint began."""
    folder = small_disk / "checkpoints"
    for step in (1, 2):
        save(folder, step)
    fill(small_disk, leave=leave)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * MB))
        with pytest.raises(ResourceError, match="disk is full"):
            save(folder, 3)
    assert_two_are_left(folder)


def test_a_limit_on_the_size_of_a_file_is_told(tmp_path: Path) -> None:
    """What a quota does, for those who may not mount anything."""
    for step in (1, 2):
        save(tmp_path, step)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MB // 2, MB // 2))
        try:
            save(tmp_path, 3)
        except ResourceError as error:
            told = "larger than files may be here" in str(error) and "524,288" in str(error)
            os._exit(error.exit_code if told else 9)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    assert_two_are_left(tmp_path)


def train(dataset: Path, out: Path, capsys: pytest.CaptureFixture[str], *, steps: int = 12) -> tuple[int, str]:
    """The command; exit code and what it said."""
    words = ["train", "segment", str(dataset), "--out", str(out), "--steps", str(steps), "--batch", "4"]
    words += ["--set", NETWORK, "--set", "checkpoint.every_steps=2", "--set", "validate.every_steps=90000"]
    capsys.readouterr()
    try:
        cli.main(words)
    except SystemExit as end:
        return int(end.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


def test_training_on_a_disk_that_is_full_says_so_and_goes_on_later(small_disk: Path, dataset: Path, capsys) -> None:
    run = small_disk / "run"
    fill(small_disk, leave=MB + MB // 2)
    code, said = train(dataset, run, capsys)
    assert code == 4 and "the disk is full" in said and "Traceback" not in said
    left = checkpoint.newest(run / "checkpoints")
    assert not list(run.rglob(".staging*"))
    (small_disk / "others").unlink()
    code, said = train(dataset, run, capsys)
    assert code == 0 and checkpoint.newest(run / "checkpoints").step == 12
    assert left is None or f"resuming {run} at step {left.step}" in said


@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_that_cannot_be_written_is_said(small_disk: Path, dataset: Path, capsys, begun: bool) -> None:
    run = small_disk / "run"
    if begun:
        assert train(dataset, run, capsys, steps=4)[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, said = train(dataset, run, capsys)
    assert code == 4 and "Read-only file system" in said and str(run) in said and "Traceback" not in said
    if begun:
        assert checkpoint.newest(run / "checkpoints").step == 4
