"""Loss terms against their definitions."""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.loss import cross_entropy, per_item_mean, soft_dice


def one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double() * 2 - 1


@pytest.mark.parametrize("space", [(6, 5), (4, 3, 5)])
def test_cross_entropy_is_that_of_torch(space: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (4, *space), generator=generator)
    scores = torch.randn(4, 3, *space, generator=generator, dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(scores, labels, reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(cross_entropy(scores, one_hot(labels, 3)), expected)


def test_cross_entropy_survives_certainty():
    x0 = one_hot(torch.zeros(1, 2, 2, dtype=torch.int64), 2)
    scores = (1e4 * x0).requires_grad_()
    loss = cross_entropy(scores, x0) + cross_entropy(-scores, x0)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(2e4) and scores.grad is not None and torch.isfinite(scores.grad).all()


def test_soft_dice_counts():
    """Overlap 1 of 2 and 3 pixels: 1 - (2 + 1) / (5 + 1) for one class, and perfect for the other."""
    truth = torch.tensor([[1, 1, 0, 0, 0, 0, 2, 2]]).view(1, 2, 4)
    estimate = torch.tensor([[0, 1, 1, 1, 0, 0, 2, 2]]).view(1, 2, 4)
    value = soft_dice(one_hot(estimate, 3), one_hot(truth, 3))
    assert float(value) == pytest.approx(0.5 / 2)


def test_empty_masks_cost_nothing():
    empty = one_hot(torch.zeros(2, 3, 3, 3, dtype=torch.int64), 3)
    assert soft_dice(empty, empty).tolist() == [0, 0]
    something = one_hot(torch.ones(2, 3, 3, 3, dtype=torch.int64), 3)
    assert (soft_dice(something, empty) > 0.4).all()


def test_soft_dice_is_per_item_and_has_gradients():
    truth = one_hot(torch.tensor([[0, 1], [1, 1]]).view(2, 1, 2), 2)
    estimate = torch.zeros_like(truth).requires_grad_()
    value = soft_dice(estimate, truth)
    torch.testing.assert_close(value[1:], soft_dice(estimate[1:], truth[1:]))
    value.sum().backward()
    assert estimate.grad is not None and torch.isfinite(estimate.grad).all() and estimate.grad[:, 1].any()


def test_per_item_mean():
    torch.testing.assert_close(per_item_mean(torch.arange(12.0).view(2, 1, 2, 3)), torch.tensor([2.5, 8.5]))
