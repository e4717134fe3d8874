"""How fast is our U-Net beside those of diffusers and MONAI, per FLOP?

    python benchmarks/network.py                       # forward and training step, one and two threads
    python benchmarks/network.py --out network.json
    python benchmarks/network.py --profile             # where our time goes

All networks have the same widths, blocks and attention, hence about the same parameters and FLOPs. They run one after
the other in every repetition, so that a busy machine slows all of them; medians are compared. The references run as
shipped and switched to the channels-last memory format. With one thread the clock is the process's CPU time, otherwise
wall time. FLOPs are counted by torch (2 for a multiply-add, backward taken as twice the forward pass), attention
included. A matrix product and a well-shaped convolution run in the same loop: what the machine can do.

On a CUDA device: bf16 autocast and `torch.compile` for every network.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sfumato.diffusion.process import Condition
from sfumato.networks.foreign import MonaiUNet, diffusers_unet
from sfumato.networks.measure import count_parameters
from sfumato.networks.unet import UNet

OURS = "sfumato"
CHANNELS_LAST = " channels_last"
MATMUL, CONVOLUTION = "matmul", "convolution"
FAMILIES = {
    "convolution": ("convolution",),
    "attention": ("scaled_dot_product", "softmax", "bmm"),
    "normalisation": ("group_norm", "addcmul", "aten::mul", "aten::sum"),
    "activation": ("silu", "sigmoid"),
    "linear": ("aten::mm", "addmm"),
    "copies": ("copy", "aten::cat", "clone", "contiguous"),
    "resampling": ("upsample", "avg_pool"),
    "addition": ("aten::add",),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something to be timed: what runs, and its FLOPs."""

    name: str
    work: str
    flops: float
    run: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the result; seconds are medians, rates in GFLOP/s."""

    name: str
    work: str
    threads: int
    seconds: float
    fastest: float
    slowest: float
    rate: float
    of_matmul: float
    of_convolution: float


def inputs(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of states and their noise levels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    return x.to(options.device), torch.rand(options.batch, generator=generator).to(options.device)


def networks(options: argparse.Namespace) -> dict[str, nn.Module]:
    """Ours, and both references as shipped and in the channels-last format."""
    shape = {
        "channels_in": 3,
        "channels_out": 3,
        "channels": options.channels,
        "multipliers": (1, 2, 2),
        "blocks": options.blocks,
        "attention": (2,),
    }
    built: dict[str, nn.Module] = {OURS: UNet(**shape)}
    for name, kind in {"diffusers": diffusers_unet, "MONAI": MonaiUNet}.items():
        built[name] = kind(**shape)
        built[name + CHANNELS_LAST] = kind(**shape).to(memory_format=torch.channels_last)
    return {name: network.to(options.device) for name, network in built.items()}


def count_flops(network: nn.Module, options: argparse.Namespace) -> int:
    """FLOPs of one forward pass of the batch."""
    x, level = inputs(options)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x[:1], level[:1], Condition())
    return counter.get_total_flops() * options.batch


def subjects(name: str, network: nn.Module, options: argparse.Namespace) -> Iterator[Subject]:
    """Forward pass and training step of a network."""
    flops = count_flops(network, options)
    x, level = inputs(options)
    if CHANNELS_LAST in name or name == OURS:
        x = x.contiguous(memory_format=torch.channels_last)
    on_gpu = options.device == "cuda"
    call = torch.compile(network) if on_gpu else network

    def predict() -> torch.Tensor:
        with torch.autocast(options.device, torch.bfloat16, enabled=on_gpu):
            return call(x, level, Condition())

    def forward() -> None:
        network.eval()
        with torch.no_grad():
            predict()

    def train() -> None:
        network.train()
        network.zero_grad(set_to_none=True)
        (predict().float() - x).square().mean().backward()

    yield Subject(name=name, work="forward", flops=flops, run=forward)
    yield Subject(name=name, work="train", flops=3 * flops, run=train)


def ceilings(options: argparse.Namespace) -> Iterator[Subject]:
    """What the machine can do: a matrix product, and a 3x3 convolution of 128 channels, channels last."""
    on_gpu = options.device == "cuda"
    kind = {"device": options.device, "dtype": torch.bfloat16 if on_gpu else torch.float32}
    size = 8192 if on_gpu else 2048
    a, b = torch.randn(size, size, **kind), torch.randn(size, size, **kind)
    yield Subject(name=MATMUL, work="", flops=2 * size**3, run=lambda: a @ b)
    x = torch.randn(16, 128, 32, 32, **kind).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, **kind).contiguous(memory_format=torch.channels_last)

    def convolve() -> None:
        with torch.no_grad():
            nn.functional.conv2d(x, weight, padding=1)

    yield Subject(name=CONVOLUTION, work="", flops=2 * x.numel() * 128 * 9, run=convolve)


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """This many threads of torch, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(subject: Subject, *, threads: int, device: str) -> float:
    """Time of one run: CPU time of the process for one thread, wall time otherwise."""
    clock = time.process_time if threads == 1 and device == "cpu" else time.perf_counter
    start = clock()
    subject.run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure(everything: list[Subject], options: argparse.Namespace) -> dict[tuple[str, str, int], list[float]]:
    """Seconds of every repetition, interleaved; the first repetition warms up and is not counted."""
    times = defaultdict(list)
    for repetition in range(options.repetitions + 1):
        for threads in options.threads:
            with thread_count(threads):
                for subject in everything:
                    if repetition == 0 and threads != options.threads[0]:
                        continue
                    elapsed = seconds(subject, threads=threads, device=options.device)
                    if repetition > 0:
                        times[subject.name, subject.work, threads].append(elapsed)
    return times


def rows(everything: list[Subject], times: dict[tuple[str, str, int], list[float]], threads: int) -> list[Row]:
    """The results for one number of threads."""
    taken = {(subject.name, subject.work): times[subject.name, subject.work, threads] for subject in everything}
    rate = {
        (subject.name, subject.work): subject.flops / statistics.median(taken[subject.name, subject.work]) / 1e9
        for subject in everything
    }
    return [
        Row(
            name=name,
            work=work,
            threads=threads,
            seconds=statistics.median(values),
            fastest=min(values),
            slowest=max(values),
            rate=rate[name, work],
            of_matmul=rate[name, work] / rate[MATMUL, ""],
            of_convolution=rate[name, work] / rate[CONVOLUTION, ""],
        )
        for (name, work), values in taken.items()
    ]


def ratios(found: list[Row]) -> dict[str, float]:
    """Our FLOPs per second against the faster reference: as shipped, and with the best memory format for each.

    Once from the medians, and once from the fastest runs, which a busy machine disturbs less.
    """
    answer = {}
    for work in ("forward", "train"):
        of_median = {row.name: row.rate for row in found if row.work == work}
        of_fastest = {row.name: row.rate * row.seconds / row.fastest for row in found if row.work == work}
        for statistic, rate in {"medians": of_median, "fastest runs": of_fastest}.items():
            ours = rate.pop(OURS)
            shipped = max(value for name, value in rate.items() if CHANNELS_LAST not in name)
            answer[f"{work}, {statistic}, references as shipped"] = ours / shipped
            answer[f"{work}, {statistic}, references in their better format"] = ours / max(rate.values())
    return answer


def show(found: list[Row]) -> None:
    """The table of one number of threads."""
    print(f"\n{found[0].threads} thread(s)")
    print(f"{'':26}{'work':9}{'median s':>9}{'min-max':>16}{'GFLOP/s':>9}{'of matmul':>11}{'of conv':>9}")
    for row in found:
        spread = f"{row.fastest:.3f}-{row.slowest:.3f}"
        print(
            f"{row.name:26}{row.work:9}{row.seconds:9.3f}{spread:>16}{row.rate:9.1f}"
            f"{row.of_matmul:11.2f}{row.of_convolution:9.2f}"
        )
    for name, ratio in ratios(found).items():
        print(f"  ours per FLOP, {name}: {ratio:.2f}x")


def profile(options: argparse.Namespace) -> None:
    """Shares of our training step's time, by family of operation."""
    step = list(subjects(OURS, networks(options)[OURS], options))[1]
    with thread_count(options.threads[0]):
        step.run()
        with torch.profiler.profile() as profiler:
            for _ in range(options.repetitions):
                step.run()
    total: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        spent = event.self_device_time_total if options.device == "cuda" else event.self_cpu_time_total
        family = next((name for name, parts in FAMILIES.items() if any(part in event.key for part in parts)), "other")
        total[family] += spent
    print(f"training step, {options.threads[0]} thread(s)")
    for family, spent in sorted(total.items(), key=lambda item: -item[1]):
        print(f"  {family:14}{spent / sum(total.values()):7.1%}{spent / options.repetitions / 1e6:9.3f} s")


def compare(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    built = networks(options)
    everything = [subject for name, network in built.items() for subject in subjects(name, network, options)]
    everything += ceilings(options)
    for name, network in built.items():
        print(f"{name:26}{count_parameters(network) / 1e6:7.2f} M {count_flops(network, options) / 1e9:8.1f} GFLOP")
    times = measure(everything, options)
    tables = [rows(everything, times, threads) for threads in options.threads]
    for found in tables:
        show(found)
    if options.out:
        result = {
            "options": {name: value for name, value in vars(options).items() if name != "out"},
            "torch": torch.__version__,
            "rows": [asdict(row) for found in tables for row in found],
            "ratios": {str(found[0].threads): ratios(found) for found in tables},
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--profile", action="store_true", help="where our time goes, instead of a comparison")
    options = parser.parse_args()
    if options.device == "cuda":
        options.threads = [torch.get_num_threads()]
    if options.profile:
        profile(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
