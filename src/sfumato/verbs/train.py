"""A model is trained, and goes on: the same call again continues a run."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import is_prepared
from sfumato.errors import UsageError
from sfumato.experiment.branch import branch, run_and_checkpoint
from sfumato.experiment.data_plan import Choice
from sfumato.experiment.dataset import rehearse_cases
from sfumato.experiment.dataset_record import check_dataset, record_dataset
from sfumato.experiment.plan import plan_training, preview
from sfumato.experiment.pretrained import Start, resolve_init
from sfumato.experiment.run import CONTROLS, TWIN, ControlName, Model, Run, load_model, write_recipe
from sfumato.experiment.run_training import device_kind, work_on
from sfumato.experiment.run_training import training as _training
from sfumato.experiment.source import AS_FOUND, Reading, find_to_read
from sfumato.experiment.trainer import TrainingResult, Validation
from sfumato.experiment.training_log import beside_control
from sfumato.progress import say
from sfumato.recipe import (
    LENGTHS,
    MASK_TERMS,
    LossWeights,
    PlanPreset,
    Recipe,
    TaskKind,
    in_images,
    load_recipe,
    merge,
    parse_recipe,
)
from sfumato.training.processes import choose_device, is_first_here, own_device, process_group, rank, wait_for_all
from sfumato.training.signals import going_on_later

_Result = TypeVar("_Result")

_STATELESS = {"train.recycle": 0, "train.self_condition": 0, "sample.start": "noise", "loss.cross_entropy": 0}
"""Nothing that is made of a noisy state."""

AS_CONTROL: Mapping[ControlName, Mapping[str, Any]] = {
    "twin": {"process": {"kind": "none", "prediction": "logits"}, **_STATELESS},
    "ssn": {
        "process": {"kind": "ssn"},
        **{f"loss.{name}": 0 for name in MASK_TERMS},
        "loss.process": 1,
        "loss.adversarial_learning_rate": LossWeights().adversarial_learning_rate,
        **_STATELESS,
    },
}
"""What turns a recipe into that of a control: no noisy state; cross-entropy, or the likelihood of whole masks, as its
loss."""


@dataclass(frozen=True)
class Trained:
    """A run that was trained.

    Attributes:
        folder: the run folder.
        result: steps, images, minutes, the best validation and where its weights are.
        controls: the same of each control by its name, such as the deterministic twin.
    """

    folder: Path
    result: TrainingResult
    controls: Mapping[ControlName, TrainingResult] = field(default_factory=dict)

    @property
    def twin(self) -> TrainingResult | None:
        """The result of the deterministic twin; None without one."""
        return self.controls.get(TWIN)

    @property
    def summary(self) -> dict[str, Any]:
        """All as plain values; those of controls under their names."""
        return {**self.result.to_dict(), **{name: result.to_dict() for name, result in self.controls.items()}}

    def model(self, device: str = "cpu") -> Model:
        """The trained model: its averaged weights, at their best."""
        return load_model(self.folder, device=device)


@dataclass(frozen=True)
class Planned:
    """What a training would be.

    Attributes:
        folder: the run folder.
        task: what is trained.
        cases: how many images, planes or whole volumes there are.
        choices: every `auto` as a number, with its reason.
        notes: what a preparation would tell.
        resumes: whether the run is there already, and goes on.
    """

    folder: Path
    task: TaskKind
    cases: int
    choices: tuple[Choice, ...]
    notes: tuple[str, ...]
    resumes: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is to be trained, apart from the data.

    Args:
        recipe: a recipe file (YAML).
        preset: how far the plan goes where nothing is said: fast, auto or best; see `preset` in docs/recipe.md.
        init: start from this model: a run, a model.safetensors, a diffusers folder or OWNER/NAME on the hub.
        settings: over the recipe, in words as on the command line: "train.batch=8".
        changes: over these, values by dotted names: {"train.steps": 1000, "data.size": (64, 64)}.
        twin: the control `twin`.
        controls: models that are trained beside a segmentation model for as many steps, in RUN/NAME: twin, its
            deterministic twin; ssn, logits that are drawn (`process.kind=ssn`), whole readings in one call.
    """

    recipe: Path | str | None = None
    preset: PlanPreset | None = None
    init: str | None = None
    settings: Sequence[str] = ()
    changes: Mapping[str, Any] | None = None
    twin: bool = False
    controls: Sequence[ControlName] = ()

    @property
    def all_controls(self) -> list[ControlName]:
        """The controls that are wanted, in their order."""
        wanted = {*self.controls, *([TWIN] if self.twin else [])}
        return [name for name in CONTROLS if name in wanted]

    @property
    def all_changes(self) -> dict[str, Any]:
        """The changes, with the preset."""
        return {**({"preset": self.preset} if self.preset else {}), **(self.changes or {})}

    @property
    def file(self) -> Path | None:
        """The recipe file."""
        return None if self.recipe is None else Path(self.recipe)


_AS_PLANNED = Training()
"""Nothing said: the data and the machine decide."""


def train(
    task: TaskKind,
    source: Path | str,
    *,
    out: Path | str,
    reading: Reading = AS_FOUND,
    training: Training = _AS_PLANNED,
    device: str = "auto",
) -> Trained:
    """Train a model of masks conditioned on the image (segment), or of images (generate); a run that is there goes on.

    Args:
        task: segment or generate.
        source: images (with masks) in any form that `prepare` reads, or a prepared dataset.
        out: the run folder.
        reading: what may be said of the source beyond its path.
        training: recipe, length, what it starts from.
        device: auto, cpu, cuda or cuda:N, mps.

    Raises:
        DataError: the source cannot be trained on.
        UsageError: the recipe has a mistake, or the folder holds another run.
        Stopped: a signal ended the training; what it has is kept.
    """
    watched = iter_training(task, source, out=out, reading=reading, training=training, device=device)
    return _last(watched)


def iter_training(
    task: TaskKind,
    source: Path | str,
    *,
    out: Path | str,
    reading: Reading = AS_FOUND,
    training: Training = _AS_PLANNED,
    device: str = "auto",
) -> Generator[Validation, None, Trained]:
    """Train as `train` does, as an iterable that is looked at while it goes on.

    A loop that is left ends the training there, with all that was saved; the same call again goes on from that.

    Args:
        task: as for `train`, like the others.
        source: what is trained on.
        out: the run folder.
        reading: what may be said of the source beyond its path.
        training: recipe, length, what it starts from.
        device: where to work.

    Yields:
        step and score (larger is better) whenever the model was validated.

    Returns:
        what `train` returns.

    Raises:
        DataError: as for `train`, like the others.
        UsageError: the recipe has a mistake, or the folder holds another run.
        Stopped: a signal ended the training.
    """
    choose_device(device)
    run = Run(Path(out))
    wanted, start = _begun(task, run, reading, training)
    controls = dict[ControlName, TrainingResult]()
    with _at_work(run):
        result = yield from _training(wanted, run, Path(source), start)
        for name in training.all_controls:
            control = _control(name, reading, training, start, steps=result.step)
            controls[name] = yield from _training(control, run.control(name), run.dataset, start)
            _compare(result, name, controls[name])
    return Trained(run.folder, result, controls)


def plan(
    task: TaskKind,
    source: Path | str,
    *,
    out: Path | str,
    reading: Reading = AS_FOUND,
    training: Training = _AS_PLANNED,
    device: str = "auto",
) -> Planned:
    """Read the data and refuse what `train` would refuse, but write nothing; the same arguments and errors."""
    choose_device(device)
    run = Run(Path(out))
    wanted, start = _begun(task, run, reading, training)
    return _planned(wanted, run, Path(source), start)


@dataclass(frozen=True, kw_only=True)
class Length:
    """How far to train a run that has a length already; None for as far as it was given.

    Args:
        until_steps: train to this many steps, also beyond the end that the run was given.
        until_images: train to this many images.
        until_epochs: train to this many walks through the training images.
        more_minutes: train this much longer than the run was given; for a run that is measured in minutes.
    """

    until_steps: int | None = None
    until_images: int | None = None
    until_epochs: float | None = None
    more_minutes: float | None = None

    def of(self, run: Run) -> Recipe:
        """The recipe of a run with this length; one that is counted replaces the run's own whole.

        Raises:
            UsageError: minutes are added to a run without any.
        """
        recipe = run.recipe
        if self.more_minutes is not None and recipe.train.minutes is None:
            raise UsageError(
                f"{run.folder} is not measured in minutes",
                remedy="give --until-steps, --until-images or --until-epochs",
            )
        counted = {"steps": self.until_steps, "images": self.until_images, "epochs": self.until_epochs}
        lengths: dict[str, float | None] = {}
        if any(length is not None for length in counted.values()):
            lengths = {**dict.fromkeys(LENGTHS), **counted}
        if self.more_minutes is not None:
            lengths["minutes"] = (recipe.train.minutes or 0.0) + self.more_minutes
        if not lengths:
            return recipe
        raw = merge(recipe.model_dump(mode="json", by_alias=True), {"train": lengths})
        return parse_recipe(raw, origin="the new length")


TO_ITS_END = Length()


def resume(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    length: Length = TO_ITS_END,
    dataset: Path | str | None = None,
    device: str = "auto",
) -> Trained:
    """Continue a run from the newest good checkpoint, with the same bits as if it had never stopped; its controls too.

    Args:
        folder: the run folder; or one of its checkpoints, RUN/checkpoints/step-00001000 or RUN/checkpoints/best.
        out: a folder for a run of its own that goes on from there; needed for a chosen checkpoint.
        length: how far.
        dataset: where the dataset of the run lies now, if it was moved; its content must be the same.
        device: auto, cpu, cuda or cuda:N, mps.

    Raises:
        UsageError: a checkpoint without `out`; the dataset is another one.
        Stopped: a signal ended the training; what it has is kept.
    """
    choose_device(device)
    resumed = _Resumed.of(Path(folder), out, dataset)
    wanted, run = length.of(resumed.run), resumed.run
    controls = dict[ControlName, TrainingResult]()
    with _at_work(resumed.out):
        if out is not None:
            run = _branched(run, resumed.checkpoint, resumed.out, resumed.dataset)
            wanted = length.of(run)
        result = _continued(run, wanted, resumed.dataset)
        for name, control in run.controls.items():
            as_far = Length(until_steps=result.step)
            controls[name] = _continued(control, as_far.of(control), _dataset_of(control, dataset))
            _compare(result, name, controls[name])
    return Trained(run.folder, result, controls)


def _compare(own: TrainingResult, name: ControlName, control: TrainingResult) -> None:
    if compared := beside_control(own.best, name, control.best):
        say(compared)


def plan_resume(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    length: Length = TO_ITS_END,
    dataset: Path | str | None = None,
    device: str = "auto",
) -> Planned:
    """What `resume` would do; the same arguments and errors."""
    choose_device(device)
    resumed = _Resumed.of(Path(folder), out, dataset)
    return _planned(length.of(resumed.run), resumed.out, resumed.dataset, None)


class _Resumed(NamedTuple):
    """A run that goes on, from which checkpoint if not the newest, into which folder, with which dataset."""

    run: Run
    checkpoint: Path | None
    out: Run
    dataset: Path

    @classmethod
    def of(cls, folder: Path, out: Path | str | None, dataset: Path | str | None) -> "_Resumed":
        run, checkpoint = run_and_checkpoint(folder)
        if checkpoint is not None and out is None:
            raise UsageError(
                f"{folder} is one checkpoint of a run, and later steps are there",
                expected="--out for a run of its own that goes on from it; the run itself goes on from its newest one",
                remedy=f"sfumato resume {folder} --out NEW, or sfumato resume {run.folder}",
            )
        return cls(run, checkpoint, run if out is None else Run(Path(out)), _dataset_of(run, dataset))


def parse_controls(words: str | None) -> list[ControlName]:
    """What `--controls` names; None: nothing.

    Raises:
        UsageError: a word that is no control.
    """
    named = [word.strip() for word in (words or "").split(",") if word.strip()]
    if unknown := [word for word in named if word not in CONTROLS]:
        raise UsageError(f"--controls {', '.join(unknown)}", expected=f"{' or '.join(CONTROLS)}, or both with a comma")
    return [name for name in CONTROLS if name in named]


def _begun(task: TaskKind, run: Run, reading: Reading, training: Training) -> tuple[Recipe, Start | None]:
    if training.all_controls and task != "segment":
        finding = f"a control ({training.all_controls[0]}) of a model that makes images"
        raise UsageError(finding, expected="one of a segmentation model: of masks alone")
    changes = {**reading.changes(), **training.all_changes}
    wanted, start = resolve_init(
        training.init, task, run, file=training.file, settings=training.settings, changes=changes
    )
    for name in training.all_controls:
        _refuse_itself(name, wanted, _control(name, reading, training, start, steps=1))
    return wanted, start


def _control(name: ControlName, reading: Reading, training: Training, start: Start | None, *, steps: int) -> Recipe:
    """The recipe of a control that is trained for so many steps."""
    lengths = {f"train.{length}": None for length in LENGTHS} | {"train.steps": steps}
    return load_recipe(
        "segment",
        training.file,
        settings=training.settings,
        changes={**reading.changes(), **training.all_changes, **AS_CONTROL[name], **lengths},
        beneath=start.words if start else None,
    )


def _refuse_itself(name: ControlName, wanted: Recipe, control: Recipe) -> None:
    """A model is no control of itself.

    Raises:
        UsageError: both have one process.
    """
    if wanted.process.kind == control.process.kind:
        others = " or ".join(other for other in CONTROLS if other != name)
        raise UsageError(
            f"the control {name} of a model of process {wanted.process.kind}: it would be the same again",
            expected=f"another process, or the control {others}",
            remedy=f"leave the control {name} out",
        )


def _dataset_of(run: Run, moved: Path | str | None) -> Path:
    """Where the dataset of a run lies: where a person says, or where the run finds it."""
    return run.found_dataset() if moved is None else Path(moved)


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
    with going_on_later(lambda: f"{run.folder} keeps what it has"), process_group():
        yield


def _continued(run: Run, recipe: Recipe, dataset: Path) -> TrainingResult:
    """Go on with a run as long as the recipe says; its dataset may lie in another place than the run knows."""
    if is_first_here():
        check_dataset(run, dataset)
    wait_for_all()
    opened = Dataset.open(dataset)
    recipe, _ = in_images(recipe, len(opened.rows("train")))
    if rank() == 0:
        record_dataset(run, dataset, opened)
        write_recipe(run.recipe_file, recipe)
    return _last(work_on(recipe, run, opened))


def _planned(recipe: Recipe, run: Run, source: Path, start: Start | None) -> Planned:
    device, notes = device_kind(own_device()), tuple[str, ...]()
    if is_prepared(source):
        dataset = Dataset.open(source)
        cases, (_, choices) = len(dataset), plan_training(recipe, dataset, device=device)
    else:
        found = find_to_read(source, recipe)
        form, notes = rehearse_cases(recipe, found)
        cases, choices = form.count(found), preview(recipe, found, device=device)
    choices = [*(start.choices(recipe) if start else ()), *choices]
    return Planned(run.folder, recipe.task, cases, tuple(choices), notes, run.exists())


def _last(work: Generator[Validation, None, _Result]) -> _Result:
    """What a training returns, its validations passed over."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: _Result = end.value
            return result
