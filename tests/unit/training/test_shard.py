"""A network that is shared out over two processes is trained like a whole one, and its checkpoints are whole."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sfumato.training import checkpoint
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.processes import process_group, rank
from sfumato.training.shard import is_sharded, shard

from .forks import together

IMAGES = torch.randn(23, 3, 6, 6, generator=torch.Generator().manual_seed(1))
STREAM = DataOrder(tuple(range(23)), batch=7, seed=5)
HALF, WHOLE = 6, 12


class Residual(nn.Module):
    """Blocks in a list, as networks keep them, and a gain without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 7, 3, padding=1)
        self.blocks = nn.ModuleList([nn.Sequential(nn.SiLU(), nn.Conv2d(7, 7, 3, padding=1)) for _ in range(2)])
        self.tail = nn.Conv2d(7, 3, 1)
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.idle = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        for block in self.blocks:
            h = h + self.gain * block(h)
        return self.tail(h)


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    error = (network(IMAGES[list(batch.rows)]) - 1).square().mean((1, 2, 3))
    return {"loss": error, "error": error.detach().sqrt()}


def make(*, sharded: bool) -> TrainingState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Residual().to(memory_format=torch.channels_last)
    averages = [EMA(network, half_life=60.0), EMA(network, width=0.1)]
    if sharded:
        for each in (network, *(average.network for average in averages)):
            shard(each)
    optimizer = make_optimizer(network, learning_rate=0.01, weight_decay=0.1)
    return TrainingState(network, averages[0], optimizer, further=tuple(averages[1:]))


def trained(folder: Path, *, sharded: bool, steps: int, accumulate: int = 1) -> list[float]:
    """Train on from the newest checkpoint, in this process or those that have joined; the gradient norms."""
    parts = make(sharded=sharded)
    found = checkpoint.newest(folder)
    if found:
        parts.restore(found)
    settings = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, accumulate=accumulate)
    norms = []
    for told in training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=WHOLE), settings=settings):
        norms.append(told.gradient_norm)
        if told.step == steps:
            break
    tensors = parts.tensors()
    if rank() == 0:
        checkpoint.save(folder, step=parts.step, tensors=tensors, headers={}, state=parts.state())
    return norms


def shared_out(folder: Path, tmp_path: Path, *, steps: int, accumulate: int = 1) -> None:
    def work(number: int) -> None:
        with process_group():
            norms = trained(folder, sharded=True, steps=steps, accumulate=accumulate)
            (tmp_path / f"norms{number}").write_text(" ".join(map(repr, norms)))

    assert [done.code for done in together(tmp_path, work)] == [0, 0], (tmp_path / "rank0.txt").read_text()


def assert_close(folder: Path, reference: Path) -> None:
    ours, theirs = checkpoint.newest(folder), checkpoint.newest(reference)
    assert ours.step == theirs.step == WHOLE
    for stem in ("model", "ema", "ema-2", "optimizer"):
        assert ours.tensors[stem].keys() == theirs.tensors[stem].keys()
        for name, tensor in theirs.tensors[stem].items():
            torch.testing.assert_close(ours.tensors[stem][name], tensor, rtol=1e-5, atol=1e-6, msg=f"{stem} {name}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("alone")
    return folder, trained(folder, sharded=False, steps=WHOLE)


@pytest.mark.parametrize("accumulate", [1, 2, 4])  # of 7 samples one process has 3: more pieces than that for neither
def test_two_processes_that_share_a_network_train_it_like_one(alone, tmp_path, accumulate):
    folder, norms = alone
    shared_out(tmp_path / "shared", tmp_path, steps=WHOLE, accumulate=accumulate)
    assert_close(tmp_path / "shared", folder)
    for number in (0, 1):
        told = [float(norm) for norm in (tmp_path / f"norms{number}").read_text().split()]
        assert told == pytest.approx(norms, rel=1e-5)


@pytest.mark.parametrize("first_shared", [True, False])
def test_a_run_goes_on_with_another_number_of_processes_shared_out_or_not(alone, tmp_path, first_shared):
    folder = tmp_path / "run"
    for shared, steps in ((first_shared, HALF), (not first_shared, WHOLE)):
        if shared:
            shared_out(folder, tmp_path, steps=steps)
        else:
            trained(folder, sharded=False, steps=steps)
    assert_close(folder, alone[0])


def test_each_process_holds_a_part_of_everything(tmp_path):
    def work(number: int) -> None:
        with process_group():
            parts = make(sharded=True)
            list(training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=1), settings=TrainingSettings()))
            assert is_sharded(parts.network)
            weights = [parts.network.tail.weight, parts.ema.network.tail.weight]
            weights += [parts.optimizer.state[parts.network.tail.weight]["exp_avg"], parts.network.blocks[0][1].weight]
            assert all(isinstance(weight, DTensor) for weight in weights)
            assert all(weight.to_local().numel() < 0.7 * weight.numel() for weight in weights)

    for done in together(tmp_path, work):
        assert done.code == 0, done.said
