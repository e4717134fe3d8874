"""A run with an adversary: one backward pass, two optimisers, and the same mathematics however it is cut or resumed."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.errors import ModelError
from sfumato.training import checkpoint
from sfumato.training.adversary import DISCRIMINATOR, OPTIMIZER, WEIGHTS, Adversary
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.gradient import Loss
from sfumato.training.loop import Diverged, Progress, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState

ROWS = 13
IMAGES = torch.randn(ROWS, 3, 6, 6, generator=torch.Generator().manual_seed(1))
STREAM = DataOrder(tuple(range(ROWS)), batch=8, seed=5)
SETTINGS = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.05)
FACTOR = 0.2


def small(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Dropout(0.2), nn.Conv2d(8, 3, 1))


def make(*, adversary: bool = True) -> TrainingState:
    network, rival = small(0), small(1)
    parts = TrainingState(network, EMA(network, half_life=60.0), make_optimizer(network, learning_rate=0.01))
    if adversary:
        optimizer = make_optimizer(rival, learning_rate=0.01, factors={"*": FACTOR})
        parts.adversary = Adversary(rival, optimizer)
    return parts


def plain(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    images = IMAGES[list(batch.rows)]
    return {"loss": (network(images) - images).square().mean((1, 2, 3))}


def game(parts: TrainingState, *, weight: float = 0.3, scale: float = 1.0) -> Loss:
    """The network copies images, the adversary its copies; `weight` of how well it does counts for the network."""
    assert parts.adversary is not None
    rival = parts.adversary.network

    def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        images = IMAGES[list(batch.rows)]
        copy = network(images)
        fixed = {name: value.detach() for name, value in rival.named_parameters()}
        term = torch.func.functional_call(rival, fixed, (copy,)).square().mean((1, 2, 3))
        own = (rival(copy.detach()) - images).square().mean((1, 2, 3))
        return {"loss": (copy - images).square().mean((1, 2, 3)) + weight * term, DISCRIMINATOR: scale * own}

    return loss


def run(parts: TrainingState, loss: Loss, steps: int = 10, settings: TrainingSettings = SETTINGS) -> list[Progress]:
    return list(training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=steps), settings=settings))


def same(first: TrainingState, second: TrainingState, *, stems: tuple[str, ...] = ()) -> bool:
    mine, theirs = first.tensors(), second.tensors()
    return all(torch.equal(mine[stem][name], theirs[stem][name]) for stem in stems or mine for name in mine[stem])


def test_it_learns_beside_the_network_and_is_clipped_by_its_own_norm() -> None:
    quiet, loud = make(), make()
    told = run(quiet, game(quiet), steps=80)
    assert told[-1].terms[DISCRIMINATOR] < 0.9 * told[0].terms[DISCRIMINATOR]
    assert run(loud, game(loud, scale=1e4), steps=1)[0].gradient_norm == told[0].gradient_norm


def test_the_network_is_trained_as_if_alone_where_it_is_not_judged() -> None:
    """Gradients, clipping, dropout and averages of the network are those of a run without an adversary."""
    judged, alone = make(), make(adversary=False)

    def unjudged(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return {**plain(network, batch), DISCRIMINATOR: game(judged)(network, batch)[DISCRIMINATOR]}

    told, expected = run(judged, unjudged), run(alone, plain)
    assert [each.gradient_norm for each in told] == [each.gradient_norm for each in expected]
    assert same(alone, judged)
    assert not same(judged, make(), stems=(WEIGHTS,)), "the adversary has learned meanwhile"


def test_its_update_is_that_of_its_own_optimiser() -> None:
    """The first step of Adam is the rate, here its factor on that of the first of four steps of warm-up."""
    parts, before = make(), small(1)
    run(parts, game(parts), steps=1)
    assert parts.adversary is not None
    pairs = zip(parts.adversary.network.parameters(), before.parameters(), strict=True)
    moved = [(new - old).abs().max().item() for new, old in pairs]
    assert moved == pytest.approx([FACTOR * 0.01 / 4] * len(moved), rel=1e-3)


@pytest.mark.parametrize("stop", [1, 6])
def test_a_resumed_run_has_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole, first, second = make(), make(), make()
    expected = run(whole, game(whole))
    for progress in training_loop(first, game(first), STREAM, until=StoppingCriterion(steps=10), settings=SETTINGS):
        if progress.step == stop:
            break
    checkpoint.save(tmp_path, step=first.step, tensors=first.tensors(), headers={}, state=first.state())
    found = checkpoint.newest(tmp_path)
    assert found is not None and {WEIGHTS, OPTIMIZER} <= found.tensors.keys()
    second.restore(found)
    told = run(second, game(second))
    assert [each.terms for each in told] == [each.terms for each in expected[stop:]]
    assert same(second, whole)


def test_a_checkpoint_without_an_adversary_is_not_one_with(tmp_path: Path) -> None:
    alone = make(adversary=False)
    checkpoint.save(tmp_path, step=0, tensors=alone.tensors(), headers={}, state=alone.state())
    found = checkpoint.newest(tmp_path)
    assert found is not None
    with pytest.raises(ModelError, match="adversary"):
        make().restore(found)


def test_pieces_are_the_same_mathematics() -> None:
    whole, pieces = make(), make()
    for parts, settings in ((whole, SETTINGS), (pieces, TrainingSettings(**{**vars(SETTINGS), "accumulate": 4}))):
        for network, _ in parts.trained():
            network[2].p = 0.0  # each piece draws its own dropout
        run(parts, game(parts), settings=settings)
    for stem in ("model", WEIGHTS):
        for name, tensor in whole.tensors()[stem].items():
            torch.testing.assert_close(pieces.tensors()[stem][name], tensor, rtol=1e-5, atol=1e-6)


def test_a_broken_adversary_stops_the_run_before_the_network_is_touched() -> None:
    parts = make()

    def broken(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = dict(game(parts)(network, batch))
        return {**terms, DISCRIMINATOR: terms[DISCRIMINATOR] * (torch.nan if batch.step == 2 else 1)}

    with pytest.raises(Diverged) as told:
        run(parts, broken)
    assert told.value.step == 2 and parts.step == 2
    assert all(weight.isfinite().all() for network, _ in parts.trained() for weight in network.parameters())
