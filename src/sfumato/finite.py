"""Whether the numbers of a network are numbers: what diverged, was damaged, or was stored as something else."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

FLOATS = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})
"""Kinds of numbers in which weights are stored."""


def unusable(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    """What cannot be taken as the weights of a network, each with its reason.

    Args:
        tensors: name -> tensor.
        wanted: name -> tensor of the network, which may be without numbers; names that it lacks are passed over.
    """
    for name, tensor in tensors.items():
        if (own := wanted.get(name)) is None:
            continue
        if tensor.dtype not in FLOATS if own.is_floating_point() else tensor.dtype != own.dtype:
            yield f"{name}: stored as {_word(tensor.dtype)}, the network has {_word(own.dtype)}"
        elif own.is_floating_point() and not bool(torch.isfinite(tensor.to(own.dtype)).all()):
            yield f"{name}: NaN or infinite numbers"


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
