"""What the processes of a run tell each other; alone, a process talks to itself."""

import torch
from torch import Tensor, distributed


def rank() -> int:
    """Number of this process."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def add_up(gradients: list[Tensor], numbers: Tensor) -> Tensor:
    """Sum over the processes, in one message: the gradients in place, the numbers returned."""
    if world() == 1:
        return numbers
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), numbers])
    distributed.all_reduce(flat)
    *sums, numbers = torch.split(flat, [*(gradient.numel() for gradient in gradients), numbers.numel()])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view(gradient.shape))
    return numbers


def gather(rows: list[int]) -> list[int]:
    """The rows of all processes, sorted."""
    if world() == 1:
        return sorted(rows)
    everyones: list[list[int]] = [[] for _ in range(world())]
    distributed.all_gather_object(everyones, rows)
    return sorted(row for theirs in everyones for row in theirs)
