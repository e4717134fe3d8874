"""Weight decay, rates of their own and frozen parameters, and the optimiser's state by name."""

from collections.abc import Mapping
from itertools import islice
from math import inf

import pytest
import torch
from torch import Tensor, nn

from sfumato.errors import ModelError, UsageError
from sfumato.training import checkpoint
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import factors_of, make_optimizer, optimizer_tensors, restore_optimizer, set_rate
from sfumato.training.parts import TrainingState


def test_only_matrices_decay():
    network = nn.Sequential(nn.Linear(3, 3), nn.GroupNorm(1, 3))
    optimizer = make_optimizer(network, learning_rate=0.1, weight_decay=0.5)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in network.named_parameters():
        factor = 0.95 if name == "0.weight" else 1.0
        torch.testing.assert_close(weight.detach(), before[name] * factor)


def stepped(seed: int, *, frozen: bool = False) -> tuple[nn.Module, torch.optim.Optimizer]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 3)).to(memory_format=torch.channels_last)
        network[0].bias.requires_grad_(not frozen)
        optimizer = make_optimizer(network, learning_rate=0.1)
        network(torch.randn(2, 4, 8, 8)).square().sum().backward()
    optimizer.step()
    return network, optimizer


def test_state_goes_round_in_the_layout_of_the_weights():
    network, optimizer = stepped(0)
    tensors = {name: value.contiguous().clone() for name, value in optimizer_tensors(network, optimizer).items()}
    other, restored = stepped(1)
    restore_optimizer(other, restored, tensors)
    assert tensors.keys() == optimizer_tensors(other, restored).keys()
    for name, value in optimizer_tensors(other, restored).items():
        assert torch.equal(value, tensors[name]), name
    moment = restored.state[other[0].weight]["exp_avg"]
    assert moment.stride() == other[0].weight.stride()


def test_state_of_a_parameter_that_is_not_trained_is_refused():
    network, optimizer = stepped(0)
    other, restored = stepped(0, frozen=True)
    with pytest.raises(ModelError, match=r"0\.bias"):
        restore_optimizer(other, restored, optimizer_tensors(network, optimizer))


# --- which parameters follow which rate


def layers() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        )


def by_name(network: nn.Module, patterns: Mapping[str, float]) -> dict[str, float]:
    names = [name for name, _ in network.named_parameters()]
    return dict(zip(names, [factor for _, factor in factors_of(network, patterns)], strict=True))


def test_the_first_pattern_that_matches_counts():
    found = by_name(layers(), {"*.bias": 0.5, "2.*": 0, "[03].*": 0.1})
    assert found == {
        "0.weight": 0.1, "0.bias": 0.5, "2.weight": 0, "2.bias": 0.5, "3.weight": 0.1, "3.bias": 0.5
    }  # fmt: skip
    assert set(by_name(layers(), {"0.weight": 0.0}).values()) == {0.0, 1.0}


@pytest.mark.parametrize("patterns", [{"encoder.*": 0.1}, {"*": 0.1, "2.*": 0}])
def test_a_pattern_that_decides_nothing_is_refused_with_names_that_exist(patterns):
    with pytest.raises(UsageError, match=r"(?s)(encoder|2)\.\* decides about no parameter.*3\.\*"):
        make_optimizer(layers(), learning_rate=0.1, factors=patterns)


def test_something_must_be_left_to_train():
    with pytest.raises(UsageError, match="freezes every parameter"):
        make_optimizer(layers(), learning_rate=0.1, factors={"*": 0})


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_factors_scale_the_first_step_and_zero_leaves_every_bit(kind):
    """The first step of Adam is the rate times the gradient's sign."""
    network = layers()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = make_optimizer(network, learning_rate=1.0, kind=kind, epsilon=1e-30, factors={"0.*": 0, "2.*": 0.1})
    set_rate(optimizer, 0.01)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    for name, weight in network.named_parameters():
        step = {"0": 0.0, "2": 0.001, "3": 0.01}[name[0]]
        assert (weight.detach() - before[name]).abs() == pytest.approx(torch.full_like(weight, step), rel=1e-3)
    assert network[0].weight.grad is None
    assert not [name for name in optimizer_tensors(network, optimizer) if name.startswith("0.")]


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_adam_equals_its_definition(kind):
    """Two steps by hand: decay off the weights, or added to the gradient (Kingma & Ba, alg. 1)."""
    network, betas, epsilon, decays, rate = nn.Linear(3, 2).double(), (0.8, 0.95), 1e-3, 0.3, 0.1
    weight = network.weight.detach().clone()
    optimizer = make_optimizer(network, learning_rate=9.0, kind=kind, betas=betas, epsilon=epsilon, weight_decay=decays)
    first = second = torch.zeros_like(weight)
    for step in (1, 2):
        gradient = torch.randn(2, 3, dtype=torch.float64)
        network.weight.grad, network.bias.grad = gradient.clone(), torch.zeros(2, dtype=torch.float64)
        set_rate(optimizer, rate)
        optimizer.step()
        if kind == "adam":
            gradient = gradient + decays * weight
        else:
            weight = weight * (1 - rate * decays)
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient.square()
        root = (second / (1 - betas[1] ** step)).sqrt() + epsilon
        weight = weight - rate * first / (1 - betas[0] ** step) / root
        torch.testing.assert_close(network.weight.detach(), weight, rtol=1e-12, atol=1e-12)


# --- in the training loop

IMAGES = torch.randn(13, 3, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
STREAM = DataOrder(tuple(range(13)), batch=8, seed=5)
CHOICES = {
    "adam": {"kind": "adam", "weight_decay": 0.1},
    "adamw": {"weight_decay": 0.1},
    "frozen": {"factors": {"0.*": 0, "2.*": 0.1}},
}


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    images = IMAGES[list(batch.rows)]
    return {"loss": (network(images) - images).square().mean((1, 2, 3))}


def make(choice: str) -> TrainingState:
    network = layers().double()
    optimizer = make_optimizer(network, learning_rate=0.01, **CHOICES[choice])
    return TrainingState(network, EMA(network, width=0.05), optimizer, further=(EMA(network, width=0.1),))


def tensors(parts: TrainingState) -> dict[str, Tensor]:
    return {f"{stem}/{name}": tensor for stem, group in parts.tensors().items() for name, tensor in group.items()}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "inverse_sqrt"])
def test_resuming_is_exact_with_both_averages(tmp_path, choice, schedule):
    settings = TrainingSettings(learning_rate=0.01, warmup_steps=0, schedule=schedule, held_images=24, clip=0.5)
    whole, stopped, resumed = make(choice), make(choice), make(choice)
    told = list(training_loop(whole, loss, STREAM, until=StoppingCriterion(steps=8), settings=settings))
    list(islice(training_loop(stopped, loss, STREAM, until=StoppingCriterion(steps=8), settings=settings), 5))
    checkpoint.save(tmp_path, step=5, tensors=stopped.tensors(), headers={}, state=stopped.state())
    resumed.restore(checkpoint.newest(tmp_path))
    again = list(training_loop(resumed, loss, STREAM, until=StoppingCriterion(steps=8), settings=settings))
    assert [each.learning_rate for each in again] == [each.learning_rate for each in told[5:]]
    assert len({each.learning_rate for each in told}) > 4
    ours, theirs = tensors(whole), tensors(resumed)
    assert ours.keys() == theirs.keys() and "ema-2/0.weight" in ours
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not torch.equal(ours["ema/3.weight"], ours["ema-2/3.weight"])


def test_what_is_frozen_keeps_its_bits_in_weights_and_averages():
    parts, fresh = make("frozen"), layers().double()
    list(
        training_loop(
            parts,
            loss,
            STREAM,
            until=StoppingCriterion(steps=8),
            settings=TrainingSettings(learning_rate=0.01, warmup_steps=0),
        )
    )
    for network in (parts.network, parts.ema.network, parts.further[0].network):
        assert torch.equal(network[0].weight, fresh[0].weight)
        assert not torch.equal(network[2].weight, fresh[2].weight)


def test_the_gradient_norm_is_that_of_what_is_trained():
    parts, free = make("frozen"), make("adam")
    settings = TrainingSettings(learning_rate=0.01, warmup_steps=0)
    norms = [
        next(training_loop(each, loss, STREAM, until=StoppingCriterion(steps=1), settings=settings))
        for each in (parts, free)
    ]
    gradients = [weight.grad.norm() for name, weight in free.network.named_parameters() if not name.startswith("0.")]
    assert norms[0].gradient_norm == pytest.approx(torch.stack(gradients).norm().item(), rel=1e-6)
    assert norms[0].gradient_norm < 0.99 * norms[1].gradient_norm


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("pieces", [2, 3, 4, 8])
def test_the_gradient_of_a_cut_batch_is_that_of_the_whole(choice, pieces):
    """In float64 to 1e-12: what is left of the difference in float32 is the order of its sums."""

    def gradients(accumulate: int) -> dict[str, Tensor]:
        parts = make(choice)
        settings = TrainingSettings(learning_rate=0.01, warmup_steps=0, clip=inf, accumulate=accumulate)
        next(training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=1), settings=settings))
        return {name: weight.grad for name, weight in parts.network.named_parameters() if weight.requires_grad}

    whole, cut = gradients(1), gradients(pieces)
    assert whole.keys() == cut.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("choice", CHOICES)
def test_clipping_shortens_the_gradient_to_its_largest_norm(choice):
    parts = make(choice)
    next(
        training_loop(
            parts, loss, STREAM, until=StoppingCriterion(steps=1), settings=TrainingSettings(warmup_steps=0, clip=1e-3)
        )
    )
    gradients = [weight.grad for weight in parts.network.parameters() if weight.requires_grad]
    assert nn.utils.get_total_norm(gradients).item() == pytest.approx(1e-3, rel=1e-6)
