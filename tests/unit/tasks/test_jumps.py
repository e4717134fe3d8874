"""What a flow that is taught to jump is asked to say: equation (1) of `tasks.jumps`, item by item."""

import pytest
import torch
from torch import nn

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import UNGUIDED
from sfumato.diffusion.level.schedule import Flow, cosine
from sfumato.diffusion.level.training_noise import LogNormal
from sfumato.diffusion.process import Condition
from sfumato.randomness import Noise
from sfumato.tasks.jumps import LARGEST_TARGET, Jumps
from sfumato.tasks.synthesise import draw_images
from sfumato.tasks.task import Sampler

START = 0.9
FLOW = Gaussian(schedule=Flow(), prediction="velocity", training=LogNormal(mean=0.4, std=1.0))


def terms(network: nn.Module, *, count: int = 64, stage: int = 2, x0: torch.Tensor | None = None):
    noise = Noise(range(count))
    x0 = torch.linspace(-1, 1, 4 * count).view(count, 1, 2, 2) if x0 is None else x0
    t = FLOW.times(noise.uniform())
    return Jumps(FLOW, start=START).loss(network, x0, Condition(), t, noise, stage=stage)


class Told(nn.Module):
    """Answers `slope` times the jump everywhere, and remembers what it was shown."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.shown: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def forward(self, x, level, condition):  # type: ignore[no-untyped-def]
        self.shown.append((x, level, condition.jump))
        return self.slope * condition.jump.view(-1, 1, 1, 1).expand(x.shape)


class Towards(nn.Module):
    """The exact velocity of data that are one image, zero everywhere: x_t / sigma, all the way."""

    def forward(self, x, level, _condition):  # type: ignore[no-untyped-def]
        ratio = (4 * level).exp()
        return x / (ratio / (1 + ratio)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("stage", [1, 3, 5])
def test_a_straight_way_is_the_same_velocity_for_every_jump(stage: int) -> None:
    found = terms(Towards(), x0=torch.zeros(64, 1, 2, 2), stage=stage)
    assert float(found["jump"].max()) < 1e-8
    assert float(found["plain"].max()) < 1e-8
    assert float(found["loss"].max()) < 1e-4


@pytest.mark.parametrize("stage", [1, 2, 5])
def test_a_share_of_the_jump_and_the_rest_are_the_jump(stage: int) -> None:
    """Recomputed from what the network was shown: the rest, without gradient, then the whole."""
    network, k = Told(3.0), 0.5**stage
    found = terms(network, stage=stage)
    (nearer, level_there, rest), (x_t, level, jump) = network.shown
    jumps = jump > 0
    assert torch.allclose(rest, (1 - k) * jump)
    sigma, sigma_there = (torch.sigmoid(4 * each) for each in (level, level_there))
    assert torch.allclose(sigma - k * jump, sigma_there, atol=1e-5)
    velocity = ((x_t - nearer).flatten(1) / (k * jump)[:, None])[jumps]
    target = k * velocity + (1 - k) * (3 * (1 - k) * jump[jumps, None]).clamp(-LARGEST_TARGET, LARGEST_TARGET)
    squared = (3 * jump[jumps, None] - target) ** 2
    # the velocity is read off a difference of float32 states of order 1, over k h
    assert torch.allclose(found["jump"][jumps] * 0.75, squared.mean(1), rtol=1e-3, atol=1e-3)
    total = squared.sum(1)
    assert torch.allclose(found["loss"][jumps], k * total / (total + 1e-3), atol=1e-3)


def test_plain_items_have_the_velocity_as_their_target() -> None:
    network = Told(0.0)
    x0 = torch.full((64, 1, 2, 2), 0.5)
    found = terms(network, x0=x0)
    x_t, level, jump = network.shown[1]
    plain = jump == 0
    velocity = (x_t - x0) / torch.sigmoid(4 * level).view(-1, 1, 1, 1)
    assert torch.allclose(found["plain"][plain] / 4, velocity[plain].square().flatten(1).mean(1), rtol=1e-3)
    assert not found["plain"][~plain].any()
    assert not found["jump"][plain].any()


def test_no_gradient_comes_through_the_rest() -> None:
    """With the target held, d/dslope (slope h - target)^2 = 2 h (slope h - target); the loss divides by itself."""
    network = Told(0.5)
    found = terms(network, stage=1)
    found["loss"].sum().backward()
    (nearer, _, rest), (x_t, _, jump) = network.shown
    there = jump > 0
    velocity = (x_t - nearer).flatten(1)[there] / (0.5 * jump[there, None])
    error = 0.5 * jump[there, None] - 0.5 * velocity - 0.5 * 0.5 * rest[there, None]
    total = error.square().sum(1)
    expected = (0.5 * (2 * jump[there, None] * error).sum(1) / (total + 1e-3)).sum()
    assert network.slope.grad is not None
    # dividing by small errors makes single items loud
    torch.testing.assert_close(network.slope.grad, expected.detach(), rtol=1e-2, atol=1e-2)


def test_a_quarter_is_plain_and_a_quarter_begins_where_sampling_does() -> None:
    network = Told(0.0)
    terms(network, count=2000)
    _, level, jump = network.shown[1]
    begins = (torch.sigmoid(4 * level) - START).abs() < 1e-5
    for share in ((jump == 0).float().mean(), begins.float().mean()):
        assert abs(float(share) - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5
    assert float(jump.max()) <= 1


def test_other_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="straight path"):
        Jumps(Gaussian(schedule=cosine(100), prediction="v"), start=1.0)
    with pytest.raises(ValueError, match="straight path"):
        Jumps(Gaussian(schedule=Flow(), prediction="x0"), start=1.0)


def test_a_jump_carries_the_state_as_far_as_the_network_says() -> None:
    """Between two jumps the state is no image, and is not brought into the range of images."""
    noise, x = Noise([0]), torch.full((1, 1, 2, 2), 2.5)
    sampler = Sampler(name="jump", times=(START, 0.4, 0.0))
    network = Told(10.0)
    steps = draw_images(FLOW, network, sampler, x, [None], noise, guidance=UNGUIDED, classes=0)
    # 0.5 at a velocity of 10 x 0.5, then 0.4 at 10 x 0.4; of the first x0_hat is -2
    between, end = (float(step.x.detach().mean()) for step in steps)
    assert (between, end) == pytest.approx((2.5 - 2.5, 0 - 1.6), abs=1e-5)
