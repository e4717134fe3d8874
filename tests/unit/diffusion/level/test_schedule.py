"""Noise schedules and time grids."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import (
    EDM,
    VE,
    VP,
    Discrete,
    Flow,
    Schedule,
    cosine,
    critical_grid,
    karras_grid,
    linear,
    log_snr_grid,
    polyexponential_grid,
    ratio_grid,
    scaled_linear,
    shifted,
    shifted_grid,
    sigmoid,
    uniform_grid,
    zero_terminal,
)
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ancestral import ddim
from sfumato.randomness import Noise

SCHEDULES: dict[str, Schedule] = {
    "linear": linear(1000),
    "linear-50": linear(50),
    "cosine": cosine(1000),
    "cosine-4000": cosine(4000),
    "scaled-linear": scaled_linear(1000),
    "sigmoid-100": sigmoid(100),
    "shifted": shifted(linear(1000), 2.0),
    "vp": VP(),
    "ve": VE(),
    "edm": EDM(),
    "flow": Flow(),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_time_is_the_inverse_of_ratio(name: str):
    schedule = SCHEDULES[name]
    t = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:]
    torch.testing.assert_close(schedule.time(schedule.ratio(t)), t, rtol=1e-12, atol=0)
    highest = float(schedule.ratio(t[-1:]))
    highest = 1e3 if math.isinf(highest) else highest  # near infinity a time of 1 - 1 / s keeps few digits of s
    ratios = torch.logspace(-3, math.log10(highest), 500, dtype=torch.float64)
    torch.testing.assert_close(schedule.ratio(schedule.time(ratios)), ratios, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_ratio_rises_from_zero(name: str):
    ratios = SCHEDULES[name].ratio(torch.linspace(0, 1, 9001, dtype=torch.float64))
    assert ratios[0] == 0
    assert (ratios.diff() > 0).all()
    assert ratios.dtype == torch.float64


@pytest.mark.parametrize("name", ["linear", "linear-50", "cosine", "cosine-4000", "scaled-linear", "sigmoid-100"])
def test_a_table_is_met_at_its_entries(name: str):
    schedule = SCHEDULES[name]
    steps = len(schedule.betas)
    k = torch.arange(1, steps + 1, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - schedule.betas, 0)
    ratios = schedule.ratio(k / steps)
    torch.testing.assert_close(1 / (1 + ratios**2), alpha_bar, rtol=1e-11, atol=0)
    torch.testing.assert_close(schedule.label(k / steps), k - 1, rtol=0, atol=1e-9)


def test_a_table_has_no_noise_beyond_its_end():
    end = torch.tensor([1.0], dtype=torch.float64)
    assert linear().time(torch.tensor([1e9], dtype=torch.float64)) == end


@pytest.mark.parametrize("table", [linear, scaled_linear, sigmoid, cosine])
@pytest.mark.parametrize("steps", [2, 3, 7, 20, 50])
def test_short_tables(table: Callable[[int], Discrete], steps: int):
    betas = table(steps).betas
    assert len(betas) == steps and betas.min() > 0 and betas.max() <= 0.999


@pytest.mark.parametrize("betas", [[0.1], [0.0, 0.1], [0.1, 1.0, 0.2], [-0.1, 0.2]])
def test_no_table(betas: list[float]):
    with pytest.raises(ValueError, match="two betas"):
        Discrete(torch.tensor(betas, dtype=torch.float64))


@pytest.mark.parametrize("table", [linear, cosine, scaled_linear])
def test_zero_terminal_in_extended_precision(table: Callable[[int], Discrete]):
    schedule = table(1000)
    alpha = np.cumprod(np.sqrt(1 - schedule.betas.numpy().astype(np.longdouble)))
    wanted = ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2
    moved = zero_terminal(schedule)
    found = 1 / (1 + moved.ratios[1:].numpy().astype(np.longdouble) ** 2)
    np.testing.assert_allclose(found[:-1].astype(float), wanted[:-1].astype(float), rtol=1e-13)
    assert math.isinf(moved.ratios[-1]) and moved.betas[0] == schedule.betas[0]


def test_an_infinite_end_can_be_walked():
    schedule = zero_terminal(linear(100))
    t = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:]
    ratios = schedule.ratio(t)
    assert (ratios.diff() > 0).all() and math.isinf(ratios[-1])
    torch.testing.assert_close(schedule.time(ratios), t, rtol=1e-12, atol=0)


def test_shift_lowers_the_log_snr_alike_everywhere():
    """By 2 ln(factor) (Hoogeboom et al. 2023, eq. 4)."""
    plain, moved = linear(1000), shifted(linear(1000), 128 / 64)
    lowered = 2 * (moved.ratios[1:].log() - plain.ratios[1:].log())
    torch.testing.assert_close(lowered, torch.full_like(lowered, 2 * math.log(2)), rtol=1e-12, atol=0)
    assert moved.betas.max() < 1


def test_shifted_grid():
    schedule = EDM()
    times = shifted_grid(schedule, karras_grid(schedule, 5, high=20.0), 2.0)
    found = schedule.ratio(torch.tensor(times, dtype=torch.float64))
    plain = schedule.ratio(torch.tensor(karras_grid(schedule, 5, high=20.0), dtype=torch.float64))
    torch.testing.assert_close(found, 2 * plain, rtol=1e-12, atol=0)


def test_vp_keeps_its_digits_near_zero():
    """s^2 = expm1(z) is z + z^2 / 2 there; the naive exp(z) - 1 is wrong in the fifth digit at z = 1e-12."""
    t = torch.tensor([1e-11], dtype=torch.float64)
    z = 19.9 / 2 * 1e-22 + 0.1 * 1e-11
    assert float(VP().ratio(t)) == pytest.approx(math.sqrt(z), rel=1e-12)


def test_uniform_grid():
    assert uniform_grid(4) == [1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("name", SCHEDULES)
def test_grids_fall_from_high_to_low_and_end_in_zero(name: str):
    schedule = SCHEDULES[name]
    for times, rule in [
        (karras_grid(schedule, 9, low=0.01, high=30.0, rho=5.0), lambda s: s ** (1 / 5)),
        (log_snr_grid(schedule, 9, low=0.01, high=30.0), torch.log),
    ]:
        assert len(times) == 10 and times[-1] == 0.0
        ratios = schedule.ratio(torch.tensor(times[:-1], dtype=torch.float64))
        torch.testing.assert_close(ratios[[0, -1]], torch.tensor([30.0, 0.01], dtype=torch.float64), rtol=1e-12, atol=0)
        widths = rule(ratios).diff()
        torch.testing.assert_close(widths, widths.mean().expand_as(widths), rtol=1e-9, atol=0)


def test_polyexponential_grid():
    ratios = EDM().ratio(torch.tensor(polyexponential_grid(EDM(), 3, low=0.01, high=1.0, rho=2.0), dtype=torch.float64))
    assert ratios.tolist() == pytest.approx([1.0, 0.01**0.75, 0.01, 0.0], rel=1e-12)


def test_critical_grid_is_centred_in_log_snr():
    schedule = cosine()
    times = critical_grid(schedule, 7, centre=-3.0, width=2.0)
    log_snr = -2 * schedule.ratio(torch.tensor(times[:-1], dtype=torch.float64)).log()
    torch.testing.assert_close(log_snr, torch.linspace(-5, -1, 7, dtype=torch.float64))
    assert times[-1] == 0.0


def test_ratio_grid_accepts_float32():
    assert ratio_grid(EDM(), torch.tensor([80.0])) == pytest.approx([1.0, 0.0])


def test_euler_on_the_straight_path_is_a_step_of_ddim():
    """z_s = z_t + (s - t) (z_t - x0_hat) / t of z_t = (1 - t) x0 + t n."""
    process = Gaussian(schedule=Flow(), prediction="velocity")
    z, x0_hat, t, s = torch.tensor([[0.3, -2.0]]), torch.tensor([[0.7, 0.1]]), 0.8, 0.45
    first, _ = ddim(process, lambda *_: x0_hat, z, Condition(), Noise([0]), times=[t, s, 0.0])
    torch.testing.assert_close(first.x, z + (s - t) * (z - x0_hat) / t)


def test_a_factor_of_the_straight_path_is_the_shift_of_its_times():
    """Sigma = f t / (1 + (f - 1) t), and every noise-to-signal ratio is f times as large (Esser et al. 2024)."""
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    _, sigma = Gaussian(schedule=Flow(3.0), prediction="velocity").coefficients(t)
    torch.testing.assert_close(sigma, 3 * t / (1 + 2 * t), rtol=1e-12, atol=0)
    torch.testing.assert_close(Flow(3.0).ratio(t), 3 * Flow().ratio(t), rtol=1e-12, atol=0)
    torch.testing.assert_close(Flow(3.0).label(t), sigma, rtol=1e-12, atol=0)
