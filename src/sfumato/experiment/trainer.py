"""One process's work on a run: steps, validations, checkpoints, pictures, until the end or a signal."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sfumato.builder.training import build_data_order, build_every, build_settings, build_until
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.errors import Stopped
from sfumato.experiment.journal import Journal
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.run import Run
from sfumato.experiment.training_log import Pace, ended, judged, validated
from sfumato.header import header
from sfumato.metrics.gap import learned_by_heart
from sfumato.progress import bar
from sfumato.recipe import Recipe
from sfumato.reporting.card import write_card
from sfumato.reporting.figures import grid, of_one_size, overlay
from sfumato.tasks.segment import Segment
from sfumato.tasks.task import Shown, Task
from sfumato.training.averages import keep_average
from sfumato.training.best import Other, best_files, note_validation
from sfumato.training.cadence import Cadence, Clock, Shares
from sfumato.training.checkpoint import mark, save
from sfumato.training.curriculum import STAGES, CurriculumState
from sfumato.training.log import Log, read_log
from sfumato.training.loop import Diverged, Progress, training_loop
from sfumato.training.parts import TrainingState
from sfumato.training.processes import any_of, rank, wait_for_all
from sfumato.training.shard import is_sharded
from sfumato.training.signals import signals_to_stop
from sfumato.training.track import Tracking
from sfumato.training.weights import write_weights
from sfumato.wording import counted

PREVIEW_COLUMNS = 8

_PICTURE = "picture"
"""What a warning is about that says nothing of the model."""

FIRST_PREVIEW_SECONDS = 30.0

AVERAGES = 24
"""How often in a run the averages with a width are kept: others between 0.04 and 0.15 are then within 0.5 %."""


_LOSS = Other("loss", "loss_held_out")

OTHER = {"dice": _LOSS, "iou": _LOSS, "kid": _LOSS, "loss": Other("kid", "kid")}
"""For each metric that decides, the other number of a validation by which there is a best checkpoint."""


class Validation(NamedTuple):
    """What a training yields whenever the averaged network has been scored.

    Attributes:
        step: number of steps done.
        score: larger is better.
        scores: all that was measured, by name, on validation cases.
    """

    step: int
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ConstantMaskScore:
    """The best validation of a segmenter beside one mask for every image.

    Attributes:
        mask: which mask.
        score: what it reaches in the same validation.
        verdict: whether the model is better.
    """

    mask: str
    score: float
    verdict: Literal["better", "no better"]


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training led to.

    Attributes:
        run: the run folder.
        step: number of steps done.
        images: images trained on, each as often as it came.
        minutes: spent training.
        best: what is known of the best checkpoints, as `training.best` keeps it.
        skipped: steps that were passed over because loss or gradient was not finite.
        model: the weights.
        constant_mask: the best validation beside one mask for every image; None of images and without a validation.
    """

    run: Path
    step: int
    images: int
    minutes: float
    best: Mapping[str, Any]
    skipped: Sequence[int]
    model: Path
    constant_mask: ConstantMaskScore | None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        plain = {**asdict(self), "run": str(self.run), "model": str(self.model)}
        if self.constant_mask is None:
            del plain["constant_mask"]
        return plain


@dataclass(kw_only=True)
class Trainer:
    """One process's work on a run: steps, validations, checkpoints, pictures."""

    recipe: Recipe
    run: Run
    dataset: Dataset
    parts: TrainingState
    task: Task
    device: str
    tracking: Tracking
    journal: Journal
    noted: int | None = None
    """The step of the last checkpoint that was written down."""
    _told: CurriculumState | None = field(init=False, default=None)
    _log: Callable[[dict[str, Any]], None] = field(init=False, default=lambda record: None)  # noqa: ARG005

    def work(self) -> Generator[Validation, None, TrainingResult]:
        """All steps; yields after each validation, and returns the result of the run. To stop early, close it."""
        self._mark_best()
        if not self._out_of_patience():
            with self.tracking:
                yield from self._train()
                self._keep_averages()
                self._save()
                if rank() == 0:
                    with self.journal.optional("the model card"):
                        write_card(self.run.folder)
            wait_for_all()
        return self._result()

    def _train(self) -> Iterator[Validation]:
        recipe, since = self.recipe, self.parts.seconds
        validation, saving = (
            build_every(recipe, part) or Clock(part.every_minutes, since)
            for part in (recipe.validate_, recipe.checkpoint)
        )
        averages, snapshots = self._average_marks(), build_every(recipe, recipe.checkpoint, "snapshot_every")
        pictured = self.parts.step > 0
        pace = Pace(recipe.train.global_batch, self.device, self.parts.step, since)
        minute = Clock(1.0, since)
        with signals_to_stop() as stopped, self._logger() as log, bar(f"training {recipe.task}", total=100.0) as shown:
            self._log = log
            for progress in self._steps(stopped):
                self._note_down(progress, log)
                self._tell_stage()
                shown.update(100 * progress.fraction, note=_note(progress))
                ends = progress.fraction >= 1
                if minute.due(progress) or ends:
                    self.journal.note(pace.line(progress))
                if not pictured and progress.seconds > FIRST_PREVIEW_SECONDS:
                    pictured = True
                    self._picture()
                if averages.due(progress):
                    self._keep_averages()
                if snapshots is not None and snapshots.due(progress):
                    self._snapshot()
                if validation.due(progress) or ends:
                    yield from self._validate(log)
                    wait_for_all()
                    if any_of(self._out_of_patience()):
                        self.journal.say("no better score for a while: stopping early")
                        return
                if (saving.due(progress) or self._stays(progress.step)) and not ends:
                    self._save()
                if progress.stopping:
                    self._save()
                    raise Stopped(f"stopped at step {progress.step} after saving; the same command resumes")

    @contextmanager
    def _logger(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Where records go: the first process keeps the log."""
        if rank() > 0:
            yield lambda record: None  # noqa: ARG005
            return
        with Log(self.run.folder / "log.jsonl", step=self.parts.step, warn=self.journal.warn) as log:

            def write(record: dict[str, Any]) -> None:
                log.write(record)
                self.tracking.record(record)

            yield write

    def _note_down(self, progress: Progress, log: Callable[[dict[str, Any]], None]) -> None:
        """Record a step; say what was changed because memory ran out."""
        cases = [self.dataset.cases[row].id for row in progress.bad_rows]
        log({"kind": "skipped", "step": progress.step, "cases": cases} if cases else _record(progress))
        if cases:
            shown = f"{', '.join(cases[:5])}{', ...' * (len(cases) > 5)}"
            self.journal.warn(f"step {progress.step} was passed over: loss or gradient is not finite ({shown})")
        if progress.shrunk:
            self.journal.warn(
                f"out of memory in step {progress.step}: from now on each process cuts its share of the batch of "
                f"{self.recipe.train.global_batch} into {progress.accumulate} pieces; the mathematics is the same"
            )

    def _tell_stage(self) -> None:
        """Say once that a stage of the curriculum begins, or that one is not learnt yet."""
        if self.parts.curriculum is None:
            return
        before, now = self._told, self.parts.curriculum.state
        self._told = now
        if before is None or before.boundary == now.boundary:
            return
        told = f"step {self.parts.step}: jumps are taught, stage {now.stage} of {STAGES}"
        self.journal.say(told if now.stage > before.stage else f"{told} again, since their error rose in it")

    def _steps(self, stopped: Callable[[], bool]) -> Iterator[Progress]:
        """The steps; a run that diverges is saved before it ends."""
        data_order = build_data_order(self.recipe, self.dataset.rows("train"))
        settings = build_settings(self.recipe, device=self.device)
        try:
            yield from training_loop(
                self.parts,
                self.task.loss,
                data_order,
                until=build_until(self.recipe),
                settings=settings,
                stopping=stopped,
            )
        except Diverged:
            self._save()
            wait_for_all()
            raise

    def _validate(self, log: Callable[[dict[str, Any]], None]) -> Iterator[Validation]:
        """Score the averaged network; keep it if it is the best."""
        if self._idle():
            return
        scores = self.task.validate(self.parts.ema.network)
        self._picture()
        log({"kind": "validate", "step": self.parts.step, "seconds": self.parts.seconds, **scores})
        self._warn(learned_by_heart(scores), log)
        metric, before = self.recipe.validate_.metric, self.parts.best.get("step")
        if note_validation(self.parts.best, scores, metric=metric, other=OTHER[metric], step=self.parts.step):
            self._save()
            self._mark_best()
        is_best = self.parts.best.get("step") not in (None, before)
        self.journal.note(validated(scores, self.parts.step, best=is_best))
        yield Validation(self.parts.step, scores["score"], scores)

    def _warn(self, warning: str | None, log: Callable[[dict[str, Any]], None]) -> None:
        """Say it once in a run, and record it."""
        if warning and not any(map(_is_warning, read_log(self.run.folder / "log.jsonl"))):
            self.journal.say(f"warning after {self.parts.step} steps: {warning}", "WARNING")
            log({"kind": "warning", "step": self.parts.step, "text": warning})

    def _beside_constant(self) -> ConstantMaskScore | None:
        """The best validation beside the best constant mask, of a segmenter; a training that led to nothing is told."""
        best = self.parts.best.get("score")
        if not isinstance(self.task, Segment) or best is None or rank() > 0:
            return None
        mask = self.task.constant()
        score = float(mask.scores.mean())
        if best <= score:
            self.journal.say(
                f"warning: the model is no better than {mask.name}, the same for every image: its best validation has "
                f"the score {best:.3f}, that of the mask is {score:.3f}; train longer",
                "WARNING",
            )
        return ConstantMaskScore(mask.name, score, "better" if best > score else "no better")

    def _mark_best(self) -> None:
        """Let `checkpoints/best` and the like name their checkpoints; also after a kill between saving and naming."""
        for name, step in best_files(self.parts.best).items() if rank() == 0 else ():
            best = self.run.checkpoints / f"step-{step:08d}"
            if best.is_dir():
                mark(self.run.checkpoints, name, best)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.validate_.patience
        return patience is not None and self.parts.best.get("stalled", 0) >= patience

    def _idle(self) -> bool:
        """Whether another process works for this one; a network that is shared out needs them all."""
        return rank() > 0 and not is_sharded(self.parts.network)

    def _save(self) -> None:
        if self._idle():
            return
        tensors = self.parts.tensors()
        if rank() > 0:
            return
        save(
            self.run.checkpoints,
            step=self.parts.step,
            tensors=tensors,
            headers=header(self.recipe, self.dataset.spec, step=self.parts.step),
            state=self.parts.state(),
            keep=self.recipe.checkpoint.keep,
            stays=self._stays,
        )
        if self.noted != self.parts.step:
            self.journal.note(f"checkpoint after {counted(self.parts.step, 'step')}")
        self.noted = self.parts.step

    def _stays(self, step: int) -> bool:
        """Whether the checkpoint of this step is one of those that are never thrown away."""
        every = build_every(self.recipe, self.recipe.checkpoint, "keep_every")
        return every is not None and every.at(step)

    def _average_marks(self) -> Cadence:
        """When averages are kept; those that were passed before a resume are behind."""
        every = build_every(self.recipe, self.recipe.checkpoint, "average_every")
        if every is not None:
            return every
        step, seconds = self.parts.step, self.parts.seconds
        done = build_until(self.recipe).fraction(step, step * self.recipe.train.global_batch, seconds)
        return Shares(AVERAGES, int(done * AVERAGES))

    def _keep_averages(self) -> None:
        """Keep the averages that have a width, before a checkpoint of this step: a resumed run has them all."""
        if self._idle():
            return
        for average in (self.parts.ema, *self.parts.further):
            if average.width is not None:
                about = header(
                    self.recipe,
                    self.dataset.spec,
                    step=self.parts.step,
                    average={"width": average.width, "made_of": []},
                )
                keep_average(self.run.averages, average, step=self.parts.step, metadata=about)

    def _snapshot(self) -> None:
        """Keep the averaged weights of this step; a model file like any other."""
        if self._idle():
            return
        tensors = self.parts.ema.state_dict()
        if rank() == 0:
            about = header(self.recipe, self.dataset.spec, step=self.parts.step)
            self.run.snapshots.mkdir(exist_ok=True)
            write_weights(self.run.snapshots / f"step-{self.parts.step:08d}.safetensors", tensors, about)

    def _picture(self) -> None:
        """A contact sheet of what the averaged network does now; if it fails, that is a warning in the log."""
        if self._idle():
            return

        def tell(warning: str) -> None:
            self.journal.say(f"after {self.parts.step} steps: {warning}", "WARNING")
            self._log({"kind": "warning", "about": _PICTURE, "step": self.parts.step, "text": warning})

        with spared_picture("a preview", tell=tell):
            self._draw_picture()

    def _draw_picture(self) -> None:
        shown = sheet(self.task.preview(self.parts.ema.network))
        if rank() > 0:
            return
        path = self.run.folder / "samples" / f"step-{self.parts.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, shown)
        if self.recipe.track.pictures:
            self.tracking.picture(self.parts.step, shown)
        self.journal.say(f"pictures after {self.parts.step} steps: {path}")

    def _result(self) -> TrainingResult:
        constant = self._beside_constant()
        if rank() == 0:
            self._tell_end()
        return TrainingResult(
            run=self.run.folder,
            step=self.parts.step,
            images=self.parts.step * self.recipe.train.global_batch,
            minutes=self.parts.seconds / 60,
            best=self.parts.best,
            skipped=self.parts.skipped,
            model=self.run.weights(),
            constant_mask=constant,
        )

    def _tell_end(self) -> None:
        """Say what was trained, how long, how well, and where it lies."""
        if skipped := self.parts.skipped:
            told = counted(len(skipped), "step was", "steps were")
            self.journal.say(f"{told} passed over because loss or gradient was not finite; log.jsonl names them")
        self.journal.say(ended(self.run, self.recipe, self.parts, patient=self._out_of_patience()))
        count = len(self.dataset.rows("validation") or self.dataset.rows("train"))
        cases = min(count, self.recipe.validate_.cases)
        self.journal.say(judged(self.run, self.parts.best, cases=cases, control=self._control()))

    def _control(self) -> str:
        """What the best score is compared with, in words."""
        control = self.task.control()
        if control is not None:
            name, value = control
            if self.recipe.task == "segment" and self.parts.best.get("score", value) <= value:
                return f"no better than {name}: {value:.4g}"
            return f"{name}: {value:.4g}"
        records, step = read_log(self.run.folder / "log.jsonl"), self.parts.best.get("step")
        known = [record.get("loss_train") for record in records if record["step"] == step]
        losses = [loss for loss in known if loss is not None]
        return f"on training images: {losses[-1]:.4g}" if losses else ""


def _is_warning(record: Mapping[str, Any]) -> bool:
    """Whether a record of the log warns that images are learnt by heart."""
    return record.get("kind") == "warning" and "about" not in record


def sheet(shown: Sequence[Shown]) -> np.ndarray:
    """Cases as one picture; masks are drawn onto their images, the reference outlined."""
    tiles = [
        case.image if case.mask is None else overlay(case.image, case.mask, reference=case.reference) for case in shown
    ]
    return grid(of_one_size(tiles), min(PREVIEW_COLUMNS, len(tiles)))


def _record(progress: Progress) -> dict[str, Any]:
    return {
        "kind": "train",
        "step": progress.step,
        "images": progress.images,
        "seconds": progress.seconds,
        **progress.terms,
        "learning_rate": progress.learning_rate,
        "gradient_norm": progress.gradient_norm,
    }


def _note(progress: Progress) -> str:
    rate = progress.step / progress.seconds if progress.seconds else 0.0
    return f"step {progress.step}  loss {progress.terms['loss']:.4f}  {rate:.1f} steps/s"
