"""Logits that are drawn: the likelihood against sums by hand, and what a draw is."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from sfumato.diffusion.family.low_rank import LowRankLogits, deviation
from sfumato.diffusion.process import Process
from sfumato.randomness import Noise
from sfumato.tasks.objective import Answer, Objective
from sfumato.tasks.segment import undecided

PIXELS = 3


def answer_of(process: LowRankLogits, items: int = 2, seed: int = 1) -> torch.Tensor:
    """Some answer of a network: (items, classes * (2 + rank), 1, PIXELS), float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (items, process.channels(process.classes)[1], 1, PIXELS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def masks_of(items: int, classes: int) -> torch.Tensor:
    """One-hot masks in [-1, 1], another one for each item."""
    indices = torch.arange(items * PIXELS).view(items, 1, PIXELS) % classes
    return torch.nn.functional.one_hot(indices, classes).movedim(-1, 1).double() * 2 - 1


def by_hand(process: LowRankLogits, output: torch.Tensor, state: torch.Tensor, mask: torch.Tensor) -> float:
    """The loss of one item in sums over pixels, classes, draws and factors, as equation (2) of the file says it."""
    classes, rank = process.classes, process.rank
    found = []
    for number, sign in product(range(process.pairs), (1.0, -1.0)):
        draw = state[number * (classes + rank) : (number + 1) * (classes + rank), 0].tolist()
        total = 0.0
        for pixel in range(PIXELS):
            logits = []
            for index in range(classes):
                mean, spread = (float(output[index + part * classes, 0, pixel]) for part in (0, 1))
                d = math.log1p(math.exp(spread - 3)) + 1e-3
                logit = mean + math.sqrt(d) * sign * draw[index][pixel]
                for factor in range(rank):
                    weight = float(output[(2 + factor) * classes + index, 0, pixel])
                    logit += 0.1 * weight * sign * draw[classes + factor][pixel]
                logits.append(logit)
            true = int(mask[:, 0, pixel].argmax())
            total += logits[true] - math.log(sum(math.exp(each) for each in logits))
        found.append(total)
    return -(math.log(sum(math.exp(each) for each in found)) - math.log(len(found))) / PIXELS


@pytest.mark.parametrize(("classes", "rank", "pairs"), [(2, 1, 1), (3, 2, 4), (2, 0, 2)])
def test_loss_is_the_sum_by_hand(classes: int, rank: int, pairs: int):
    process = LowRankLogits(classes=classes, rank=rank, pairs=pairs)
    output, masks = answer_of(process), masks_of(2, classes)
    state = process.corrupt(masks, 1.0, Noise([5, 6]))
    loss = process.loss(output, masks, state, torch.ones(2))
    expected = [by_hand(process, *item) for item in zip(output, state, masks, strict=True)]
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-12)


def test_many_draws_are_the_likelihood():
    """Of two classes and one factor the likelihood is an integral over z and the differences of the scores."""
    process = LowRankLogits(classes=2, rank=1, pairs=200_000)
    output, masks = answer_of(process, items=1), masks_of(1, 2)
    mean, spread, factor = (output[0, part * 2 : part * 2 + 2, 0] for part in range(3))
    roots, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    sign = np.where(masks[0, 1, 0].numpy() > 0, 1.0, -1.0)
    between, factor = (mean[1] - mean[0]).numpy(), factor / 10
    width = deviation(spread).square().sum(0).sqrt().numpy()  # of the difference of two scores
    likelihood = 0.0
    for z, weight in zip(roots, weights, strict=True):
        centre = between + (factor[1] - factor[0]).numpy() * z
        margin = sign[:, None] * (centre[:, None] + width[:, None] * roots)
        likelihood += weight * np.prod((weights / (1 + np.exp(-margin))).sum(1))
    state = process.corrupt(masks, 1.0, Noise([3]))
    loss = float(process.loss(output, masks, state, torch.ones(1)))
    # the mean of n draws of likelihoods in [0, 1] with this mean: at most sqrt(p (1 - p) / n) off, here 4 of these
    bound = 4 * math.sqrt(likelihood * (1 - likelihood) / 400_000) / likelihood / PIXELS
    assert abs(loss + math.log(likelihood) / PIXELS) < bound


def test_members_of_a_factor_move_together():
    """With a factor alone all pixels of a member lie on one side, with the diagonal alone they do not."""
    together, apart = LowRankLogits(classes=2, rank=1), LowRankLogits(classes=2, rank=0)
    like, noise = torch.zeros(200, 2, 8, 8), range(200)
    answers = torch.zeros(200, 6, 8, 8)
    answers[:, 2:4], answers[:, 4] = -30.0, 1e5
    drawn = together.estimate(answers, together.prior(like, Noise(noise)), 1.0)[:, 0]
    assert set(drawn.gt(0).flatten(1).float().mean(1).tolist()) == {0.0, 1.0}
    answers[:, 2:4] = 3.0
    drawn = apart.estimate(answers[:, :4], apart.prior(like, Noise(noise)), 1.0)[:, 0]
    assert float(drawn.gt(0).flatten(1).float().mean(1).min()) > 0.2


def test_mirror_images_leave_the_mean():
    process = LowRankLogits(classes=2, rank=2, pairs=1)
    output = answer_of(process)
    draw = process.prior(masks_of(2, 2), Noise([1, 2]))
    both = process.logits(output, draw) + process.logits(output, draw, -1.0)
    torch.testing.assert_close(both / 2, output[:, :2], rtol=1e-12, atol=1e-12)


def test_an_item_is_its_seed():
    process = LowRankLogits(classes=2, rank=3)
    like = masks_of(3, 2)
    together = process.prior(like, Noise([4, 5, 6]))
    assert torch.equal(process.prior(like[1:2], Noise([5])), together[1:2])
    assert len(together.flatten(1).unique(dim=0)) == 3
    assert torch.equal(together[:, 2:], together[:, 2:, :1, :1].expand(-1, -1, 1, PIXELS)), "the same in every window"


def test_the_network_sees_no_draw():
    process = LowRankLogits(classes=2, rank=3)
    x, level = process.network_input(process.prior(masks_of(2, 2), Noise([1, 2])), 1.0)
    assert x.shape == (2, 2, 1, PIXELS)
    assert not x.any()
    assert not level.any()
    assert isinstance(process, Process)


def test_ignored_pixels_cost_nothing():
    """The loss is that of the other pixels, and no gradient reaches the answer where nothing is said."""
    process = LowRankLogits(classes=2, rank=2)
    masks = torch.tensor([[[0, 1, 255]]])
    ignored = masks == 255
    x0 = undecided(masks, ignored, 2).double()
    output = answer_of(process, items=1).requires_grad_()
    state = process.corrupt(x0, 1.0, Noise([7]))
    answer = Answer(output, x0, state, torch.ones(1), torch.zeros(1, 1, 1, PIXELS), ignored)
    loss = Objective()(process, answer)["loss"]
    (gradient,) = torch.autograd.grad(loss.sum(), output)
    assert not gradient[..., 2].any()
    assert gradient[..., :2].any()
    alone = process.loss(output[..., :2], x0[..., :2], state[..., :2], torch.ones(1))
    torch.testing.assert_close(loss, alone, rtol=1e-6, atol=1e-6)  # shares of pixels are float32


@pytest.mark.parametrize(("rank", "pairs"), [(-1, 4), (8, 0)])
def test_refused(rank: int, pairs: int):
    with pytest.raises(ValueError, match="pairs"):
        LowRankLogits(classes=2, rank=rank, pairs=pairs)
