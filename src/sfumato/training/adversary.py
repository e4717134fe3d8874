"""A second network that is trained beside the first, by the same backward pass, and the optimiser of each.

The loss of a batch then has a term `DISCRIMINATOR` beside `loss`; the gradient of neither reaches the weights of the
other network (see `networks.discriminator`). Each network has an optimiser, and its gradient a norm to be clipped by.
The adversary's learning rate is a factor on the network's, kept in its optimiser. It has no average: nothing is drawn
with it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sfumato.training.checkpoint import Checkpoint
from sfumato.training.optimizer import optimizer_tensors, restore_optimizer
from sfumato.training.weights import fill_weights

DISCRIMINATOR = "discriminator"
"""The loss term that an adversary minimises."""

WEIGHTS, OPTIMIZER = "adversary", "adversary-optimizer"
"""Stems of its files in a checkpoint."""


@dataclass(frozen=True)
class Adversary:
    """The second network.

    Attributes:
        network: minimises the term `DISCRIMINATOR`.
        optimizer: over its parameters.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """For `checkpoint.save`: file stem -> name -> tensor."""
        return {
            WEIGHTS: dict(self.network.state_dict()),
            OPTIMIZER: optimizer_tensors(self.network, self.optimizer),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            ModelError: it is of another network, or was written without an adversary.
        """
        fill_weights(self.network, checkpoint.tensors.get(WEIGHTS, {}), source=f"{checkpoint.path}/{WEIGHTS}")
        restore_optimizer(self.network, self.optimizer, checkpoint.part(OPTIMIZER))
