"""The gradient of a step: the same for any number of processes and pieces.

Each process cuts its share of the batch into pieces and backpropagates, for each piece, the sum of its losses divided
by the size of the global batch; the gradients of all pieces and processes are added. What else all processes have to
agree on travels in the same message: the loss terms, the time, and flags such as "a signal has come".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfumato.randomness import derive_seed
from sfumato.training.adversary import DISCRIMINATOR
from sfumato.training.data_order import Batch
from sfumato.training.precision import Precision, autocast
from sfumato.training.processes import add_up, gather_rows, rank
from sfumato.training.shard import own_sums, total_norm

Loss = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
"""Network (in training mode, perhaps compiled) and batch -> loss terms of shape (b,); `loss` is their weighted sum.

Where the network has an adversary, the term `DISCRIMINATOR` is what that minimises.
"""


class MicroBatch(NamedTuple):
    """A micro-batch and its loss terms, detached."""

    batch: Batch
    terms: dict[str, Tensor]


class StepMeasures(NamedTuple):
    """What all processes know of a step.

    Attributes:
        terms: means over the global batch.
        gradient_norms: of the whole gradient of each network.
        seconds: since the last measurement, on the first process.
        flags: whether each flag was up in any process.
    """

    terms: dict[str, float]
    gradient_norms: list[float]
    seconds: float
    flags: tuple[bool, ...]

    @property
    def finite(self) -> bool:
        """Whether loss and gradients are numbers."""
        return math.isfinite(self.terms["loss"]) and all(map(math.isfinite, self.gradient_norms))


def backward(
    network: nn.Module, loss: Loss, batch: Batch, *, precision: Precision, seed: int, weight: float
) -> MicroBatch:
    """Add the gradients of `weight` times the summed loss of a piece; `seed` is that of dropout."""
    torch.manual_seed(derive_seed(seed, "dropout", batch.step, batch.slots[0]))
    with autocast(precision, device_of(network)):
        terms = loss(network, batch)
    wrong = {name: tuple(term.shape) for name, term in terms.items() if term.shape != (len(batch.rows),)}
    if wrong:
        raise ValueError(f"loss terms need the shape ({len(batch.rows)},), one number per sample: {wrong}")
    minimised = [terms[name] for name in ("loss", DISCRIMINATOR) if name in terms]
    torch.autograd.backward([term.float().sum() * weight for term in minimised])
    return MicroBatch(batch, {name: term.detach().float() for name, term in terms.items()})


def measure_step(
    networks: Sequence[nn.Module],
    pieces: Sequence[MicroBatch],
    *,
    count: int,
    scale: float,
    seconds: float,
    flags: Sequence[bool],
) -> StepMeasures:
    """Add gradients, terms and flags of all processes, and ask the device for numbers: once in a step.

    Args:
        networks: those that are trained, with the gradients of this process.
        pieces: of this process.
        count: size of the global batch.
        scale: by which the loss was multiplied.
        seconds: since the last measurement.
        flags: whatever all have to know if it is so in any process.
    """
    gradients = [gradients_of(network) for network in networks]
    names = list(pieces[0].terms)
    sums = torch.stack([torch.stack([piece.terms[name].sum() for piece in pieces]).sum() for name in names])
    facts = torch.tensor([seconds if rank() == 0 else 0.0, *map(float, flags)], device=sums.device)
    totals = add_up(own_sums([*chain(*gradients)]), torch.cat([sums, facts]))
    values = torch.cat([totals, torch.stack([total_norm(each) for each in gradients])]).tolist()
    means = {name: value / count for name, value in zip(names, values, strict=False)}
    seconds, *raised = values[len(names) : len(totals)]
    norms = [norm / scale for norm in values[len(totals) :]]
    return StepMeasures(means, norms, seconds, tuple(value > 0 for value in raised))


def gradients_of(network: nn.Module) -> list[Tensor]:
    """The gradients; zero where a parameter took no part, so that every process and every split of work agrees."""
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    return gradients


def bad_rows(pieces: Sequence[MicroBatch]) -> list[int]:
    """Rows of the dataset, over all processes, whose loss is not finite."""
    pairs = [pair for batch, terms in pieces for pair in zip(batch.rows, terms["loss"].tolist(), strict=True)]
    return gather_rows([row for row, value in pairs if not math.isfinite(value)])


def device_of(network: nn.Module) -> torch.device:
    """Where the network is."""
    return next(network.parameters()).device
