"""Single steps beyond laws and goldens: the algebra of forms, ancestral splits, the law of the noise, DPM-Solver."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, VP, log_snr_grid, ratio_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ancestral import ddim
from sfumato.diffusion.sampler.dpm_solver import dpm_adaptive, dpm_fast
from sfumato.diffusion.sampler.singlestep import (
    X0,
    LinearForm,
    Y,
    dpm_2_ancestral,
    dpmpp_2s_ancestral,
    dpmpp_sde,
    split,
    toward,
)
from sfumato.randomness import Noise

EDM_PROCESS = Gaussian(schedule=EDM(), prediction="x0")


def test_forms_add_up_like_polynomials():
    assert (2.0 * Y + X0[1]) / 2 - X0[0] == LinearForm((1.0, -1.0, 0.5))
    assert toward(Y, X0[0], 4.0, 1.0) == LinearForm((0.25, 0.75))
    assert toward(Y, X0[0], 4.0, 0.0) == LinearForm((0.0, 1.0))


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("s", "end"), [(80.0, 70.0), (2.0, 1e-9), (1.0, 0.0)])
def test_an_ancestral_step_keeps_the_variance(s: float, end: float, eta: float):
    down, up = split(s, end, eta)
    assert math.hypot(down, up) == pytest.approx(end, rel=1e-14)
    assert up == pytest.approx(eta * end * math.sqrt(1 - (end / s) ** 2), rel=1e-14)
    if eta == 1 and end > 0:
        assert down == pytest.approx(end**2 / s, rel=1e-14), "no digit is lost however short the way"


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sampler", [ddim, dpm_2_ancestral, dpmpp_2s_ancestral, dpmpp_sde])
def test_pixels_of_a_known_image_keep_their_spread(sampler, eta: float):
    """A denoiser that knows the image: the noise left at s has standard deviation s, whatever eta."""
    x0 = torch.full((1, 1, 150, 150), 0.3, dtype=torch.float64)
    noise = Noise([1])
    times = ratio_grid(EDM(), torch.tensor([10.0, 3.0, 1.0]))
    x = EDM_PROCESS.corrupt(x0, times[0], noise)
    *_, step, last = sampler(EDM_PROCESS, lambda *_: x0, x, Condition(), noise, times=times, eta=eta)
    assert (step.x - x0).std() == pytest.approx(1.0, rel=0.03 if sampler is not dpm_2_ancestral else 0.06)
    torch.testing.assert_close(last.x, x0)


def test_scale_multiplies_the_noise():
    like, times = torch.zeros(1, 1, 150, 150, dtype=torch.float64), ratio_grid(EDM(), torch.tensor([10.0, 1.0]))

    def end(sampler, scale: float) -> Tensor:
        return next(iter(sampler(EDM_PROCESS, zero, like, Condition(), Noise([0]), times=times, scale=scale))).x

    for sampler in (partial(ddim, eta=1.0), dpm_2_ancestral, dpmpp_2s_ancestral, dpmpp_sde):
        torch.testing.assert_close(end(sampler, 2.0), 2 * end(sampler, 1.0))


@pytest.mark.parametrize(("steps", "walked"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 3), (20, 8)])
def test_fast_makes_the_calls_that_it_has(steps: int, walked: int):
    calls, times = [], log_snr_grid(EDM(), steps)

    def counting(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        calls.append(t)
        return zero(x_t, t, condition)

    x = torch.ones(1, 1, 2, 2)
    states = list(dpm_fast(EDM_PROCESS, counting, x, Condition(), Noise([0]), times=times))
    assert (len(calls), len(states)) == (steps, walked)
    assert calls == sorted(calls, reverse=True) and states[-1].t == 0
    if steps > 1:
        assert states[-2].t == pytest.approx(times[-2], rel=1e-12)


@pytest.mark.parametrize("schedule", [EDM(), VP()], ids=["edm", "vp"])
@pytest.mark.parametrize("order", [2, 3])
def test_adaptive_meets_its_tolerance(schedule: VP, order: int):
    """On N(0, 0.3), whose solution is known, the error shrinks with the tolerance, whatever the scale of the state."""
    process, variance, low, high = Gaussian(schedule=schedule, prediction="x0"), 0.3, 0.05, 50.0

    def exact(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        alpha, sigma = process.coefficients(t)
        return variance / (variance + (sigma / alpha) ** 2) * x_t / alpha

    times = ratio_grid(schedule, torch.tensor([high, low]))
    y = torch.tensor([[-1.0, 1.0]], dtype=torch.float64).view(1, 1, 1, 2) * high
    truth = y * math.sqrt((variance + low**2) / (variance + high**2))
    errors = []
    for tolerance in (1e-2, 1e-4):
        sampler = partial(dpm_adaptive, order=order, relative=tolerance, absolute=tolerance)
        x = y * process.coefficients(times[0])[0]
        *_, near, last = sampler(process, exact, x, Condition(), Noise([0]), times=times)
        assert last.t == 0
        errors.append(float((near.x / process.coefficients(near.t)[0] - truth).abs().max()))
    assert errors[0] < 0.02 and errors[1] < 2e-4


@pytest.mark.parametrize("schedule", [EDM(), VP()], ids=["edm", "vp"])
def test_adaptive_ends_at_the_lowest_level_and_not_a_rounding_above_it(schedule: VP):
    """Else one more step, of no width, costs as many calls as any other, on one machine and not on the next."""
    process = Gaussian(schedule=schedule, prediction="x0")
    for low in torch.linspace(0.02, 0.06, 20).tolist():
        times = ratio_grid(schedule, torch.tensor([50.0, low]))
        x = torch.full((1, 1, 1, 2), 50 * process.coefficients(times[0])[0], dtype=torch.float64)
        walked = dpm_adaptive(process, zero, x, Condition(), Noise([0]), times=times)
        *before, near, last = [step.t for step in walked]
        assert near == times[-2] and last == 0
        ratios = schedule.ratio(torch.tensor([times[0], *before, near], dtype=torch.float64))
        assert ratios.log().diff().abs().min() > 1e-6


@pytest.mark.parametrize(("factor", "shortened"), [(0.8075, True), (0.8125, False)])
def test_adaptive_takes_a_step_again_whose_successor_would_be_shorter_than_0_81_of_it(factor: float, shortened: bool):
    """Where x0 is ln s, the orders differ by h sinh(h / 2) over a width h: the tolerance decides about the factor."""
    width = 0.05
    error = width * math.sinh(width / 2)
    times = ratio_grid(EDM(), torch.tensor([50.0, 1.0]))

    def logarithm(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        alpha, sigma = EDM_PROCESS.coefficients(t)
        return torch.full_like(x_t, math.log(sigma / alpha))

    walked = dpm_adaptive(
        EDM_PROCESS, logarithm, torch.ones(1, 1, 1, 2, dtype=torch.float64), Condition(), Noise([0]), times=times,
        order=2, relative=0.0, absolute=error * (1 + math.tan(factor - 1)) ** 2,
    )  # fmt: skip
    alpha, sigma = EDM_PROCESS.coefficients(next(walked).t)
    assert math.log(50.0 * alpha / sigma) == pytest.approx(width * factor if shortened else width, rel=1e-3)


def test_adaptive_steps_do_not_depend_on_the_scale():
    def ratios(schedule: VP) -> list[float]:
        process = Gaussian(schedule=schedule, prediction="x0")
        times = ratio_grid(schedule, torch.tensor([50.0, 0.05]))
        x = torch.full((1, 1, 1, 2), 50 * process.coefficients(times[0])[0], dtype=torch.float64)
        walked = dpm_adaptive(
            process, lambda y, *_: 0.5 * torch.ones_like(y), x, Condition(), Noise([0]), times=times, relative=1e-3
        )
        coefficients = [process.coefficients(step.t) for step in walked]
        return [sigma / alpha for alpha, sigma in coefficients]

    assert ratios(EDM()) == pytest.approx(ratios(VP()), rel=1e-6)


def zero(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    return torch.zeros_like(x_t)
