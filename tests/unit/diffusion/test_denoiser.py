"""Denoisers: clipping, guidance, and what the network is called with."""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser, SelfConditioned
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import Guided
from sfumato.diffusion.level.schedule import EDM, cosine
from sfumato.diffusion.process import Condition

PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
X = torch.linspace(-2, 2, 24, dtype=torch.float64).view(3, 2, 2, 2)


class Network:
    """Answers with the label, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor, Condition]] = []

    def __call__(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        self.calls.append((x, level, condition))
        answer = torch.sin(3 * x)
        if condition.label is not None:
            answer = answer * condition.label.view(-1, 1, 1, 1)
        return answer if condition.image is None else answer + condition.image


def condition() -> Condition:
    return Condition(label=torch.tensor([0, 1, 2]), image=X / 7, augment=torch.ones(3, 9))


def test_scale_one_is_no_guidance_and_one_plain_call():
    network = Network()
    plain = Denoiser(PROCESS, network)
    guided = Guided(PROCESS, plain, scale=1.0, unlabelled=3)(X, 0.4, condition())
    assert [len(x) for x, _, _ in network.calls] == [3]
    assert torch.equal(guided, plain(X, 0.4, condition()))


@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0, 7.5])
def test_guidance_is_the_formula_in_one_batch(scale: float):
    network = Network()
    plain = Denoiser(PROCESS, network)
    guided = Guided(PROCESS, plain, scale=scale, unlabelled=3)(X, 0.4, condition())
    (x, level, both), *rest = network.calls
    assert not rest
    assert len(x) == len(level) == 6 and torch.equal(x[:3], x[3:])
    assert both.label is not None and both.label.tolist() == [0, 1, 2, 3, 3, 3]
    assert both.image is not None and torch.equal(both.image[:3], both.image[3:])
    assert both.augment is not None and both.augment.shape == (6, 9)
    conditional = plain(X, 0.4, condition())
    unconditional = plain(X, 0.4, Condition(label=torch.tensor([3, 3, 3]), image=X / 7))
    torch.testing.assert_close(guided, unconditional + scale * (conditional - unconditional))


def test_guidance_needs_labels():
    with pytest.raises(ValueError, match="labels"):
        Guided(PROCESS, Denoiser(PROCESS, Network()), scale=2.0, unlabelled=3)(X, 0.4, Condition())


def test_clip():
    wild = Denoiser(PROCESS, Network())(X, 0.3, Condition())
    clipped = Denoiser(PROCESS, Network(), clip=1.0)(X, 0.3, Condition())
    assert wild.abs().max() > 1
    assert torch.equal(clipped, wild.clamp(-1, 1))


def test_a_network_of_low_precision_keeps_the_state_precise():
    def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        return x.bfloat16()

    estimate = Denoiser(Gaussian(schedule=cosine(), prediction="v"), network)(X, 0.5, Condition())
    assert estimate.dtype == torch.float64


def test_self_conditioning_below_guidance_shows_each_branch_its_own_estimate():
    """Guided inside an interval only: there the batch doubles, and halves again below it."""
    seen: list[Tensor] = []

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        assert condition.image is not None and condition.label is not None
        seen.append(condition.image)
        return x_t + t * condition.label.view(-1, 1, 1, 1)

    low, high = (float(PROCESS.schedule.ratio(torch.tensor(t, dtype=torch.float64))) for t in (0.3, 0.7))
    own = SelfConditioned(denoise, 2)
    guided = Guided(PROCESS, own, scale=2.0, unlabelled=3, interval=(low, high))
    label = torch.tensor([0, 1, 2])
    for t in (0.9, 0.6, 0.5, 0.2):
        guided(X, t, Condition(label=label, image=X / 7))
    assert [len(image) for image in seen] == [3, 6, 6, 3]
    told, kept = [image[:, 2:] for image in seen], [image[:, :2] for image in seen]
    assert not told[0].any() and torch.equal(told[1], torch.cat([X + 0.9 * label.view(-1, 1, 1, 1)] * 2))
    assert torch.allclose(told[2][3:], X + 0.6 * 3), "the branch without class sees its own"
    assert torch.equal(told[3], X + 0.5 * label.view(-1, 1, 1, 1)), "the branch with class is kept"
    assert torch.equal(kept[1], torch.cat([X / 7] * 2))
