"""Learning rate, weight decay, and the optimiser's state by name."""

import pytest
import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.training.optimizer import learning_rate_at, make_optimizer, optimizer_tensors, restore_optimizer


def rate(fraction: float, step: int = 10**6, schedule: str = "cosine") -> float:
    return learning_rate_at(float(fraction), step, peak=2.0, warmup_steps=100, schedule=schedule)


def test_cosine_falls_from_the_peak_to_zero():
    assert rate(0) == 2.0
    assert rate(0.5) == pytest.approx(1.0)
    assert rate(1) == pytest.approx(0.0, abs=1e-12)
    assert rate(0.9, schedule="constant") == 2.0


def test_warm_up_is_linear_and_never_zero():
    rates = [rate(0, step) for step in range(200)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[49] == pytest.approx(1.0)
    assert rates[99:] == [2.0] * 101
    assert learning_rate_at(0.0, 0, peak=2.0, warmup_steps=0, schedule="constant") == 2.0


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
