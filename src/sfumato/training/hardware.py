"""What a process runs on, and what it makes of it: found, chosen, set in one place, and told.

* Precision of the forward pass: `sfumato.training.precision`.
* TF32: float32 products of NVIDIA GPUs with 10 bits of mantissa, several times faster.
* cuDNN benchmark: try every algorithm of a convolution once. For training, whose shapes stay the same; in sampling the
  last batch is smaller, and an image must not depend on which algorithm happened to be faster.
* Compiling takes minutes and makes a GPU faster; on a CPU it gained nothing in training that could be measured.
* Threads: as many as torch would take, but no more than the cores that the scheduler and the container leave this
  process, shared by the processes of the machine. OMP_NUM_THREADS is believed.
* Allocator: segments that grow leave fewer holes in a GPU's memory.
"""

import os
import platform
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import psutil
import torch
from torch.nn.attention import SDPBackend

from sfumato.files import read_text
from sfumato.training.precision import DTYPES, Precision
from sfumato.training.processes import own_device

COMPILE_PAYS_MINUTES, COMPILE_PAYS_STEPS = 30.0, 10_000
"""A shorter run ends before compiling has been paid for."""

GROWING = "expandable_segments:True"

_CGROUP = Path("/sys/fs/cgroup")
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


class Hardware(NamedTuple):
    """What was found.

    Attributes:
        device: `cpu` or `cuda:0`.
        name: what its maker calls it.
        memory: bytes of the device in all; for a CPU what the container allows.
        cores: CPU cores that this process may use.
    """

    device: str
    name: str
    memory: int
    cores: int

    def __str__(self) -> str:
        return f"{self.device}, {self.name}, {self.memory / 2**30:.1f} GiB, {self.cores} CPU cores"


class InUse(NamedTuple):
    """What was made of it.

    Attributes:
        precision: of the forward pass.
        tf32: whether float32 products are rounded on a GPU.
        attention: kernel of scaled dot-product attention.
        compiled: whether the network is compiled.
        channels_last: whether its activations are channels-last.
        benchmark: whether cuDNN tries its algorithms.
        threads: of the CPU.
        allocator: settings of the GPU's memory; None without a GPU.
    """

    precision: Precision
    tf32: bool
    attention: str
    compiled: bool
    channels_last: bool
    benchmark: bool
    threads: int
    allocator: str | None

    def __str__(self) -> str:
        on = {True: "on", False: "off"}
        words = (
            f"{self.precision}, {self.attention}, compile {on[self.compiled]}, channels-last "
            f"{on[self.channels_last]}, CPU threads {self.threads}"
        )
        if self.allocator is None:
            return words
        return f"{words}, TF32 {on[self.tf32]}, cuDNN benchmark {on[self.benchmark]}, allocator {self.allocator}"


def find_hardware(device: str) -> Hardware:
    """What a device is, and how much of this machine its process may use."""
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        return Hardware(device, properties.name, int(properties.total_memory), available_cores())
    return Hardware(device, _processor(), total_memory(), available_cores())


def set_up(*, training: bool = False, tf32: bool = True) -> str:
    """Set what torch keeps for the whole process, before the first tensor; the device to work on.

    Args:
        training: whether shapes stay the same, and bits need not.
        tf32: whether a GPU may round the factors of float32 products.
    """
    device = own_device()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), max(1, available_cores() // _processes_here())))
    if device.startswith("cuda"):
        if device != "cuda:0":  # what torch takes without being told
            torch.cuda.set_device(device)
        if not any(name in os.environ for name in _ALLOCATOR):
            os.environ[_ALLOCATOR[0]] = GROWING
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = training
    return device


def in_use(device: str, *, precision: Precision, compiled: bool, channels_last: bool) -> InUse:
    """What a process that was set up works with.

    Args:
        device: where.
        precision: of the forward pass.
        compiled: whether the network is compiled.
        channels_last: whether its activations are channels-last.
    """
    gpu = device.startswith("cuda")
    return InUse(
        precision=precision,
        tf32=gpu and torch.get_float32_matmul_precision() == "high",
        attention=attention_kernel(device, precision),
        compiled=compiled,
        channels_last=channels_last,
        benchmark=gpu and torch.backends.cudnn.benchmark,
        threads=torch.get_num_threads(),
        allocator=next((os.environ[name] for name in _ALLOCATOR if name in os.environ), "default") if gpu else None,
    )


def resolve_compile(
    wish: bool | Literal["auto"], device: str, *, minutes: float | None = None, steps: float | None = None
) -> bool:
    """Whether to compile the network; `auto`: on a GPU that can, for a run long enough to pay for it."""
    if wish != "auto":
        return wish
    if not device.startswith("cuda") or find_spec("triton") is None:
        return False
    lengths = [(minutes, COMPILE_PAYS_MINUTES), (steps, COMPILE_PAYS_STEPS)]
    given = [length >= pays for length, pays in lengths if length is not None]
    able = torch.cuda.get_device_capability(device) >= (7, 0)  # what Triton writes code for
    return able and bool(given) and all(given)


def attention_kernel(device: str, precision: Precision) -> str:
    """The kernel that torch takes for attention over 256 tokens in heads of 64, in lower case: `flash_attention`."""
    query = torch.zeros(1, 4, 256, 64, device=device, dtype=DTYPES[precision])
    return SDPBackend(torch._fused_sdp_choice(query, query, query)).name.lower()


def available_cores() -> int:
    """CPU cores that the scheduler and the container leave to this process; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *_quota()]))


def total_memory() -> int:
    """Bytes of memory that this machine, or its container, has in all: the same every time, unlike what is free."""
    return min([psutil.virtual_memory().total, *_limit()])


def _quota() -> Iterator[int]:
    """Cores by the container's share of processor time (cgroup v2): microseconds out of a period, or `max`."""
    for words in _cgroup("cpu.max"):
        if words[0] != "max":
            yield round(int(words[0]) / int(words[1]))


def _limit() -> Iterator[int]:
    """Memory by the container's limit (cgroup v2): bytes, or `max`."""
    for words in _cgroup("memory.max"):
        if words[0] != "max":
            yield int(words[0])


def _cgroup(name: str) -> Iterator[list[str]]:
    file = _CGROUP / name
    if file.is_file():
        yield read_text(file, encoding="ascii").split()


def _processes_here() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _processor() -> str:
    """The processor's name; Linux alone says it in a file."""
    file = Path("/proc/cpuinfo")
    lines = read_text(file, errors="replace").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
