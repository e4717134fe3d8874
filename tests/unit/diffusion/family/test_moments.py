"""Mean and spread of the state, against draws."""

import pytest
import torch

from sfumato.diffusion.family.moments import dirichlet_moments


@pytest.mark.parametrize("logit", [-6.0, -1.0, 4.0])
@pytest.mark.parametrize(("eta", "low", "high"), [(1e4, 0.6, 0.99), (30.0, 0.09, 0.99)])
def test_moments_of_draws(eta: float, low: float, high: float, logit: float):
    generator, count = torch.Generator().manual_seed(0), 200_000
    log_alpha = torch.nn.functional.logsigmoid(torch.tensor([logit], dtype=torch.float64))
    x = low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)
    a = eta * log_alpha.exp() * x
    state = (
        torch._standard_gamma(a, generator=generator).log() - torch._standard_gamma(eta - a, generator=generator).log()
    )
    mean, std = dirichlet_moments(log_alpha, eta=eta, low=low, high=high)
    assert float(mean) == pytest.approx(float(state.mean()), abs=5 * float(std) / count**0.5)
    assert float(std) == pytest.approx(float(state.std()), rel=0.015)


def test_the_reference_leaves_out_a_covariance():
    log_alpha = torch.nn.functional.logsigmoid(torch.tensor([-1.0, 6.0], dtype=torch.float64))
    exact = dirichlet_moments(log_alpha, eta=1e4, low=0.6, high=0.99)
    reference = dirichlet_moments(log_alpha, eta=1e4, low=0.6, high=0.99, covariance="reference")
    assert torch.equal(exact.mean, reference.mean)
    assert exact.std.tolist() == pytest.approx([0.184, 0.910], abs=2e-3)
    assert reference.std.tolist() == pytest.approx([0.151, 0.788], abs=2e-3)
