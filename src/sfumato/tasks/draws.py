"""What several draws of an image cost in training, of a network that sees it once (`networks.amortised`).

The state lives at the network's stride: its x0 is the mean of the one-hot mask over blocks of pixels. One encoding
serves r draws of an image, each with its own time, noise and, of several, reader:

    loss = mean over the draws of [objective at the stride + of refined + of own],
    of each answer at full size: cross-entropy + soft Dice as the objective weighs it                     (1)

What a mask says nothing about is left out of the means; a block of which it says nothing is ignored.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from sfumato.axes import PerAxis
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.process import DrawAnswers
from sfumato.networks.blocks import block_mean
from sfumato.tasks.objective import DICE, Answer, Ignored, Objective
from sfumato.typing import Data, PerItem

DrawnMasks = Integer[Tensor, "draws *space"]
"""Class index of each pixel, of every draw; those of an image lie side by side."""

PerDraw = Float[Tensor, " draws"]
"""One number for each draw."""

_BY_ITSELF = Deterministic(prediction="logits")
_FULL_SIZE = {"process": "cross_entropy"}
"""What a term is called of logits that are an answer by themselves."""


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


def with_full_size(
    terms: Mapping[str, PerDraw], answers: DrawAnswers, x0: Data, ignored: Ignored | None, objective: Objective
) -> dict[str, PerDraw]:
    """The terms of an objective at the stride, with those of (1) at full size added to its loss and told beside it.

    Args:
        terms: by name, one number for each draw, `loss` among them.
        answers: of r draws of each image.
        x0: true one-hot masks of the draws.
        ignored: pixels about which the masks of the draws say nothing.
        objective: of which the weight of soft Dice counts here too.
    """
    all_terms, t = dict(terms), x0.new_ones(len(x0))
    by_itself = Objective(terms=tuple(term for term in objective.terms if term.name == DICE))
    own = answers.own.repeat_interleave(len(x0) // len(answers.own), 0)
    for name, logits in {"refined": answers.refined, "own": own}.items():
        found = by_itself(_BY_ITSELF, Answer(logits.float(), x0, x0, t, x0, ignored))  # no state, no image
        all_terms["loss"] = all_terms["loss"] + found.pop("loss")
        all_terms |= {f"{name}_{_FULL_SIZE.get(term, term)}": value for term, value in found.items()}
    return all_terms


def mean_over_draws(terms: dict[str, PerDraw], images: int) -> dict[str, PerItem]:
    """One number for each image, whose draws lie side by side."""
    return {name: value.view(images, -1).mean(1) for name, value in terms.items()}
