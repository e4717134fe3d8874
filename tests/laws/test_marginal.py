"""Law 1: `reverse(corrupt(x0, t), x0, t, s)` has the law of `corrupt(x0, s)`."""

import pytest
import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Process
from sfumato.randomness import Noise

from .families import CATEGORICALS, GAUSSIANS, PROCESSES

PAIRS = [(1.0, 0.7), (0.8, 0.75), (0.6, 0.3), (0.4, 0.001), (0.02, 0.01), (0.5, 0.0)]


@pytest.mark.parametrize(("t", "s"), PAIRS)
@pytest.mark.parametrize("name", GAUSSIANS)
def test_coefficients_compose(name: str, t: float, s: float):
    """Exactly: mean a alpha_t + b = alpha_s, variance a^2 sigma_t^2 + c^2 = sigma_s^2 for x_s = a x_t + b x0 + c n."""
    process = GAUSSIANS[name]
    (alpha_t, sigma_t), (alpha_s, sigma_s) = process.coefficients(t), process.coefficients(s)
    from_state, from_estimate, spread = process.posterior(t, s)
    assert from_state * alpha_t + from_estimate == pytest.approx(alpha_s, rel=1e-12)
    assert (from_state * sigma_t) ** 2 + spread**2 == pytest.approx(sigma_s**2, rel=1e-11, abs=1e-30)


@pytest.mark.parametrize(("t", "s"), PAIRS)
@pytest.mark.parametrize("name", CATEGORICALS)
def test_classes_compose(name: str, t: float, s: float):
    """Exactly: the sum over classes j of q(j at t | x0) q(i at s | j at t, x0) is q(i at s | x0)."""
    process = CATEGORICALS[name]
    every = 2 * torch.eye(3, dtype=torch.float64) - 1
    for x0 in every.split(1):
        later, sooner = (process.log_marginal(every, x0.expand(3, -1), time).exp() for time in (t, s))
        steps = process.posterior(every, x0.expand(3, -1), t, s)
        torch.testing.assert_close(later @ steps, sooner, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.7), (0.6, 0.3), (0.5, 0.0)])
@pytest.mark.parametrize("name", PROCESSES)
def test_moments(name: str, t: float, s: float):
    """By drawing: mean, variance and kurtosis of the two routes agree within five standard errors."""
    process, count = PROCESSES[name], 20_000
    x0 = torch.tensor([-1.0, 0.3]).double().repeat(count, 1)[None]  # one item, so one generator draws all
    through = process.reverse(process.corrupt(x0, t, Noise([1])), x0, t, s, Noise([2]))[0]
    direct = process.corrupt(x0, s, Noise([3]))[0] if s > 0 else x0[0]
    spread = direct.std(0).clamp(min=1e-12)
    assert ((through.mean(0) - direct.mean(0)) / spread).abs().max() < 5 * (2 / count) ** 0.5
    assert (through.var(0) / spread**2 - (spread > 1e-9).double()).abs().max() < 5 * (4 / count) ** 0.5
    fourth = [(((x - x.mean(0)) / spread) ** 4).mean(0) for x in (through, direct)]
    assert (fourth[0] - fourth[1]).abs().max() < 5 * (2 * 96 / count) ** 0.5


@pytest.mark.parametrize("name", GAUSSIANS)
def test_prior_is_a_corrupted_nothing(name: str):
    process: Process = GAUSSIANS[name]
    assert isinstance(process, Gaussian)
    like = torch.zeros(1, 1, 200, 100, dtype=torch.float64)
    for t in (1.0, 0.4):
        torch.testing.assert_close(process.prior(like, Noise([0]), t=t), process.corrupt(like, t, Noise([0])))
        assert process.prior(like, Noise([0]), t=t).std() == pytest.approx(process.coefficients(t)[1], rel=0.03)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_tensor_times_corrupt_as_float_times(name: str):
    process = GAUSSIANS[name]
    x0 = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    together = process.corrupt(x0, times, Noise([4, 5, 6]))
    for i, t in enumerate(times.tolist()):
        torch.testing.assert_close(process.corrupt(x0[i : i + 1], t, Noise([4 + i])), together[i : i + 1])
