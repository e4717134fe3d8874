"""Several draws of images that a network sees once (`networks.amortised`): their cost in training, how they are made.

The state lives at the network's stride: its x0 is the mean of the one-hot mask over blocks of pixels. One encoding
serves r draws of an image, each with its own time, noise and, of several, reader:

    loss = mean over the draws of [objective at the stride + of refined + of own],
    of each answer at full size: cross-entropy + soft Dice                                                (1)

What a mask says nothing about is left out of the means; a block of which it says nothing is ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.loss import soft_dice
from sfumato.diffusion.micro_batches import MicroBatches, piece_size
from sfumato.diffusion.process import Condition, DrawAnswers, EncodedImages, Network, Step
from sfumato.networks.amortised import Amortised
from sfumato.networks.blocks import block_mean
from sfumato.tasks.objective import Answer, Ignored, Objective, Term
from sfumato.typing import Data, Output, PerItem

DrawnMasks = Integer[Tensor, "draws *space"]
"""Class index of each pixel, of every draw; those of an image lie side by side."""

PerDraw = Float[Tensor, " draws"]
"""One number for each draw."""

AT_FULL_SIZE = Objective(terms=(Term("dice", 1.0, soft_dice, per_pixel=False),))
"""Of logits that are an answer by themselves: cross-entropy and soft Dice."""

_BY_ITSELF = Deterministic(prediction="logits")


class Coarse(NamedTuple):
    """Masks at the stride of a state.

    Attributes:
        x0: means of one-hot masks in [-1, 1], undecided where ignored.
        ignored: None where masks say something about every pixel.
    """

    x0: Data
    ignored: Ignored | None


def coarse(x0: Data, ignored: Ignored | None, stride: int) -> Coarse:
    """One-hot masks in [-1, 1] seen at a stride; each mean is over the pixels that are not ignored."""
    if ignored is None:
        return Coarse(block_mean(x0, stride), None)
    said = (~ignored)[:, None].to(x0.dtype)
    share = block_mean(said, stride)
    silent = share == 0
    means = block_mean(x0 * said, stride) / share.masked_fill(silent, 1.0)
    return Coarse(torch.where(silent, 2 / x0.shape[1] - 1, means), silent[:, 0])


def full_size_terms(answers: DrawAnswers, x0: Data, ignored: Ignored | None) -> dict[str, PerDraw]:
    """The terms of (1) at full size by name, one number for each draw.

    Args:
        answers: of r draws of each image.
        x0: true one-hot masks of the draws.
        ignored: pixels about which the masks of the draws say nothing.
    """
    own = answers.own.repeat_interleave(len(x0) // len(answers.own), 0)
    terms, t = dict[str, PerDraw](), x0.new_ones(len(x0))
    for name, logits in {"refined": answers.refined, "own": own}.items():
        found = AT_FULL_SIZE(_BY_ITSELF, Answer(logits.float(), x0, x0, t, x0, ignored))  # no state, no image
        terms |= {f"{name}_cross_entropy": found["process"], f"{name}_dice": found["dice"]}
    return terms


def mean_over_draws(terms: dict[str, PerDraw], images: int) -> dict[str, PerItem]:
    """One number for each image, whose draws lie side by side."""
    return {name: value.view(images, -1).mean(1) for name, value in terms.items()}


@dataclass(frozen=True)
class SeenImages:
    """A network that has seen images, as samplers call it: the images of a condition are not looked at.

    Args:
        network: sees batches of one size.
        encoded: what it knows, one row for each item of a batch.
        images: that it has seen.
    """

    network: Amortised
    encoded: EncodedImages
    images: Data

    def __call__(self, x: Data, level: PerItem, condition: Condition) -> Output:
        """What the network says of each state."""
        known = replace(condition, image=None, encoded=self.encoded)
        return MicroBatches(self.network, piece_size(x))(x, level, known)

    def like(self, classes: int) -> Data:
        """An array of the size of the states."""
        return block_mean(self.images[:, :1], self.network.stride).repeat_interleave(classes, 1)

    def finished(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Steps of a sampling loop, of which the last one has the refined estimate, at full size."""
        for step in steps:
            yield step if step.t > 0 else self._refined(step)

    def _refined(self, step: Step) -> Step:
        """The step at full size; refined in pieces of one size, so that the bits do not depend on the batch."""
        count, size = len(step.x0), piece_size(self.images)
        rows = torch.arange(-(-count // size) * size, device=step.x0.device).clamp(max=count - 1)
        pieces = [self.network.refine(step.x0[part], self.encoded.rows(part)) for part in torch.split(rows, size)]
        x0 = 2 * torch.cat(pieces)[:count].to(step.x0.dtype).softmax(1) - 1
        return step._replace(x=x0, x0=x0)


def seen(network: nn.Module | Network, images: Data) -> SeenImages | None:
    """The network after it has seen the images one by one; None for one that looks at them in every call.

    Each is seen alone, so that the bits do not depend on the others, and one that follows itself only once.
    """
    if not isinstance(network, Amortised) or network.twin:
        return None
    known, places = list[EncodedImages](), list[int]()
    for row in range(len(images)):
        if row == 0 or not torch.equal(images[row], images[row - 1]):
            known.append(network.encode(images[row : row + 1]))
        places.append(len(known) - 1)
    features = (torch.cat(each) for each in zip(*(each.features for each in known), strict=True))
    together = EncodedImages(tuple(features), torch.cat([each.logits for each in known]))
    return SeenImages(network, together.rows(torch.tensor(places, device=images.device)), images)
