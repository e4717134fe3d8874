"""Train a small network under `torchrun`, as the test beside this file does alone; process 0 saves what came out."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sfumato.training import checkpoint
from sfumato.training.adversary import DISCRIMINATOR, Adversary
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import Diverged, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.processes import process_group, rank

IMAGES = torch.randn(23, 3, 6, 6, generator=torch.Generator().manual_seed(1))
STREAM = DataOrder(tuple(range(23)), batch=7, seed=5)
SETTINGS = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, accumulate=2)
POISONED = 11
RIVAL = nn.Conv2d(3, 4, 3)


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    error = (network(IMAGES[list(batch.rows)]) - 1).square().mean((1, 2, 3))
    rival = (RIVAL(IMAGES[list(batch.rows)]) - 2).square().mean((1, 2, 3))
    return {"loss": error, "error": error.detach().sqrt(), DISCRIMINATOR: rival}


def poisoned(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    poison = torch.tensor([torch.nan if row == POISONED else 1.0 for row in batch.rows])
    return {name: term * poison for name, term in loss(network, batch).items()}


def trained() -> tuple[TrainingState, list[Mapping[str, float]], list[int]]:
    """The parts after twelve steps, the loss terms of each step, and the rows that stopped a poisoned run after it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 3, 1)).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, learning_rate=0.01, factors={"0.bias": 0, "2.*": 0.5})
    parts = TrainingState(network, EMA(network, half_life=60.0), optimizer, further=(EMA(network, width=0.1),))
    RIVAL.load_state_dict({"weight": torch.ones(4, 3, 3, 3) / 9, "bias": torch.zeros(4)})
    parts.adversary = Adversary(RIVAL, make_optimizer(RIVAL, learning_rate=0.01))
    terms = [
        told.terms for told in training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=12), settings=SETTINGS)
    ]
    try:
        list(training_loop(parts, poisoned, STREAM, until=StoppingCriterion(steps=20), settings=SETTINGS))
    except Diverged as error:
        return parts, terms, list(error.rows)
    return parts, terms, []


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group():
        parts, terms, rows = trained()
        out = Path(sys.argv[1])
        (out / f"rank{rank()}.json").write_text(json.dumps({"terms": terms, "rows": rows, "step": parts.step}))
        if rank() == 0:
            checkpoint.save(out, step=parts.step, tensors=parts.tensors(), headers={}, state=parts.state())
