"""Masks, probabilities, uncertainty and ensembles of new images, and which of them to look at first."""

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sfumato.data.manifest import Case, write_manifest
from sfumato.data.preparation.spool import key_of
from sfumato.data.source import find_cases
from sfumato.data.spec import Spec, drawn_cases
from sfumato.data.units import MaskFormat, Unit, counted_cases, units, whole_volumes
from sfumato.errors import DataError, UsageError, listed, raise_together
from sfumato.evaluation.postprocess_choice import Postprocess, PostprocessChoice, choose_postprocessing
from sfumato.evaluation.review_order import ReviewOrder, order_review
from sfumato.experiment.inference import Ensemble, joined, predict
from sfumato.experiment.mask_sampling import MaskDrawing, StartKind, check_start, load_controls, members, warm_start
from sfumato.experiment.output_folder import output_folder
from sfumato.experiment.run import TWIN, ControlName, Model
from sfumato.experiment.sampling import AS_TRAINED, Passes, Sampling
from sfumato.experiment.sharded_job import Finished, ShardedJob, ShardTask, asked_by, own_shard
from sfumato.experiment.source import beside_each_other
from sfumato.metrics.ensemble import review_rank
from sfumato.outputs.origin import drawn_by, made_by
from sfumato.outputs.predictions import AS_INPUT, PROCESS_STRIPS, ManifestRow, Writer, Writing
from sfumato.outputs.room import Room, largest
from sfumato.outputs.summary import read_summary
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.randomness import derive_seed
from sfumato.training.processes import choose_device
from sfumato.verbs.opened import opened_model, origin_of
from sfumato.wording import counted

MASKS_AT_ONCE = 16
"""Masks drawn at once."""

Split = Literal["train", "validation", "test"]

Models = Model | Path | str | Sequence[Model | Path | str]
"""A model by its place, or loaded; or those of several folds."""


@dataclass(frozen=True)
class Predicted:
    """Masks that were written, or would be.

    Attributes:
        folder: masks/ and what was asked for besides; manifest.csv (a row for each image or volume), summary.json;
            twin/ the same of the deterministic twin.
        units: the images and volumes.
        network_calls: for each image or plane.
        summary: what summary.json holds: how they were drawn, seconds for an image, which to look at first and why;
            empty while other shards are at work, and of what would be written.
        room: the case that takes the most memory, and how much; None where no header tells the size of an image.
    """

    folder: Path
    units: Sequence[Unit]
    network_calls: int
    summary: Mapping[str, Any]
    room: Room | None = None


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A model that is ready to segment, with its controls if it has any: loaded once, used as often as wanted.

    Attributes:
        model: the model.
        path: where it came from.
        drawing: how the ensemble of each case is drawn.
        controls: models that were trained beside it, such as its deterministic twin.
        others: models of other folds, whose members join the ensemble.
        guide: which weaker model guides, in the words of the person.
        postprocess: whether masks are repaired as validation chose.
    """

    model: Model
    path: Path
    drawing: MaskDrawing
    controls: Mapping[ControlName, Model] = field(default_factory=dict)
    others: tuple["Segmenter", ...] = ()
    guide: str | None = None
    postprocess: Postprocess = "none"

    @classmethod
    def of(cls, model: Models, *, seed: int = 0, **words: Any) -> "Segmenter":
        """A model as it is to draw, or several of them, on the device that was chosen; see `segment`.

        Args:
            model: one, or those of several folds.
            seed: of the first; those of the others are made from it.
            **words: the other arguments of `segment` that say how masks are drawn.

        Raises:
            UsageError: models that do not fit together.
        """
        first, *more = (model,) if isinstance(model, Model | Path | str) else tuple(model)
        segmenter = cls._of_one(first, seed=seed, **words)
        seeds = (derive_seed(seed, "fold", number) for number in range(1, len(more) + 1))
        others = tuple(cls._of_one(other, seed=its, **words) for other, its in zip(more, seeds, strict=True))
        for other in others:
            _refuse_unlike(segmenter.model, other.model)
        return replace(segmenter, others=others)

    @classmethod
    def _of_one(
        cls,
        model: Model | Path | str,
        *,
        samples: int | None = None,
        sampling: Sampling = AS_TRAINED,
        start: StartKind | None = None,
        tta: bool = False,
        seed: int = 0,
        batch: int = MASKS_AT_ONCE,
        postprocess: Postprocess = "none",
    ) -> "Segmenter":
        loaded, path = opened_model(model), origin_of(model)
        if loaded.recipe.task != "segment":
            raise UsageError(
                f"{path} was trained to generate images, not to segment them", remedy="sfumato generate ..."
            )
        check_start(start or loaded.recipe.sample.start, steps=sampling.steps, grid=sampling.grid)
        controls = load_controls(path, device=str(loaded.device))
        each = sampling.of(loaded, path, batch=batch, start=start)
        drawing = MaskDrawing(
            each=each,
            start=warm_start(each.sampler, path, controls.get(TWIN)),
            tta=tta,
            count=members(loaded, samples, tta=tta),
            seed=seed,
            batch=batch,
            sees_once=loaded.sees_once,
        )
        return cls(
            model=loaded,
            path=path,
            drawing=drawing,
            controls=controls,
            guide=sampling.guide,
            postprocess=postprocess,
        )

    @property
    def paths(self) -> list[Path]:
        """Where all its models came from."""
        return [self.path, *(other.path for other in self.others)]

    def units(self, cases: Sequence[Case], form: MaskFormat) -> list[Unit]:
        """What gets one mask.

        Raises:
            UsageError: pictures of planes are wanted of a model that sees whole volumes.
            DataError: it is given images.
        """
        if self.model.spec.dimensions == 2:
            return units(cases, form)
        if form == "png":
            raise UsageError(
                "--format png of a model that sees whole volumes", expected="volumes", remedy="--format same, or nii"
            )
        return whole_volumes(cases)

    def cases(self, source: Path, split: Split | None = None) -> list[Case]:
        """The cases to segment; volumes are cut as the training volumes were.

        Raises:
            DataError: there are none.
        """
        found, spec = find_cases(source, hints=self.model.spec.as_taught()).cases, self.model.spec
        if spec.neighbours:
            found = beside_each_other(found, spec.neighbours, source=source)
        cases = [case for case in found if split is None or case.split == split]
        if not cases:
            raise DataError(
                f"{source} has no case in the split {split}", expected="a dataset with this split", code="DATA-020"
            )
        return cases

    def room(self, wanted: Sequence[Unit], writing: Writing) -> Room | None:
        """What the masks of the largest case take of the memory; see `outputs.room`.

        Raises:
            ResourceError: more than there is.
        """
        members = self.drawing.count + sum(other.drawing.count for other in self.others)
        room = largest(self.model, wanted, members=members, batch=self.drawing.batch, save=writing.save)
        if room is not None:
            room.check()
        return room

    def write(self, source: Path, out: Path, writing: Writing) -> None:
        """The masks of the model alone, no twin's, as a new folder.

        Raises:
            DataError: an image cannot be segmented.
            UsageError: the folder is not empty.
            ResourceError: memory does not hold the masks of an image.
        """
        wanted = self.units(self.cases(source), writing.form)
        self.room(wanted, writing)
        arm = _Arm("", self.model, self.drawing, writing, self.review, self.choice, self.others)
        with output_folder(out, inputs=[source]) as folder:
            _write_tables(arm, wanted, list(_rows(arm, wanted, wanted, folder)), folder, source=source)

    @cached_property
    def review(self) -> ReviewOrder:
        """What the order of cases rests on; measured once where it is not known of this way of drawing."""
        if self.others:
            return ReviewOrder(None, f"{_TOGETHER}: ordered by their uncertainty")
        return order_review(self.model, self.path, self.drawing, guide=self.guide, dry_run=False)

    @cached_property
    def choice(self) -> PostprocessChoice | None:
        """How masks are repaired; measured once where it is not known of this way of drawing."""
        return self._chosen(self.model, self.path, self.drawing, dry_run=False)

    def _chosen(self, model: Model, path: Path, drawing: MaskDrawing, *, dry_run: bool) -> PostprocessChoice | None:
        """Where the person asks for it.

        Raises:
            UsageError: of several models.
        """
        if self.postprocess == "none":
            return None
        if self.others:
            raise UsageError(f"--postprocess auto: {_TOGETHER}", remedy="--postprocess none, or one model")
        return choose_postprocessing(model, path, drawing, guide=self.guide, dry_run=dry_run)

    def arms(self, writing: Writing, *, dry_run: bool) -> list["_Arm"]:
        """The model, and its controls."""
        order = partial(order_review, guide=self.guide, dry_run=dry_run)
        review = order(self.model, self.path, self.drawing) if dry_run and not self.others else self.review
        choice = self._chosen(self.model, self.path, self.drawing, dry_run=True) if dry_run else self.choice
        arms = [_Arm("", self.model, self.drawing, writing, review, choice, self.others)]
        for name, control in {} if self.others else self.controls.items():
            drawing = self.drawing.of_control(control)
            written = writing if drawing.count > 1 else writing.without("information")  # nobody to disagree with
            review = order(control, self.path / name, drawing)
            choice = self._chosen(control, self.path / name, drawing, dry_run=dry_run)
            arms.append(_Arm(name, control, drawing, written, review, choice))
        return arms


_TOGETHER = "the models were never measured together on cases that none of them was trained on"


def _refuse_unlike(model: Model, other: Model) -> None:
    """Models whose masks cannot be put together.

    Raises:
        UsageError: they see other images, or mean other classes.
    """
    placed = ("dimensions", "size", "spacing", "keep_aspect", "crop", "slice_axis")
    names = ("mask_classes", *placed, "channels", "neighbours", "component", "pages", "channel_files")
    pairs = [(name, getattr(model.spec, name), getattr(other.spec, name)) for name in names]
    if unlike := [f"{name}: {ours} and {theirs}" for name, ours, theirs in pairs if ours != theirs]:
        raise UsageError(
            f"{model.name} and {other.name} make no ensemble:\n{listed(unlike)}",
            expected="models of the same data, such as those of the folds of a cross-validation",
        )


def segment(
    model: Models,
    source: Path | str,
    *,
    out: Path | str,
    samples: int | None = None,
    sampling: Sampling = AS_TRAINED,
    start: StartKind | None = None,
    tta: bool = False,
    seed: int = 0,
    split: Split | None = None,
    writing: Writing = AS_INPUT,
    postprocess: Postprocess = "none",
    batch: int = MASKS_AT_ONCE,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    overwrite: bool = False,
    dry_run: bool = False,
) -> Predicted:
    """Write for each image or volume, in its own size and geometry: mask, probability, uncertainty; order of review.

    The same call again continues what was stopped. Under torchrun each process does a share of the images.

    Args:
        model: a run folder, a model.safetensors, or a model that is loaded. If a run has controls, such as its
            deterministic twin, their masks go to OUT/twin and OUT/ssn. Or several, such as the runs of all folds: each
            draws as many members, and their mean decides.
        source: an image, a volume, a folder of either, a DICOM series, or a dataset.
        out: the folder to write.
        samples: members of the ensemble; as the recipe says by default.
        sampling: how each member is drawn: steps, sampler, guidance.
        start: noise; or twin: the mask of the deterministic twin, corrupted to the critical log-SNR (2-4 steps).
        tta: each member sees the image flipped or turned another way: also an ensemble of a deterministic model.
        seed: with the case's name it decides the noise: a case gets the same mask in any company.
        split: only the cases of this split of a dataset.
        writing: what is written besides masks, and in which form.
        postprocess: auto: each class of a mask keeps its largest component, has its holes filled, or loses its small
            components, where that raised the Dice of validation cases; none: masks stay as drawn.
        batch: masks drawn at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps; a model that is loaded stays where it is.
        shard: only this share of the images or volumes, like (0, 4); who comes last completes the folder.
        overwrite: replace a folder that is not empty.
        dry_run: write nothing.

    Raises:
        DataError: an image cannot be read, or does not fit the model.
        UsageError: the model makes no masks; words exclude each other; `out` holds something else.
        ModelError: it draws NaN.
        ResourceError: memory does not hold the masks of an image, or the disk is full.
    """
    choose_device(device)
    mine, source, out = own_shard(shard), Path(source), Path(out)
    segmenter = Segmenter.of(
        model,
        samples=samples,
        sampling=sampling,
        start=start,
        tta=tta,
        seed=seed,
        batch=batch,
        postprocess=postprocess,
    )
    writing.check(segmenter.drawing.count)
    cases = segmenter.cases(source, split)
    wanted = segmenter.units(cases, writing.form)
    room = segmenter.room(wanted, writing)
    arms = segmenter.arms(writing, dry_run=dry_run)
    drawing = segmenter.drawing
    asked = asked_by(
        {
            "source": f"{counted(len(cases), 'case')}, {key_of(cases, None)}",
            "samples": samples,
            **sampling.asked(drawing.each),
            "start": start,
            "tta": tta,
            "split": split,
            "save": sorted(writing.save),
            "format": writing.form,
            "link": writing.link,
            "seed": seed,
            "ordered_by": arms[0].review.by,
            **_postprocess_asked(arms),
        },
        **{arm.name or "model": arm.sha256 for arm in arms},
    )
    work = ShardedJob(out=out, asked=asked, items=[arm.item(unit) for arm in arms for unit in wanted])
    claim = work.claim(overwrite=overwrite, inputs=[source], used=segmenter.paths)
    if claim is not None and not dry_run:
        with work.share(mine) as share:
            _draw_share(arms, wanted, share)
        with work.finishing(claim) as finished:
            if finished is not None:
                _finish(arms, wanted, finished, source=source, asked=asked)
    passes = arms[0].passes
    say(f"{work.progress_text()}: {counted_cases(cases, 'image')} with {passes.words()} each")
    if dry_run and room is not None:
        say(room.words())
    return Predicted(out, wanted, passes.image, read_summary(out) if work.is_done() else {}, room)


class _Arm(NamedTuple):
    """One of the models whose masks are written: the diffusion model, in the output itself, or one of its controls."""

    name: str
    model: Model
    drawing: MaskDrawing
    writing: Writing
    review: ReviewOrder
    choice: PostprocessChoice | None
    others: tuple[Segmenter, ...] = ()

    @property
    def models(self) -> list[Model]:
        """All its models, the first one too."""
        return [self.model, *(other.model for other in self.others)]

    @property
    def sha256(self) -> str:
        """Of the weights of all its models."""
        return " ".join(model.sha256 for model in self.models)

    @property
    def made_with(self) -> dict[str, str]:
        """What decides a mask besides the first model and its sampler."""
        facts = self.drawing.facts()
        return {**facts, "models": self.sha256} if self.others else facts

    @property
    def provenance(self) -> dict[str, Any]:
        """Which models drew, for the provenance of the folder."""
        every = {"models": [model.provenance for model in self.models]} if self.others else {}
        return {"model": self.model.provenance, **every}

    @property
    def passes(self) -> Passes:
        """What the masks of each image cost, of all its models."""
        return sum((other.drawing.passes for other in self.others), self.drawing.passes)

    def item(self, unit: Unit) -> str:
        """What the ledger calls its mask of a unit."""
        return f"{self.name}/{unit.id}"

    def facts(self) -> dict[str, Any]:
        """How its masks were drawn."""
        return {
            "process": self.model.recipe.process.kind,
            "members": self.drawing.count + sum(other.drawing.count for other in self.others),
            **({"models": [model.provenance["name"] for model in self.models]} if self.others else {}),
            "sampler": self.drawing.each.sampler.name,
            "steps": self.drawing.each.sampler.steps,
            "start": "noise" if self.drawing.start is None else "twin",
            "tta": self.drawing.tta,
            "guidance": self.drawing.each.guidance.scale,
            "drawn": drawn_by(self.drawing.each),
            **self.passes.facts(),
        }


def _postprocess_asked(arms: Sequence[_Arm]) -> dict[str, Any]:
    """How the masks of each arm are repaired; nothing where nobody asked, so that older outputs are known again."""
    words = {arm.name or "model": arm.choice.words or "none" for arm in arms if arm.choice is not None}
    return {"postprocess": words} if words else {}


def _check_images(cases: Sequence[Case], spec: Spec) -> None:
    """All images that cannot be segmented, before any is."""
    problems = []
    drawn, read = drawn_cases(cases, spec)
    for case in drawn:
        try:
            read(case, spec)
        except DataError as problem:
            problem.finding = f"{case.id}: {problem.finding}"
            problems.append(problem)
    raise_together(problems)


def _draw_share(arms: Sequence[_Arm], wanted: Sequence[Unit], share: ShardTask) -> None:
    """The files of a share."""
    left = set(share.todo)
    todo = {arm.name: [unit for unit in wanted if arm.item(unit) in left] for arm in arms}
    checked = {unit.id: unit for units in todo.values() for unit in units}
    _check_images([case for unit in checked.values() for case in unit.cases], arms[0].model.spec)
    with bar("segmenting", total=len(share.todo)) as progress:
        done = 0
        for arm in arms:
            for unit, row in zip(todo[arm.name], _rows(arm, wanted, todo[arm.name], share.files), strict=True):
                share.note(arm.item(unit), row=row)
                done += 1
                progress.update(done, note=unit.id[:30])


def _rows(arm: _Arm, wanted: Sequence[Unit], todo: Sequence[Unit], files: Path) -> Iterator[ManifestRow]:
    """Draw and write some of the wanted units: a row of the manifest each, with the seconds that it took."""
    model, drawing = arm.model, arm.drawing
    writer = Writer(
        folder=files / arm.name,
        spec=model.spec,
        writing=arm.writing,
        review=arm.review.calibration,
        origin=made_by(model, drawing.each, arm.made_with, kind="predicted"),
        postprocess=None if arm.choice is None else arm.choice.postprocessing,
    )
    recorded = writer.recorded(wanted)
    streams = [_ensembles(model, drawing, todo, recorded)]
    streams += [_ensembles(other.model, other.drawing, todo, recorded) for other in arm.others]
    since = time.perf_counter()
    pictured = {unit.id for unit in wanted[:PROCESS_STRIPS]}
    for row in writer.write(todo, joined(streams) if arm.others else streams[0], pictured=pictured):
        before, since = since, time.perf_counter()
        yield {**row, "seconds": since - before}


def _ensembles(
    model: Model, drawing: MaskDrawing, todo: Sequence[Unit], recorded: Container[str]
) -> Iterator[Ensemble]:
    """Of all that is drawn of some units by one model."""
    return predict(
        model,
        drawing.each.sampler,
        [case for unit in todo for case in unit.cases],
        count=drawing.count,
        seed=drawing.seed,
        batch=drawing.batch,
        guidance=drawing.each.guidance,
        start=drawing.start,
        tta=drawing.tta,
        recorded=recorded,
        tell=say,
    )


def _finish(arms: Sequence[_Arm], wanted: Sequence[Unit], finished: Finished, **words: Any) -> None:
    """What is about all units, of each arm."""
    rows = iter([dict(facts["row"]) for facts in finished.facts])
    for arm in arms:
        _write_tables(arm, wanted, list(islice(rows, len(wanted))), finished.files / arm.name, **words)


def _write_tables(
    arm: _Arm, wanted: Sequence[Unit], rows: Sequence[ManifestRow], folder: Path, *, source: Path, **words: Any
) -> None:
    """Manifest, summary and provenance of a predictions folder."""
    drawn = [1 if arm.model.spec.dimensions == 3 else len(unit.cases) for unit in wanted]
    seconds = sum(row["seconds"] for row in rows) / sum(drawn)
    ranks = review_rank(*(np.array([row[name] for row in rows]) for name in (arm.review.by, "uncertainty")))
    for count, row, rank in zip(drawn, rows, ranks, strict=True):
        del row["seconds"]  # to be the last column again
        passes = {name: count * number for name, number in arm.passes.facts().items()}
        row.update(review_rank=int(rank), **passes, seconds=round(count * seconds, 4))
    _write_rows(folder, wanted, rows)
    summary = {
        "cases": len(wanted),
        **arm.facts(),
        "seconds_per_image": round(seconds, 4),
        **arm.review.summary(),
        **({} if arm.choice is None else arm.choice.summary()),
        "review_first": _first(arm, rows),
        "mask_classes": list(arm.model.spec.mask_classes),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    write_provenance(folder, inputs={"source": source}, seed=arm.drawing.seed, **arm.provenance, **words)


def _first(arm: _Arm, rows: Sequence[ManifestRow]) -> list[str]:
    """The cases to look at first; none where the order means nothing, or where all cases are alike."""
    keys = {(row[arm.review.by], row["uncertainty"]) for row in rows}
    if not arm.review.means_something or len(keys) < min(2, len(rows)):
        return []
    return [row["id"] for row in sorted(rows, key=lambda row: int(row["review_rank"]))][:3]


def _write_rows(folder: Path, wanted: Sequence[Unit], rows: Sequence[ManifestRow]) -> None:
    """The manifest: an image or volume a row, with its files and its numbers."""
    written = [
        Case(
            id=unit.id,
            image=str(unit.volume or case.image),
            label=case.label,
            patient=case.patient,
            split=case.split,
            origin=case.origin,
        )
        for unit in wanted
        for case in unit.cases[:1]
    ]
    names = dict.fromkeys(name for row in rows for name in row if name != "id")
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    write_manifest(folder / "manifest.csv", written, extra=columns, places=["input"])
