"""The work behind `train`, `resume` and `tune`: a run folder is made, or found and checked, and trained to its end."""

import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.builder.process import build_process
from sfumato.builder.task import build_dataset, build_task
from sfumato.builder.track import build_trackers
from sfumato.builder.training import build_parts
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import is_prepared
from sfumato.data.preparation.spool import spool_folder
from sfumato.errors import DataError, Stopped, UsageError, listed
from sfumato.experiment.data_plan import Choice
from sfumato.experiment.dataset import prepare_into
from sfumato.experiment.dataset_record import check_dataset, record_dataset
from sfumato.experiment.journal import Journal
from sfumato.experiment.output_folder import check_kept_folder
from sfumato.experiment.plan import plan_training
from sfumato.experiment.pretrained import RECORD, Start, start_from
from sfumato.experiment.run import Run, write_recipe
from sfumato.experiment.source import find_to_read
from sfumato.experiment.trainer import Trainer, TrainingResult, Validation
from sfumato.experiment.training_log import tell_hardware, tell_network, tell_start, tell_trackers
from sfumato.local import LOCAL_FILE as LOCAL
from sfumato.local import MARK, found, paths_in
from sfumato.lock import FolderLock
from sfumato.progress import say
from sfumato.provenance import write_provenance
from sfumato.recipe import LENGTHS, Recipe, public_words
from sfumato.training.checkpoint import newest
from sfumato.training.hardware import set_up
from sfumato.training.launch import cause_of
from sfumato.training.parts import TrainingState
from sfumato.training.processes import is_first_here, own_device, rank, wait_for_all
from sfumato.training.track import Tracking

CHANGEABLE = (
    *(f"train.{name}" for name in LENGTHS),
    "train.accumulate",
    "checkpoint.",
    "validate.",
    "sample.",
    "track.",
    "train.compile",
    "train.tf32",
    "train.shard",
    "train.bad_steps",
)
"""Settings that a resumed run may change."""


SETUP = ("cases.json", "run.json", LOCAL, "plan.json", "provenance.json", RECORD)
"""What is written before the recipe, which makes the folder a run: a kill in between leaves only these."""


def training(
    wanted: Recipe, run: Run, source: Path, start: Start | None = None
) -> Generator[Validation, None, TrainingResult]:
    """Make the run folder, or find it and check that it is the same run; then work on it.

    Yields:
        every validation; closing the generator ends the training there.

    Returns:
        the result of the run.
    """
    check_kept_folder(run.folder, source)
    if not run.exists() and run.folder.is_dir() and not all(map(_is_begun, run.folder.iterdir())):
        raise UsageError(f"{run.folder} is not empty and holds no run", remedy="give another --out")
    dataset, choices = prepared(source, wanted, run.folder)
    opened = Dataset.open(dataset)
    _check_task(wanted, opened, dataset)
    recipe, more = plan_training(wanted, opened, device=device_kind(own_device()))
    if run.exists():
        _check_same(run, recipe)
        if is_first_here():
            check_dataset(run, dataset)
    wait_for_all()
    if rank() == 0:
        run.folder.mkdir(parents=True, exist_ok=True)
        record_dataset(run, dataset, opened)
        _write_setup(run, recipe, [*choices, *more], dataset, start)
    wait_for_all()
    return (yield from work_on(recipe, run, opened))


def _is_begun(path: Path) -> bool:
    """Whether this was written for a run that was killed before it was one: it is used, or written again."""
    ours = {"dataset", spool_folder(path.with_name("dataset")).name, *SETUP}
    return path.name in ours or (path.name.startswith(".") and path.name.endswith(".part"))


def prepared(source: Path, wanted: Recipe, folder: Path) -> tuple[Path, list[Choice]]:
    """The dataset of a source, and what was chosen for it: the source itself, or FOLDER/dataset, made if need be."""
    if is_prepared(source):
        return source.resolve(), []
    dataset, choices = folder / "dataset", list[Choice]()
    if rank() == 0 and not is_prepared(dataset):
        there = find_to_read(source, wanted)
        folder.mkdir(parents=True, exist_ok=True)
        choices = prepare_into(dataset, wanted, there, source=source, spool=spool_folder(dataset))
    wait_for_all()
    return dataset, choices


def _check_task(wanted: Recipe, opened: Dataset, dataset: Path) -> None:
    if (wanted.task == "segment" or wanted.data.pairs != "none") and not opened.spec.has_masks:
        raise DataError(
            f"{dataset} has no masks", expected="a mask for every image", remedy="give --masks FOLDER", code="DATA-023"
        )


def _check_same(run: Run, recipe: Recipe) -> None:
    """A run is continued with the recipe that it was started with, but for what leaves its mathematics alone."""
    old, new = _settings(run.recipe, run.folder), _settings(recipe, run.folder)
    changed = [
        f"{key}: {old.get(key)} in the run, {value} now"
        for key, value in {**dict.fromkeys(old), **new}.items()
        if old.get(key) != value and not key.startswith(CHANGEABLE) and not str(old.get(key)).startswith(MARK)
    ]
    if changed:
        raise UsageError(
            f"{run.folder} holds a run with other settings:\n{listed(changed)}",
            remedy="give another --out for a new run, or the same settings to resume this one",
        )


def _write_setup(run: Run, recipe: Recipe, choices: Sequence[Choice], dataset: Path, start: Start | None) -> None:
    """Recipe, plan and provenance of a run."""
    if not run.exists():
        choices = [*(start.choices(recipe) if start else ()), *choices]
        plan = [choice._asdict() for choice in choices]
        write_atomic(run.folder / "plan.json", json.dumps(plan, indent=2) + "\n")
        for choice in choices:
            say(choice.line())
        origin: dict[str, Any] = {"init": {"path": start.model, "sha256": start.sha256}} if start else {}
        write_provenance(run.folder, inputs={"dataset": dataset}, seed=recipe.train.seed, **origin)
    if start:
        start.write(run)
    write_recipe(run.recipe_file, recipe)


def work_on(recipe: Recipe, run: Run, dataset: Dataset) -> Generator[Validation, None, TrainingResult]:
    """Train to the end of the recipe, or until a signal; yields every validation."""
    device, dataset = set_up(training=True, tf32=recipe.train.tf32), build_dataset(recipe, dataset)
    with FolderLock(run.folder, work="trains") if rank() == 0 else nullcontext():
        journal = Journal(run.folder if rank() == 0 else None, private=[str(run.dataset), *paths_in(sys.argv[1:])])
        with _ends_told(journal):
            parts = build_parts(recipe, dataset.spec, device=device)
            _go_on(run, recipe, dataset, parts, journal)
            tell_hardware(journal, run, recipe, parts, device=device)
            if rank() == 0:
                tell_trackers(journal, recipe.track)
            wait_for_all()
            discriminator = None if parts.adversary is None else parts.adversary.network
            task = build_task(recipe, dataset, build_process(recipe), device=device, discriminator=discriminator)
            tracking = Tracking(
                build_trackers(recipe.track, run.folder) if rank() == 0 else [],
                run.folder,
                words=public_words(recipe),
                step=parts.step,
                warn=journal.warn,
            )
            trainer = Trainer(
                recipe=recipe,
                run=run,
                dataset=dataset,
                parts=parts,
                task=task,
                device=device,
                tracking=tracking,
                journal=journal,
            )
            return (yield from trainer.work())


def _go_on(run: Run, recipe: Recipe, dataset: Dataset, parts: TrainingState, journal: Journal) -> None:
    """Bring fresh parts to where the run is: its newest good checkpoint, or its beginning."""
    checkpoint = newest(run.checkpoints)
    tell_start(journal, run, recipe, dataset, anew=checkpoint is None)
    tell_network(journal, recipe, parts.network)
    if checkpoint is None:
        start_from(run, parts, recipe, dataset.spec)
        return
    for skipped in checkpoint.skipped:
        journal.say(f"skipped a damaged checkpoint: {skipped}", "WARNING")
    parts.restore(checkpoint)
    journal.say(f"resuming {run.folder} at step {parts.step}")


@contextmanager
def _ends_told(journal: Journal) -> Iterator[None]:
    """What ends a training before its end is written down."""
    try:
        yield
    except Stopped as stopped:
        journal.note(stopped.finding)
        raise
    except GeneratorExit:
        journal.note("given up by the study that it is a trial of")
        raise
    except BaseException as error:
        journal.note(f"ended: {cause_of(error)}", "ERROR")
        raise


def device_kind(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def _settings(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What a run is continued with; files that its dataset was made from by their last names, as folders move."""

    def last_name(path: str) -> str:
        there = found(path, folder)
        return there.name if there else path

    return _flat(recipe.named(last_name))


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe by its dotted path; patterns are one field, whose order counts."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and all(key.isidentifier() for key in value):
            for key, inner in value.items():
                yield from walk(inner, f"{path}.{key}" if path else key)
        else:
            yield path, list(value.items()) if isinstance(value, dict) else value

    return dict(walk(recipe.model_dump(mode="json", by_alias=True), ""))
