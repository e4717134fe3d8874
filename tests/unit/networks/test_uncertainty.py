"""Learned loss weights: what they learn, and that the network stays itself."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.networks.uncertainty import Uncertainty, Weighted, weighted_loss
from sfumato.training.ema import EMA


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        return self.factor * x


def test_before_training_the_loss_is_plain():
    error = torch.tensor([0.5, 3.0])
    assert torch.equal(weighted_loss(error, Uncertainty()(torch.tensor([-1.0, 0.7]))), error)


def test_its_minimum_is_the_logarithm_of_the_error():
    u = torch.linspace(-5, 5, 10_001, dtype=torch.float64)
    for error in (0.02, 1.0, 7.0):
        best = u[weighted_loss(torch.full_like(u, error), u).argmin()]
        assert float(best.exp()) == pytest.approx(error, rel=2e-3)


def test_it_learns_the_error_of_each_level():
    """Errors of 4 s^2 / (1 + s^2), over three orders of magnitude: u comes to their logarithm."""
    log_s = torch.linspace(-4, 4, 64)
    error = 4 * torch.sigmoid(2 * log_s)
    uncertainty = Uncertainty()
    optimizer = torch.optim.Adam(uncertainty.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        weighted_loss(error, uncertainty(log_s / 4)).mean().backward()
        optimizer.step()
    assert (uncertainty(log_s / 4).detach() - error.log()).abs().max() < 0.2


def test_as_a_network_it_is_the_network():
    weighted, x = Weighted(Doubling()), torch.randn(2, 1, 3, 3)
    with torch.no_grad():
        weighted.uncertainty.bias.fill_(9)
    assert torch.equal(weighted(x, torch.zeros(2), Condition()), 2 * x)
    assert torch.equal(weighted.log_variance(torch.zeros(2)), torch.full((2,), 9.0))


def test_it_is_kept_and_averaged_with_the_network():
    weighted = Weighted(Doubling())
    ema = EMA(weighted, half_life=100)
    with torch.no_grad():
        weighted.uncertainty.weight.fill_(1)
    ema.update(weighted, images=0, batch=4)
    assert torch.equal(ema.network.uncertainty.weight, weighted.uncertainty.weight)
    other = Weighted(Doubling())
    other.load_state_dict(copy.deepcopy(ema.state_dict()))
    level = torch.tensor([0.3, -0.4])
    assert torch.equal(other.log_variance(level), weighted.log_variance(level))
    assert set(ema.state_dict()) == {"network.factor", "uncertainty.weight", "uncertainty.bias"}


PROGRAM = """
import torch
from sfumato.diffusion.process import Condition
from sfumato.networks.uncertainty import Weighted

class Network(torch.nn.Module):
    def forward(self, x, level, condition):
        return 2 * x

compiled = torch.compile(Weighted(Network()), backend="eager")
x, level = torch.ones(2, 1, 3, 3), torch.zeros(2)
assert torch.equal(compiled(x, level, Condition()), 2 * x)
compiled.log_variance(level).sum().backward()
assert compiled.uncertainty.bias.grad == 2
"""


@pytest.mark.slow
def test_it_is_found_through_a_compiled_network():
    """Run apart, without the shape checks that the tests put in between."""
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]


def test_half_precision_does_not_reach_it():
    uncertainty = Uncertainty()
    with torch.no_grad():
        uncertainty.bias.fill_(1.001)
    with torch.autocast("cpu", torch.bfloat16):
        answer = uncertainty(torch.zeros(1))
    assert answer.dtype == torch.float32 and answer.item() == pytest.approx(1.001, rel=1e-6)
