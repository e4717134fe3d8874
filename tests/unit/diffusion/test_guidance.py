"""Guidance: when it holds, what it costs, and that it is the formula of the paper in the process's own space."""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import EVERYWHERE, Autoguided, Guidance, Guided, times_of
from sfumato.diffusion.level.schedule import EDM, VP, cosine, linear
from sfumato.diffusion.process import Condition, Denoise, Process

EDM_PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
MASKS = Gaussian(schedule=cosine(), prediction="logits")
X = torch.linspace(-2, 2, 24, dtype=torch.float64).view(3, 2, 2, 2)
CONDITION = Condition(label=torch.tensor([0, 1, 2]), image=X / 7)


class Counted:
    """A network whose answer depends on everything, and the rows that it was called with."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain, self.calls = gain, list[Condition]()

    def __call__(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        self.calls.append(condition)
        answer = self.gain * torch.sin(3 * x)
        if condition.label is not None:
            answer = answer * (1 + condition.label.view(-1, 1, 1, 1))
        return answer if condition.image is None else answer + condition.image


def denoiser(process: Process, network: Counted) -> Denoise:
    return Denoiser(process, network)


def at(process: Gaussian, ratio: float) -> float:
    return float(process.schedule.time(torch.tensor([ratio], dtype=torch.float64)))


@pytest.mark.parametrize("schedule", [EDM(), VP(), linear(), cosine(200)], ids=["edm", "vp", "linear", "cosine"])
def test_the_interval_is_open_below_and_closed_above(schedule: EDM | VP):
    process = Gaussian(schedule=schedule, prediction="eps")
    low, high = times_of(process, (0.2, 3.0))
    assert low == at(process, 0.2) and high == at(process, 3.0)
    for ratio, guided in [(0.1, False), (0.2, False), (0.201, True), (1.0, True), (3.0, True), (3.01, False)]:
        network = Counted()
        Guided(process, denoiser(process, network), 2.0, 3, (0.2, 3.0))(X, at(process, ratio), CONDITION)
        assert [len(call.label) for call in network.calls] == [6 if guided else 3], ratio  # type: ignore[arg-type]


def test_without_bounds_every_level_is_guided():
    assert times_of(EDM_PROCESS, EVERYWHERE) == (0.0, math.inf)
    assert times_of(Deterministic(), EVERYWHERE) == (0.0, math.inf)
    low, high = times_of(Gaussian(schedule=VP(), prediction="eps"), (0.5, math.inf))
    assert 0 < low < 1 < high and math.isfinite(high)


@pytest.mark.parametrize("interval", [(1.0, 1.0), (3.0, 2.0), (-1.0, 2.0), (math.nan, 2.0)])
def test_an_empty_interval_is_refused(interval: tuple[float, float]):
    with pytest.raises(ValueError, match="empty"):
        Guided(EDM_PROCESS, denoiser(EDM_PROCESS, Counted()), 2.0, 3, interval)


def test_a_process_without_noise_has_no_interval():
    with pytest.raises(ValueError, match="no noise levels"):
        Autoguided(Deterministic(), denoiser(MASKS, Counted()), denoiser(MASKS, Counted()), 2.0, (0.2, 3.0))


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.1])
def test_autoguidance_is_the_formula_with_the_same_condition(scale: float):
    strong, weak = Counted(), Counted(0.6)
    guided = Autoguided(EDM_PROCESS, denoiser(EDM_PROCESS, strong), denoiser(EDM_PROCESS, weak), scale)
    answer = guided(X, 0.4, CONDITION)
    assert strong.calls == weak.calls == [CONDITION]
    far = denoiser(EDM_PROCESS, Counted())(X, 0.4, CONDITION)
    near = denoiser(EDM_PROCESS, Counted(0.6))(X, 0.4, CONDITION)
    torch.testing.assert_close(answer, near + scale * (far - near))


def test_outside_the_interval_and_at_scale_one_the_weak_network_is_not_called():
    strong, weak = Counted(), Counted(0.6)
    pair = denoiser(EDM_PROCESS, strong), denoiser(EDM_PROCESS, weak)
    plain = pair[0](X, at(EDM_PROCESS, 5.0), CONDITION)
    assert torch.equal(Autoguided(EDM_PROCESS, *pair, 2.0, (0.2, 3.0))(X, at(EDM_PROCESS, 5.0), CONDITION), plain)
    assert torch.equal(Autoguided(EDM_PROCESS, *pair, 1.0)(X, at(EDM_PROCESS, 5.0), CONDITION), plain)
    assert not weak.calls and len(strong.calls) == 3


def test_masks_are_guided_in_log_probabilities():
    guided = Autoguided(MASKS, denoiser(MASKS, Counted()), denoiser(MASKS, Counted(0.6)), 3.0)(X, 0.4, CONDITION)
    assert guided.abs().max() <= 1
    torch.testing.assert_close(guided.sum(1), torch.zeros_like(guided.sum(1)), atol=1e-12, rtol=0)
    x, level = MASKS.network_input(X, 0.4)
    strong, weak = Counted()(x, level, CONDITION), Counted(0.6)(x, level, CONDITION)
    torch.testing.assert_close(guided, 2 * (3 * strong.log_softmax(1) - 2 * weak.log_softmax(1)).softmax(1) - 1)


def test_guidance_chooses_the_denoiser():
    network = Counted()

    def around(guidance: Guidance, unlabelled: int | None) -> Denoise:
        return guidance.around(EDM_PROCESS, network, lambda each: Denoiser(EDM_PROCESS, each), unlabelled=unlabelled)

    assert isinstance(around(Guidance(), None), Denoiser)
    assert isinstance(around(Guidance(scale=2.0), 3), Guided)
    auto = around(Guidance(scale=2.0, weak=Counted(0.6), interval=(0.2, 3.0)), 3)
    assert isinstance(auto, Autoguided) and auto.interval == (0.2, 3.0)
    assert isinstance(auto.weak, Denoiser) and auto.weak.network is not network
    with pytest.raises(ValueError, match="weaker network"):
        around(Guidance(scale=2.0), None)


@pytest.mark.parametrize("weak", [None, Counted(0.6)], ids=["class", "weaker"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
def test_guidance_looks_twice_at_an_item(scale: float, weak: Counted | None):
    strong, guidance = Counted(), Guidance(scale=scale, weak=weak)
    before = 0 if weak is None else len(weak.calls)
    denoise = guidance.around(EDM_PROCESS, strong, lambda each: Denoiser(EDM_PROCESS, each), unlabelled=3)
    denoise(X, 0.5, CONDITION)
    looked = strong.calls + ([] if weak is None else weak.calls[before:])
    items = sum(len(condition.label) for condition in looked if condition.label is not None)
    assert items / len(X) == (1 if scale == 1 else 2)
