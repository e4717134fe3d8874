"""Terms of an estimated mask against MONAI's, closed forms and brute force."""

import math
from collections.abc import Callable

import pytest
import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss, HausdorffDTLoss
from torch import Tensor

from sfumato.diffusion.distance import diagonal
from sfumato.diffusion.loss import (
    LEAST,
    boundary_loss,
    cross_entropy,
    estimate_cross_entropy,
    focal,
    generalised_dice,
    hausdorff,
    soft_dice,
)

Of = Callable[[Tensor, Tensor], Tensor]
SPACES = [(12, 9), (7, 6, 5)]
TERMS: list[Of] = [estimate_cross_entropy, focal, soft_dice, generalised_dice, boundary_loss, hausdorff]


def one_hot(labels: Tensor, classes: int = 3) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float() * 2 - 1


def drawn(space: tuple[int, ...], classes: int = 3) -> tuple[Tensor, Tensor]:
    """Scores and a true mask that has every class in every item, in patches."""
    generator = torch.Generator().manual_seed(len(space))
    coarse = torch.randint(0, classes, (4, 1, *(-(-side // 3) for side in space)), generator=generator)
    labels = torch.nn.functional.interpolate(coarse.float(), size=space)[:, 0].long()
    labels.flatten(1)[:, :classes] = torch.arange(classes)
    scores = torch.randn(4, classes, *space, generator=generator) + one_hot(labels, classes)
    return scores, one_hot(labels, classes)


def monai(criterion: torch.nn.Module, given: Tensor, x0: Tensor) -> Tensor:
    """Each item alone, which is what `reduction="mean"` then is."""
    return torch.stack([criterion(given[i : i + 1], (x0[i : i + 1] + 1) / 2) for i in range(len(x0))])


def hausdorff_in_pixels(x0_hat: Tensor, x0: Tensor) -> Tensor:
    return hausdorff(x0_hat, x0) * diagonal(x0.shape[2:]) ** 2


def focal_of_a_class(x0_hat: Tensor, x0: Tensor) -> Tensor:
    """MONAI takes the mean over classes, the paper their sum."""
    return focal(x0_hat, x0) / x0.shape[1]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (soft_dice, DiceLoss(include_background=False, softmax=True, smooth_nr=1.0, smooth_dr=1.0)),
        (generalised_dice, GeneralizedDiceLoss(softmax=True, smooth_nr=0.0, smooth_dr=0.0)),
        (focal_of_a_class, FocalLoss(gamma=2.0, use_softmax=True)),
        (hausdorff_in_pixels, HausdorffDTLoss(alpha=2.0, softmax=True)),
    ],
)
def test_values_and_gradients_are_monais(space: tuple[int, ...], ours: Of, theirs: torch.nn.Module) -> None:
    scores, x0 = drawn(space)
    mine, others = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    value, expected = ours(2 * mine.softmax(1) - 1, x0), monai(theirs, others, x0)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    value.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(mine.grad, others.grad, rtol=1e-4, atol=1e-6)


def test_generalised_dice_of_an_absent_class_is_monais() -> None:
    scores, x0 = drawn((12, 9))
    labels = x0.argmax(1)
    labels[labels == 1] = 0
    theirs = GeneralizedDiceLoss(softmax=True, smooth_nr=0.0, smooth_dr=0.0)
    x0 = one_hot(labels)
    found = generalised_dice(2 * scores.softmax(1) - 1, x0)
    torch.testing.assert_close(found, monai(theirs, scores, x0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_cross_entropy_of_an_estimate_is_that_of_its_scores(space: tuple[int, ...]) -> None:
    scores, x0 = drawn(space)
    found = estimate_cross_entropy(2 * scores.softmax(1) - 1, x0)
    torch.testing.assert_close(found, cross_entropy(scores, x0), rtol=1e-5, atol=1e-6)


def test_cross_entropy_has_an_end_and_a_sum_of_one() -> None:
    x0 = one_hot(torch.zeros(1, 2, 2, dtype=torch.int64), 2)
    wrong = -3 * x0
    assert estimate_cross_entropy(wrong, x0).item() == pytest.approx(-math.log(LEAST))
    both = torch.ones_like(x0)
    assert estimate_cross_entropy(both, x0).item() == pytest.approx(math.log(2)), "certain of two classes is undecided"


@pytest.mark.parametrize("space", SPACES)
def test_boundary_is_the_sum_over_pairs_of_pixels(space: tuple[int, ...]) -> None:
    scores, x0 = drawn(space)
    p = scores.softmax(1)
    expected = torch.zeros(len(p))
    places = torch.cartesian_prod(*map(torch.arange, space)).float()
    apart = torch.cdist(places, places)
    for item in range(len(p)):
        for k in range(1, p.shape[1]):
            inside = (x0[item, k] > 0).flatten()
            across = torch.where(inside[:, None] != inside[None], apart, math.inf).amin(1)
            phi = torch.where(inside, -across, across)
            expected[item] += (phi * p[item, k].flatten()).mean() / (p.shape[1] - 1) / math.hypot(*space)
    torch.testing.assert_close(boundary_loss(2 * p - 1, x0), expected, rtol=1e-4, atol=1e-6)


def test_boundary_of_a_half_image() -> None:
    """Columns 0 to 3 of 8 are true: phi is -4 -3 -2 -1 1 2 3 4, so all of it sums to zero, the truth to -10."""
    labels = (torch.arange(8) < 4).long().expand(1, 6, 8)
    x0 = one_hot(labels, 2)
    assert boundary_loss(x0, x0).item() == pytest.approx(-10 / 8 / 10)
    assert boundary_loss(one_hot(torch.ones_like(labels), 2), x0).item() == pytest.approx(0, abs=1e-7)
    assert boundary_loss(-x0, x0).item() == pytest.approx(10 / 8 / 10)


def test_hausdorff_of_one_wrong_pixel() -> None:
    """Truth at column 0 of 8, estimate at 0 and 5: at 5 the true border is 5 away, the estimated one 1."""
    truth, estimate = torch.zeros(1, 6, 8, dtype=torch.int64), torch.zeros(1, 6, 8, dtype=torch.int64)
    truth[..., 0] = estimate[..., 0] = 1
    estimate[0, 3, 5] = 1
    expected = (5**2 + 1) / 48 / 100
    assert hausdorff(one_hot(estimate, 2), one_hot(truth, 2)).item() == pytest.approx(expected)


@pytest.mark.parametrize("of", TERMS)
def test_an_empty_mask_met_by_an_empty_estimate_costs_nothing(of: Of) -> None:
    empty = one_hot(torch.zeros(2, 6, 8, dtype=torch.int64))
    something = one_hot(torch.ones(2, 6, 8, dtype=torch.int64))
    assert of(empty, empty).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (of(something, empty) > 0.3).all(), "and what is found there costs"


@pytest.mark.parametrize("of", TERMS)
@pytest.mark.parametrize("wide", [1.0, 3.0])
def test_terms_are_per_item_with_finite_gradients(of: Of, wide: float) -> None:
    """Also of estimates outside of [-1, 1], and exactly at its ends."""
    scores, x0 = drawn((12, 9))
    x0_hat = (wide * scores.tanh()).requires_grad_()
    value = of(x0_hat, x0)
    torch.testing.assert_close(value[1:3], of(x0_hat[1:3], x0[1:3]))
    value.sum().backward()
    assert x0_hat.grad is not None and x0_hat.grad.isfinite().all() and x0_hat.grad.abs().flatten(1).sum(1).all()
    certain = x0.clone().requires_grad_()
    of(certain, x0).sum().backward()
    assert certain.grad is not None and certain.grad.isfinite().all()


@pytest.mark.parametrize("of", TERMS)
def test_steps_down_the_gradient_lead_towards_the_truth(of: Of) -> None:
    scores, x0 = drawn((12, 9))
    scores = (-scores).requires_grad_()
    first = (scores.argmax(1) == x0.argmax(1)).float().mean()
    optimizer = torch.optim.Adam([scores], lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        of(2 * scores.softmax(1) - 1, x0).sum().backward()
        optimizer.step()
    assert (scores.argmax(1) == x0.argmax(1)).float().mean() > first + 0.3
