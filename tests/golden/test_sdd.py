"""Schedule, standardisation, training input and sampler of Smoothed Dirichlet Diffusion.

The reference divides the states of a batch by one smoothing factor; ours is one for each item, so the mean of ours is
put in here. It standardises with float32 numbers in training and partly in sampling: ours agree with them where they
are computed in float32 too, and the arrays that follow from them are compared to the width of that rounding.
Reached: schedule 1.1e-14, moments 1.2e-14 (spread 2.5e-4, in float32 1.6e-3), states of the sampler 7.2e-15, Gamma
concentrations 2.1e-4 (relative), outputs 6.5e-5, training input 1.9e-3 with float32 moments.
"""

from collections.abc import Iterable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sfumato.diffusion.family.dirichlet import Dirichlet
from sfumato.diffusion.family.divergence import smoothing_factor
from sfumato.diffusion.family.fading import Fading, geometric_grid
from sfumato.diffusion.family.moments import moments
from sfumato.diffusion.process import Noise

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
        drawn = next(self.draws).float().log().double()  # the reference takes the logarithm in float32
        return torch.stack([drawn[0], drawn[1]], 2)


def fading(stored: dict[str, Tensor], tag: str = "") -> Fading:
    eta, shift, scale, start, end, power = (
        float(stored[f"{tag}p_{name}"])
        for name in ("eta", "Shift", "Scale", "sigmoid_start", "sigmoid_end", "sigmoid_power")
    )
    return Fading(eta=eta, shift=shift, scale=scale, start=start, end=end, power=power)


def reference(stored: dict[str, Tensor], tag: str = "") -> Dirichlet:
    return Dirichlet(kind="images", schedule=fading(stored, tag), start="middle", covariance="reference")


def answer(x: Tensor, label: Tensor, classes: float = 0.0) -> Tensor:
    """The toy network of the golden runs."""
    return 0.25 * x.double().tanh() + 0.1 * label.double().view(-1, 1, 1, 1) + 0.05 * classes


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
    for logit, suffix, error in [
        (stored[f"{tag}_sampler_logit_alpha"], "sampler_{}_f64", (1e-12, 2.5e-4)),
        (stored[f"{tag}_train_logit_alpha"].float(), "train_{}_f32", (1e-5, 2e-3)),
    ]:
        found = moments(logsigmoid(logit), **data, covariance="reference")
        for value, name, tolerance in zip(found, ("mean", "std"), error, strict=True):
            golden = stored[f"{tag}_{suffix.format(name)}"]
            torch.testing.assert_close(value.double(), golden, rtol=tolerance, atol=0)


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
    close(x.double(), stored[f"{tag}_net_input"], tolerance=0.035)
    schedule = process.schedule
    single = moments(logsigmoid(schedule.logit(t)).float(), eta=1e4, low=0.6, high=0.6 + 0.39, covariance="reference")
    mean, std = (value.double().view(-1, 1, 1, 1) for value in single)
    close((state - mean) / std, stored[f"{tag}_net_input"], tolerance=3e-3)
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
