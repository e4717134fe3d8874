"""How long things take on this machine, how fast its matrix products are, and how much memory is in use and left.

Times are medians over repetitions, the first of which is not counted. Several things are timed in turn, round after
round, so that a machine that is busy for a while is busy for all of them.
"""

import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from sfumato.training.hardware import total_memory
from sfumato.training.precision import Precision, autocast

_SIDE = {"cpu": 1024}
"""Rows of the matrices by which a kind of device is measured: large enough to be limited by arithmetic."""

SIDE_ELSEWHERE = 8192


def time_in_turn(
    works: Mapping[str, Callable[[], object]], *, seconds: float, device: torch.device
) -> dict[str, float]:
    """Seconds that each work takes once.

    Args:
        works: done in their order, round after round; at least two rounds, of which the first is not counted.
        seconds: after which no further round begins, from the end of the first.
        device: waited for before a clock is read.
    """
    for work in works.values():
        lap(work, device=device)
    laps: list[list[float]] = []
    ends = time.perf_counter() + seconds
    while not laps or time.perf_counter() < ends:
        laps.append([lap(work, device=device) for work in works.values()])
    return dict(zip(works, map(median, zip(*laps, strict=True)), strict=True))


def lap(work: Callable[[], object], *, device: torch.device) -> float:
    """Seconds that a work takes, to the end of what it starts on the device."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Go on when the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, precision: Precision, *, seconds: float) -> float:
    """Floating-point operations per second of the product of two large matrices."""
    side = _SIDE.get(device.type, SIDE_ELSEWHERE)
    with torch.no_grad(), autocast(precision, device):
        a, b = (torch.eye(side, device=device) @ torch.randn(side, side, device=device) for _ in range(2))
        took = time_in_turn({"product": lambda: a @ b}, seconds=seconds, device=device)
    return 2 * side**3 / took["product"]


def peak_memory(device: torch.device) -> int:
    """Bytes: of a GPU the most that tensors took; else the most that this process had of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def free_memory() -> int:
    """Bytes of the machine's memory that can still be had, what the system would give back from its cache included."""
    left = max(0, total_memory() - peak_memory(torch.device("cpu")))
    return min(left, psutil.virtual_memory().available)


def kept_bytes(network: nn.Module, forward: Callable[[], object]) -> int:
    """Bytes that a forward pass keeps for its backward pass, the weights of the network not counted."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        held = forward()  # alive while storages are told apart by their addresses
    del held
    return sum(kept.values())
