"""Laws of the Beta and Dirichlet processes, whose states are not laid out as their data; the oracle is exact.

Laws 1 (kernels compose), 2 (the exact denoiser lands on the data in proportion) and 5 (an item depends on its seed
alone), and that a start from which the data is still visible, as the published sampler has, fails where ours does not.
"""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.beta_schedule import BetaSchedule, geometric_grid
from sfumato.diffusion.family.dirichlet import Dirichlet, for_images, for_masks
from sfumato.diffusion.level.schedule import critical_grid
from sfumato.diffusion.process import Condition, Denoise
from sfumato.diffusion.sampler.ancestral import ancestral
from sfumato.randomness import Noise

from .families import ideal, sample

SIDE = 12
PROCESSES = {
    "sdd-images": for_images((-0.5, 0.5)),
    "sdd-masks": for_masks(2, SIDE**2),
    "sdd-masks3": for_masks(3, SIDE**2),
}


def shapes(rim: bool) -> Tensor:
    """All discs (or rings around a core) of three sizes that fit: class indices (n, 12, 12)."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    drawn = []
    for radius in (1.5, 2.5, 3.5):
        middles = range(math.ceil(radius), SIDE - math.ceil(radius))
        for centre in [(j, i) for j in middles for i in middles]:
            distance = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2).sqrt()
            drawn.append((distance <= radius).long() + (distance <= radius - 1).long() * rim)
    return torch.stack(drawn)


def one_hot(masks: Tensor, classes: int) -> Tensor:
    return 2 * torch.nn.functional.one_hot(masks, classes).movedim(-1, 1).double() - 1


def oracle(process: Dirichlet, data: Tensor) -> Denoise:
    """The exact denoiser of a finite set of masks, from the log-odds of its pixels."""
    present = ((data if process.kind == "images" else data[:, 1:]) > 0).double().flatten(1)

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        posterior = (process.log_odds(x_t, t).flatten(1) @ present.T).softmax(1)
        return torch.einsum("bk,k...->b...", posterior, data)

    return denoise


def area_distance(samples: Tensor, data: Tensor) -> float:
    """Total variation distance between the areas of samples and data, thresholded."""
    areas = [(of[:, -1:] > 0).flatten(1).sum(1) for of in (samples, data)]
    most = int(max(area.max() for area in areas)) + 1
    laws = [torch.bincount(area, minlength=most) / len(area) for area in areas]
    return float((laws[0] - laws[1]).abs().sum() / 2)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.7), (0.8, 0.75), (0.6, 0.3), (0.4, 0.001)])
@pytest.mark.parametrize("name", PROCESSES)
def test_kernels_compose(name: str, t: float, s: float):
    """Law 1, by Kolmogorov and Smirnov's test of each component and of their difference."""
    from scipy import stats

    process, count = PROCESSES[name], 4000
    x0 = torch.tensor([[-1.0, 0.3]]) if process.kind == "images" else torch.eye(process.schedule.foreground + 1)[1:2]
    x0 = (2 * x0 - 1 if process.kind == "masks" else x0).double()[..., None].expand(1, -1, count)
    through = process.move(process.corrupt(x0, t, Noise([1])), x0, t, s, Noise([2]))[0]
    direct = process.corrupt(x0, s, Noise([3]))[0]
    for one, other in zip(
        torch.cat([through, through.diff(dim=0)]), torch.cat([direct, direct.diff(dim=0)]), strict=True
    ):
        # Ties at the floor make the test conservative.
        assert stats.ks_2samp(one.numpy(), other.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("name", PROCESSES)
def test_marginal_density(name: str):
    """log_marginal is the density that corrupt draws from: the mean likelihood ratio of any two data is 1."""
    process, count = PROCESSES[name], 4000
    channels = 1 if process.kind == "images" else process.schedule.foreground + 1
    low, high = torch.full((2, 1, channels, 1), -0.2).double()
    low[:, :1], high[:, -1:] = 0.1, 0.1
    for t in (0.6, 0.9, 1.0):
        x = process.corrupt(low.expand(count, -1, -1), t, Noise(range(count)))
        ratio = process.log_marginal(x, high.expand(count, -1, -1), t) - process.log_marginal(
            x, low.expand(count, -1, -1), t
        )
        weights = ratio.exp()
        assert abs(float(weights.mean()) - 1) < 5 * float(weights.std()) / count**0.5 + 1e-6


@pytest.mark.parametrize("classes", [2, 3])
def test_log_odds_are_the_marginals(classes: int):
    process = for_masks(classes, 9)
    data = one_hot(torch.arange(classes).view(-1, 1, 1), classes)
    x = process.corrupt(data, 0.7, Noise(range(classes)))
    x[0, 0] = -process.schedule.depth
    log_marginal = [process.log_marginal(x, image.expand(classes, -1, -1, -1), 0.7) for image in data]
    found = torch.stack([value - log_marginal[0] for value in log_marginal[1:]], 1)
    torch.testing.assert_close(process.log_odds(x, 0.7).flatten(1), found, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("grid", ["geometric", "critical"])
@pytest.mark.parametrize("classes", [2, 3])
def test_lands_on_masks_in_proportion(classes: int, grid: str):
    """Law 2."""
    process, data, count = for_masks(classes, SIDE**2), one_hot(shapes(classes == 3), classes), 500
    differing = (data.argmax(1)[:, None] != data.argmax(1)).flatten(2).sum(2).double().mean()
    times = (
        geometric_grid(process.schedule, 25)
        if grid == "geometric"
        else critical_grid(process.schedule, 12, centre=-math.log(2 * differing), width=6.0)
    )
    like = torch.zeros(count, *data.shape[1:])
    samples = sample(ancestral, process, oracle(process, data), like=like, seeds=range(count), times=times)
    drawn = samples.argmax(1).flatten(1)
    assert (drawn[:, None] == data.argmax(1).flatten(1)).all(2).any(1).double().mean() > 0.97
    assert area_distance(samples, data) < 0.13


def test_lands_on_images_in_proportion():
    """Law 2 through `log_marginal`, as for every other process."""
    process, shares = for_images((0.0,)), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    images = torch.tensor([[1, 1, -1, -1], [1, -1, -1, 1], [-1, 0.5, 0.5, -1]], dtype=torch.float64).view(3, 1, 2, 2)
    times = geometric_grid(process.schedule, 60)
    like = torch.zeros(400, 1, 2, 2)
    samples = sample(ancestral, process, ideal(process, images, shares), like=like, seeds=range(400), times=times)
    distances = (samples[:, None] - images).abs().flatten(2).amax(2)
    assert distances.amin(1).max() < 1e-3
    counts = torch.bincount(distances.argmin(1), minlength=3)
    assert ((counts - 400 * shares) ** 2 / (400 * shares)).sum() < 13.8


def test_start_of_the_reference_shows_the_data():
    """Grey at the start, no floor, eta 1000: the exact denoiser reads an area out of the start."""
    data = one_hot(shapes(rim=False), 2)[:, 1:]
    schedule = BetaSchedule(eta=1000, shift=0.09, scale=0.9)
    process = Dirichlet(kind="images", schedule=schedule, start="middle")
    samples = sample(
        ancestral,
        process,
        oracle(process, data),
        like=torch.zeros(300, 1, SIDE, SIDE),
        seeds=range(300),
        times=geometric_grid(schedule, 50),
    )
    assert area_distance(samples, data) > 0.3


@pytest.mark.parametrize("side", [32, 37])
def test_brightness_is_as_varied_as_in_the_data(side: int):
    """Constant images: started from intensities of the data their spread is that of the data, from grey far less."""
    levels = torch.linspace(-0.95, 0.95, 39, dtype=torch.float64)
    data = levels.view(-1, 1, 1, 1)

    def spread(process: Dirichlet) -> float:
        eta, shift, scale = 1e4, 0.6, 0.39
        x = shift + scale * (levels + 1) / 2

        def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
            alpha = process.schedule.log_alpha(torch.tensor([t], dtype=torch.float64)).exp()
            a = eta * alpha * x
            pixels = x_t[0].numel()
            logits = x_t.flatten(1).sum(1, keepdim=True) * a - pixels * (torch.lgamma(a) + torch.lgamma(eta - a))
            mean = (logits.softmax(1) @ levels).view(-1, 1, 1, 1)
            return mean.expand_as(x_t)

        like, times = torch.zeros(100, 1, side, side), geometric_grid(process.schedule, 40)
        drawn = sample(ancestral, process, denoise, like=like, seeds=range(100), times=times)
        return float(drawn.flatten(1).mean(1).std())

    truth = float(data.std())
    assert spread(for_images(tuple(levels.tolist()))) == pytest.approx(truth, rel=0.2)
    if side == 32:
        grey = Dirichlet(kind="images", schedule=BetaSchedule(eta=1e4, shift=0.6, scale=0.39), start="middle")
        assert spread(grey) < 0.8 * truth


@pytest.mark.parametrize("name", PROCESSES)
def test_alone_as_in_a_batch(name: str):
    """Law 5."""
    process, seeds = PROCESSES[name], [11, 7, 0, 7, 2**31]
    channels = 3 if process.kind == "images" else process.schedule.foreground + 1

    def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        return torch.tanh(x + level.view(-1, 1, 1, 1) + x.flatten(1).mean(1).view(-1, 1, 1, 1))

    def sampling_loop(some: list[int]) -> Tensor:
        like, times = torch.zeros(len(some), channels, 5, 7), geometric_grid(process.schedule, 8)
        return sample(ancestral, process, Denoiser(process, network), like=like, seeds=some, times=times)

    before = torch.get_rng_state()
    together = sampling_loop(seeds)
    assert torch.equal(before, torch.get_rng_state())
    assert together.isfinite().all() and torch.equal(together[1], together[3])
    assert len(together.flatten(1).unique(dim=0)) == 4
    for i, seed in enumerate(seeds):
        torch.testing.assert_close(sampling_loop([seed]), together[i : i + 1], rtol=1e-12, atol=1e-12)
