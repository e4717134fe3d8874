"""The Beta and Dirichlet processes: layouts, limits, losses, refusals."""

import math

import pytest
import torch

from sfumato.diffusion.family.beta_schedule import BetaSchedule, geometric_grid
from sfumato.diffusion.family.dirichlet import Dirichlet, for_images, for_masks
from sfumato.diffusion.family.divergence import Divergence
from sfumato.diffusion.level.schedule import NoiseLevels, critical_grid, karras_grid, log_snr_grid, uniform_grid
from sfumato.diffusion.process import Process
from sfumato.randomness import Noise

MASKS = for_masks(2, 64)


def one_hot(classes: int, *size: int) -> torch.Tensor:
    drawn = torch.randint(classes, (2, *size), generator=torch.Generator().manual_seed(0))
    return 2 * torch.nn.functional.one_hot(drawn, classes).movedim(-1, 1).double() - 1


def test_it_is_a_process_with_levels():
    assert isinstance(MASKS, Process) and isinstance(MASKS.schedule, NoiseLevels)


def test_two_classes_are_beta_diffusion():
    images = Dirichlet(kind="images", schedule=MASKS.schedule)
    data = one_hot(2, 4, 5)
    state = MASKS.corrupt(data, 0.6, Noise([1, 2]))
    assert torch.equal(state, images.corrupt(data[:, 1:], 0.6, Noise([1, 2])))
    moved = MASKS.move(state, data, 0.6, 0.3, Noise([3, 4]))
    assert torch.equal(moved, images.move(state, data[:, 1:], 0.6, 0.3, Noise([3, 4])))
    output, t = torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0.6, 0.6])
    estimates = [process.estimate(output, state, t)[:, -1:] for process in (MASKS, images)]
    torch.testing.assert_close(*estimates, rtol=1e-12, atol=1e-12)
    losses = [process.loss(output, x0, state, t) for process, x0 in ((MASKS, data), (images, data[:, 1:]))]
    torch.testing.assert_close(*losses, rtol=1e-10, atol=0)


@pytest.mark.parametrize("objective", ["cross_entropy", Divergence(), Divergence(kind="hkd", smoothing="reference")])
@pytest.mark.parametrize("kind", ["images1", "images3", "masks2", "masks3"])
@pytest.mark.parametrize("width", [7, 16])
def test_loss(kind: str, objective, width: int):
    number = int(kind[-1])
    if kind.startswith("masks"):
        process, data = for_masks(number, 40, objective=objective), one_hot(number, 5, width)
    else:
        process, data = for_images((0.0,), objective=objective), one_hot(number, 5, width)
    t = torch.tensor([0.9, 0.4])
    before = torch.get_rng_state()
    state = process.corrupt(data, t, Noise([0, 1]))
    output = torch.zeros(2, process.channels(number)[1], 5, width, requires_grad=True)
    loss = process.loss(output, data.float(), state, t)
    loss.sum().backward()
    assert torch.equal(before, torch.get_rng_state())
    assert loss.shape == (2,) and (loss >= 0).all() and output.grad is not None and output.grad.isfinite().all()
    alone = process.loss(output[1:], data[1:].float(), state[1:], t[1:])
    torch.testing.assert_close(alone, loss[1:], rtol=1e-12, atol=0)


def test_float_times_are_tensor_times():
    data, t = one_hot(3, 4, 4), torch.full((2,), 0.7, dtype=torch.float64)
    process = for_masks(3, 16, objective=Divergence())
    state = process.corrupt(data, 0.7, Noise([0, 1]))
    torch.testing.assert_close(process.corrupt(data, t, Noise([0, 1])), state)
    for one, other in zip(process.network_input(state, 0.7), process.network_input(state, t), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(process.log_odds(state, 0.7), process.log_odds(state, t))
    torch.testing.assert_close(process.loss(state, data, state, 0.7), process.loss(state, data, state, t))


@pytest.mark.parametrize("process", [MASKS, for_images((0.0,))])
@pytest.mark.parametrize("steps", [1, 4, 10, 50])
def test_every_grid_falls(process: Dirichlet, steps: int):
    schedule = process.schedule
    grids = [uniform_grid(steps), geometric_grid(schedule, steps), karras_grid(schedule, steps)]
    for times in [*grids, log_snr_grid(schedule, steps), critical_grid(schedule, steps, centre=-4.0)]:
        assert times == sorted(times, reverse=True) and times[0] <= 1 and times[-1] == 0
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.ratio(t)), t, rtol=1e-6, atol=1e-6)


def test_a_step_of_no_length_changes_nothing():
    data = one_hot(2, 4, 4)
    state = MASKS.corrupt(data, 1.0, Noise([0, 1]))
    torch.testing.assert_close(MASKS.move(state, data, 1.0, 1.0, Noise([0, 1])), state)


def test_starts():
    like = torch.zeros(40, 2, 8, 8)
    assert MASKS.prior(like, Noise(range(40))).unique().tolist() == [-MASKS.schedule.depth]
    warm = for_images((-1.0, 1.0)).prior(like[:, :1], Noise(range(40)), t=0.3)
    bright = for_images((0.0,)).read(warm, 0.3).flatten(1).mean(1)
    assert {round(value, 1) for value in bright.tolist()} == {-1.0, 1.0}
    assert warm.dtype == torch.float64


def test_floor_is_no_mass():
    """From the floor the mean of what is handed out is alpha_s x, whatever the floor."""
    data = one_hot(2, 50, 50)
    state = MASKS.move(MASKS.prior(data, Noise([0, 1])), data, 1.0, 0.4, Noise([2, 3]))
    alpha = float(MASKS.schedule.log_alpha(torch.tensor(0.4, dtype=torch.float64)).exp())
    assert float((state.sigmoid() / alpha).mean()) == pytest.approx(float(MASKS.foreground(data).mean()), rel=0.03)


def test_guidance_in_logits():
    weak, strong = torch.tensor([[[0.2]]]), torch.tensor([[[0.6]]])
    process = for_images((0.0,))
    logit = lambda v: math.log((1 + v) / (1 - v))  # noqa: E731
    guided = process.guide(weak, strong, 2.0)
    assert float(guided) == pytest.approx(math.tanh((2 * logit(0.6) - logit(0.2)) / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "build"),
    [
        (
            "needs a schedule with a floor",
            lambda: Dirichlet(kind="images", schedule=BetaSchedule(eta=9, shift=0.1, scale=0.8)),
        ),
        ("no intensity", lambda: for_images(())),
        ("masks have no intensity", lambda: Dirichlet(kind="masks", schedule=MASKS.schedule, start=(0.0,))),
        ("below 1", lambda: BetaSchedule(eta=9, shift=0.5, scale=0.5)),
        ("above 0", lambda: BetaSchedule(eta=0, shift=0.5, scale=0.4)),
        ("fade", lambda: BetaSchedule(eta=9, shift=0.1, scale=0.4, end=11)),
        ("the data have 4", lambda: MASKS.channels(4)),
    ],
)
def test_refusals(words: str, build):
    with pytest.raises(ValueError, match=words):
        build()
