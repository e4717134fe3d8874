"""Killed at ten random moments and resumed, a run ends with the same bits as one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from sfumato.training import checkpoint

KILLS = 10


class Trainer:
    """The program `trainer.py` beside this file: one import, many lives."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def live(self, run: Path, *, kill_after: float | None = None) -> int:
        """Train in a fresh process, and kill it after some seconds if it is still there; its exit status."""
        self.process.stdin.write(f"{run}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline())


@contextmanager
def trainer() -> Iterator[Trainer]:
    command = [sys.executable, str(Path(__file__).with_name("trainer.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Trainer(process)
        process.stdin.close()


def assert_equal(run: Path, reference: Path) -> None:
    ours, theirs = (checkpoint.newest(folder / "checkpoints") for folder in (run, reference))
    assert ours.step == theirs.step
    for stem in ("model", "ema", "optimizer"):
        assert ours.tensors[stem].keys() == theirs.tensors[stem].keys()
        different = [
            name for name, value in theirs.tensors[stem].items() if not torch.equal(ours.tensors[stem][name], value)
        ]
        assert not different, stem
    assert (run / "log.jsonl").read_text() == (reference / "log.jsonl").read_text()
    assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


def test_ten_kills_at_random_moments_change_nothing(tmp_path):
    moments, reference = random.Random(7), tmp_path / "reference"
    found: list[int] = []  # the step that each kill left behind
    with trainer() as lives:
        began = time.perf_counter()
        assert lives.live(reference) == 0
        whole = time.perf_counter() - began
        for attempt in range(KILLS):
            run = tmp_path / str(attempt)
            while len(found) < KILLS and lives.live(run, kill_after=moments.uniform(0, whole / 3)) == -signal.SIGKILL:
                left = checkpoint.newest(run / "checkpoints")
                found.append(left.step if left else 0)
            assert lives.live(run) == 0
            assert_equal(run, reference)
            if len(found) == KILLS:
                break
    assert len(found) == KILLS
    assert len(set(found) - {0}) >= 3, f"the kills came too early to resume anything: {found}"
