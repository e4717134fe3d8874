"""Shapes of the arrays that flow through sfumato, written once, and what a network may be besides a function.

`b` is the batch, `c` the channels, `*space` one to three spatial dimensions. The annotations are documentation; under
pytest `jaxtyping` and `beartype` check them at every call.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int, Integer
from torch import Tensor

Data = Float[Tensor, "b c *space"]
"""Images and one-hot masks in [-1, 1], or a noisy state in their channels."""

State = Float[Tensor, "b components *space"]
"""A noisy state of data; of the Dirichlet process of masks it has the classes but the background."""

Output = Float[Tensor, "b outputs *space"]
"""What a network answers, or an estimate from it: the channels of the data, and perhaps more."""

PerItem = Float[Tensor, " b"]
"""One number for each item of a batch."""

Times = Float[Tensor, " b"] | float
"""Diffusion time: 0 = data, 1 = noise, for every process. A float is the same time for the whole batch."""

Labels = Int[Tensor, " b"]
"""Class indices; the number of classes itself stands for 'no class'."""

Masks = Integer[Tensor, "b *space"]
"""Class index of each pixel: uint8 as stored, or any other integers."""


@runtime_checkable
class Constrained(Protocol):
    """A network whose weights have to meet a condition that a step of the optimiser breaks."""

    def constrain(self) -> None:
        """Change the weights so that they meet it again; called once after every step."""
