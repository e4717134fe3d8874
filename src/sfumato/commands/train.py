"""`sfumato train segment`, `sfumato train generate`, `sfumato resume`: the same command again continues a run."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from sfumato.build import build_network, build_process, build_task
from sfumato.commands.console import Bar, bar, say
from sfumato.commands.prepare import parse_size, prepare_into
from sfumato.data.image import write_image
from sfumato.data.pack import Pack
from sfumato.data.source import find_cases
from sfumato.errors import DataError, Stopped, UsageError, listed
from sfumato.plan import Choice, plan_size, plan_training
from sfumato.provenance import digest, write_provenance
from sfumato.recipe import Recipe, TaskKind, load_recipe, merge, parse_recipe
from sfumato.report.figures import grid, overlay
from sfumato.run import Run, header
from sfumato.tasks.task import Shown, Task
from sfumato.training.checkpoint import mark, newest, save
from sfumato.training.ema import EMA
from sfumato.training.lock import RunLock
from sfumato.training.log import Log
from sfumato.training.loop import Parts, Progress, Settings, Until, train
from sfumato.training.optimizer import make_optimizer
from sfumato.training.precision import resolve_precision
from sfumato.training.stream import Stream

PREVIEW_COLUMNS = 8
FIRST_PREVIEW_SECONDS = 30.0
TWIN = "twin"
"""Folder inside a run that holds its deterministic twin, itself a run."""


def segment(
    source: Path,
    /,
    *,
    masks: Path | None = None,
    out: Path | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    size: str | None = None,
    batch: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    twin: bool = False,
    seed: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of masks, conditioned on the image.

    Args:
        source: Images with masks: a folder, or a prepared dataset.
        masks: The masks, if they are in a folder of their own.
        out: The run folder; the same command again resumes it. By default runs/NAME-segment.
        recipe: A recipe file (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes.
        steps: Length in steps.
        images: Length in images.
        twin: Also train the deterministic twin for as long, in RUN/twin: the baseline for every number.
        seed: Of weights, data order and noise.
        dry_run: Only say what would be trained.
    """
    settings = _settings(set, size=size, batch=batch, minutes=minutes, steps=steps, images=images, seed=seed)
    wanted = load_recipe("segment", recipe, settings=settings)
    run = Run(out or Path("runs") / f"{source.stem}-segment")
    if dry_run:
        return _preview_plan(wanted, run, source, masks)
    result = _train(wanted, run, source, masks)
    if twin:
        baseline = load_recipe("segment", recipe, settings=[*settings, "process={kind: none, prediction: logits}"])
        result["twin"] = _train(baseline, Run(run.folder / TWIN), run.dataset, None)
    return result


def generate(
    source: Path,
    /,
    *,
    out: Path | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    size: str | None = None,
    batch: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    seed: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of images, conditioned on the class where there are classes.

    Args:
        source: Class folders, a folder of images, a MedMNIST npz, IDX files, or a prepared dataset.
        out: The run folder; the same command again resumes it. By default runs/NAME-generate.
        recipe: A recipe file (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes.
        steps: Length in steps.
        images: Length in images.
        seed: Of weights, data order and noise.
        dry_run: Only say what would be trained.
    """
    settings = _settings(set, size=size, batch=batch, minutes=minutes, steps=steps, images=images, seed=seed)
    wanted = load_recipe("generate", recipe, settings=settings)
    run = Run(out or Path("runs") / f"{source.stem}-generate")
    return _preview_plan(wanted, run, source, None) if dry_run else _train(wanted, run, source, None)


def resume(
    folder: Path,
    /,
    *,
    until_steps: int | None = None,
    until_images: int | None = None,
    more_minutes: float | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Continue a run from its newest good checkpoint, with the same bits as if it had never stopped.

    Args:
        folder: The run folder.
        until_steps: Train to this many steps, also beyond the end that the run was given.
        until_images: Train to this many images.
        more_minutes: Train this much longer.
        dry_run: Only say what would be continued.
    """
    run = Run(folder)
    if not run.exists():
        raise UsageError(f"{folder} holds no run", expected="a folder with recipe.yaml", remedy="sfumato train ...")
    recipe = _stored(run)
    if more_minutes is not None:
        recipe = _with_length(recipe, minutes=(recipe.train.minutes or 0.0) + more_minutes)
    elif until_steps is not None or until_images is not None:
        recipe = _with_length(recipe, steps=until_steps, images=until_images)
    if dry_run:
        return _preview_plan(recipe, run, run.dataset, None)
    run.recipe_file.write_text(recipe.to_yaml(), encoding="utf-8")
    return _work(recipe, run, Pack.open(run.dataset))


def _settings(given: Sequence[str] | None, *, size: str | None, seed: int | None, **lengths: Any) -> list[str]:
    """`--set` and the flags that are short for one, as settings; flags win."""
    settings = list(given or [])
    if size is not None:
        settings.append(f"data.size={parse_size(size)}")
    if seed is not None:
        settings += [f"train.seed={seed}", f"data.split.seed={seed}"]
    return settings + [f"train.{name}={value}" for name, value in lengths.items() if value is not None]


def _preview_plan(recipe: Recipe, run: Run, source: Path, masks: Path | None) -> dict[str, Any]:
    """What a dry run says."""
    if (source / "dataset.json").is_file():
        pack = Pack.open(source)
        cases, size = len(pack), pack.spec.size
    else:
        found = find_cases(source, masks=masks)
        cases, (size, _) = len(found.cases), plan_size(recipe, found, device=_device())
    say(f"would train {recipe.task} on {cases} cases at {size[0]} x {size[1]} into {run.folder}")
    return {"run": str(run.folder), "cases": cases, "size": list(size), "resumes": run.exists()}


def _train(wanted: Recipe, run: Run, source: Path, masks: Path | None) -> dict[str, Any]:
    """Make the run folder, or find it and check that it is the same run; then work."""
    if not run.exists() and run.folder.is_dir() and any(path.name != "dataset" for path in run.folder.iterdir()):
        raise UsageError(f"{run.folder} is not empty and holds no run", remedy="give another --out")
    run.folder.mkdir(parents=True, exist_ok=True)
    dataset, choices = _dataset(wanted, run, source, masks)
    pack = Pack.open(dataset)
    _check_task(wanted.task, pack, dataset)
    recipe, more = plan_training(wanted, pack, device=_device())
    if run.exists():
        _check_same(run, recipe)
    _write_setup(run, recipe, [*choices, *more], dataset)
    return _work(recipe, run, pack)


def _dataset(recipe: Recipe, run: Run, source: Path, masks: Path | None) -> tuple[Path, list[Choice]]:
    """The prepared dataset to train on: the source itself, or one made of it inside the run."""
    if (source / "dataset.json").is_file():
        return source.resolve(), []
    inside = run.folder / "dataset"
    if not (inside / "dataset.json").is_file():
        choices = prepare_into(inside, recipe, find_cases(source, masks=masks), source=source, masks=masks)
        return inside, choices
    return inside, []


def _check_task(task: TaskKind, pack: Pack, dataset: Path) -> None:
    if task == "segment" and pack.spec.kind != "segment":
        raise DataError(f"{dataset} has no masks", expected="a mask for every image", remedy="give --masks FOLDER")


def _check_same(run: Run, recipe: Recipe) -> None:
    """A run is continued with the recipe that it was started with; only its length may change."""
    old, new = _flat(_stored(run)), _flat(recipe)
    lengths = {"train.steps", "train.images", "train.minutes"}
    changed = [f"{key}: {old.get(key)} in the run, {value} now" for key, value in new.items() if old.get(key) != value]
    changed = [line for line in changed if line.partition(":")[0] not in lengths]
    if changed:
        raise UsageError(
            f"{run.folder} holds a run with other settings:\n{listed(changed)}",
            remedy="give another --out for a new run, or the same settings to resume this one",
        )


def _write_setup(run: Run, recipe: Recipe, choices: Sequence[Choice], dataset: Path) -> None:
    """Recipe, plan and provenance of a run."""
    relative = dataset.is_relative_to(run.folder.resolve()) or dataset.is_relative_to(run.folder)
    record = {"dataset": dataset.name if relative else str(dataset), "sha256": digest(dataset)}
    (run.folder / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if not run.exists():
        plan = [choice._asdict() for choice in choices]
        (run.folder / "plan.json").write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
        for choice in choices:
            say(f"plan: {choice.choice} = {choice.value}: {choice.reason}")
        write_provenance(run.folder, inputs={"dataset": dataset}, seed=recipe.train.seed)
    run.recipe_file.write_text(recipe.to_yaml(), encoding="utf-8")


def _work(recipe: Recipe, run: Run, pack: Pack) -> dict[str, Any]:
    """Train to the end of the recipe, or until a signal."""
    device = _device()
    with RunLock(run.folder):
        parts = _parts(recipe, pack, device)
        checkpoint = newest(run.checkpoints)
        if checkpoint is not None:
            for skipped in checkpoint.skipped:
                say(f"skipped a damaged checkpoint: {skipped}")
            parts.restore(checkpoint)
            say(f"resuming {run.folder} at step {parts.step}")
        task = build_task(recipe, pack, build_process(recipe), device=device)
        return _Session(recipe=recipe, run=run, pack=pack, parts=parts, task=task, device=device).run_to_end()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _parts(recipe: Recipe, pack: Pack, device: str) -> Parts:
    network = build_network(recipe, pack.spec).to(device)
    optimizer = make_optimizer(
        network, learning_rate=recipe.train.learning_rate, weight_decay=recipe.train.weight_decay
    )
    return Parts(network=network, ema=EMA(network, half_life=recipe.train.ema_half_life), optimizer=optimizer)


@dataclass
class _Timer:
    """Due every so many steps, or every so many minutes of training."""

    minutes: float
    steps: int | None
    since: float = 0.0

    def due(self, progress: Progress) -> bool:
        """Whether it is time again; starts the next interval."""
        if self.steps is not None:
            return progress.step % self.steps == 0
        if progress.seconds - self.since < self.minutes * 60:
            return False
        self.since = progress.seconds
        return True


@dataclass(kw_only=True)
class _Session:
    """One process's work on a run: steps, validations, checkpoints, pictures."""

    recipe: Recipe
    run: Run
    pack: Pack
    parts: Parts
    task: Task
    device: str

    def run_to_end(self) -> dict[str, Any]:
        """All steps; the result of the run."""
        recipe, since = self.recipe, self.parts.seconds
        validation = _Timer(recipe.validate_.every_minutes, recipe.validate_.every_steps, since)
        saving = _Timer(recipe.checkpoint.every_minutes, recipe.checkpoint.every_steps, since)
        pictured = self.parts.step > 0
        with (
            _signals() as stopped,
            Log(self.run.folder / "log.jsonl", step=self.parts.step) as log,
            self._bar() as shown,
        ):
            for progress in self._steps():
                log.write(_record(progress))
                shown.update(100 * progress.fraction, note=_note(progress))
                if not pictured and progress.seconds > FIRST_PREVIEW_SECONDS:
                    pictured = True
                    self._picture()
                ends = progress.fraction >= 1
                if (validation.due(progress) or ends) and self._validate(log):
                    say("no better score for a while: stopping early")
                    break
                if saving.due(progress) and not ends:
                    self._save()
                if stopped():
                    self._save()
                    raise Stopped(f"stopped at step {progress.step} after saving; the same command resumes")
        self._save()
        self._picture()
        return self._result()

    def _steps(self) -> Iterator[Progress]:
        recipe = self.recipe.train
        stream = Stream(rows=tuple(self.pack.rows("train")), batch=recipe.batch, seed=recipe.seed)
        until = Until(steps=recipe.steps, images=recipe.images, minutes=recipe.minutes)
        settings = Settings(
            learning_rate=recipe.learning_rate,
            warmup_steps=recipe.warmup,
            schedule=recipe.schedule,
            clip=recipe.clip,
            accumulate=recipe.accumulate,
            precision=resolve_precision(recipe.precision, torch.device(self.device)),
            seed=recipe.seed,
            compile=recipe.compile,
        )
        return train(self.parts, self.task.loss, stream, until=until, settings=settings)

    def _validate(self, log: Log) -> bool:
        """Score the averaged network; keep it if it is the best; whether patience has run out."""
        scores = self.task.validate(self.parts.ema.network)
        log.write({"kind": "validate", "step": self.parts.step, "seconds": self.parts.seconds, **scores})
        best = self.parts.best.get("score")
        better = best is None or scores["score"] > best
        self.parts.best["stalled"] = 0 if better else self.parts.best.get("stalled", 0) + 1
        if better:
            self.parts.best |= {"score": scores["score"], "step": self.parts.step}
            self._save()
            mark(self.run.checkpoints, "best", self.run.checkpoints / f"step-{self.parts.step:08d}")
        patience = self.recipe.validate_.patience
        return patience is not None and self.parts.best["stalled"] >= patience

    def _save(self) -> None:
        save(
            self.run.checkpoints,
            step=self.parts.step,
            tensors=self.parts.tensors(),
            headers=header(self.recipe, self.pack.spec, step=self.parts.step),
            state=self.parts.state(),
            keep=self.recipe.checkpoint.keep,
        )

    def _picture(self) -> None:
        """A contact sheet of what the averaged network does now."""
        path = self.run.folder / "samples" / f"step-{self.parts.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, sheet(self.task.preview(self.parts.ema.network)))
        say(f"pictures after {self.parts.step} steps: {path}")

    @contextmanager
    def _bar(self) -> Iterator[Bar]:
        with bar(f"training {self.recipe.task}", total=100.0) as shown:
            yield shown

    def _result(self) -> dict[str, Any]:
        best = self.parts.best
        say(f"{self.run.folder}: {self.parts.step} steps in {self.parts.seconds / 60:.1f} minutes, best {best}")
        return {
            "run": str(self.run.folder),
            "step": self.parts.step,
            "images": self.parts.step * self.recipe.train.batch,
            "minutes": self.parts.seconds / 60,
            "best": best,
            "model": str(self.run.weights()),
        }


def sheet(shown: Sequence[Shown]) -> np.ndarray:
    """Cases as one picture; masks are drawn onto their images, the reference outlined."""
    tiles = [
        case.image if case.mask is None else overlay(case.image, case.mask, reference=case.reference) for case in shown
    ]
    return grid(np.stack(tiles), PREVIEW_COLUMNS)


def _record(progress: Progress) -> dict[str, Any]:
    return {
        "kind": "train", "step": progress.step, "images": progress.images, "seconds": progress.seconds,
        **progress.terms, "learning_rate": progress.learning_rate, "gradient_norm": progress.gradient_norm,
    }  # fmt: skip


def _note(progress: Progress) -> str:
    rate = progress.step / progress.seconds if progress.seconds else 0.0
    return f"step {progress.step}  loss {progress.terms['loss']:.4f}  {rate:.1f} steps/s"


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come; the second one ends the process as usual."""
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        seen.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _stored(run: Run) -> Recipe:
    import yaml

    raw = yaml.safe_load(run.recipe_file.read_text(encoding="utf-8"))
    return parse_recipe(raw, origin=str(run.recipe_file))


def _with_length(recipe: Recipe, **length: Any) -> Recipe:
    lengths = {"steps": None, "images": None, "minutes": None, **length}
    raw = merge(recipe.model_dump(mode="json", by_alias=True), {"train": lengths})
    return parse_recipe(raw, origin="the new length")


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe by its dotted path."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{path}.{key}" if path else key)
        else:
            yield path, value

    return dict(walk(recipe.model_dump(mode="json", by_alias=True), ""))
