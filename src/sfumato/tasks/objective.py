"""What the training of a segmenting network minimises: a weighted sum of named terms, each logged.

    loss = process * (the process's own loss) + sum over terms (weight * term) + adversarial * (-score)   (1)

The terms are of the estimated mask x0_hat, whatever the network predicts; the score is that of a discriminator, whose
own loss is a term beside the sum. What has weight 0 is not computed.

Pixels that a mask says nothing about must cost nothing and give no gradient. For the process's own loss the network's
answer there is replaced by a fixed one which is taken to be true, for the terms estimate and truth both become
background. What is a mean over pixels is then taken over the others. Distances still see background there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import functional

from sfumato.diffusion.loss import probabilities
from sfumato.diffusion.process import Process
from sfumato.networks.discriminator import contest
from sfumato.training.adversary import DISCRIMINATOR
from sfumato.typing import Data, Output, PerItem, State

Ignored = Bool[Tensor, "b *space"]
"""Which pixels a mask says nothing about."""

DICE = "dice"
"""What the term of soft Dice is called."""

CERTAIN = 100.0
"""Class scores of +-100 are a probability of exactly 1 in float32."""


class Term(NamedTuple):
    """A weighted loss of an estimated mask.

    Attributes:
        name: in the log.
        weight: in equation (1), above 0.
        of: estimated and true one-hot mask in [-1, 1] -> one number for each item.
        per_pixel: whether it is a mean over pixels.
    """

    name: str
    weight: float
    of: Callable[[Data, Data], PerItem]
    per_pixel: bool


class Answer(NamedTuple):
    """What a network answered to a training batch, and what it was asked.

    Attributes:
        output: of the network.
        x0: true one-hot masks in [-1, 1], undecided where ignored.
        x_t: the states.
        t: their times.
        images: in [-1, 1].
        ignored: None where masks say something about every pixel.
    """

    output: Output
    x0: Data
    x_t: State
    t: PerItem
    images: Data
    ignored: Ignored | None = None

    @property
    def counted(self) -> PerItem | float:
        """Share of the pixels that are not ignored; of one pixel where all are."""
        if self.ignored is None:
            return 1.0
        return (~self.ignored).flatten(1).float().mean(1).clamp(min=1 / self.ignored[0].numel())


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Equation (1).

    Args:
        process: weight of the process's own loss.
        terms: of the estimate.
        adversarial: weight of the score that the discriminator gives the estimate.
        discriminator: trained beside the network where `adversarial` is above 0.
    """

    process: float = 1.0
    terms: tuple[Term, ...] = ()
    adversarial: float = 0.0
    discriminator: nn.Module | None = None

    def __call__(self, process: Process, answer: Answer) -> dict[str, Tensor]:
        """Every term by its name, and `loss`; one number for each item."""
        terms, parts = dict[str, Tensor](), list[Tensor]()
        if self.process > 0:
            known = _answered(process, answer)
            terms["process"] = process.loss(known.output, known.x0, answer.x_t, answer.t) / answer.counted
            parts.append(self.process * terms["process"])
        if self.terms or self.discriminator is not None:
            x0_hat, x0 = _estimated(process, answer)
            for term in self.terms:
                terms[term.name] = term.of(x0_hat, x0) / (answer.counted if term.per_pixel else 1.0)
                parts.append(term.weight * terms[term.name])
            if self.discriminator is not None:
                estimate, truth = probabilities(x0_hat), probabilities(x0)
                sides = contest(self.discriminator, answer.images, estimate, truth)
                terms |= {"adversarial": sides.network, DISCRIMINATOR: sides.discriminator}
                parts.append(self.adversarial * sides.network)
        return {"loss": torch.stack(parts).sum(0), **terms}


def _answered(process: Process, answer: Answer) -> Answer:
    """The answer with one where pixels are ignored, and its estimate for the truth."""
    if answer.ignored is None:
        return answer
    hidden = answer.ignored[:, None]
    certain = CERTAIN * _background(answer.x0)[:, -answer.output.shape[1] :]
    further = answer.output.shape[1] - certain.shape[1]  # of logits that are drawn: no spread but the least
    certain = functional.pad(certain, [*(0, 0) * (certain.ndim - 2), 0, further])
    output = torch.where(hidden, certain, answer.output)
    x0 = torch.where(hidden, process.estimate(output.detach(), answer.x_t, answer.t), answer.x0)
    return answer._replace(output=output, x0=x0)


def _estimated(process: Process, answer: Answer) -> tuple[Data, Data]:
    """Estimated and true masks, both background where pixels are ignored."""
    x0_hat = process.estimate(answer.output, answer.x_t, answer.t)
    if answer.ignored is None:
        return x0_hat, answer.x0
    hidden, background = answer.ignored[:, None], _background(answer.x0)
    return torch.where(hidden, background, x0_hat), torch.where(hidden, background, answer.x0)


def _background(like: Data) -> Data:
    """One-hot masks of background alone."""
    background = torch.full_like(like, -1)
    background[:, 0] = 1
    return background
