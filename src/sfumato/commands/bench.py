"""`sfumato bench`: how fast a recipe trains and samples on this machine, and how much fits into its memory.

A training step is timed as a whole and in parts,

    load  augment  forward  backward  optimise  average  rest

in turn, on the objects that training uses: `rest` is what the whole takes beyond its parts. Nothing is written, and
no weights are needed: those of a run take as long as those of a network that has never been trained.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Positive
from sfumato.commands.flags.words import changes_of
from sfumato.commands.output.layout import show_facts
from sfumato.diffusion.guidance import UNGUIDED
from sfumato.diffusion.process import Step
from sfumato.errors import UsageError
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.progress import say
from sfumato.recipe import TaskKind
from sfumato.training.hardware import find_hardware
from sfumato.training.processes import choose_device
from sfumato.training.speed import free_memory, matmul_rate, peak_memory, time_in_turn, wait
from sfumato.wording import counted

_Part = Literal["train", "sample", "load", "all"]
PARTS = ("load", "augment", "forward", "backward", "optimise", "average", "rest")
CALLS = (1, 4, 8, 18, 50)
AT_ONCE = {"cpu": 8}
"""Results drawn at once on a kind of device: a piece of `sfumato.diffusion.pieces`."""

AT_ONCE_ELSEWHERE = 32
MOST_TRIED = 4096
"""Batches on a GPU are doubled up to this."""


def bench(
    part: str,
    source: Path | None = None,
    /,
    *,
    task: TaskKind | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    size: str | None = None,
    batch: Count | None = None,
    device: Device = "auto",
    count: Count = 5900,
    seconds: Positive = 10.0,
) -> dict[str, Any]:
    """Measure training, sampling, loading and memory for a recipe on this work.

    Args:
        part: train, sample, load or all; all where only a source is given.
        source: A prepared dataset, or a run, whose recipe and data are taken.
        task: segment or generate; by default segment where the dataset has masks.
        recipe: A recipe file (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        size: Height and width in pixels; must be those of the dataset.
        batch: Global batch size.
        device: Where to work.
        count: How many results to tell the expected time for.
        seconds: About how long to measure each part.
    """
    choose_device(device)
    part, source = ("all", Path(part)) if source is None else (part, source)
    if part not in get_args(_Part):
        raise UsageError(f"bench {part}", expected=", ".join(get_args(_Part)))
    changes = changes_of(size, batch=batch)
    work = set_up_workload(source, task, recipe, set or (), changes)
    result: dict[str, Any] = {"hardware": str(find_hardware(str(work.device))), "batch": work.stream.batch}
    say(f"{result['hardware']}; batch {result['batch']}, {work.settings.precision}")
    if part in ("load", "all"):
        result["load"] = _bench_load(work, seconds)
    if part in ("train", "all"):
        memory = _bench_memory(work)  # first: a process grows once
        say(memory["advice"])
        result["train"] = _bench_train(work, seconds)
        result["memory"] = {"peak_bytes": peak_memory(work.device), **memory}
    if part in ("sample", "all"):
        result["sample"] = _bench_sample(work, count, seconds)
    _show(result)
    return result


def _bench_load(work: Workload, seconds: float) -> dict[str, float]:
    """The loader alone, row after row of the training order."""
    steps = iter(range(2**31))

    def load() -> None:
        for piece in work.stream.batch_at(next(steps), parts=work.settings.accumulate):
            work.load(piece)

    took = time_in_turn({"load": load}, seconds=min(seconds, 3.0), device=work.device)["load"]
    return {"images_per_second": work.stream.batch / took, "seconds_per_step": took}


def _bench_train(work: Workload, seconds: float) -> dict[str, Any]:
    """A whole step, its parts, and how much of the machine's arithmetic it uses."""
    took = time_in_turn(work.works(), seconds=seconds, device=work.device)
    whole = took.pop("whole")
    took["forward"] = max(0.0, took.pop("loss") - took["load"] - took["augment"])
    took["rest"] = whole - sum(took.values())
    operations = work.operations()
    rate = matmul_rate(work.device, work.settings.precision, seconds=min(seconds, 2.0))
    return {
        "images_per_second": work.stream.batch / whole,
        "seconds_per_step": whole,
        "parts": {name: {"seconds": took[name], "share": took[name] / whole} for name in PARTS},
        "flops_per_image": operations / work.stream.batch,
        "gflops": operations / whole / 1e9,
        "matmul_gflops": rate / 1e9,
        "share_of_matmul": operations / whole / rate,
    }


class _Drawing(NamedTuple):
    """What a number of steps takes."""

    steps: int
    network_calls: int
    seconds_per_image: float


def _bench_sample(work: Workload, count: int, seconds: float) -> dict[str, Any]:
    """Seconds for each result at several numbers of steps, and for as many results as are wanted."""
    model = work.model()
    at_once = AT_ONCE.get(work.device.type, AT_ONCE_ELSEWHERE)
    samplers = [model.sampler(steps=steps, start="noise") for steps in (*CALLS, work.recipe.sample.steps)]
    different = {sampler.steps: sampler for sampler in sorted(samplers, key=lambda sampler: sampler.steps)}
    guidance = UNGUIDED if work.recipe.task == "segment" else model.guidance()
    rows = []
    for steps, sampler in different.items():
        walk = work.walk(model, sampler, at_once)
        took = _seconds(walk, steps, seconds=seconds / len(different), device=work.device) / at_once
        rows.append(_Drawing(steps, model.calls(sampler, guidance), took))
    return {
        "sampler": work.recipe.sample.sampler,
        "at_once": at_once,
        "count": count,
        "steps": [{**row._asdict(), "seconds_for_count": row.seconds_per_image * count} for row in rows],
    }


@torch.no_grad()
def _seconds(walk: Callable[[], Iterator[Step]], steps: int, *, seconds: float, device: torch.device) -> float:
    """Seconds of a whole walk; of one that takes longer than its time, from its share that was walked."""
    next(walk())
    wait(device)
    began, walked = time.perf_counter(), 0
    while walked == 0 or time.perf_counter() - began < seconds:
        for _ in walk():
            wait(device)
            walked += 1
            if walked >= 2 and time.perf_counter() - began > seconds:
                break
    return (time.perf_counter() - began) / walked * steps


def _bench_memory(work: Workload) -> dict[str, Any]:
    """What a step takes, what there is, and what to do where it is too little."""
    gpu = work.device.type == "cuda"
    by_image = work.bytes_by_image()
    largest = _largest_tried(work) if gpu else int(free_memory() / by_image)
    return {
        "bytes_per_image": by_image,
        "largest_batch": largest,
        "how": "tried, by doubling" if gpu else "estimated: free memory over that of an image",
        "advice": _advice(work.stream.batch, work.settings.accumulate, largest),
    }


def _largest_tried(work: Workload) -> int:
    """The largest batch that found memory, doubled from 1; 0 if none did."""
    largest = 0
    for exponent in range(int(math.log2(MOST_TRIED)) + 1):
        if not work.fits(2**exponent):
            break
        largest = 2**exponent
    torch.cuda.reset_peak_memory_stats(work.device)
    return largest


def _advice(batch: int, pieces: int, largest: int) -> str:
    """What to do about a batch in so many pieces, where `largest` images fit at once."""
    if largest < 1:
        return "a single image does not fit: a smaller --size or network, or --set network.gradient_checkpointing=true"
    if math.ceil(batch / pieces) > largest:
        return f"--set train.accumulate={math.ceil(batch / largest)}: the batch of {batch} in pieces, the same result"
    return f"the batch of {batch} fits"


def _show(result: dict[str, Any]) -> None:
    """The numbers, each beside its name."""
    show_facts(list(_lines(result)))


def _lines(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "load" in result:
        yield "loader alone", f"{result['load']['images_per_second']:.0f} images/s"
    if "train" in result:
        train, memory = result["train"], result["memory"]
        yield "training step", f"{train['images_per_second']:.1f} images/s, {train['seconds_per_step']:.4f} s"
        for name, part in train["parts"].items():
            yield f"  {name}", f"{part['share']:6.1%}  {part['seconds']:.4f} s"
        arithmetic = f"{train['gflops']:.1f} GFLOP/s, {train['share_of_matmul']:.0%} of matrix products here"
        yield "arithmetic", f"{arithmetic} ({train['matmul_gflops']:.1f} GFLOP/s)"
        yield (
            "memory",
            f"{memory['peak_bytes'] / 2**30:.2f} GiB at most, {memory['bytes_per_image'] / 2**20:.1f} MiB an image",
        )
        yield "largest batch", f"{memory['largest_batch']} ({memory['how']}); {memory['advice']}"
    if "sample" in result:
        for row in result["sample"]["steps"]:
            minutes = row["seconds_for_count"] / 60
            expected = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"
            yield (
                f"sampling, {counted(row['network_calls'], 'call')}",
                (f"{row['seconds_per_image']:.4f} s an image, {expected} for {result['sample']['count']}"),
            )
