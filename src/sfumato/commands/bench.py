"""`sfumato bench`: how fast a recipe trains and samples on this machine, and how much fits into its memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Positive
from sfumato.commands.flags.words import changes_of
from sfumato.commands.output.layout import show_facts
from sfumato.recipe import TaskKind
from sfumato.verbs.bench import Benchmark, BenchPart, SamplingSpeed, TrainingMemory, TrainingSpeed
from sfumato.verbs.bench import bench as _bench
from sfumato.wording import counted


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
    part, source = ("all", Path(part)) if source is None else (part, source)
    measured = _bench(
        source,
        cast("BenchPart", part),
        task=task,
        recipe=recipe,
        settings=set or (),
        changes=changes_of(size, batch=batch),
        count=count,
        seconds=seconds,
        device=device,
    )
    show_facts(list(_facts(measured)))
    return measured.summary


def _facts(measured: Benchmark) -> Iterator[tuple[str, str]]:
    """The numbers, each beside its name."""
    if measured.load:
        yield "loader alone", f"{measured.load.images_per_second:.0f} images/s"
    if measured.train:
        yield from _step(measured.train)
    if measured.memory:
        yield from _memory(measured.memory)
    if measured.sample:
        yield from _sampling(measured.sample)


def _step(train: TrainingSpeed) -> Iterator[tuple[str, str]]:
    yield "training step", f"{train.images_per_second:.1f} images/s, {train.seconds_per_step:.4f} s"
    for name, part in train.parts.items():
        yield f"  {name}", f"{part.share:6.1%}  {part.seconds:.4f} s"
    arithmetic = f"{train.gflops:.1f} GFLOP/s, {train.share_of_matmul:.0%} of matrix products here"
    yield "arithmetic", f"{arithmetic} ({train.matmul_gflops:.1f} GFLOP/s)"


def _memory(memory: TrainingMemory) -> Iterator[tuple[str, str]]:
    peak, image = memory.peak_bytes / 2**30, memory.bytes_per_image / 2**20
    yield "memory", f"{peak:.2f} GiB at most, {image:.1f} MiB an image"
    yield "largest batch", f"{memory.largest_batch} ({memory.how}); {memory.advice}"


def _sampling(sample: SamplingSpeed) -> Iterator[tuple[str, str]]:
    for row in sample.steps:
        minutes = row.seconds_for_count / 60
        expected = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"
        calls = counted(row.network_calls, "call")
        yield f"sampling, {calls}", f"{row.seconds_per_image:.4f} s an image, {expected} for {sample.count}"
