"""Learned variance: bounds, estimates, losses, and what samplers see of it."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance, LossType
from sfumato.diffusion.guidance import Guided
from sfumato.diffusion.level.schedule import EDM, cosine, linear, log_snr_grid
from sfumato.diffusion.level.training_noise import Uniform
from sfumato.diffusion.process import Condition, Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise

GAUSSIAN = Gaussian(schedule=cosine(100), prediction="v", training=Uniform(0.0))
LEARNED = LearnedVariance(process=GAUSSIAN)


def data(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def step_variances(schedule, k: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Beta tilde and beta of step k, from their definitions."""
    alpha_bar = [1.0, *torch.cumprod(1 - schedule.betas, 0).tolist()]
    beta = float(schedule.betas[k - 1])
    return beta * (1 - alpha_bar[k - 1]) / (1 - alpha_bar[k]), beta


@pytest.mark.parametrize(("v", "share"), [(-1.0, 0.0), (1.0, 1.0), (0.0, 0.5), (0.5, 0.75)])
def test_variance_lies_between_the_bounds_of_the_step(v: float, share: float):
    x_t, estimate = data(1, 1, 200, 200), torch.cat([data(1, 1, 200, 200), torch.full((1, 1, 200, 200), v).double()], 1)
    tilde, beta = step_variances(GAUSSIAN.schedule, 60)
    x = LEARNED.reverse(x_t, estimate, 0.6, 0.59, Noise([3]))
    mean = GAUSSIAN.posterior(0.6, 0.59)[0] * x_t + GAUSSIAN.posterior(0.6, 0.59)[1] * estimate[:, :1]
    expected = math.exp(share * math.log(beta) + (1 - share) * math.log(tilde))
    torch.testing.assert_close(x, mean + expected**0.5 * Noise([3]).normal(x_t), rtol=1e-9, atol=1e-12)


def test_wider_steps_have_wider_bounds():
    """From 0.6 to 0.3 in one step: beta = 1 - alpha_bar ratio of the step walked."""
    x_t, wide = data(1, 1, 8, 8), torch.cat([data(1, 1, 8, 8), torch.ones(1, 1, 8, 8).double()], 1)
    alpha_bar = torch.cumprod(1 - GAUSSIAN.schedule.betas, 0)
    noiseless = LEARNED.process.posterior(0.6, 0.3)
    added = LEARNED.reverse(x_t, wide, 0.6, 0.3, Noise([1])) - noiseless[0] * x_t - noiseless[1] * wide[:, :1]
    expected = (1 - alpha_bar[59] / alpha_bar[29]).sqrt()
    torch.testing.assert_close(added / Noise([1]).normal(x_t), expected.expand_as(added))


def test_the_last_step_adds_nothing_and_an_estimate_alone_is_the_plain_process():
    x_t, estimate = data(2, 1, 4, 4), data(2, 2, 4, 4, seed=1)
    torch.testing.assert_close(LEARNED.reverse(x_t, estimate, 0.01, 0.0, Noise([0, 1])), estimate[:, :1])
    alone = LEARNED.reverse(x_t, estimate[:, :1], 0.5, 0.4, Noise([0, 1]))
    assert torch.equal(alone, GAUSSIAN.reverse(x_t, estimate[:, :1], 0.5, 0.4, Noise([0, 1])))


def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
    answer = torch.tanh(x + level.view(-1, 1, 1, 1))
    if condition.label is not None:
        answer = answer * (1 + 0.1 * condition.label.view(-1, 1, 1, 1))
    return torch.cat([answer, 3 * answer], 1)


@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if entry.suits(LEARNED)])
def test_every_sampler_takes_what_it_needs(name: str):
    process = SAMPLERS[name].sampled_process(LEARNED)
    assert isinstance(process, LearnedVariance) == (name == "ancestral")
    noise, like = Noise([1, 2]), torch.zeros(2, 1, 4, 4)
    denoise = Guided(process, Denoiser(process, network, clip=1.0), scale=2.0, unlabelled=3)
    x = process.prior(like, noise, t=1.0)
    times = log_snr_grid(GAUSSIAN.schedule, 5)
    for step in SAMPLERS[name].sampling_loop(
        process, denoise, x, Condition(label=torch.tensor([0, 1])), noise, times=times
    ):
        assert step.x.shape == step.x0.shape == like.shape and step.x.isfinite().all()


def test_clipping_is_of_the_data():
    estimate = Denoiser(LEARNED, network, clip=0.1)(data(2, 1, 4, 4), 0.5, Condition())
    assert estimate[:, :1].abs().max() <= 0.1 < estimate[:, 1:].abs().max()


def test_the_variance_of_a_guided_step_is_the_strong_one():
    weak, strong = data(1, 2, 4, 4), data(1, 2, 4, 4, seed=1)
    guided = LEARNED.guide(weak, strong, 3.0)
    torch.testing.assert_close(guided[:, :1], weak[:, :1] + 3 * (strong - weak)[:, :1])
    assert torch.equal(guided[:, 1:], strong[:, 1:])


def test_times_are_steps_of_the_table():
    steps = LEARNED.times((torch.arange(1000) + 0.5) / 1000) * 100
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert torch.equal(torch.bincount(steps.round().long()), torch.tensor([0] + [10] * 100))


def divergence(x0: Tensor, x0_hat: Tensor, v: float, k: int) -> float:
    """KL of step k by torch.distributions, in bits."""
    tilde, beta = step_variances(GAUSSIAN.schedule, k)
    std = math.exp(((v + 1) / 2 * math.log(beta) + (1 - v) / 2 * math.log(tilde)) / 2)
    weight = GAUSSIAN.posterior(k / 100, (k - 1) / 100)[1]
    truth = torch.distributions.Normal(weight * x0, torch.full_like(x0, tilde).sqrt())
    model = torch.distributions.Normal(weight * x0_hat, torch.full_like(x0, std))
    return float(torch.distributions.kl_divergence(truth, model).mean()) / math.log(2)


@pytest.mark.parametrize("k", [2, 3, 50, 100])
@pytest.mark.parametrize("v", [-0.9, 0.3])
def test_bound_is_the_divergence(k: int, v: float):
    x0, x0_hat = data(2, 1, 4, 4), data(2, 1, 4, 4, seed=1)
    found = LEARNED.bound(x0_hat, torch.full_like(x0, v), x0, k / 100)
    assert found.tolist() == pytest.approx([divergence(x0[i], x0_hat[i], v, k) for i in range(2)], rel=1e-9)
    apart = LEARNED.bound(x0_hat, torch.full_like(x0, v), x0, torch.full((2,), k / 100))
    torch.testing.assert_close(apart, found, rtol=1e-4, atol=0)


def test_the_first_step_codes_grey_levels():
    """The probabilities of all 256 levels add up to 1, also for means outside and near a bound."""
    process = LearnedVariance(process=Gaussian(schedule=linear(1000), prediction="eps"))
    levels = (torch.arange(256, dtype=torch.float64) * 2 / 255 - 1).view(256, 1, 1)
    for mean in (0.1234, -0.998, 1.01):
        bits = process.bound(torch.full_like(levels, mean), torch.full_like(levels, 0.5), levels, 0.001)
        assert float((2**-bits).sum()) == pytest.approx(1, abs=1e-9)
        assert bits.isfinite().all()


@pytest.mark.parametrize("objective", get_args(LossType))
def test_what_an_objective_trains(objective: LossType):
    process = LearnedVariance(process=GAUSSIAN, objective=objective)
    x0, t = data(3, 1, 4, 4).float(), torch.tensor([0.01, 0.5, 1.0])
    x_t = process.corrupt(x0, t, Noise([0, 1, 2]))
    output = data(3, 2, 4, 4, seed=1).float().requires_grad_()
    loss = process.loss(output, x0, x_t, t)
    loss.sum().backward()
    assert output.grad is not None and output.grad.isfinite().all()
    prediction, v = output.detach().chunk(2, 1)
    plain, bound = GAUSSIAN.loss(prediction, x0, x_t, t), process.bound(GAUSSIAN.estimate(prediction, x_t, t), v, x0, t)
    weight = {"mse": (1, 1), "rescaled_mse": (1, 0.1), "kl": (0, 1), "rescaled_kl": (0, 100)}[objective]
    torch.testing.assert_close(loss.detach(), weight[0] * plain + weight[1] * bound)
    if weight[0]:  # the prediction learns from the plain loss alone
        alone = prediction.clone().requires_grad_()
        GAUSSIAN.loss(alone, x0, x_t, t).sum().backward()
        assert alone.grad is not None
        torch.testing.assert_close(output.grad[:, :1], alone.grad)
    assert (output.grad[:, 1:].abs().amax((1, 2, 3)) > 0).all()


def test_extreme_outputs_keep_the_loss_finite():
    x0 = torch.tensor([-1.0, 1.0, 0.0]).view(3, 1, 1)
    for t in (0.01, 0.02, 1.0):
        output = torch.tensor([[80.0, -3.0], [-80.0, 3.0], [0.0, 0.0]]).view(3, 2, 1).requires_grad_()
        LEARNED.loss(output, x0, x0, t).sum().backward()
        assert output.grad is not None and output.grad.isfinite().all()


def test_it_is_a_process_of_a_table():
    assert isinstance(LEARNED, Process) and LEARNED.channels(3) == (3, 6)
    with pytest.raises(ValueError, match="steps of a table"):
        LearnedVariance(process=Gaussian(schedule=EDM(), prediction="eps"))
    with pytest.raises(ValueError, match="cross-entropy"):
        LearnedVariance(process=Gaussian(schedule=cosine(), prediction="logits"))
