"""`sfumato train segment`, `sfumato train generate`, `sfumato resume`: the same command again continues a run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.commands.console import say
from sfumato.commands.prepare import parse_size, prepare_into
from sfumato.commands.session import Session
from sfumato.commands.source import AS_FOUND, SourceFlags, find
from sfumato.data.manifest import is_prepared
from sfumato.data.pack import Pack
from sfumato.data.preparation.spool import spool_folder
from sfumato.errors import DataError, UsageError, listed
from sfumato.lock import FolderLock
from sfumato.plan import Choice, plan_training, preview
from sfumato.provenance import digest, write_provenance
from sfumato.recipe import Recipe, TaskKind, load_recipe, merge, parse_recipe
from sfumato.run import Run
from sfumato.training.checkpoint import newest
from sfumato.training.ema import EMA
from sfumato.training.loop import Parts
from sfumato.training.optimizer import make_optimizer
from sfumato.training.processes import joined, own_device, rank, wait_for_all

CHANGEABLE = ("train.steps", "train.images", "train.minutes", "train.accumulate", "checkpoint.", "validate.", "sample.")
"""Settings that a resumed run may change."""

TWIN = "twin"
"""Folder inside a run that holds its deterministic twin, itself a run."""

AS_TWIN = (
    "process={kind: none, prediction: logits}", "train.recycle=0", "train.self_condition=0", "sample.start=noise"
)  # fmt: skip
"""What turns a recipe into that of its twin: no noisy state, and nothing that is made of one."""


def segment(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
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
        source: Images or volumes with masks in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
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
    settings = flags.settings()
    settings += _settings(set, size=size, batch=batch, minutes=minutes, steps=steps, images=images, seed=seed)
    wanted = load_recipe("segment", recipe, settings=settings)
    run = Run(out or Path("runs") / f"{source.stem}-segment")
    if dry_run:
        return _preview_plan(wanted, run, source)
    with joined():
        result = _train(wanted, run, source)
        if twin:
            baseline = load_recipe("segment", recipe, settings=[*settings, *AS_TWIN])
            result["twin"] = _train(baseline, Run(run.folder / TWIN), run.dataset)
    return result


def generate(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
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
        source: Images or volumes in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
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
    settings = flags.settings()
    settings += _settings(set, size=size, batch=batch, minutes=minutes, steps=steps, images=images, seed=seed)
    wanted = load_recipe("generate", recipe, settings=settings)
    run = Run(out or Path("runs") / f"{source.stem}-generate")
    if dry_run:
        return _preview_plan(wanted, run, source)
    with joined():
        return _train(wanted, run, source)


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
        more_minutes: Train this much longer than the run was given; for a run that is measured in minutes.
        dry_run: Only say what would be continued.
    """
    run = Run(folder)
    if not run.exists():
        raise UsageError(f"{folder} holds no run", expected="a folder with recipe.yaml", remedy="sfumato train ...")
    _check_dataset(run)
    recipe = _stored(run)
    if more_minutes is not None and recipe.train.minutes is None:
        raise UsageError(f"{folder} is not measured in minutes", remedy="give --until-steps or --until-images")
    total = None if more_minutes is None else (recipe.train.minutes or 0.0) + more_minutes
    if any(length is not None for length in (until_steps, until_images, total)):
        recipe = _with_length(recipe, steps=until_steps, images=until_images, minutes=total)
    if dry_run:
        return _preview_plan(recipe, run, run.dataset)
    with joined():
        if rank() == 0:
            write_atomic(run.recipe_file, recipe.to_yaml())
        return _work(recipe, run, Pack.open(run.dataset))


def _settings(given: Sequence[str] | None, *, size: str | None, seed: int | None, **lengths: Any) -> list[str]:
    """`--set` and the flags that are short for one, as settings; flags win."""
    settings = list(given or [])
    if size is not None:
        settings.append(f"data.size={parse_size(size)}")
    if seed is not None:
        settings += [f"train.seed={seed}", f"data.split.seed={seed}"]
    return settings + [f"train.{name}={value}" for name, value in lengths.items() if value is not None]


def _preview_plan(recipe: Recipe, run: Run, source: Path) -> dict[str, Any]:
    """What a dry run says: cases, and every choice with its reason."""
    device = _kind(own_device())
    if is_prepared(source):
        pack = Pack.open(source)
        cases, (_, choices) = len(pack), plan_training(recipe, pack, device=device)
    else:
        found = find(source, recipe)
        cases, choices = len(found.cases), preview(recipe, found, device=device)
        for note in found.notes:
            say(f"note: {note}")
    say(f"would train {recipe.task} on {cases} cases into {run.folder}")
    for choice in choices:
        say(f"plan: {choice.choice} = {choice.value}: {choice.reason}")
    return {
        "run": str(run.folder),
        "cases": cases,
        "plan": [choice._asdict() for choice in choices],
        "resumes": run.exists(),
    }


def _train(wanted: Recipe, run: Run, source: Path) -> dict[str, Any]:
    """Make the run folder, or find it and check that it is the same run; then work."""
    ours = {"dataset", spool_folder(run.folder / "dataset").name}
    if not run.exists() and run.folder.is_dir() and any(path.name not in ours for path in run.folder.iterdir()):
        raise UsageError(f"{run.folder} is not empty and holds no run", remedy="give another --out")
    dataset, choices = source.resolve(), list[Choice]()
    if not is_prepared(source):
        dataset = run.folder / "dataset"
        if rank() == 0 and not is_prepared(dataset):
            run.folder.mkdir(parents=True, exist_ok=True)
            choices = prepare_into(dataset, wanted, find(source, wanted), source=source, spool=spool_folder(dataset))
        wait_for_all()
    pack = Pack.open(dataset)
    _check_task(wanted.task, pack, dataset)
    recipe, more = plan_training(wanted, pack, device=_kind(own_device()))
    if run.exists():
        _check_dataset(run)
        _check_same(run, recipe)
    wait_for_all()
    if rank() == 0:
        run.folder.mkdir(parents=True, exist_ok=True)
        _write_setup(run, recipe, [*choices, *more], dataset)
    return _work(recipe, run, pack)


def _check_task(task: TaskKind, pack: Pack, dataset: Path) -> None:
    if task == "segment" and pack.spec.kind != "segment":
        raise DataError(
            f"{dataset} has no masks", expected="a mask for every image", remedy="give --masks FOLDER", code="DATA-023"
        )


def _check_same(run: Run, recipe: Recipe) -> None:
    """A run is continued with the recipe that it was started with, but for what leaves its mathematics alone."""
    old, new = _flat(_stored(run)), _flat(recipe)
    changed = [
        f"{key}: {old.get(key)} in the run, {value} now"
        for key, value in new.items()
        if old.get(key) != value and not key.startswith(CHANGEABLE)
    ]
    if changed:
        raise UsageError(
            f"{run.folder} holds a run with other settings:\n{listed(changed)}",
            remedy="give another --out for a new run, or the same settings to resume this one",
        )


def _check_dataset(run: Run) -> None:
    """A run goes on with the data that it was started with."""
    if digest(run.dataset) != run.record["sha256"]:
        raise UsageError(
            f"{run.dataset} has changed since {run.folder} was started",
            expected="the same cases, split and rules",
            remedy="start a new run with another --out",
        )


def _write_setup(run: Run, recipe: Recipe, choices: Sequence[Choice], dataset: Path) -> None:
    """Recipe, plan and provenance of a run."""
    relative = dataset.is_relative_to(run.folder.resolve()) or dataset.is_relative_to(run.folder)
    record = {"dataset": dataset.name if relative else str(dataset), "sha256": digest(dataset)}
    write_atomic(run.folder / "run.json", json.dumps(record, indent=2) + "\n")
    if not run.exists():
        plan = [choice._asdict() for choice in choices]
        write_atomic(run.folder / "plan.json", json.dumps(plan, indent=2) + "\n")
        for choice in choices:
            say(f"plan: {choice.choice} = {choice.value}: {choice.reason}")
        write_provenance(run.folder, inputs={"dataset": dataset}, seed=recipe.train.seed)
    write_atomic(run.recipe_file, recipe.to_yaml())


def _work(recipe: Recipe, run: Run, pack: Pack) -> dict[str, Any]:
    """Train to the end of the recipe, or until a signal."""
    device = own_device()
    with FolderLock(run.folder, work="trains") if rank() == 0 else nullcontext():
        parts = _parts(recipe, pack, device)
        checkpoint = newest(run.checkpoints)
        if checkpoint is not None:
            for skipped in checkpoint.skipped:
                say(f"skipped a damaged checkpoint: {skipped}")
            parts.restore(checkpoint)
            say(f"resuming {run.folder} at step {parts.step}")
        wait_for_all()
        task = build_task(recipe, pack, build_process(recipe), device=device)
        return Session(recipe=recipe, run=run, pack=pack, parts=parts, task=task, device=device).run_to_end()


def _kind(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def _parts(recipe: Recipe, pack: Pack, device: str) -> Parts:
    network = build_network(recipe, pack.spec).to(device)
    optimizer = make_optimizer(
        network, learning_rate=recipe.train.learning_rate, weight_decay=recipe.train.weight_decay
    )
    return Parts(network=network, ema=EMA(network, half_life=recipe.train.ema_half_life), optimizer=optimizer)


def _stored(run: Run) -> Recipe:
    import yaml

    raw = yaml.safe_load(run.recipe_file.read_text(encoding="utf-8"))
    return parse_recipe(raw, origin=str(run.recipe_file))


def _with_length(recipe: Recipe, **lengths: float | None) -> Recipe:
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
