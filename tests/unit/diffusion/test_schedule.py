"""Noise schedules and time grids."""

import math

import pytest
import torch

from sfumato.diffusion.schedule import (
    EDM,
    VE,
    VP,
    Schedule,
    cosine,
    critical_grid,
    karras_grid,
    linear,
    log_snr_grid,
    ratio_grid,
    uniform_grid,
)

SCHEDULES: dict[str, Schedule] = {
    "linear": linear(1000),
    "linear-50": linear(50),
    "cosine": cosine(1000),
    "cosine-4000": cosine(4000),
    "vp": VP(),
    "ve": VE(),
    "edm": EDM(),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_time_is_the_inverse_of_ratio(name: str):
    schedule = SCHEDULES[name]
    t = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:]
    torch.testing.assert_close(schedule.time(schedule.ratio(t)), t, rtol=1e-12, atol=0)
    ratios = torch.logspace(-3, math.log10(float(schedule.ratio(t[-1:]))), 500, dtype=torch.float64)
    torch.testing.assert_close(schedule.ratio(schedule.time(ratios)), ratios, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_ratio_rises_from_zero(name: str):
    ratios = SCHEDULES[name].ratio(torch.linspace(0, 1, 9001, dtype=torch.float64))
    assert ratios[0] == 0
    assert (ratios.diff() > 0).all()
    assert ratios.dtype == torch.float64


@pytest.mark.parametrize("name", ["linear", "linear-50", "cosine", "cosine-4000"])
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


def test_critical_grid_is_centred_in_log_snr():
    schedule = cosine()
    times = critical_grid(schedule, 7, centre=-3.0, width=2.0)
    log_snr = -2 * schedule.ratio(torch.tensor(times[:-1], dtype=torch.float64)).log()
    torch.testing.assert_close(log_snr, torch.linspace(-5, -1, 7, dtype=torch.float64))
    assert times[-1] == 0.0


def test_ratio_grid_accepts_float32():
    assert ratio_grid(EDM(), torch.tensor([80.0])) == pytest.approx([1.0, 0.0])
