"""`sfumato doctor`: what this machine is, what is installed, and what is wrong with it."""

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from sfumato.commands.output.layout import show_facts
from sfumato.progress import say
from sfumato.training.hardware import attention_kernel, find_hardware, set_up
from sfumato.training.precision import DTYPES, Precision, resolve_precision
from sfumato.training.speed import free_memory

NEEDED = ("sfumato", "torch", "numpy", "safetensors", "pydantic", "pillow", "nibabel")

OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "diffusers": ("diffusers",),
    "monai": ("monai",),
    "dicom": ("pydicom", "highdicom", "SimpleITK"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow-skinny",),
    "tune": ("optuna",),
}
"""What each extra brings."""

STEALS = "a release that stole passwords: remove it, and change every password and key that this machine knew"

BAD: Mapping[str, tuple[tuple[str, ...], str]] = {
    "lightning": (("2.6.2", "2.6.3"), STEALS),
    "pytorch-lightning": (("2.6.2", "2.6.3"), STEALS),
    "litellm": (("1.82.7", "1.82.8"), STEALS),
}
"""Releases that nobody should have, with the reason."""

OLDEST_TORCH = (2, 11)

LAUNCHER = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "SLURM_JOB_ID",
    "SLURM_NNODES",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_CPUS_PER_TASK",
    "SLURM_GPUS_ON_NODE",
)
"""What torchrun and SLURM say to their processes; no name of a person, a job or a folder."""

SIDES, SECONDS = {"cpu": 1024, "cuda": 8192}, 0.5
"""The probe: side of the square matrices, and how long it multiplies them."""


class _Row(NamedTuple):
    """A line of the table: what about, and what was found."""

    about: str
    found: str


def doctor() -> dict[str, Any]:
    """Tell versions, devices, optional packages, free memory and disk, the launcher, the speed, and what is wrong."""
    device = set_up()
    hardware, precision = find_hardware(device), resolve_precision("auto", torch.device(device))
    rates = dict(_rates(device, {"fp32", precision}))
    report: dict[str, Any] = {
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in NEEDED},
        "optional": {extra: {name: _version(name) for name in names} for extra, names in OPTIONAL.items()},
        "hardware": hardware._asdict(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "precision": precision,
        "attention": attention_kernel(device, precision),
        "threads": torch.get_num_threads(),
        "free": dict(_free(device)),
        "launcher": {name: os.environ[name] for name in LAUNCHER if name in os.environ},
        "teraflops": rates,
        "problems": list(_problems()),
    }
    show_facts(list(_rows(report, str(hardware))))
    for problem in report["problems"]:
        say(f"problem: {problem}")
    return report


def _free(device: str) -> Iterator[tuple[str, int]]:
    """Bytes that a program could still get."""
    yield "memory", free_memory()
    if device.startswith("cuda"):
        yield "memory of the GPU", torch.cuda.mem_get_info(device)[0]
    yield "disk of this folder", shutil.disk_usage(Path.cwd()).free


def _rows(report: Mapping[str, Any], hardware: str) -> Iterator[_Row]:
    yield _Row("system", f"{report['system']}, Python {report['python']}")
    yield _Row("versions", _told(report["versions"]))
    for extra, found in report["optional"].items():
        here = {name: version for name, version in found.items() if version is not None}
        yield _Row(f"for {extra}", _told(here) if here else f"not installed: pip install 'sfumato[{extra}]'")
    yield _Row("works on", hardware)
    yield _Row("devices", ", ".join(report["devices"]) or "no GPU that torch can use")
    yield _Row("would train in", f"{report['precision']}, {report['attention']}, {report['threads']} CPU threads")
    yield _Row("free", ", ".join(f"{name} {size / 2**30:.1f} GiB" for name, size in report["free"].items()))
    yield _Row("launcher", _told(report["launcher"]) or "none: one process")
    yield _Row("matrix products", ", ".join(f"{name} {rate:.3g} TFLOP/s" for name, rate in report["teraflops"].items()))
    yield _Row("problems", str(len(report["problems"]) or "none known"))


def _told(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs.items())


def _version(package: str) -> str | None:
    """The installed version, without importing anything of it; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _problems() -> Iterator[str]:
    """Known-bad versions among what is installed."""
    for package, (versions, why) in BAD.items():
        if (version := _version(package)) in versions:
            yield f"{package} {version} is {why}"
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        yield f"torch {torch.__version__} is older than {oldest}: pip install 'torch>={oldest}'"


def _rates(device: str, precisions: set[Precision]) -> Iterator[tuple[str, float]]:
    """Measured 10^12 operations a second of large matrix products; the best that a network can hope for."""
    side = SIDES[device.partition(":")[0]]
    for precision in sorted(precisions):
        left, right = torch.randn(2, side, side, device=device).to(DTYPES[precision])
        yield precision, 2 * side**3 / _seconds(left, right) / 1e12


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    """Median time of a product, the first ones left out."""
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 4:
        began = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - began)
    return median(times[2:])
