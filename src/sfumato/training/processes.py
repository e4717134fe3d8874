"""What the processes of a run tell each other; alone, a process talks to itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that `torchrun` started, if it did, until the block ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
        distributed.barrier()  # who leaves while others work may take their connections along
    finally:
        distributed.destroy_process_group()


def own_device() -> str:
    """The device that this process works on."""
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        distributed.barrier()


def any_of(flag: bool) -> bool:
    """Whether the flag is up in any process; all get the same answer."""
    if world() == 1:
        return flag
    answer = torch.tensor(float(flag), device=own_device())
    distributed.all_reduce(answer, distributed.ReduceOp.MAX)
    return bool(answer.item())


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
