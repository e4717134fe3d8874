"""Samplers beyond the laws: options, corner cases, and what a step holds."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.dirichlet import for_masks
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, Flow, cosine, linear, log_snr_grid, uniform_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import euler, heun
from sfumato.diffusion.sampler.ancestral import ancestral, ddim, jump
from sfumato.diffusion.sampler.catalogue import SAMPLERS as CATALOGUE
from sfumato.diffusion.sampler.multistep import dpmpp_3m
from sfumato.diffusion.sampler.singlestep import Churn
from sfumato.randomness import Noise

LIKE = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
SUITABLE = {name: entry for name, entry in CATALOGUE.items() if entry.suits(Gaussian(schedule=EDM(), prediction="x0"))}
SAMPLERS = {
    **{name: entry.sampling_loop for name, entry in SUITABLE.items()},
    "ddim-eta0.5": partial(ddim, eta=0.5),
    "heun-churn": partial(heun, churn=Churn(amount=5.0)),
    "dpmpp_3m-lower": partial(dpmpp_3m, falling=2),
}

NOISE_ESTIMATES = {"lms", "deis", "dpm_multistep"}
"""They go to 0 along noise estimates, not to the last estimate of the data."""


def half(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    return torch.tanh(x_t / 2)


def sampling_loop(sampler, process, times, *, seeds=(3, 4), like=LIKE, denoise=half):
    noise = Noise(seeds)
    return list(sampler(process, denoise, process.prior(like, noise, t=times[0]), Condition(), noise, times=times))


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_hold_times_states_and_estimates(name: str, steps: int):
    process = Gaussian(schedule=cosine(), prediction="v")
    times = uniform_grid(steps)
    walked = sampling_loop(SAMPLERS[name], process, times)
    if name == "dpm_fast":  # its steps are longer than those of the grid
        assert walked[-1].t == 0
    else:
        assert [step.t for step in walked] == times[1:]
    assert all(torch.isfinite(step.x).all() and step.x.dtype == torch.float64 for step in walked)
    if name not in NOISE_ESTIMATES:
        torch.testing.assert_close(walked[-1].x, walked[-1].x0, rtol=0, atol=1e-12)
    before = [step.x.clone() for step in walked]
    assert all(torch.equal(a, step.x) for a, step in zip(before, walked, strict=True))


@pytest.mark.parametrize("name", SAMPLERS)
def test_yielded_states_are_not_written_to_later(name: str):
    process = Gaussian(schedule=EDM(), prediction="x0")
    kept, copies = [], []
    for step in SAMPLERS[name](process, half, LIKE, Condition(), Noise([0, 1]), times=log_snr_grid(EDM(), 6)):
        kept += [step.x, step.x0]
        copies += [step.x.clone(), step.x0.clone()]
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls(name: str):
    calls = []

    def counting(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        calls.append(t)
        return half(x_t, t, condition)

    sampling_loop(SAMPLERS[name], Gaussian(schedule=cosine(), prediction="v"), uniform_grid(6), denoise=counting)
    assert len(calls) == CATALOGUE[name.partition("-")[0]].calls(6)


def test_eta_one_is_ancestral_and_eta_zero_euler():
    process = Gaussian(schedule=linear(), prediction="eps")
    times = uniform_grid(9)
    for one, other in [(partial(ddim, eta=1.0), ancestral), (ddim, euler)]:
        for a, b in zip(sampling_loop(one, process, times), sampling_loop(other, process, times), strict=True):
            torch.testing.assert_close(a.x, b.x, rtol=1e-10, atol=1e-12)


def test_ddim_spread_does_not_follow_the_large_variance():
    """eta is a share of the posterior's spread; with the forward step's spread sigma_s^2 - c^2 would be negative."""
    times = uniform_grid(4)
    large, small = (
        sampling_loop(partial(ddim, eta=1.0), Gaussian(schedule=cosine(), prediction="eps", variance=variance), times)
        for variance in ("large", "small")
    )
    assert torch.equal(large[-1].x, small[-1].x)


@pytest.mark.parametrize("sampler", [euler, heun])
def test_churn_beyond_the_end_of_a_table_adds_no_noise(sampler):
    """At t = 1 a table has no higher noise level to churn to; noise would be added that the level does not know."""
    process = Gaussian(schedule=linear(), prediction="eps")
    asked = []

    def watching(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        asked.append((x_t.std().item(), process.coefficients(t)))
        return torch.zeros_like(x_t)

    big = torch.zeros(1, 1, 200, 200, dtype=torch.float64)
    sampling_loop(
        partial(sampler, churn=Churn(amount=2.0)), process, uniform_grid(5), seeds=[0], like=big, denoise=watching
    )
    for spread, (_, sigma) in asked[:1]:
        assert spread == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize(
    ("churn", "ratio", "gain"),
    [
        (Churn(), 1.0, 0.0),
        (Churn(amount=2.0), 1.0, 0.2),
        (Churn(amount=80.0), 1.0, 2**0.5 - 1),
        (Churn(amount=2.0, low=1.5), 1.0, 0.0),
        (Churn(amount=2.0, high=0.5), 1.0, 0.0),
    ],
)
def test_churn_gain(churn: Churn, ratio: float, gain: float):
    assert churn.gain(ratio, 10) == pytest.approx(gain)


def test_every_estimate_of_a_mask_has_all_classes_though_the_state_has_one_less():
    process = for_masks(3, 16)
    like, noise = torch.zeros(2, 3, 4, 4), Noise([0, 1])

    def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        return torch.zeros_like(x)

    walked = ancestral(
        process, Denoiser(process, network), process.prior(like, noise), Condition(), noise, times=uniform_grid(3)
    )
    assert [step.x0.shape for step in walked] == [like.shape] * 3


def test_a_jump_is_told_how_far_it_goes_and_steps_as_ddim_does():
    """The ways that the network is told of add up to the whole way; one that does not listen walks Euler's steps."""
    flow, told = Gaussian(schedule=Flow(), prediction="velocity"), list[Tensor]()

    def listening(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        assert condition.jump is not None and condition.jump.shape == (len(x_t),)
        told.append(condition.jump)
        return half(x_t, t, condition)

    times = [0.9, 0.5, 0.2, 0.0]
    walked = sampling_loop(jump, flow, times, denoise=listening)
    # differences of sigma = t, told in float32
    assert torch.allclose(torch.stack(told)[:, 0], torch.tensor([0.4, 0.3, 0.2]), atol=1e-6)
    for ours, theirs in zip(walked, sampling_loop(ddim, flow, times), strict=True):
        assert ours.t == theirs.t
        assert torch.equal(ours.x, theirs.x)
