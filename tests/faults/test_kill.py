"""Killed and stopped at random moments and resumed, a run ends with the weights of one that was left alone.

`--kills 50` is the whole test: 50 SIGKILLs and 10 SIGTERMs for each way to run.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from sfumato.training import checkpoint

STEMS = ("model", "ema", "optimizer")


class Trainer:
    """The program `trainer.py` beside this file: one import, many lives."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def live(
        self, run: Path, *, world: int, dropout: float, end: Callable[[Sequence[int]], None] | None = None
    ) -> list[int]:
        """Train in fresh processes until `end`, given their ids, has ended them or they are done; their exit codes."""
        self.process.stdin.write(f"{run} {world} {dropout}\n")
        self.process.stdin.flush()
        children = [int(child) for child in self.process.stdout.readline().split()]
        if end is not None:
            end(children)
        return [int(code) for code in self.process.stdout.readline().split()]


@contextmanager
def trainer() -> Iterator[Trainer]:
    command = [sys.executable, str(Path(__file__).with_name("trainer.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Trainer(process)
        process.stdin.close()


def struck(moments: random.Random, number: signal.Signals, within: float) -> Callable[[Sequence[int]], None]:
    """Sends a signal at a random moment, to one process or to all of them."""

    def end(children: Sequence[int]) -> None:
        time.sleep(moments.uniform(0, within))
        hit = children if moments.random() < 0.5 else [moments.choice(children)]
        for child in hit:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    return end


def assert_equal(run: Path, reference: Path, *, tolerance: float) -> None:
    ours, theirs = (checkpoint.newest(folder / "checkpoints") for folder in (run, reference))
    assert ours.step == theirs.step
    for stem in STEMS:
        assert ours.tensors[stem].keys() == theirs.tensors[stem].keys()
        for name, value in theirs.tensors[stem].items():
            torch.testing.assert_close(ours.tensors[stem][name], value, rtol=tolerance, atol=tolerance, msg=name)
    logs = [(folder / "log.jsonl").read_text() for folder in (run, reference)]
    if tolerance == 0:
        assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == len(logs[1].splitlines())
    assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("worlds", "dropout", "tolerance"),
    [((1,), 0.2, 0.0), ((2,), 0.0, 1e-6), ((1, 2), 0.0, 1e-6)],
    ids=["one process", "two processes", "one and two in turn"],
)
def test_kills_and_signals_at_random_moments_change_nothing(
    tmp_path: Path, kills: int, worlds: tuple[int, ...], dropout: float, tolerance: float
) -> None:
    """For two processes the reference is a run of one, whose dropout masks would be others."""
    moments, reference = random.Random(7), tmp_path / "reference"
    wanted = Counter({signal.SIGKILL: kills, signal.SIGTERM: kills // 5})
    struck_at, while_saving, attempt = list[int](), 0, 0
    with trainer() as lives:
        began = time.perf_counter()
        assert lives.live(reference, world=1, dropout=dropout) == [0]
        whole = time.perf_counter() - began
        while wanted.total():
            attempt += 1
            run, ended = tmp_path / str(attempt), False
            while wanted.total() and not ended:
                number = moments.choice(sorted(wanted.elements()))
                codes = lives.live(
                    run, world=moments.choice(worlds), dropout=dropout, end=struck(moments, number, whole / 3)
                )
                ended = set(codes) == {0}
                assert set(codes) <= {0, 1, 75, -signal.SIGKILL, -signal.SIGTERM}, codes
                if not ended:
                    wanted[number] -= 1
                    left = checkpoint.newest(run / "checkpoints")
                    struck_at.append(left.step if left else 0)
                    assert left is None or not left.skipped
                    while_saving += any(path.name.startswith(".") for path in (run / "checkpoints").glob(".*"))
            assert set(lives.live(run, world=moments.choice(worlds), dropout=dropout)) == {0}
            assert_equal(run, reference, tolerance=tolerance)
    print(f"{len(struck_at)} signals at {len(set(struck_at))} steps of {attempt} runs, {while_saving} while saving")
    assert len(set(struck_at) - {0}) >= min(kills // 2, 5), f"they came too early to resume anything: {struck_at}"
    assert kills < 50 or while_saving >= 3
