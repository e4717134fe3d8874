"""`sfumato segment`: masks, probabilities, uncertainty, ensembles, and which cases to review first."""

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sfumato.commands.console import bar, say
from sfumato.commands.drawing import Draw, Start, check_start, extras, load_twin, members, warm_start
from sfumato.commands.folder import check_output, output_folder
from sfumato.commands.guiding import build_flags
from sfumato.commands.prediction import Form, Row, Unit, Writer, units
from sfumato.commands.steps import Steps, resolve_steps
from sfumato.commands.train import TWIN
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import Hints, find_cases
from sfumato.data.spec import Spec, read_input
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.inference import predict
from sfumato.metrics.ensemble import review_rank
from sfumato.provenance import write_provenance
from sfumato.run import Model, load_model

BATCH = 16
"""Masks drawn at once."""

Split = Literal["train", "validation", "test"]


def segment(
    model: Path,
    source: Path | None = None,
    /,
    *,
    out: Path,
    samples: int | None = None,
    steps: Steps | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    eta: float | None = None,
    churn: float | None = None,
    guidance: float | None = None,
    guidance_interval: str | None = None,
    guide: str | None = None,
    start: Start | None = None,
    tta: bool = False,
    split: Split | None = None,
    save: str = "probability,uncertainty,overlay,members,process",
    format: Form = "same",  # noqa: A002 - the flag is --format
    seed: int = 0,
    batch: int = BATCH,
    interactive: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write for each image or volume, in its own size and geometry: mask, probability, uncertainty; order of review.

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
        seed: With the case's name it decides the noise: a case gets the same mask in any company.
        batch: Masks drawn at once; bounds the memory.
        interactive: Ask for one image after another.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be read and written.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(model, device=device)
    _check_model(loaded, model)
    check_start(start or loaded.recipe.sample.start, steps=steps, grid=grid)
    twin = load_twin(model, device=device)
    number = resolve_steps(
        loaded, model, steps, sampler=sampler, grid=grid, batch=batch,
        others={"--eta": eta, "--churn": churn, "--guide": guide, "--guidance": guidance},
    )  # fmt: skip
    walk = loaded.sampler(steps=number, sampler=sampler, grid=grid, eta=eta, churn=churn, start=start)
    draw = Draw(
        sampler=walk, start=warm_start(walk, model, twin), tta=tta, count=members(loaded, samples, tta=tta),
        seed=seed, batch=batch, save=extras(save), form=format,
        guidance=build_flags(loaded, model, guidance=guidance, guidance_interval=guidance_interval, guide=guide),
    )  # fmt: skip
    if interactive:
        return _ask(loaded, draw, out, overwrite=overwrite)
    if source is None:
        raise UsageError("no image to segment", expected="sfumato segment MODEL SOURCE --out DIR, or --interactive")
    cases = _cases(source, split, loaded.spec)
    check_output(out, overwrite=overwrite, inputs=[source])
    if dry_run:
        say(f"would segment {len(cases)} images with {draw.calls} network calls each into {out}")
        return {"predictions": str(out), "cases": len(cases), "network_calls": draw.calls}
    _check_images(cases, loaded.spec)
    with output_folder(out, overwrite=overwrite, inputs=[source]) as folder:
        result = _write(loaded, draw, cases, folder, source=source)
        if twin is not None:
            (folder / TWIN).mkdir()
            _write(twin, draw.of_twin(twin), cases, folder / TWIN, source=source)
    say(f"{result['cases']} cases in {out}; look first at {', '.join(result['review_first'])}")
    return {"predictions": str(out), **result}


def _check_model(model: Model, path: Path) -> None:
    if model.recipe.task != "segment":
        raise UsageError(f"{path} was trained to generate images, not to segment them", remedy="sfumato generate ...")


def _cases(source: Path, split: Split | None, spec: Spec) -> list[Case]:
    """The cases to segment; volumes are cut as the training volumes were."""
    hints = Hints(images_only=True, slice_axis=spec.slice_axis or "auto", component=spec.component)
    cases = [case for case in find_cases(source, hints=hints).cases if split is None or case.split == split]
    if not cases:
        raise DataError(
            f"{source} has no case in the split {split}", expected="a dataset with this split", code="DATA-020"
        )
    return cases


def _check_images(cases: Sequence[Case], spec: Spec) -> None:
    """All images that cannot be segmented, before any is."""
    problems = []
    for case in cases:
        try:
            read_input(case, spec)
        except DataError as problem:
            problem.finding = f"{case.id}: {problem.finding}"
            problems.append(problem)
    raise_together(problems)


def _write(
    model: Model, draw: Draw, cases: Sequence[Case], folder: Path, *, source: Path, quiet: bool = False
) -> dict[str, Any]:
    """A predictions folder."""
    wanted = units(cases, draw.form)
    ordered = [case for unit in wanted for case in unit.cases]
    writer = Writer(folder=folder, spec=model.spec, save=draw.save, form=draw.form)
    drawn = predict(
        model, draw.sampler, ordered, count=draw.count, seed=draw.seed, batch=draw.batch, guidance=draw.guidance,
        start=draw.start, tta=draw.tta, walked=writer.walked(wanted),
    )  # fmt: skip
    rows: list[Row] = []
    began = time.perf_counter()
    with nullcontext() if quiet else bar("segmenting", total=len(wanted)) as progress:
        for row in writer.write(wanted, drawn):
            rows.append(row)
            if progress is not None:
                progress.update(len(rows), note=row["id"][:30])
    seconds = (time.perf_counter() - began) / len(ordered)
    ranks = review_rank(np.array([row["uncertainty"] for row in rows]))
    for row, rank in zip(rows, ranks, strict=True):
        row.update(review_rank=int(rank), network_calls=draw.calls, seconds=round(seconds, 4))
    _write_rows(folder, wanted, rows)
    summary = {
        "cases": len(wanted),
        "process": model.recipe.process.kind,
        "members": draw.count,
        "sampler": draw.sampler.name,
        "steps": draw.sampler.steps,
        "start": "noise" if draw.start is None else "twin",
        "tta": draw.tta,
        "guidance": draw.guidance.scale,
        "network_calls": draw.calls,
        "seconds_per_image": round(seconds, 4),
        "review_first": [row["id"] for row in sorted(rows, key=lambda row: int(row["review_rank"]))][:3],
        "mask_classes": list(model.spec.mask_classes),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    about = {"name": model.name, "sha256": model.sha256, "step": model.step}
    write_provenance(folder, inputs={"source": source}, seed=draw.seed, model=about)
    return summary


def _write_rows(folder: Path, wanted: Sequence[Unit], rows: Sequence[Row]) -> None:
    """The manifest: an image or volume a row, with its files and its numbers."""
    written = [
        Case(id=unit.id, image=str(unit.volume or case.image), patient=case.patient, split=case.split)
        for unit in wanted
        for case in unit.cases[:1]
    ]
    names = dict.fromkeys(name for row in rows for name in row if name != "id")
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    write_manifest(folder / "manifest.csv", written, extra=columns)


def _ask(model: Model, draw: Draw, out: Path, *, overwrite: bool) -> dict[str, Any]:
    """One image after another, each into a folder of its own; an empty line ends."""
    check_output(out, overwrite=overwrite)
    done: list[str] = []
    while (answer := _question("image (empty to end): ")) != "":
        path = Path(answer).expanduser()
        try:
            cases = _cases(path, None, model.spec)
            with output_folder(out / path.stem, overwrite=True, inputs=[path]) as folder:
                _write(model, draw, cases, folder, source=path, quiet=True)
        except (DataError, UsageError) as error:
            say(str(error))
            continue
        done.append(str(out / path.stem))
        say(f"written to {out / path.stem}")
    return {"predictions": done}


def _question(prompt: str) -> str:
    """A line from the person; empty at the end of input."""
    from rich.prompt import Prompt

    from sfumato.commands.console import console

    try:
        return Prompt.ask(prompt.rstrip(": "), console=console, default="", show_default=False).strip()
    except EOFError:
        return ""
