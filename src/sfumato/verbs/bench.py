"""How fast a recipe trains and samples on this machine, and how much fits into its memory.

A training step is timed as a whole and in parts,

    load  augment  forward  backward  optimise  average  rest

in turn, on the objects that training uses: `rest` is what the whole takes beyond its parts. Nothing is written, and
no weights are needed: those of a run take as long as those of a network that has never been trained.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from sfumato.diffusion.guidance import UNGUIDED
from sfumato.diffusion.process import Step
from sfumato.errors import UsageError
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.progress import say
from sfumato.recipe import TaskKind
from sfumato.training.hardware import find_hardware
from sfumato.training.processes import choose_device
from sfumato.training.speed import free_memory, matmul_rate, peak_memory, time_in_turn, wait

BenchPart = Literal["train", "sample", "load", "all"]
STEP_PARTS = ("load", "augment", "forward", "backward", "optimise", "average", "rest")
CALLS = (1, 4, 8, 18, 50)
AT_ONCE = {"cpu": 8}
"""Results drawn at once on a kind of device: a piece of `sfumato.diffusion.micro_batches`."""

AT_ONCE_ELSEWHERE = 32
MOST_TRIED = 4096
"""Batches on a GPU are doubled up to this."""


@dataclass(frozen=True)
class LoadingSpeed:
    """The loader alone, row after row of the training order."""

    images_per_second: float
    seconds_per_step: float


@dataclass(frozen=True)
class PartOfStep:
    """A part of a training step.

    Attributes:
        seconds: that it takes.
        share: of the whole step.
    """

    seconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """A whole training step, its parts, and how much of the machine's arithmetic it uses.

    Attributes:
        images_per_second: trained on.
        seconds_per_step: of a whole batch.
        parts: of a step, by name.
        flops_per_image: operations, forward and backward.
        gflops: billions of operations a second.
        matmul_gflops: the same of one large product of matrices.
        share_of_matmul: the one divided by the other.
    """

    images_per_second: float
    seconds_per_step: float
    parts: Mapping[str, PartOfStep]
    flops_per_image: float
    gflops: float
    matmul_gflops: float
    share_of_matmul: float


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """What a training step takes, what there is, and what to do where it is too little.

    Attributes:
        peak_bytes: of the process, or of the GPU.
        bytes_per_image: of a step.
        largest_batch: that fits.
        how: tried or estimated.
        advice: a sentence.
    """

    peak_bytes: int
    bytes_per_image: float
    largest_batch: int
    how: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class StepsTiming:
    """What a number of steps of the sampler takes."""

    steps: int
    network_calls: int
    seconds_per_image: float
    seconds_for_count: float


@dataclass(frozen=True, kw_only=True)
class SamplingSpeed:
    """Seconds for each result at several numbers of steps.

    Attributes:
        sampler: of the recipe.
        at_once: results drawn at once.
        count: how many the expected time is told for.
        steps: a row for each number of steps.
    """

    sampler: str
    at_once: int
    count: int
    steps: Sequence[StepsTiming]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What was measured; None what was not asked for.

    Attributes:
        hardware: what it was measured on.
        batch: images of a step.
        load: the loader alone.
        train: a training step.
        memory: the same in bytes.
        sample: drawing results.
    """

    hardware: str
    batch: int
    load: LoadingSpeed | None = None
    train: TrainingSpeed | None = None
    memory: TrainingMemory | None = None
    sample: SamplingSpeed | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """What was measured, as JSON holds it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def bench(
    source: Path | str,
    part: BenchPart = "all",
    *,
    task: TaskKind | None = None,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    count: int = 5900,
    seconds: float = 10.0,
    device: str = "auto",
) -> Benchmark:
    """Measure training, sampling, loading and memory for a recipe on this work.

    Args:
        source: a prepared dataset, or a run, whose recipe and data are taken.
        part: train, sample, load or all.
        task: segment or generate; by default segment where the dataset has masks.
        recipe: a recipe file (YAML).
        settings: over the recipe, in words as on the command line: "train.batch=8".
        changes: over these, values by dotted names: {"train.batch": 8}.
        count: how many results to tell the expected time for.
        seconds: about how long to measure each part.
        device: auto, cpu, cuda or cuda:N, mps.

    Raises:
        UsageError: no such part; the source is neither a run nor a prepared dataset; the recipe has a mistake.
    """
    choose_device(device)
    if part not in get_args(BenchPart):
        raise UsageError(f"bench {part}", expected=", ".join(get_args(BenchPart)))
    file = None if recipe is None else Path(recipe)
    work = set_up_workload(Path(source), task, file, settings, changes or {})
    hardware = str(find_hardware(str(work.device)))
    say(f"{hardware}; batch {work.data_order.batch}, {work.settings.precision}")
    load = train = memory = sample = None
    if part in ("load", "all"):
        load = _bench_load(work, seconds)
    if part in ("train", "all"):
        fitting = _fitting(work)  # first: a process grows once
        say(fitting.advice)
        train = _bench_train(work, seconds)
        memory = TrainingMemory(peak_bytes=peak_memory(work.device), **asdict(fitting))
    if part in ("sample", "all"):
        sample = _bench_sample(work, count, seconds)
    return Benchmark(
        hardware=hardware, batch=work.data_order.batch, load=load, train=train, memory=memory, sample=sample
    )


def _bench_load(work: Workload, seconds: float) -> LoadingSpeed:
    steps = iter(range(2**31))

    def load() -> None:
        for piece in work.data_order.batch_at(next(steps), parts=work.settings.accumulate):
            work.load(piece)

    took = time_in_turn({"load": load}, seconds=min(seconds, 3.0), device=work.device)["load"]
    return LoadingSpeed(work.data_order.batch / took, took)


def _bench_train(work: Workload, seconds: float) -> TrainingSpeed:
    took = time_in_turn(work.works(), seconds=seconds, device=work.device)
    whole = took.pop("whole")
    took["forward"] = max(0.0, took.pop("loss") - took["load"] - took["augment"])
    took["rest"] = whole - sum(took.values())
    operations = work.operations()
    rate = matmul_rate(work.device, work.settings.precision, seconds=min(seconds, 2.0))
    return TrainingSpeed(
        images_per_second=work.data_order.batch / whole,
        seconds_per_step=whole,
        parts={name: PartOfStep(took[name], took[name] / whole) for name in STEP_PARTS},
        flops_per_image=operations / work.data_order.batch,
        gflops=operations / whole / 1e9,
        matmul_gflops=rate / 1e9,
        share_of_matmul=operations / whole / rate,
    )


def _bench_sample(work: Workload, count: int, seconds: float) -> SamplingSpeed:
    model = work.model()
    at_once = AT_ONCE.get(work.device.type, AT_ONCE_ELSEWHERE)
    samplers = [model.sampler(steps=steps, start="noise") for steps in (*CALLS, work.recipe.sample.steps)]
    different = {sampler.steps: sampler for sampler in sorted(samplers, key=lambda sampler: sampler.steps)}
    guidance = UNGUIDED if work.recipe.task == "segment" else model.guidance()
    rows = []
    for steps, sampler in different.items():
        sampling_loop = work.sampling_loop(model, sampler, at_once)
        took = _seconds(sampling_loop, steps, seconds=seconds / len(different), device=work.device) / at_once
        rows.append(
            StepsTiming(
                steps=steps,
                network_calls=model.calls(sampler, guidance),
                seconds_per_image=took,
                seconds_for_count=took * count,
            )
        )
    return SamplingSpeed(sampler=work.recipe.sample.sampler, at_once=at_once, count=count, steps=rows)


@torch.no_grad()
def _seconds(sampling_loop: Callable[[], Iterator[Step]], steps: int, *, seconds: float, device: torch.device) -> float:
    """Seconds of a whole sampling loop; of one that takes longer than its time, from the share that was done."""
    next(sampling_loop())
    wait(device)
    began, walked = time.perf_counter(), 0
    while walked == 0 or time.perf_counter() - began < seconds:
        for _ in sampling_loop():
            wait(device)
            walked += 1
            if walked >= 2 and time.perf_counter() - began > seconds:
                break
    return (time.perf_counter() - began) / walked * steps


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """How much fits: the fields of `TrainingMemory` that are known before a step."""

    bytes_per_image: float
    largest_batch: int
    how: str
    advice: str


def _fitting(work: Workload) -> _Fitting:
    gpu = work.device.type == "cuda"
    by_image = work.bytes_by_image()
    largest = _largest_tried(work) if gpu else int(free_memory() / by_image)
    return _Fitting(
        bytes_per_image=by_image,
        largest_batch=largest,
        how="tried, by doubling" if gpu else "estimated: free memory over that of an image",
        advice=_advice(work.data_order.batch, work.settings.accumulate, largest),
    )


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
