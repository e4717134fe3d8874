"""A trainer to be killed: imports once, then forks a fresh process for each life.

Reads one run folder per line on stdin. For each it forks a child that takes the run's lock, resumes the newest
checkpoint, trains on and saves every three steps; it prints the child's process id and, at its end, the exit status.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
import torch._dynamo  # optimisers import it at their first step, which would take each life two seconds
from torch import Tensor, nn

from sfumato.diffusion.process import Noise, derive_seed
from sfumato.lock import FolderLock
from sfumato.training import checkpoint
from sfumato.training.ema import EMA
from sfumato.training.log import Log
from sfumato.training.loop import Parts, Settings, Until, train
from sfumato.training.optimizer import make_optimizer
from sfumato.training.stream import Batch, Stream

STEPS, SAVE_EVERY = 120, 3
IMAGES = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """A denoising loss: noise from (step, slot), dropout from torch's generator."""
    clean = IMAGES[list(batch.rows)]
    noise = Noise([derive_seed(0, "noise", batch.step, slot) for slot in batch.slots]).normal(clean)
    return {"loss": (network(clean + noise) - clean).square().mean((1, 2, 3))}


def live(run: Path) -> None:
    """Train from the newest checkpoint to the end."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Dropout(0.2), nn.Conv2d(8, 1, 3, padding=1))
    parts = Parts(network, EMA(network, half_life=200.0), make_optimizer(network, learning_rate=0.01))
    with FolderLock(run, work="trains"):
        found = checkpoint.newest(run / "checkpoints")
        if found:
            parts.restore(found)
        stream, settings = Stream(tuple(range(50)), batch=8, seed=2), Settings(learning_rate=0.01, accumulate=2)
        with Log(run / "log.jsonl", step=parts.step) as log:
            for progress in train(parts, loss, stream, until=Until(steps=STEPS), settings=settings):
                time.sleep(0.005)
                log.write({"step": progress.step, **progress.terms, "gradient_norm": progress.gradient_norm})
                if progress.step % SAVE_EVERY == 0:
                    save(run, parts)


def save(run: Path, parts: Parts) -> None:
    """One checkpoint."""
    checkpoint.save(run / "checkpoints", step=parts.step, tensors=parts.tensors(), headers={}, state=parts.state())


def main() -> None:
    """Fork a life for each line of stdin."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            live(Path(line.strip()))
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
