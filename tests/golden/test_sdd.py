"""Schedule, standardisation, training input and sampler of Smoothed Dirichlet Diffusion.

The reference divides the states of a batch by one smoothing factor; ours is one for each item, so the mean of ours is
put in here. It standardises with float32 numbers in training and partly in sampling, and ours in float64 always. The
moments are differences of ln Gamma, up to 8e4, divided by as little as 1e-2: `rounding` says how exact they can be in
the reference's arithmetic, and what follows from them is compared to that.
Reached: schedule 1.1e-14; moments 0.4 of what rounding explains (spread 0.7, in the sampler 2.5e-4), training input
0.15; states of the sampler 1.3e-15, Gamma concentrations 2.1e-4 (relative), outputs 6.5e-5.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sfumato.diffusion.family.beta_schedule import BetaSchedule, geometric_grid
from sfumato.diffusion.family.dirichlet import Dirichlet
from sfumato.diffusion.family.divergence import smoothing_factor
from sfumato.diffusion.family.moments import dirichlet_moments
from sfumato.randomness import Noise

from .gmm import arrays, close

AT_START = 1e-300
"""Alpha at t = 0 is 1; the reference ends at its limit for t to 0 if it walks on linear times."""


class Replayed(Noise):
    """Recorded Gamma numbers, of the component and of the background; remembers what was asked for."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        super().__init__([])
        self.draws = iter(draws)
        self.asked: list[Tensor] = []

    def log_gamma(self, concentration: Tensor) -> Tensor:
        self.asked.append(torch.stack([concentration[:, :, 0], concentration[:, :, 1]]))
        # The reference takes the logarithm in float32. torch's own is a unit in the last place off on some processors.
        drawn = next(self.draws).log().float().double()
        return torch.stack([drawn[0], drawn[1]], 2)


def fading(stored: dict[str, Tensor], tag: str = "") -> BetaSchedule:
    eta, shift, scale, start, end, power = (
        float(stored[f"{tag}p_{name}"])
        for name in ("eta", "Shift", "Scale", "sigmoid_start", "sigmoid_end", "sigmoid_power")
    )
    return BetaSchedule(eta=eta, shift=shift, scale=scale, start=start, end=end, power=power)


def reference(stored: dict[str, Tensor], tag: str = "") -> Dirichlet:
    return Dirichlet(kind="images", schedule=fading(stored, tag), start="middle", covariance="reference")


def answer(x: Tensor, label: Tensor, classes: float = 0.0) -> Tensor:
    """The toy network of the golden runs."""
    return 0.25 * x.double().tanh() + 0.1 * label.double().view(-1, 1, 1, 1) + 0.05 * classes


class Rounding(NamedTuple):
    """How far rounding alone may take the moments."""

    mean: Tensor
    std: Tensor


def rounding(log_alpha: Tensor, std: Tensor, schedule: BetaSchedule, *, precision: torch.dtype) -> Rounding:
    """Of mean and spread: of each term, of its argument, and of squares whose difference is a variance."""
    a = schedule.eta * log_alpha.double().exp()
    front = [a * x for x in (schedule.shift, schedule.shift + schedule.scale)]
    back = [schedule.eta - z for z in front]
    eps, width = torch.finfo(precision).eps, front[1] - front[0]

    def off(ends: list[Tensor], term: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Tensor:
        return eps * sum(term(z).abs() + z * slope(z).abs() for z in ends) / width

    means = [off(ends, torch.lgamma, torch.digamma) for ends in (front, back)]
    largest = [torch.digamma(ends[0]).abs() for ends in (front, back)]
    between = sum(2 * size * (eps * size + mean) for size, mean in zip(largest, means, strict=True))
    within = off(front + back, torch.digamma, partial(torch.polygamma, 1))
    return Rounding(means[0] + means[1], (within + between) / (2 * std))


def smoothed(state: Tensor) -> Tensor:
    return state / smoothing_factor(state).mean()


@pytest.mark.parametrize("tag", ["default", "pow"])
def test_schedule(tag: str):
    stored = arrays("sdd_schedule")
    schedule = fading(stored, f"{tag}_")
    t = 1 + stored["uniform"].float() * (1e-5 - 1)  # in float32, as the reference
    process = Dirichlet(kind="images", schedule=schedule, start="middle")
    close(process.times(1 - stored["uniform"]), t.double(), tolerance=2e-7)
    later, sooner = (schedule.log_alpha(share * t.double()).exp() for share in (1.0, 0.95))
    close(schedule.logit(t.double()), stored[f"{tag}_la"], tolerance=1e-6)
    close(later, stored[f"{tag}_alpha"], tolerance=1e-6)
    close(sooner, stored[f"{tag}_alpha_prev"], tolerance=1e-6)
    close(sooner - later, stored[f"{tag}_delta"], tolerance=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 20, 200, 350, 351, 400])
@pytest.mark.parametrize("tag", ["default", "pow"])
def test_grid(tag: str, steps: int):
    stored = arrays("sdd_schedule")
    schedule = fading(stored, f"{tag}_")
    times = geometric_grid(schedule, steps)
    logits = schedule.logit(torch.tensor(times[:-1], dtype=torch.float64))
    close(logits, stored[f"{tag}_sampler_logit_alpha_net_{steps}"], tolerance=1e-13)
    assert times[-1] == 0 and times == sorted(times, reverse=True)


@pytest.mark.parametrize("tag", ["default", "mask"])
def test_moments(tag: str):
    stored = arrays("sdd_standardise")
    schedule = fading(stored, f"{tag}_")
    data = {"eta": schedule.eta, "low": schedule.shift, "high": schedule.shift + schedule.scale}
    for part, suffix, precision in [("sampler", "f64", torch.float64), ("train", "f32", torch.float32)]:
        log_alpha = logsigmoid(stored[f"{tag}_{part}_logit_alpha"])
        mean, std = dirichlet_moments(log_alpha, **data, covariance="reference")
        off = rounding(log_alpha, std, schedule, precision=precision)
        assert ((mean - stored[f"{tag}_{part}_mean_{suffix}"]).abs() <= off.mean).all()
        golden = stored[f"{tag}_{part}_std_{suffix}"]
        # The sampler's is float64 but for the trapezoid sum.
        assert ((std - golden).abs() <= (2.5e-4 * std if part == "sampler" else off.std)).all()


@pytest.mark.parametrize("tag", ["rgb", "gray", "rgb_cls"])
def test_training_input(tag: str):
    stored = arrays("sdd_train_forward")
    process = reference(stored)
    t = 1 + stored[f"{tag}_uniform"] * (1e-5 - 1)
    noise = Replayed([torch.stack([stored[f"{tag}_gamma_u"], stored[f"{tag}_gamma_v"]])])
    state = smoothed(process.corrupt(stored[f"{tag}_images"], t, noise))
    shapes = torch.stack([stored[f"{tag}_gamma_u_shape"], stored[f"{tag}_gamma_v_shape"]])
    torch.testing.assert_close(noise.asked[0], shapes, rtol=6e-6, atol=0)
    close(process.foreground(stored[f"{tag}_images"]).squeeze(2), stored[f"{tag}_x0"], tolerance=1e-7)
    x, label = process.network_input(state, t)
    close(label.double(), stored[f"{tag}_net_noise_label"], tolerance=2e-7)
    log_alpha = process.schedule.log_alpha(t)
    _, std = dirichlet_moments(log_alpha, eta=1e4, low=0.6, high=0.6 + 0.39, covariance="reference")
    off = rounding(log_alpha, std, process.schedule, precision=torch.float32)
    golden = stored[f"{tag}_net_input"]
    close(x.double(), golden, tolerance=0.035)
    allowed = ((each / std).view(-1, 1, 1, 1) for each in off)
    assert ((x - golden).abs() <= next(allowed) + golden.abs() * next(allowed) + 1e-6).all()
    output = answer(x, label)
    if tag == "rgb_cls":
        output = output + 0.05 * stored["rgb_cls_labels"].sum(1).view(-1, 1, 1, 1)
    x0_hat = process.foreground(process.estimate(output, state, t)).squeeze(2)
    close(x0_hat, stored[f"{tag}_x0_hat"], tolerance=3e-3)


@pytest.mark.parametrize("tag", ["rgb12", "gray12", "mask20", "gray351", "cls6"])
def test_sampler(tag: str):
    stored = arrays("sdd_sampler")
    process = reference(stored, f"{tag}_")
    times = geometric_grid(process.schedule, len(stored[f"{tag}_x_next"]))
    if tag == "gray351":
        times[-1] = AT_START
    noise = Replayed(stored[f"{tag}_gamma_draws"])
    x = smoothed(process.prior(stored[f"{tag}_latents"], noise))
    x0_hat = torch.zeros_like(x)
    for i, (t, s) in enumerate(pairwise(times)):
        shown, label = process.network_input(x, t)
        close(label.double(), stored[f"{tag}_noise_label"][i].expand(len(x)), tolerance=1e-7)
        close(shown.double(), stored[f"{tag}_net_input"][i], tolerance=5e-4)
        x0_hat = process.estimate(answer(shown, label, 1.0 if tag == "cls6" else 0.0), x, t)
        x = process.move(x, x0_hat, t, s, noise)
        close(x, stored[f"{tag}_x_next"][i], tolerance=1e-14)
    torch.testing.assert_close(torch.stack(noise.asked), stored[f"{tag}_gamma_shapes"], rtol=2.5e-4, atol=0)
    close(x0_hat, stored[f"{tag}_out_xhat"], tolerance=7e-5)
    close(process.read(x, times[-1]), stored[f"{tag}_out_z"], tolerance=1e-14)
    if times[-1] == 0:
        assert torch.equal(process.reverse(x, x0_hat, times[-2], 0.0, noise), x0_hat)
