"""One process's work on a run: steps, validations, checkpoints, pictures, until the end or a signal."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch

from sfumato.commands.console import bar, say
from sfumato.data.formats.image import write_image
from sfumato.data.pack import Pack
from sfumato.errors import Stopped
from sfumato.recipe import Recipe
from sfumato.report.figures import grid, overlay
from sfumato.run import Run, header
from sfumato.tasks.task import Shown, Task
from sfumato.training.checkpoint import mark, save
from sfumato.training.log import Log
from sfumato.training.loop import Parts, Progress, Settings, Until, train
from sfumato.training.precision import resolve_precision
from sfumato.training.processes import any_of, rank, wait_for_all
from sfumato.training.stream import Stream
from sfumato.training.weights import write_weights

PREVIEW_COLUMNS = 8
FIRST_PREVIEW_SECONDS = 30.0


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
class Session:
    """One process's work on a run: steps, validations, checkpoints, pictures."""

    recipe: Recipe
    run: Run
    pack: Pack
    parts: Parts
    task: Task
    device: str

    def run_to_end(self) -> dict[str, Any]:
        """All steps; the result of the run."""
        self._mark_best()
        if not self._out_of_patience():
            self._train()
            self._save()
            self._picture()
            wait_for_all()
        return self._result()

    def _train(self) -> None:
        recipe, since = self.recipe, self.parts.seconds
        validation = _Timer(recipe.validate_.every_minutes, recipe.validate_.every_steps, since)
        saving = _Timer(recipe.checkpoint.every_minutes, recipe.checkpoint.every_steps, since)
        pictured = self.parts.step > 0
        with _signals() as stopped, self._diary() as log, bar(f"training {recipe.task}", total=100.0) as shown:
            for progress in self._steps():
                log(_record(progress))
                shown.update(100 * progress.fraction, note=_note(progress))
                if not pictured and progress.seconds > FIRST_PREVIEW_SECONDS:
                    pictured = True
                    self._picture()
                ends = progress.fraction >= 1
                if validation.due(progress) or ends:
                    self._validate(log)
                    if any_of(self._out_of_patience()):
                        say("no better score for a while: stopping early")
                        return
                if self._snapshot_due():
                    self._snapshot()
                if saving.due(progress) and not ends:
                    self._save()
                if any_of(stopped()):
                    self._save()
                    raise Stopped(f"stopped at step {progress.step} after saving; the same command resumes")

    @contextmanager
    def _diary(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Where records go: the first process keeps the log."""
        if rank() > 0:
            yield lambda record: None  # noqa: ARG005
            return
        with Log(self.run.folder / "log.jsonl", step=self.parts.step) as log:
            yield log.write

    def _steps(self) -> Iterator[Progress]:
        recipe = self.recipe.train
        stream = Stream(rows=tuple(self.pack.rows("train")), batch=recipe.global_batch, seed=recipe.seed)
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

    def _validate(self, log: Callable[[dict[str, Any]], None]) -> None:
        """Score the averaged network; keep it if it is the best."""
        if rank() > 0:
            return
        scores = self.task.validate(self.parts.ema.network)
        log({"kind": "validate", "step": self.parts.step, "seconds": self.parts.seconds, **scores})
        best = self.parts.best.get("score")
        better = best is None or scores["score"] > best
        self.parts.best["stalled"] = 0 if better else self.parts.best.get("stalled", 0) + 1
        if better:
            self.parts.best |= {"score": scores["score"], "step": self.parts.step}
            self._save()
            self._mark_best()

    def _mark_best(self) -> None:
        """Let `checkpoints/best` name the best checkpoint; also after a kill between saving it and naming it."""
        best = self.run.checkpoints / f"step-{self.parts.best.get('step', 0):08d}"
        if rank() == 0 and best.is_dir():
            mark(self.run.checkpoints, "best", best)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.validate_.patience
        return patience is not None and self.parts.best.get("stalled", 0) >= patience

    def _save(self) -> None:
        if rank() > 0:
            return
        save(
            self.run.checkpoints,
            step=self.parts.step,
            tensors=self.parts.tensors(),
            headers=header(self.recipe, self.pack.spec, step=self.parts.step),
            state=self.parts.state(),
            keep=self.recipe.checkpoint.keep,
        )

    def _snapshot_due(self) -> bool:
        """Decided by the step's number alone, so that a resumed run has the same snapshots."""
        kept, step, batch = self.recipe.checkpoint, self.parts.step, self.recipe.train.global_batch
        if kept.snapshot_every_images is not None:
            return step * batch // kept.snapshot_every_images > (step - 1) * batch // kept.snapshot_every_images
        return kept.snapshot_every_steps is not None and step % kept.snapshot_every_steps == 0

    def _snapshot(self) -> None:
        """Keep the averaged weights of this step; a model file like any other."""
        if rank() > 0:
            return
        about = header(self.recipe, self.pack.spec, step=self.parts.step)
        self.run.snapshots.mkdir(exist_ok=True)
        write_weights(
            self.run.snapshots / f"step-{self.parts.step:08d}.safetensors", self.parts.ema.state_dict(), about
        )

    def _picture(self) -> None:
        """A contact sheet of what the averaged network does now."""
        if rank() > 0:
            return
        path = self.run.folder / "samples" / f"step-{self.parts.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, sheet(self.task.preview(self.parts.ema.network)))
        say(f"pictures after {self.parts.step} steps: {path}")

    def _result(self) -> dict[str, Any]:
        best = self.parts.best
        say(f"{self.run.folder}: {self.parts.step} steps in {self.parts.seconds / 60:.1f} minutes, best {best}")
        return {
            "run": str(self.run.folder),
            "step": self.parts.step,
            "images": self.parts.step * self.recipe.train.global_batch,
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
