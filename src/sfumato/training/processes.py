"""What the processes of a run tell each other; alone, a process talks to itself."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from sfumato.errors import ResourceError, Stopped, UsageError
from sfumato.training.launch import adopt_slurm, started_world
from sfumato.training.watchdog import PATIENCE, Watchdog

_device = "auto"
"""The word for where this process works."""

_watch: Watchdog | None = None
"""Over the processes that have joined; they are as global as torch's process group."""


@contextmanager
def process_group(*, patience: float = PATIENCE) -> Iterator[None]:
    """Join the processes that `torchrun` or SLURM's `srun` started, if one did, until the block ends in all of them.

    Args:
        patience: seconds that a process waits for the others where they exchange messages.

    Raises:
        ResourceError: the processes do not find each other.
        SystemExit: another process failed, and tells why.
    """
    global _watch
    adopt_slurm()
    if started_world() == 1 or distributed.is_initialized():
        yield
        return
    store = _met(patience)
    _watch = Watchdog(PrefixStore("watch", store), rank=rank(), world=world(), patience=patience)
    try:
        with _watch.over():
            yield
    except Stopped:
        _leave()
        raise
    _leave()  # not after a failure: a group that has lost a process cannot be taken apart


def _leave() -> None:
    """All processes at once: who leaves while others work may take their connections along."""
    global _watch
    _watch = None
    distributed.barrier()
    distributed.destroy_process_group()


def _met(patience: float) -> Store:
    """Form the group; the store that all share. Messages that outlast the watch's patience end after a minute more."""
    try:
        store: Store
        store, number, count = next(rendezvous("env://", timeout=timedelta(seconds=PATIENCE)))
        distributed.init_process_group(
            "nccl" if own_device().startswith("cuda") else "gloo",
            store=PrefixStore("group", store),
            rank=number,
            world_size=count,
            timeout=timedelta(seconds=patience + 60),
        )
    except (distributed.DistNetworkError, distributed.DistStoreError) as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise ResourceError(
            f"{started_world()} processes cannot meet at {place}: {str(error).splitlines()[0]}",
            expected="a free port that all of them reach",
            remedy="another MASTER_PORT (torchrun --master-port), or --standalone where all run on one machine",
        ) from error
    return store


def choose_device(word: str) -> None:
    """Say where this process works from now on.

    Args:
        word: auto, cpu, cuda, cuda:N or mps; of several processes each has the GPU of its number where N is left out.

    Raises:
        UsageError: another word, or one GPU for several processes.
        ResourceError: this machine has no such device.
    """
    global _device
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", word):
        raise UsageError(f"--device {word}", expected="auto, cpu, cuda, cuda:1 and the like, or mps")
    if ":" in word and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise UsageError(f"--device {word} for several processes", expected="--device cuda: each takes one GPU")
    if missing := _missing(word):
        raise ResourceError(
            f"--device {word}: {missing}",
            expected="a device of this machine",
            remedy="--device cpu, or auto; sfumato doctor tells what is there",
        )
    _device = word


def _missing(word: str) -> str:
    """Why torch cannot work there; empty if it can."""
    if word == "mps":
        return "" if torch.backends.mps.is_available() else "torch finds no GPU of Apple (Metal) here"
    if not word.startswith("cuda"):
        return ""
    if not torch.cuda.is_available():
        return "torch finds no CUDA GPU here" if torch.version.cuda else "this torch was built without CUDA"
    count = torch.cuda.device_count()
    return "" if int(_named(word).partition(":")[2]) < count else f"the CUDA GPUs here are cuda:0 to cuda:{count - 1}"


def own_device() -> str:
    """The device that this process works on."""
    if _device == "auto":
        return _named("cuda") if torch.cuda.is_available() else "cpu"
    return _named(_device)


def _named(word: str) -> str:
    """A GPU by its number: that of the process among those of this machine where nobody says."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if word == "cuda" else word


def wait_for_all() -> None:
    """Go on when every process has come here, however long that takes: one of them may work for all."""
    if _watch is not None:
        _watch.wait_for_all()
    elif world() > 1:
        distributed.barrier()


def any_of(flag: bool) -> bool:
    """Whether the flag is up in any process; all get the same answer."""
    if world() == 1:
        return flag
    answer = torch.tensor(float(flag), device=own_device())
    with _meeting():
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        return bool(answer.item())


def smallest(number: int) -> int:
    """The smallest of the processes' numbers."""
    if world() == 1:
        return number
    answer = torch.tensor(number, device=own_device())
    with _meeting():
        distributed.all_reduce(answer, distributed.ReduceOp.MIN)
        return int(answer.item())


def rank() -> int:
    """Number of this process."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first_here() -> bool:
    """Whether this process is the first of those on its machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def add_up(gradients: list[Tensor], numbers: Tensor) -> Tensor:
    """Sum over the processes, in one message: the gradients in place, the numbers returned."""
    if world() == 1:
        return numbers
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), numbers])
    with _meeting():
        distributed.all_reduce(flat)
        if flat.is_cuda:  # NCCL returns at once: the wait is here
            torch.cuda.current_stream().synchronize()
    *sums, numbers = torch.split(flat, [*(gradient.numel() for gradient in gradients), numbers.numel()])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view(gradient.shape))
    return numbers


def gather_rows(rows: list[int]) -> list[int]:
    """The rows of all processes, sorted."""
    if world() == 1:
        return sorted(rows)
    everyones: list[list[int]] = [[] for _ in range(world())]
    with _meeting():
        distributed.all_gather_object(everyones, rows)
    return sorted(row for theirs in everyones for row in theirs)


def _meeting() -> AbstractContextManager[None]:
    return nullcontext() if _watch is None else _watch.meeting()
