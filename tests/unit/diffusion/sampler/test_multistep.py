"""Multistep samplers beyond the laws and the golden arrays: what a walk yields, asks for, keeps and draws."""

import weakref
from functools import partial

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, cosine, log_snr_grid, uniform_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import euler
from sfumato.diffusion.sampler.multistep import deis, dpm_multistep, dpmpp_2m, dpmpp_3m, lms, unipc
from sfumato.randomness import Noise

LIKE = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
PROCESS = Gaussian(schedule=cosine(), prediction="v")
SAMPLERS = {
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m-sde": partial(dpmpp_2m, eta=1.0, second="exact"),
    "dpmpp_3m": dpmpp_3m,
    "dpmpp_3m-falling": partial(dpmpp_3m, falling=2),
    "unipc-1": partial(unipc, order=1),
    "unipc-2": unipc,
    "unipc-3": partial(unipc, order=3, form="bh1"),
    "dpm_multistep": dpm_multistep,
    "dpm_multistep-sde": partial(dpm_multistep, order=3, eta=1.0, second="exact", third="exact"),
    "deis": deis,
    "deis-4": partial(deis, order=4, falling=3),
    "lms": lms,
}


class Quiet(Noise):
    """Noise that is always one half."""

    def __init__(self) -> None:
        super().__init__([])

    def normal(self, like: Tensor) -> Tensor:
        return torch.full_like(like, 0.5)


def bent(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    return torch.tanh(x_t / 2)


def sampling_loop(sampler, times, *, process=PROCESS, denoise=bent):
    noise = Noise([3, 4])
    x = process.prior(LIKE, noise, t=times[0])
    return list(sampler(process, denoise, x, Condition(), noise, times=times))


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_hold_times_states_and_estimates(name: str, steps: int):
    times = uniform_grid(steps)
    walked = sampling_loop(SAMPLERS[name], times)
    assert [step.t for step in walked] == times[1:]
    assert all(step.x.dtype == torch.float64 and step.x.isfinite().all() for step in walked)
    if name != "lms":
        torch.testing.assert_close(walked[-1].x, walked[-1].x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_yielded_is_written_to_later(name: str):
    kept, copies, asked = [], [], []

    def counting(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        asked.append(t)
        return bent(x_t, t, condition)

    times, start = log_snr_grid(EDM(), 6), torch.ones_like(LIKE)
    process = Gaussian(schedule=EDM(), prediction="x0")
    for step in SAMPLERS[name](process, counting, start, Condition(), Noise([0, 1]), times=times):
        kept += [step.x, step.x0]
        copies += [step.x.clone(), step.x0.clone()]
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert torch.equal(start, torch.ones_like(LIKE))
    assert asked == times[:-1]  # one call a step, the corrections included


@pytest.mark.parametrize("name", SAMPLERS)
def test_memory_does_not_grow(name: str):
    alive = weakref.WeakSet()
    most = 0

    def watched(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        x0 = bent(x_t, t, condition)
        alive.add(x0)
        return x0

    noise = Noise([3, 4])
    for _ in SAMPLERS[name](PROCESS, watched, noise.normal(LIKE), Condition(), noise, times=uniform_grid(20)):
        most = max(most, len(alive))
    assert most <= 6


@pytest.mark.parametrize("sampler", [dpm_multistep, deis, lms])
def test_the_first_order_of_all_is_euler(sampler):
    times = uniform_grid(9)
    for a, b in zip(sampling_loop(partial(sampler, order=1), times), sampling_loop(euler, times), strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_keeps_its_digits_where_almost_nothing_of_the_data_is_left(name: str):
    """From s = 20291, the end of the cosine table; x / alpha in float32 would be off by 2e-3."""

    def start(dtype: torch.dtype) -> Tensor:
        return torch.linspace(-2, 2, 18, dtype=torch.float64).view(LIKE.shape).to(dtype)

    double, single = (
        list(SAMPLERS[name](PROCESS, bent, start(dtype), Condition(), Quiet(), times=uniform_grid(8)))[-1].x
        for dtype in (torch.float64, torch.float32)
    )
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5 * max(1.0, float(double.abs().max())))


def test_a_correction_moves_the_state_that_the_network_saw():
    """The second step of UniPC starts at the corrected state, that of DPM-Solver++(2M) where the first one ended."""
    times = uniform_grid(5)
    plain, corrected = sampling_loop(partial(dpmpp_2m, falling=2), times), sampling_loop(unipc, times)
    assert torch.equal(plain[0].x, corrected[0].x)
    assert (plain[1].x - corrected[1].x).abs().max() > 1e-4


@pytest.mark.parametrize("sampler", [dpmpp_2m, dpmpp_3m, dpm_multistep])
def test_eta_draws_noise_of_the_items_and_without_it_none_is_drawn(sampler):
    times = uniform_grid(4)
    noise = Noise([5, 6])
    x = PROCESS.prior(LIKE, noise)
    state = noise.generators[0].get_state()
    list(sampler(PROCESS, bent, x, Condition(), noise, times=times))
    assert torch.equal(state, noise.generators[0].get_state())
    *_, with_noise = sampler(PROCESS, bent, x, Condition(), noise, times=times, eta=1.0)
    assert not torch.equal(state, noise.generators[0].get_state())
    assert with_noise.x.isfinite().all()


@pytest.mark.parametrize("sampler", [unipc, dpm_multistep, deis, lms])
def test_an_order_that_there_is_not(sampler):
    with pytest.raises(ValueError, match="order 1 to 4, not 5"):
        sampling_loop(partial(sampler, order=5), uniform_grid(4))
