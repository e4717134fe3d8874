"""`sfumato train segment`, `sfumato train generate`, `sfumato resume`: the same command again continues a run."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Positive
from sfumato.commands.flags.source import AS_FOUND, SourceFlags
from sfumato.commands.flags.words import words_of
from sfumato.data.manifest import is_prepared
from sfumato.data.pack import Pack
from sfumato.errors import UsageError
from sfumato.experiment.branch import branch, chosen
from sfumato.experiment.dataset import rehearse
from sfumato.experiment.dataset_record import check_dataset, record_dataset
from sfumato.experiment.plan import plan_training, preview
from sfumato.experiment.pretrained import Start, begin
from sfumato.experiment.run import TWIN, Run, write_recipe
from sfumato.experiment.session import Validation
from sfumato.experiment.source import find_to_read
from sfumato.experiment.trainer import kind_of, training, work_on
from sfumato.experiment.training_log import beside_twin, following
from sfumato.progress import say
from sfumato.recipe import LENGTHS, Labels, Pairs, Recipe, in_images, load_recipe, merge, parse_recipe
from sfumato.training.processes import choose_device, is_first_here, joined, own_device, rank, wait_for_all
from sfumato.training.signals import going_on_later

AS_TWIN = (
    "process={kind: none, prediction: logits}", "train.recycle=0", "train.self_condition=0", "sample.start=noise",
    "loss.cross_entropy=0",
)  # fmt: skip
"""What turns a recipe into that of its twin: no noisy state, nothing that is made of one, cross-entropy as its loss."""


def segment(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    recipe: Path | None = None,
    init: str | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    size: str | None = None,
    batch: Count | None = None,
    minutes: Positive | None = None,
    steps: Count | None = None,
    images: Count | None = None,
    epochs: Positive | None = None,
    twin: bool = False,
    seed: Index | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of masks, conditioned on the image.

    Args:
        source: Images or volumes with masks in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The run folder; the same command again resumes it. By default runs/NAME-segment.
        recipe: A recipe file (YAML).
        init: Start from this model: a run, a model.safetensors, a diffusers folder or OWNER/NAME on the hub.
        set: Settings over the recipe, like train.batch=8; may be repeated.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes; beside another length a ceiling: whichever comes first.
        steps: Length in steps.
        images: Length in images.
        epochs: Length in walks through the training images.
        twin: Also train the deterministic twin for as many steps, in RUN/twin: the baseline for every number.
        seed: Of weights, data order and noise.
        device: Where to work.
        dry_run: Read the data, refuse what would be refused, say what would be trained, and write nothing.
    """
    choose_device(device)
    length = {"minutes": minutes, "steps": steps, "images": images, "epochs": epochs}
    settings = [*flags.settings(), *words_of(set, size=size, batch=batch, seed=seed, **length)]
    run = Run(out or Path("runs") / f"{source.stem}-segment")
    wanted, start = begin(init, "segment", run, file=recipe, settings=settings)
    if dry_run:
        return _preview_plan(wanted, run, source, start)
    with _at_work(run):
        result = _train(wanted, run, source, start)
        if twin:
            beneath = start.words if start else None
            settings += [*AS_TWIN, *(f"train.{name}=null" for name in LENGTHS), f"train.steps={result['step']}"]
            baseline = load_recipe("segment", recipe, settings=settings, beneath=beneath)
            result[TWIN] = _train(baseline, run.twin, run.dataset, start)
            if compared := beside_twin(result):
                say(compared)
        say(following(run))
    return result


def generate(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    recipe: Path | None = None,
    init: str | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    pairs: Pairs | None = None,
    cond: Labels | None = None,
    size: str | None = None,
    batch: Count | None = None,
    minutes: Positive | None = None,
    steps: Count | None = None,
    images: Count | None = None,
    epochs: Positive | None = None,
    seed: Index | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of images, conditioned on the class where there are classes.

    Args:
        source: Images or volumes in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The run folder; the same command again resumes it. By default runs/NAME-generate.
        recipe: A recipe file (YAML).
        init: Start from this model: a run, a model.safetensors, a diffusers folder or OWNER/NAME on the hub.
        set: Settings over the recipe, like train.batch=8; may be repeated.
        cond: What the model is told of an image: its class, where there are classes (class), or nothing (none).
        pairs: What to make of images with masks, for pair: both at once (joint), image_from_mask, or the mask alone.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes; beside another length a ceiling: whichever comes first.
        steps: Length in steps.
        images: Length in images.
        epochs: Length in walks through the training images.
        seed: Of weights, data order and noise.
        device: Where to work.
        dry_run: Read the data, refuse what would be refused, say what would be trained, and write nothing.
    """
    choose_device(device)
    length = {"minutes": minutes, "steps": steps, "images": images, "epochs": epochs}
    settings = [*flags.settings(), *words_of(set, size=size, batch=batch, seed=seed, **length)]
    settings += [f"data.{name}={word}" for name, word in (("pairs", pairs), ("labels", cond)) if word is not None]
    run = Run(out or Path("runs") / f"{source.stem}-generate")
    wanted, start = begin(init, "generate", run, file=recipe, settings=settings)
    if dry_run:
        return _preview_plan(wanted, run, source, start)
    with _at_work(run):
        result = _train(wanted, run, source, start)
        say(following(run))
    return result


def resume(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    until_steps: Count | None = None,
    until_images: Count | None = None,
    until_epochs: Positive | None = None,
    more_minutes: Positive | None = None,
    dataset: Path | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Continue a run from the newest good checkpoint, with the same bits as if it had never stopped; its twin as far.

    Args:
        folder: The run folder; or one of its checkpoints, RUN/checkpoints/step-00001000 or RUN/checkpoints/best.
        out: A folder for a run of its own that goes on from there; needed for a chosen checkpoint.
        until_steps: Train to this many steps, also beyond the end that the run was given.
        until_images: Train to this many images.
        until_epochs: Train to this many walks through the training images.
        more_minutes: Train this much longer than the run was given; for a run that is measured in minutes.
        dataset: Where the dataset of the run lies now, if it was moved; its content must be the same.
        device: Where to work.
        dry_run: Only say what would be continued.
    """
    choose_device(device)
    run, checkpoint = chosen(folder)
    if checkpoint is not None and out is None:
        raise UsageError(
            f"{folder} is one checkpoint of a run, and later steps are there",
            expected="--out for a run of its own that goes on from it; the run itself goes on from its newest one",
            remedy=f"sfumato resume {folder} --out NEW, or sfumato resume {run.folder}",
        )
    length = _Length(until_steps, until_images, until_epochs, more_minutes)
    wanted, place = length.of(run), dataset or run.found_dataset()
    if dry_run:
        return _preview_plan(wanted, run if out is None else Run(out), place)
    with _at_work(run if out is None else Run(out)):
        if out is not None:
            run = _branched(run, checkpoint, Run(out), place)
            wanted = length.of(run)
        result = _continue(run, wanted, place)
        if run.twin.exists():
            as_far = _Length(steps=result["step"])
            result[TWIN] = _continue(run.twin, as_far.of(run.twin), dataset or run.twin.found_dataset())
            if compared := beside_twin(result):
                say(compared)
        say(following(run))
    return result


def _branched(run: Run, checkpoint: Path | None, out: Run, dataset: Path) -> Run:
    """The run that goes on from a checkpoint of another one, made by the first process."""
    if is_first_here():
        check_dataset(run, dataset)
    wait_for_all()
    if rank() == 0:
        branch(run, checkpoint, out, dataset)
    wait_for_all()
    return out


@contextmanager
def _at_work(run: Run) -> Iterator[None]:
    """With the other processes; a signal between the steps of a training, which see to it themselves, loses nothing."""
    with going_on_later(lambda: f"{run.folder} keeps what it has"), joined():
        yield


class _Length(NamedTuple):
    """How far to train runs that have a length already; None for as far as they were given."""

    steps: int | None = None
    images: int | None = None
    epochs: float | None = None
    more_minutes: float | None = None

    def of(self, run: Run) -> Recipe:
        """The recipe of a run with this length; one that is counted replaces the run's own whole."""
        recipe = run.recipe
        if self.more_minutes is not None and recipe.train.minutes is None:
            raise UsageError(
                f"{run.folder} is not measured in minutes",
                remedy="give --until-steps, --until-images or --until-epochs",
            )
        counted = {"steps": self.steps, "images": self.images, "epochs": self.epochs}
        lengths: dict[str, float | None] = {}
        if any(length is not None for length in counted.values()):
            lengths = {**dict.fromkeys(LENGTHS), **counted}
        if self.more_minutes is not None:
            lengths["minutes"] = (recipe.train.minutes or 0.0) + self.more_minutes
        if not lengths:
            return recipe
        raw = merge(recipe.model_dump(mode="json", by_alias=True), {"train": lengths})
        return parse_recipe(raw, origin="the new length")


def _continue(run: Run, recipe: Recipe, dataset: Path) -> dict[str, Any]:
    """Go on with a run as long as the recipe says; its dataset may lie in another place than the run knows."""
    if is_first_here():
        check_dataset(run, dataset)
    wait_for_all()
    pack = Pack.open(dataset)
    recipe, _ = in_images(recipe, len(pack.rows("train")))
    if rank() == 0:
        record_dataset(run, dataset, pack)
        write_recipe(run.recipe_file, recipe)
    return _result(work_on(recipe, run, pack))


def _preview_plan(recipe: Recipe, run: Run, source: Path, start: Start | None = None) -> dict[str, Any]:
    """What a dry run says: cases, and every choice with its reason."""
    device = kind_of(own_device())
    if is_prepared(source):
        pack = Pack.open(source)
        cases, (_, choices) = len(pack), plan_training(recipe, pack, device=device)
    else:
        found = find_to_read(source, recipe)
        _, notes = rehearse(recipe, found)
        cases, choices = len(found.cases), preview(recipe, found, device=device)
        for note in notes:
            say(f"note: {note}")
    choices = [*(start.choices(recipe) if start else ()), *choices]
    say(f"would train {recipe.task} on {cases} cases into {run.folder}")
    for choice in choices:
        say(choice.told())
    return {
        "run": str(run.folder),
        "cases": cases,
        "plan": [choice._asdict() for choice in choices],
        "resumes": run.exists(),
    }


def _train(wanted: Recipe, run: Run, source: Path, start: Start | None) -> dict[str, Any]:
    return _result(training(wanted, run, source, start))


def _result(work: Generator[Validation, None, dict[str, Any]]) -> dict[str, Any]:
    """What a training returns, its validations passed over."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result
