"""Two networks in one backward pass: neither learns from the other's loss, and each from its own."""

import pytest
import torch
from torch import Tensor, nn

from sfumato.networks.discriminator import Contest, Discriminator, contest


def made(dimensions: int = 2, classes: int = 2) -> Discriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator(channels_image=1, classes=classes, channels=8, dimensions=dimensions)  # type: ignore[arg-type]


def game(items: int = 4, side: int = 16) -> tuple[Tensor, nn.Parameter, Tensor]:
    """Images, scores of an estimate, and true masks: a square, bright in the image."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.zeros(items, 2, side, side)
    truth[:, 0] = 1
    for item in range(items):
        truth[item, 1, 3 : 7 + item, 2:9] = 1
    truth[:, 0] -= truth[:, 1]
    images = truth[:, 1:] + 0.3 * torch.randn(items, 1, side, side, generator=generator)
    return images, nn.Parameter(torch.randn(items, 2, side, side, generator=generator)), truth


def sides(network: nn.Module, scores: Tensor, images: Tensor, truth: Tensor) -> Contest:
    return contest(network, images, scores.softmax(1), truth)


@pytest.mark.parametrize(("space", "patches"), [((16, 24), (2, 3)), ((5, 9), (1, 2)), ((9, 8, 17), (2, 1, 3))])
def test_any_size_gives_scores_of_patches(space: tuple[int, ...], patches: tuple[int, ...]) -> None:
    network = made(len(space))
    assert network(torch.randn(2, 1, *space), torch.rand(2, 2, *space)).shape == (2, 1, *patches)


def test_a_score_sees_38_pixels_of_image_and_mask() -> None:
    """Normalisation sees all of an image; without it the gradient of a score ends after 38 pixels."""
    network = made().double()
    body = nn.Sequential(*(layer for layer in network.body if isinstance(layer, nn.Conv2d)), network.head)
    seen = torch.randn(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    body(seen)[0, 0, 6, 6].backward()
    assert seen.grad is not None
    assert [int(seen.grad.abs().sum((0, 1)).any(axis).sum()) for axis in (0, 1)] == [38, 38]
    assert seen.grad.abs().sum((0, 2, 3)).all()


def test_the_values_are_the_equations() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor, masks: Tensor) -> Tensor:
            return 4 * masks[:, 1:].mean((2, 3), keepdim=True)

    images, scores, truth = game()
    found = sides(Mean(), scores, images, truth)
    true, estimated = (4 * mask.float().mean((1, 2)) for mask in (truth[:, 1], scores[:, 1] > scores[:, 0]))
    torch.testing.assert_close(found.network, -estimated)
    torch.testing.assert_close(found.discriminator, (1 - true).clamp(min=0) + (1 + estimated).clamp(min=0))


def test_each_side_reaches_its_own_weights_alone() -> None:
    images, scores, truth = game()
    network = made()
    sides(network, scores, images, truth).network.sum().backward()
    assert scores.grad is not None and scores.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in network.parameters())
    own, scores.grad = scores.grad, None
    sides(network, scores, images, truth).discriminator.sum().backward()
    assert scores.grad is None
    theirs = [weight.grad for weight in network.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in theirs[:-1]), "but a shift of scores"
    network.zero_grad()
    both = sides(network, scores, images, truth)
    (both.network + both.discriminator).sum().backward()
    assert torch.equal(scores.grad, own), "to the bit, whatever the other side minimises"
    assert all(torch.equal(weight.grad, other) for weight, other in zip(network.parameters(), theirs, strict=True))


def test_it_sees_decisions_and_leads_probabilities() -> None:
    """The gradient is that of a discriminator at the mask of the likeliest classes, handed to the probabilities."""
    images, scores, truth = game()
    network, p = made(), scores.softmax(1).detach().requires_grad_()
    contest(network, images, p, truth).network.sum().backward()
    mask = (p == p.amax(1, keepdim=True)).float().requires_grad_()
    (-network(images, mask).flatten(1).mean(1)).sum().backward()
    torch.testing.assert_close(p.grad, mask.grad)
    surer = (5 * scores).softmax(1)
    torch.testing.assert_close(contest(network, images, surer, truth), contest(network, images, p, truth))


def test_an_item_is_judged_alone() -> None:
    images, scores, truth = game()
    network, scores = made(), scores.detach()
    whole = sides(network, scores, images, truth)
    for items in (slice(0, 1), slice(1, 4)):
        part = sides(network, scores[items], images[items], truth[items])
        for one, other in zip(whole, part, strict=True):
            torch.testing.assert_close(one[items], other, rtol=1e-5, atol=1e-6)


def test_it_learns_to_tell_them_apart_and_its_scores_lead_to_the_truth() -> None:
    images, scores, truth = game()
    network = made()
    teacher = torch.optim.Adam(network.parameters(), lr=2e-3)
    first = sides(network, scores, images, truth).discriminator.mean().item()
    assert first == pytest.approx(2, abs=0.3)
    for _ in range(30):
        teacher.zero_grad()
        told = sides(network, scores, images, truth).discriminator.mean()
        told.backward()
        teacher.step()
    assert told.item() < 0.7
    before = sides(network, scores, images, truth).network.mean()
    pupil = torch.optim.Adam([scores], lr=0.1)
    for _ in range(10):
        pupil.zero_grad()
        fooled = sides(network, scores, images, truth).network.mean()
        fooled.backward()
        pupil.step()
    assert fooled < before - 0.5
