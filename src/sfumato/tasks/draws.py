"""What several draws of an image cost in training, of a network that sees it once (`networks.amortised`).

The state lives at the network's stride: its x0 is the mean of the one-hot mask over blocks of pixels. One encoding
serves r draws of an image, each with its own time, noise and, of several, reader:

    loss = mean over the draws of [objective at the stride + of refined + of own],
    of each answer at full size: cross-entropy + soft Dice                                                (1)

What a mask says nothing about is left out of the means; a block of which it says nothing is ignored.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from sfumato.axes import PerAxis
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.loss import soft_dice
from sfumato.diffusion.process import DrawAnswers
from sfumato.networks.blocks import block_mean
from sfumato.tasks.objective import Answer, Ignored, Objective, Term
from sfumato.typing import Data, PerItem

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


def coarse(x0: Data, ignored: Ignored | None, stride: PerAxis) -> Coarse:
    """One-hot masks in [-1, 1] seen at a stride in pixels; each mean is over the pixels that are not ignored."""
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
