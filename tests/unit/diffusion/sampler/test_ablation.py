"""Paths: their speed, their ends, and that Heun along the straight one is Heun."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, cosine, log_snr_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import VP_END, Path, euler, fitted_vp, heun, iddpm_ratios, path, vp_ratios
from sfumato.diffusion.sampler.singlestep import X0, Y
from sfumato.randomness import Noise

LOW, HIGH = 0.002, 80.0


@pytest.mark.parametrize("scaling", ["none", "vp"])
@pytest.mark.parametrize("schedule", ["linear", "ve", "vp"])
def test_the_slope_is_the_derivative(schedule, scaling):
    """With x0_hat = 0 and y = sigma, z = c(sigma) sigma: its derivative in t, by central differences."""
    way: Path = path(schedule, scaling, low=LOW, high=HIGH)
    for sigma in (0.02, 1.0, 30.0):
        t = way.time(sigma)
        assert way.sigma(t) == pytest.approx(sigma, rel=1e-9)
        d = 1e-5 * t
        ends = [way.sigma(t + d), way.sigma(t - d)]
        slope = (way.scale(ends[0]) * ends[0] - way.scale(ends[1]) * ends[1]) / (2 * d)
        keep, weight = way.slope(way.scale(sigma) * Y, X0[0], sigma, t).parts
        assert keep * sigma == pytest.approx(slope, rel=1e-6)
        change = (way.scale(ends[0]) - way.scale(ends[1])) / (2 * d)
        assert keep + weight == pytest.approx(change, rel=1e-6, abs=1e-6), "a state without noise follows the scale"


def test_vp_is_fitted_to_its_ends():
    ratio = fitted_vp(LOW, HIGH).ratio(torch.tensor([1.0, VP_END], dtype=torch.float64))
    torch.testing.assert_close(ratio, torch.tensor([HIGH, LOW], dtype=torch.float64), rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match="two noise levels"):
        fitted_vp(1.0, 1.0)


def test_discretisations():
    assert vp_ratios(7, low=LOW, high=HIGH)[[0, -1]].tolist() == pytest.approx([HIGH, LOW])
    table = cosine(1000).ratios
    picked = iddpm_ratios(9, low=LOW, high=HIGH)
    assert all((table == ratio).any() for ratio in picked) and (picked.diff() < 0).all()
    assert float(picked[0]) <= HIGH and float(picked[-1]) >= LOW


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 1.0])
def test_the_second_call_lies_where_alpha_says(alpha: float):
    process, asked = Gaussian(schedule=EDM(), prediction="x0"), []

    def watching(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        asked.append(process.coefficients(t)[1])
        return torch.zeros_like(x_t)

    times = log_snr_grid(EDM(), 3)
    x = torch.ones(1, 1, 2, 2)
    list(heun(process, watching, x, Condition(), Noise([0]), times=times, alpha=alpha))
    start, between, end, *_ = asked
    assert between == pytest.approx(start + alpha * (end - start), rel=1e-12)


@pytest.mark.parametrize("sampler", [euler, heun, partial(heun, alpha=0.5)])
def test_a_state_that_is_data_stays_where_it_is(sampler):
    """With x0_hat = y every path stands still: what the scale takes away, its slope gives back, to its order."""
    process = Gaussian(schedule=EDM(), prediction="x0")
    x = torch.full((1, 1, 2, 2), 0.7, dtype=torch.float64)
    for scaling in ("none", "vp"):
        times = log_snr_grid(EDM(), 400, low=0.1, high=10.0)
        walked = list(sampler(process, lambda y, *_: y, x, Condition(), Noise([0]), times=times, scaling=scaling))
        bound = 1e-12 if scaling == "none" else 0.02
        assert math.isclose(float(walked[-2].x.mean()), 0.7, rel_tol=bound)
