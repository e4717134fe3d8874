"""The categorical process against Bayes' rule, written out over all states of a pixel."""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import guide_one_hot
from sfumato.diffusion.level.schedule import VE, VP, Discrete, cosine, zero_terminal
from sfumato.diffusion.level.training_noise import ShiftedCosine
from sfumato.diffusion.loss import cross_entropy
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ancestral import ancestral
from sfumato.randomness import Noise

PROCESS = Categorical(schedule=cosine(250))
CCDM = Categorical(schedule=Discrete(1 - (1 - cosine(250).betas) ** 2))
"""Keeps alpha^2 of a Gaussian process of 250 steps, as the released code of CCDM does."""


def kept(process: Categorical, t: float) -> float:
    """abar, from the schedule."""
    return float(1 / (1 + process.schedule.ratio(torch.tensor(t, dtype=torch.float64)) ** 2).sqrt())


def states(classes: int) -> Tensor:
    """Every class as a pixel, (classes, classes)."""
    return 2 * torch.eye(classes, dtype=torch.float64) - 1


def transition(a: float, classes: int) -> Tensor:
    """Q(a): a I + (1 - a) / K."""
    return a * torch.eye(classes).double() + (1 - a) / classes


def forward(process: Categorical, x0: Tensor, t: float) -> Tensor:
    """q(x_t = j | x0), from log_marginal of every state."""
    each = [process.log_marginal(state.expand(len(x0), -1), x0, t) for state in states(x0.shape[1])]
    return torch.stack(each, 1).exp()


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("t", [1.0, 0.6, 0.1, 0.004])
def test_marginal(t: float, classes: int):
    """Equation (1), exactly; a soft pixel is the mixture."""
    matrix = transition(kept(PROCESS, t), classes)
    torch.testing.assert_close(forward(PROCESS, states(classes), t), matrix, rtol=1e-12, atol=1e-14)
    shares = torch.arange(1.0, classes + 1).double()[None] / sum(range(1, classes + 1))
    torch.testing.assert_close(forward(PROCESS, 2 * shares - 1, t), shares @ matrix, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 3])
def test_pure_noise_is_uniform_whatever_the_class(classes: int):
    """Published code forgot the (1 - abar) / K of the mean: its background never flipped, its prior was Bernoulli."""
    uniform = torch.full((classes, classes), 1 / classes, dtype=torch.float64)
    torch.testing.assert_close(forward(PROCESS, states(classes), 1.0), uniform, rtol=0, atol=1e-2)
    ended = Categorical(schedule=zero_terminal(cosine(250)))
    torch.testing.assert_close(forward(ended, states(classes), 1.0), uniform, rtol=0, atol=1e-15)
    like = torch.zeros(2, classes, 100, 300)
    for drawn in (
        PROCESS.prior(like, Noise([0, 1])),
        PROCESS.prior(like, Noise([0, 1]), t=0.3),
        ended.corrupt(states(classes).float()[:2, :, None, None].expand_as(like), 1.0, Noise([0, 1])),
    ):
        assert drawn.unique().tolist() == [-1, 1]
        assert (drawn.sum(1) == 2 - classes).all()
        assert ((drawn > 0).double().mean((2, 3)) - 1 / classes).abs().max() < 5 * 0.5 / 30_000**0.5


@pytest.mark.parametrize("shape", [(40_000,), (200, 200), (40, 25, 40)], ids=["1d", "2d", "3d"])
def test_corrupt_draws_the_marginal(shape: tuple[int, ...]):
    pixels = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-0.6, -0.4, 0.0]])
    x0 = pixels.view(3, 3, *[1] * len(shape)).expand(3, 3, *shape)
    drawn = PROCESS.corrupt(x0, 0.7, Noise([5, 6, 7]))
    expected = (pixels.double() + 1) / 2 @ transition(kept(PROCESS, 0.7), 3)
    assert ((drawn > 0).double().flatten(2).mean(2) - expected).abs().max() < 5 * 0.5 / 40_000**0.5
    assert drawn.dtype == x0.dtype and (drawn.sum(1) == -1).all()


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.9), (0.9, 0.2), (0.5, 0.49), (0.02, 0.004), (0.7, 0.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_posterior_is_bayes_rule(classes: int, t: float, s: float):
    """Equations (2) to (4) by enumeration."""
    late, soon = kept(PROCESS, t), kept(PROCESS, s)
    joint = transition(late / soon, classes)[:, :, None] * transition(soon, classes)[None]  # (j, i, k)
    bayes = joint / joint.sum(1, keepdim=True)
    shares = torch.arange(1.0, classes + 1).double() / sum(range(1, classes + 1))
    estimate = (2 * shares - 1).expand(classes, -1)
    found = PROCESS.posterior(states(classes), estimate, t, s)
    torch.testing.assert_close(found, (bayes * shares).sum(2), rtol=1e-9, atol=1e-12)
    later, sooner = torch.tensor([[t], [s]], dtype=torch.float64).expand(2, classes)
    torch.testing.assert_close(PROCESS.posterior(states(classes), estimate, later, sooner), found)


def test_step_draws_from_the_posterior():
    x_t = states(3)[:, :, None].expand(-1, -1, 40_000).float()
    x0_hat = torch.tensor([-0.8, 0.2, -0.4])[:, None].expand_as(x_t)
    drawn = (PROCESS.reverse(x_t, x0_hat, 0.8, 0.4, Noise([1, 2, 3])) > 0).double().mean(2)
    expected = PROCESS.posterior(x_t, x0_hat, 0.8, 0.4)[..., 0].double()
    assert (drawn - expected).abs().max() < 5 * 0.5 / 40_000**0.5
    assert PROCESS.reverse(x_t, x0_hat, 0.8, 0.0, Noise([1, 2, 3])) is x0_hat


@pytest.mark.parametrize("steps", [2, 5, 10, 50, 250])
def test_any_stride_has_the_forward_marginals(steps: int):
    """With the true mask as estimate, the state labelled t is as close to it as the forward process says.

    Published code skips times with the posterior of one step: in 10 of 250 steps 55.5 % agree where 98 % should.
    """
    x0 = torch.ones(1, 2, 100, 100) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    x0[..., :30, :] *= -1
    times = [*(torch.linspace(250, 1, steps).round() / 250).tolist(), 0.0]
    x = CCDM.prior(x0, Noise([0]))
    for step in ancestral(CCDM, lambda *_: x0, x, Condition(), Noise([1]), times=times):
        agree = float((step.x == x0).double().mean())
        due = (1 + kept(CCDM, step.t)) / 2
        assert abs(agree - due) < 5 * math.sqrt(due * (1 - due) / 10_000) + 1e-9
        if round(250 * step.t) == 29:
            assert due == pytest.approx(0.982, abs=5e-4)


@pytest.mark.parametrize("classes", [2, 4, 8])
@pytest.mark.parametrize("ratio", [3.0, 30.0, 300.0])
def test_noise_levels_mean_what_they_mean_for_gaussians(classes: int, ratio: float):
    """Equations (5) and (6): the critical log-SNR is ln(4 / K) higher, where noise prevails."""
    schedule = VP(beta_d=40.0)
    process, gaussian = Categorical(schedule=schedule), Gaussian(schedule=schedule, prediction="logits")
    t = float(schedule.time(torch.tensor(ratio, dtype=torch.float64)))
    one, other = states(classes)[:2].split(1)
    law = forward(process, one, t)
    expected = (law * (law / forward(process, other, t)).log()).sum()
    a = kept(process, t)
    assert float(expected) == pytest.approx(a * math.log1p(classes * a / (1 - a)), rel=1e-9)
    alpha, sigma = gaussian.coefficients(t)
    gained = gaussian.log_marginal(alpha * one, one, t) - gaussian.log_marginal(alpha * one, other, t)
    assert float(gained) == pytest.approx(4 / ratio**2, rel=1e-9)
    assert alpha == pytest.approx(a, rel=1e-12) and sigma == pytest.approx(ratio * a, rel=1e-9)
    if ratio == 300:
        assert float(expected / gained) == pytest.approx(classes / 4, rel=0.03)


def test_network_is_shown_the_state_and_the_gaussian_level():
    gaussian = Gaussian(schedule=PROCESS.schedule, prediction="logits")
    x_t, times = states(3)[:, :, None, None], torch.tensor([1.0, 0.5, 0.01])
    state, level = PROCESS.network_input(x_t, times)
    assert state is x_t
    torch.testing.assert_close(level, gaussian.network_input(x_t, times)[1])
    torch.testing.assert_close(PROCESS.network_input(x_t, 0.5)[1], level[1].expand(3))


def test_estimate_loss_and_guidance_are_those_of_classes():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x0, x_t = states(3).float()[:2, :, None, None].expand(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    estimate = PROCESS.estimate(logits, x_t, 0.5)
    torch.testing.assert_close(estimate, 2 * logits.softmax(1) - 1)
    torch.testing.assert_close(PROCESS.loss(logits, x0, x_t, 0.5), cross_entropy(logits, x0))
    torch.testing.assert_close(PROCESS.guide(estimate, -estimate, 0.5), guide_one_hot(estimate, -estimate, 0.5))


@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.2, 0.3, 0.5)])
def test_posterior_kl_is_the_variational_bound(shares: tuple[float, ...]):
    """With the exact answer for one pixel, the mean over times is the entropy of the data."""
    process, classes = Categorical(schedule=cosine(250), objective="posterior_kl"), len(shares)
    law, t = torch.tensor(shares).double(), (torch.arange(4000) + 0.5).double() / 4000
    total = torch.zeros_like(t)
    for j, k in [(j, k) for j in range(classes) for k in range(classes)]:
        x_t, x0 = (states(classes)[i].view(1, -1, 1).expand(len(t), -1, 1) for i in (j, k))
        every = [states(classes)[i].view(1, -1, 1).expand_as(x_t) for i in range(classes)]
        likelihood = torch.stack([process.log_marginal(x_t, data, t) for data in every], 1).exp()
        answer = (likelihood * law).log()[..., None]
        total += law[k] * likelihood[:, k] * process.loss(answer, x0, x_t, t)
    assert float(total.mean()) == pytest.approx(float(-(law * law.log()).sum()), rel=3e-3)


def test_posterior_kl_has_a_gradient_and_none_at_the_truth():
    process = Categorical(schedule=cosine(250), objective="posterior_kl")
    x0, times = states(2).float()[:, :, None].expand(2, 2, 9), torch.tensor([0.9, 0.01])
    x_t = process.corrupt(x0, times, Noise([0, 1]))
    output = torch.zeros_like(x0).requires_grad_()
    (found,) = torch.autograd.grad(process.loss(output, x0, x_t, times).sum(), output)
    assert torch.isfinite(found).all() and ((found < 0) == (x0 > 0)).all()
    assert process.loss(100 * x0, x0, x_t, times).abs().max() < 1e-6


def test_training_times_and_the_schedules_that_fit():
    u = torch.linspace(0.01, 0.99, 99)
    law = ShiftedCosine(log_snr=-5.0)
    gaussian = Gaussian(schedule=PROCESS.schedule, prediction="logits", training=law)
    assert torch.equal(Categorical(schedule=PROCESS.schedule, training=law).times(u), gaussian.times(u))
    with pytest.raises(ValueError, match="variance-preserving"):
        Categorical(schedule=VE())
