"""A trainer to be killed: imports once, then forks fresh processes for each life.

Reads one life per line on stdin: a run folder, a number of processes and a probability of dropout. It forks so many
children, which join each other, resume the newest checkpoint, train on and save every second step; it prints their
process ids in one line and, when all have ended, their exit codes in another.
"""

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
import torch._dynamo  # optimisers import it at their first step, which would take each life two seconds
from torch import Tensor, nn

from sfumato.errors import Stopped
from sfumato.lock import FolderLock
from sfumato.randomness import Noise, derive_seed
from sfumato.training import checkpoint, watchdog
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.log import Log
from sfumato.training.loop import Progress, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.processes import process_group, rank, wait_for_all
from sfumato.training.signals import signals_to_stop

STEPS, SAVE_EVERY = 120, 2
GRACE = 15.0
"""Seconds that processes have to end by themselves when one of them has failed."""

IMAGES = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """A denoising loss: noise from (step, slot), dropout from torch's generator."""
    clean = IMAGES[list(batch.rows)]
    noise = Noise([derive_seed(0, "noise", batch.step, slot) for slot in batch.slots]).normal(clean)
    return {"loss": (network(clean + noise) - clean).square().mean((1, 2, 3))}


def live(run: Path, dropout: float) -> None:
    """Train from the newest checkpoint to the end, or to a signal."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
    network = nn.Sequential(first, nn.SiLU(), nn.Dropout(dropout), last)
    parts = TrainingState(network, EMA(network, half_life=200.0), make_optimizer(network, learning_rate=0.01))
    with (
        process_group(),
        FolderLock(run, work="trains") if rank() == 0 else nullcontext(),
        signals_to_stop() as stopped,
    ):
        found = checkpoint.newest(run / "checkpoints")
        if found:
            parts.restore(found)
        wait_for_all()
        data_order, settings = (
            DataOrder(tuple(range(50)), batch=8, seed=2),
            TrainingSettings(learning_rate=0.01, accumulate=2),
        )
        log = Log(run / "log.jsonl", step=parts.step) if rank() == 0 else None
        for progress in training_loop(
            parts, loss, data_order, until=StoppingCriterion(steps=STEPS), settings=settings, stopping=stopped
        ):
            time.sleep(0.005)
            if log is not None:
                note_down(progress, run, parts, log)
            if progress.stopping:
                raise Stopped(f"stopped after step {progress.step}")


def note_down(progress: Progress, run: Path, parts: TrainingState, log: Log) -> None:
    """A line of the log, and perhaps a checkpoint."""
    log.write({"step": progress.step, **progress.terms, "gradient_norm": progress.gradient_norm})
    if progress.step % SAVE_EVERY == 0 or progress.stopping:
        tensors, state = parts.tensors(), parts.state()
        checkpoint.save(run / "checkpoints", step=parts.step, tensors=tensors, headers={}, state=state)


def born(number: int, world: int, port: int, run: Path, dropout: float) -> int:
    """Fork process `number` of a life; its process id."""
    child = os.fork()
    if child:
        return child
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    watchdog.BEAT = 0.1
    code = 0
    try:
        live(run, dropout)
    except Stopped as error:
        code = error.exit_code
    except SystemExit as error:
        code = int(error.code or 0)
    os._exit(code)


def buried(children: Sequence[int]) -> list[int]:
    """The exit codes; as launchers do, end who is left some time after the first has failed.

    Who waits for a process that died before they met would wait for minutes.
    """
    codes: dict[int, int] = {}
    late = math.inf
    while len(codes) < len(children):
        for child in children:
            if child not in codes and (ended := os.waitpid(child, os.WNOHANG))[0]:
                codes[child] = os.waitstatus_to_exitcode(ended[1])
        if any(codes.values()) and late == math.inf:
            late = time.monotonic() + GRACE
        if time.monotonic() > late:
            for child in set(children) - codes.keys():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [codes[child] for child in children]


def main() -> None:
    """Fork a life for each line of stdin."""
    for line in sys.stdin:
        run, world, dropout = line.split()
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
        children = [born(number, int(world), port, Path(run), float(dropout)) for number in range(int(world))]
        print(*children, flush=True)
        print(*buried(children), flush=True)


if __name__ == "__main__":
    main()
