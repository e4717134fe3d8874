"""What a training tells: what it starts with, how fast it goes, how it ended, and the next command."""

import importlib.metadata
import json
import math
import platform
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sfumato.atomic import write_atomic
from sfumato.builder.training import build_settings
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import SPLITS
from sfumato.data.placement import size_words
from sfumato.experiment.data_plan import Choice
from sfumato.experiment.journal import Journal
from sfumato.experiment.run import ControlName, Run
from sfumato.local import Names, portable
from sfumato.metrics.table import METRIC_TABLE, heading, is_better_lower, spelt_out
from sfumato.plain import in_form, ours, read_list
from sfumato.recipe import Recipe, Track
from sfumato.training.hardware import find_hardware, in_use
from sfumato.training.loop import Progress
from sfumato.training.parts import TrainingState
from sfumato.training.processes import rank, world
from sfumato.training.speed import free_memory, peak_memory
from sfumato.wording import counted

GIB = 2**30


def tell_start(journal: Journal, run: Run, recipe: Recipe, dataset: Dataset, *, anew: bool) -> None:
    """Write down with what a start of a training begins; the plan at the first one, from step 0."""
    versions = f"sfumato {importlib.metadata.version('sfumato')}, torch {torch.__version__}"
    journal.note(f"start: {versions}, Python {platform.python_version()}, {counted(world(), 'process', 'processes')}")
    journal.note(f"command: {portable(sys.argv[1:], Names(run.folder))}")
    splits = Counter(case.split for case in dataset.cases)
    cases = ", ".join(f"{splits[name]} {name}" for name in SPLITS)
    journal.note(f"data: {cases}; {size_words(dataset.spec.size)}, {counted(dataset.spec.channels, 'channel')}")
    plan = run.folder / "plan.json"
    with in_form(ours(plan)):
        for choice in read_list(plan, ours(plan)) if anew and plan.is_file() else ():
            journal.note(Choice(**choice).line())
    journal.note(f"length: {length(recipe)}; batch {recipe.train.global_batch}, seed {recipe.train.seed}")


def length(recipe: Recipe) -> str:
    """How long a run is, in words."""
    train = recipe.train
    goal = counted(train.steps, "step") if train.steps else counted(train.images, "image") if train.images else ""
    clock = ""
    if train.minutes is not None:
        clock = f"at most {train.minutes:g} minutes" if goal else f"{train.minutes:g} minutes"
    floor = "" if train.least_steps is None else f"at least {counted(train.least_steps, 'step')}"
    return ", ".join(words for words in (goal, clock, floor) if words)


def tell_network(journal: Journal, recipe: Recipe, network: nn.Module) -> None:
    """Write down what is trained; frozen parts are said."""
    everything = sum(parameter.numel() for parameter in network.parameters())
    frozen = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    journal.note(f"network: {recipe.network.kind}, {everything:,} parameters; process: {recipe.process.kind}")
    if frozen:
        journal.say(f"frozen: {frozen:,} of {everything:,} parameters")


def tell_trackers(journal: Journal, track: Track) -> None:
    """Say whom the numbers of a run are told: a recipe may be anyone's, and name a machine of theirs."""
    if track.wandb is not None:
        journal.say(f"numbers of this run go to Weights & Biases, project {track.wandb}")
    if track.mlflow is not None:
        where = track.mlflow_uri or "the place that MLflow itself is set to"
        journal.say(f"numbers of this run go to MLflow at {where}, experiment {track.mlflow}")


def tell_hardware(journal: Journal, run: Run, recipe: Recipe, parts: TrainingState, *, device: str) -> None:
    """Say what the run works on, and add it to RUN/hardware.json: one entry for each start."""
    if rank() > 0:
        return
    settings = build_settings(recipe, device=device)
    found = find_hardware(device)
    used = in_use(
        device,
        precision=settings.precision,
        compiled=settings.compile,
        channels_last=hasattr(parts.network, "memory_format"),
    )
    journal.say(f"hardware: {found}")
    journal.say(f"hardware: {used}")
    journal.note(f"memory: {memory(device)}, {free_memory() / GIB:.1f} GiB of the machine are free")
    file = run.folder / "hardware.json"
    with journal.optional(file.name):
        starts = read_list(file, ours(file)) if file.is_file() else []
        starts.append({"step": parts.step, "processes": world(), **found._asdict(), **used._asdict()})
        write_atomic(file, json.dumps(starts, indent=2) + "\n")


def memory(device: str) -> str:
    """The most memory that was taken so far, in words."""
    return f"{peak_memory(torch.device(device)) / GIB:.2f} GiB taken at most"


@dataclass
class Pace:
    """How fast a training goes, since it was last asked.

    Attributes:
        batch: images of a step.
        device: where it is trained.
        step: at the last time.
        seconds: of training, at the last time.
    """

    batch: int
    device: str
    step: int
    seconds: float

    def line(self, progress: Progress) -> str:
        """One line: how far, how fast, the loss, the memory."""
        steps, seconds = progress.step - self.step, progress.seconds - self.seconds
        self.step, self.seconds = progress.step, progress.seconds
        rate = steps / seconds if seconds > 0 else math.nan
        return (
            f"step {progress.step} ({progress.fraction:.0%}), {progress.seconds / 60:.1f} minutes, {rate:.3g} steps/s, "
            f"{rate * self.batch:.3g} images/s, loss {progress.terms['loss']:.4f}, learning rate "
            f"{progress.learning_rate:.3g}, memory {memory(self.device)}"
        )


def validated(scores: Mapping[str, float], step: int, *, best: bool) -> str:
    """One line about a validation."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if name != "score")
    ending = " (the best so far)" if best else ""
    return f"validation after {counted(step, 'step')}: {numbers}{ending}"


def ended(run: Run, recipe: Recipe, parts: TrainingState, *, patient: bool) -> str:
    """What was trained, how long, and what ended it before its number of steps.

    Args:
        run: the run.
        recipe: its recipe.
        parts: what was trained.
        patient: whether no better score was waited for any longer.
    """
    train, images = recipe.train, parts.step * recipe.train.global_batch
    goal = train.steps or (math.ceil(train.images / train.global_batch) if train.images else 0)
    sentence = (
        f"{run.folder}: trained to {recipe.task} for {counted(parts.step, 'step')} ({counted(images, 'image')}) in "
        f"{parts.seconds / 60:.1f} minutes"
    )
    if patient:
        return f"{sentence}; no validation was better for a while, so it stopped early"
    if parts.step < goal:
        return f"{sentence}; the ceiling of {train.minutes or 0:g} minutes came before {counted(goal, 'step')}"
    return sentence


def judged(run: Run, best: Mapping[str, Any], *, cases: int, control: str) -> str:
    """The best values with what they are compared with, and where their weights lie.

    Args:
        run: the run.
        best: what is known of the best checkpoints.
        cases: how many a validation looks at.
        control: what the first value is compared with, in words; may be empty.
    """
    if "step" not in best:
        return "no validation gave a number; the weights are the last ones"
    metric = best.get("metric", "score")
    higher = metric in METRIC_TABLE and not is_better_lower(metric)
    value, most = (best["score"], "best") if higher else (-best["score"], "lowest")
    reached = f"{value:.4g} ({control})" if control else f"{value:.4g}"
    sentence = (
        f"{most} {_called(metric)} on {counted(cases, 'validation case')}: {reached}, "
        f"after {counted(best['step'], 'step')}: {run.checkpoints / 'best'}"
    )
    other = best.get("other")
    if other is None:
        return sentence
    name, file = _called(other["metric"]), f"best-{other['metric']}"
    return f"{sentence}; lowest {name} {other['value']:.4g} after {counted(other['step'], 'step')}: {file} beside it"


def _called(metric: str) -> str:
    """A metric in a sentence; behind its words the name that tables have."""
    words, title = spelt_out(metric), heading(metric)
    return title if words == title else f"{words} ({title})"


def following(run: Run) -> str:
    """The next command."""
    recipe, folder = run.recipe, shlex.quote(str(run.folder))
    name = "predictions" if recipe.task == "segment" else "samples"
    out = shlex.quote(str(run.folder.with_name(f"{run.folder.name}-{name}")))
    if recipe.task == "segment":
        return f"next: sfumato segment {folder} SCANS --out {out}"
    match recipe.data.pairs:
        case "none":
            return f"next: sfumato generate {folder} --out {out}"
        case "mask":
            return f"next: sfumato pair MODEL_OF_IMAGES_FROM_MASKS --masks {folder} --out {out}"
        case _:
            return f"next: sfumato pair {folder} --out {out}"


def beside_control(own: Mapping[str, Any], name: ControlName, control: Mapping[str, Any]) -> str:
    """A model's best score beside that of a control; empty where one of them has none.

    Args:
        own: what is known of the best checkpoints of the model.
        name: of the control.
        control: the same of the control.
    """
    if own.get("metric") != control.get("metric") or "score" not in own:
        return ""
    metric, (long, short) = _called(own["metric"]), _CONTROLS[name]
    return f"beside {long}: {metric} {own['score']:.4g}, {short} {control['score']:.4g}"


_CONTROLS: Mapping[ControlName, tuple[str, str]] = {
    "twin": ("its deterministic twin", "the twin"),
    "ssn": ("logits that are drawn (ssn)", "these"),
}
"""What controls are called in a sentence, and again in it."""
