"""Hardware: what is found is what is there, what is chosen is what is set."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sfumato.training import hardware


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container's limits, none at first."""
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    return tmp_path


@pytest.fixture
def torch_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    tf32, benchmark = cudnn.allow_tf32, cudnn.benchmark
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    cudnn.allow_tf32, cudnn.benchmark = tf32, benchmark


def test_a_container_limits_cores_and_memory(groups: Path) -> None:
    cores, memory = hardware.available_cores(), hardware.total_memory()
    assert cores == len(os.sched_getaffinity(0)) and memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (groups / "cpu.max").write_text("max 100000\n")
    (groups / "memory.max").write_text("max\n")
    assert (hardware.available_cores(), hardware.total_memory()) == (cores, memory)
    (groups / "cpu.max").write_text("50000 100000\n")
    (groups / "memory.max").write_text("1048576\n")
    assert (hardware.available_cores(), hardware.total_memory()) == (1, 2**20)


def test_the_processor_is_described(groups: Path) -> None:
    (groups / "memory.max").write_text(f"{3 * 2**30}\n")
    found = hardware.find_hardware("cpu")
    assert found.name and str(found).startswith(f"cpu, {found.name}, 3.0 GiB, {found.cores} CPU core")


@pytest.mark.parametrize(("processes", "threads"), [("1", 3), ("2", 1), ("8", 1)])
def test_threads_are_shared_and_never_more_than_torch_takes(
    torch_state: None, monkeypatch: pytest.MonkeyPatch, processes: str, threads: int
) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 3)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    torch.set_num_threads(4)
    hardware.set_up()
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    hardware.set_up()
    assert torch.get_num_threads() == 1


def test_the_persons_own_number_of_threads_stays(torch_state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    hardware.set_up()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tf32", [True, False])
def test_a_gpu_is_set_up(torch_state: None, monkeypatch: pytest.MonkeyPatch, training: bool, tf32: bool) -> None:
    monkeypatch.setattr(hardware, "own_device", lambda: "cuda:0")
    monkeypatch.setattr(hardware, "attention_kernel", lambda *_: "flash_attention")
    assert hardware.set_up(training=training, tf32=tf32) == "cuda:0"
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
    used = hardware.in_use("cuda:0", precision="bf16", compiled=True, channels_last=True)
    assert (used.tf32, used.benchmark, used.allocator) == (tf32, training, hardware.GROWING)
    words = {True: "on", False: "off"}
    assert f"TF32 {words[tf32]}, cuDNN benchmark {words[training]}" in str(used)


def test_the_persons_own_allocator_stays(torch_state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "own_device", lambda: "cuda:0")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128")
    hardware.set_up()
    assert "PYTORCH_ALLOC_CONF" not in os.environ


def test_a_cpu_is_left_exact(torch_state: None) -> None:
    hardware.set_up(training=True)
    assert torch.get_float32_matmul_precision() == "highest"
    used = hardware.in_use("cpu", precision="fp32", compiled=False, channels_last=False)
    assert (used.tf32, used.benchmark, used.allocator) == (False, False, None)
    assert "TF32" not in str(used) and str(used).startswith("fp32, flash_attention, compile off, channels-last off")


@pytest.mark.parametrize(
    ("device", "capability", "triton", "length", "compiles"),
    [
        ("cuda:0", (9, 0), True, {"minutes": 30.0}, True),
        ("cuda:0", (9, 0), True, {"minutes": 29.0}, False),
        ("cuda:0", (9, 0), True, {"steps": 10_000}, True),
        ("cuda:0", (9, 0), True, {"steps": 9_999}, False),
        ("cuda:0", (9, 0), True, {"steps": 20_000, "minutes": 3.0}, False),
        ("cuda:0", (9, 0), True, {"steps": 20_000, "minutes": 60.0}, True),
        ("cuda:0", (9, 0), True, {}, False),
        ("cuda:0", (6, 1), True, {"minutes": 300.0}, False),
        ("cuda:0", (9, 0), False, {"minutes": 300.0}, False),
        ("cpu", None, True, {"minutes": 300.0}, False),
    ],
)
def test_compiling_where_it_pays(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    capability: tuple[int, int] | None,
    triton: bool,
    length: dict[str, float],
    compiles: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(hardware, "find_spec", lambda *_: object() if triton else None)
    assert hardware.resolve_compile("auto", device, **length) is compiles
    assert hardware.resolve_compile(True, device) and not hardware.resolve_compile(False, device, minutes=600.0)


def test_the_attention_kernel_is_the_one_that_runs() -> None:
    """The profiler sees the kernel that was named."""
    assert hardware.attention_kernel("cpu", "fp32") == "flash_attention"
    query = torch.zeros(1, 4, 256, 64)
    with torch.profiler.profile() as profile:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert any("flash_attention" in event.key for event in profile.key_averages())
