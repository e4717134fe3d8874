"""`sfumato segment`: masks, probabilities, uncertainty, ensembles, and which cases to review first."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.drawing import Draw, Start, check_start, extras, load_twin, members, warm_start
from sfumato.commands.flags.guiding import build_flags
from sfumato.commands.flags.numbers import Count, Fraction, Index, NonNegative
from sfumato.commands.flags.overshoot import warn_of_overshoot
from sfumato.commands.flags.review import Review, resolve_review
from sfumato.commands.flags.steps import Steps
from sfumato.commands.output.origin import drawn_by, made_by
from sfumato.commands.output.prediction import Row, Writer
from sfumato.commands.output.summary import read_summary
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.preparation.spool import key_of
from sfumato.data.source import find_cases
from sfumato.data.spec import Spec, read_input
from sfumato.data.units import Form, Unit, told, units
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.experiment.claim import free_name
from sfumato.experiment.inference import predict
from sfumato.experiment.output_folder import check_output, output_folder
from sfumato.experiment.resolve_steps import resolve_steps
from sfumato.experiment.run import TWIN, Model, load_model
from sfumato.experiment.sharded_job import Finished, Share, Work, asked_by, own_shard
from sfumato.metrics.ensemble import review_rank
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.reporting.sections.predictions import BY_CHANCE, ranks_by_chance
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted

BATCH = 16
"""Masks drawn at once."""

Split = Literal["train", "validation", "test"]

_LINKED = "the DICOM segmentations belong to the studies of their images: they hold patient and study of these"
_NOT_LINKED = (
    "the DICOM segmentations hold no patient, study or reference, so archives and many viewers do not lay them over "
    "their series; with --link they do"
)


def segment(
    model: Path,
    source: Path | None = None,
    /,
    *,
    out: Path,
    samples: Count | None = None,
    steps: Steps | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    eta: Fraction | None = None,
    churn: NonNegative | None = None,
    guidance: NonNegative | None = None,
    guidance_interval: str | None = None,
    guide: str | None = None,
    start: Start | None = None,
    tta: bool = False,
    split: Split | None = None,
    save: str = "probability,uncertainty,overlay,members,process",
    format: Form = "same",  # noqa: A002 - the flag is --format
    link: bool = False,
    seed: Index = 0,
    batch: Count = BATCH,
    device: Device = "auto",
    shard: str | None = None,
    interactive: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write for each image or volume, in its own size and geometry: mask, probability, uncertainty; order of review.

    The same command again continues what was stopped. Under torchrun each process does a share of the images.

    Args:
        model: A run folder or a model.safetensors. If the run has a deterministic twin, its masks go to OUT/twin.
        source: An image, a volume, a folder of either, a DICOM series, or a dataset.
        out: The folder to write.
        samples: Members of the ensemble; more than one also writes members/.
        steps: Steps of the sampler for each member; auto: the fewest that are as good as 50, measured once.
        sampler: One of sample.sampler in docs/recipe.md, such as dpmpp_2m, heun, ddim or ancestral.
        grid: One of sample.grid in docs/recipe.md, such as critical, log_snr or uniform.
        eta: Share of the posterior's noise, 0 to 1; for ddim and the ancestral and SDE samplers.
        churn: Noise added before the steps of euler, heun and dpm_2 (S_churn).
        guidance: Guidance scale for --guide; 1 is none.
        guidance_interval: Guide only at these noise-to-signal ratios, like 0.2,3: above the first, up to the second.
        guide: Move away from this weaker model of the same data: a model, or step-1000 of the same run.
        start: noise; or twin: the mask of the run's deterministic twin, corrupted to the critical log-SNR (2-4 steps).
        tta: Each member sees the image flipped or turned another way: also an ensemble of a deterministic model.
        split: Only the cases of this split of a dataset.
        save: What to write besides masks: any of probability, uncertainty, information, overlay, members, process; or
            none.
        format: same: volumes as NIfTI, DICOM as DICOM segmentation; nii: DICOM as NIfTI too; png: every plane a PNG.
        link: Write patient, study and references of the DICOM images into their segmentations, so that a viewer or PACS
            lays them over their series. Otherwise nothing of these tags is written.
        seed: With the case's name it decides the noise: a case gets the same mask in any company.
        batch: Masks drawn at once; bounds the memory.
        device: Where to work.
        shard: Only this share of the images or volumes, like 0/4; who comes last completes the folder. Any machine that
            sees it can do any share, again and again.
        interactive: Ask for one image after another.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be read and written.
    """
    flags, mine = dict(locals()), own_shard(shard)
    choose_device(device)
    device = set_up()
    loaded = load_model(model, device=device)
    _check_model(loaded, model)
    check_start(start or loaded.recipe.sample.start, steps=steps, grid=grid)
    twin = load_twin(model, device=device)
    number = resolve_steps(
        loaded, model, steps, sampler=sampler, grid=grid, batch=batch,
        others={"--eta": eta, "--churn": churn, "--guide": guide, "--guidance": guidance},
    )  # fmt: skip
    build = partial(loaded.sampler, sampler=sampler, grid=grid, eta=eta, churn=churn, start=start)
    walk = build(steps=number)
    warn_of_overshoot(loaded, walk, again=lambda steps: build(steps=steps))
    guided = build_flags(loaded, model, guidance=guidance, guidance_interval=guidance_interval, guide=guide)
    draw = Draw(
        sampler=walk, guidance=guided, each=loaded.calls(walk, guided), start=warm_start(walk, model, twin), tta=tta,
        count=members(loaded, samples, tta=tta), seed=seed, batch=batch, save=extras(save), form=format, link=link,
    )  # fmt: skip
    if source is None and not interactive:
        raise UsageError("no image to segment", expected="sfumato segment MODEL SOURCE --out DIR, or --interactive")
    cases = [] if source is None or interactive else _cases(source, split, loaded.spec)
    judge = partial(resolve_review, guide=guide, dry_run=dry_run)
    arm = _Arm(name="", model=loaded, draw=draw, review=judge(loaded, model, draw))
    if source is None or interactive:
        return _ask(arm, out, shard=shard, overwrite=overwrite)
    arms = [arm] if twin is None else [arm, _twin_arm(twin, model / TWIN, draw.of_twin(twin), judge)]
    hashes = {each.name or "model": each.model.sha256 for each in arms}
    asked = asked_by(
        flags, **hashes, steps=number, source=f"{counted(len(cases), 'case')}, {key_of(cases, None)}",
        guide=guided.weak_id, ordered_by=arm.review.by,
    )  # fmt: skip
    wanted = units(cases, format)
    work = Work(out=out, asked=asked, items=[each.item(unit) for each in arms for unit in wanted])
    claim = work.claim(overwrite=overwrite, inputs=[source], used=[model])
    if claim is not None and not dry_run:
        with work.share(mine) as share:
            _draw_share(arms, wanted, share)
        with work.finishing(claim) as finished:
            if finished is not None:
                _finish(arms, wanted, finished, source=source, asked=asked)
    say(f"{work.told()}: {told(cases, 'image')} with {counted(draw.calls, 'network call')} each")
    summary = read_summary(out) if work.is_done() else {}
    if format == "same" and any(unit.volume and is_dicom(unit.volume) for unit in wanted):
        say(_LINKED if link else _NOT_LINKED)
    if "review_first" in summary:
        say(_look_first(summary))
    return {"predictions": str(out), "cases": len(wanted), "network_calls": draw.calls, **summary}


class _Arm(NamedTuple):
    """One of the models whose masks are written: the diffusion model, in the output itself, or its twin."""

    name: str
    model: Model
    draw: Draw
    review: Review

    def item(self, unit: Unit) -> str:
        """What the ledger calls its mask of a unit."""
        return f"{self.name}/{unit.id}"


def _twin_arm(twin: Model, path: Path, draw: Draw, judge: Callable[[Model, Path, Draw], Review]) -> _Arm:
    return _Arm(name=TWIN, model=twin, draw=draw, review=judge(twin, path, draw))


def _check_model(model: Model, path: Path) -> None:
    if model.recipe.task != "segment":
        raise UsageError(f"{path} was trained to generate images, not to segment them", remedy="sfumato generate ...")


def _cases(source: Path, split: Split | None, spec: Spec) -> list[Case]:
    """The cases to segment; volumes are cut as the training volumes were."""
    cases = [case for case in find_cases(source, hints=spec.as_taught()).cases if split is None or case.split == split]
    if not cases:
        raise DataError(
            f"{source} has no case in the split {split}", expected="a dataset with this split", code="DATA-020"
        )
    return cases


def _check_images(cases: Iterable[Case], spec: Spec) -> None:
    """All images that cannot be segmented, before any is."""
    problems = []
    for case in cases:
        try:
            read_input(case, spec)
        except DataError as problem:
            problem.finding = f"{case.id}: {problem.finding}"
            problems.append(problem)
    raise_together(problems)


def _draw_share(arms: Sequence[_Arm], wanted: Sequence[Unit], share: Share) -> None:
    """The files of a share."""
    todo = {arm.name: [unit for unit in wanted if arm.item(unit) in set(share.todo)] for arm in arms}
    checked = {unit.id: unit for units in todo.values() for unit in units}
    _check_images((case for unit in checked.values() for case in unit.cases), arms[0].model.spec)
    with bar("segmenting", total=len(share.todo)) as progress:
        done = 0
        for arm in arms:
            for unit, row in zip(todo[arm.name], _rows(arm, wanted, todo[arm.name], share.files), strict=True):
                share.note(arm.item(unit), row=row)
                done += 1
                progress.update(done, note=unit.id[:30])


def _rows(arm: _Arm, wanted: Sequence[Unit], todo: Sequence[Unit], files: Path) -> Iterator[Row]:
    """Draw and write some of the wanted units: a row of the manifest each, with the seconds that it took."""
    model, draw = arm.model, arm.draw
    writer = Writer(
        folder=files / arm.name, spec=model.spec, save=draw.save, form=draw.form, link=draw.link,
        review=arm.review.calibration,
        origin=made_by(model, draw.sampler, draw.facts(), kind="predicted", guidance=draw.guidance),
    )  # fmt: skip
    drawn = predict(
        model, draw.sampler, [case for unit in todo for case in unit.cases], count=draw.count, seed=draw.seed,
        batch=draw.batch, guidance=draw.guidance, start=draw.start, tta=draw.tta, walked=writer.walked(wanted),
        tell=say,
    )  # fmt: skip
    since = time.perf_counter()
    for row in writer.write(todo, drawn):
        before, since = since, time.perf_counter()
        yield {**row, "seconds": since - before}


def _finish(arms: Sequence[_Arm], wanted: Sequence[Unit], finished: Finished, **words: Any) -> None:
    """What is about all units, of each arm."""
    rows = iter([dict(facts["row"]) for facts in finished.facts])
    for arm in arms:
        _write_tables(arm, wanted, list(islice(rows, len(wanted))), finished.files / arm.name, **words)


def _write_tables(
    arm: _Arm, wanted: Sequence[Unit], rows: Sequence[Row], folder: Path, *, source: Path, **words: Any
) -> None:
    """Manifest, summary and provenance of a predictions folder."""
    seconds = sum(row["seconds"] for row in rows) / sum(len(unit.cases) for unit in wanted)
    ranks = review_rank(*(np.array([row[name] for row in rows]) for name in (arm.review.by, "uncertainty")))
    for unit, row, rank in zip(wanted, rows, ranks, strict=True):
        del row["seconds"]  # to be the last column again
        planes = len(unit.cases)
        row.update(review_rank=int(rank), network_calls=planes * arm.draw.calls, seconds=round(planes * seconds, 4))
    _write_rows(folder, wanted, rows)
    summary = {
        "cases": len(wanted),
        **_told(arm),
        "seconds_per_image": round(seconds, 4),
        **arm.review.told(),
        "review_first": _first(arm, rows),
        "mask_classes": list(arm.model.spec.mask_classes),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    write_provenance(folder, inputs={"source": source}, seed=arm.draw.seed, model=arm.model.told, **words)


def _first(arm: _Arm, rows: Sequence[Row]) -> list[str]:
    """The cases to look at first; none where the order means nothing, or where all cases are alike."""
    keys = {(row[arm.review.by], row["uncertainty"]) for row in rows}
    if not arm.review.means_something or len(keys) < min(2, len(rows)):
        return []
    return [row["id"] for row in sorted(rows, key=lambda row: int(row["review_rank"]))][:3]


def _look_first(summary: Mapping[str, Any]) -> str:
    if summary["review_first"]:
        by = BY_CHANCE if ranks_by_chance(summary["review"]) else ""
        return f"look first at {', '.join(summary['review_first'])}{by}"
    return f"no case is to be looked at before another: {summary['review']['why']}"


def _told(arm: _Arm) -> dict[str, Any]:
    """How the masks of an arm were drawn."""
    return {
        "process": arm.model.recipe.process.kind,
        "members": arm.draw.count,
        "sampler": arm.draw.sampler.name,
        "steps": arm.draw.sampler.steps,
        "start": "noise" if arm.draw.start is None else "twin",
        "tta": arm.draw.tta,
        "guidance": arm.draw.guidance.scale,
        "drawn": drawn_by(arm.draw.sampler, arm.draw.guidance),
        "network_calls": arm.draw.calls,
    }


def _write_rows(folder: Path, wanted: Sequence[Unit], rows: Sequence[Row]) -> None:
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


def _ask(arm: _Arm, out: Path, *, shard: str | None, overwrite: bool) -> dict[str, Any]:
    """One image after another, each into a folder of its own; an empty line ends."""
    if shard is not None:
        raise UsageError("--shard with --interactive", expected="one of the two")
    check_output(out, overwrite=overwrite)
    done: list[str] = []
    while (answer := _question("image (empty to end): ")) != "":
        path = Path(answer).expanduser()
        try:
            wanted = units(_cases(path, None, arm.model.spec), arm.draw.form)
            place = free_name(out / path.stem)
            with output_folder(place, inputs=[path]) as folder:
                _write_tables(arm, wanted, list(_rows(arm, wanted, wanted, folder)), folder, source=path)
        except (DataError, UsageError) as error:
            say(str(error))
            continue
        done.append(str(place))
        say(f"written to {place}")
    return {"predictions": done}


def _question(prompt: str) -> str:
    """A line from the person; empty at the end of input."""
    from rich.prompt import Prompt

    from sfumato.commands.output.console import console

    try:
        return Prompt.ask(prompt.rstrip(": "), console=console, default="", show_default=False).strip()
    except (EOFError, OSError):  # the end of the input, or of the terminal
        return ""
