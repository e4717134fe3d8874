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
from sfumato.commands.folder import check_output, output_folder
from sfumato.commands.train import TWIN
from sfumato.data.image import read_image, write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import find_cases
from sfumato.data.spec import Spec, model_input, to_data
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.inference import Ensemble, in_original_size, predict
from sfumato.metrics.ensemble import agreement, image_uncertainty, review_rank
from sfumato.provenance import write_provenance
from sfumato.report.figures import overlay, strip
from sfumato.run import Model, load_model
from sfumato.tasks.task import Sampler, to_uint8

PROCESS_STRIPS = 4
"""Cases whose denoising process is shown."""

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
    steps: int | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    split: Split | None = None,
    seed: int = 0,
    batch: int = BATCH,
    interactive: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write for each image, in its own size: mask, probability, uncertainty, overlay; and the order of review.

    Args:
        model: A run folder or a model.safetensors. If the run has a deterministic twin, its masks go to OUT/twin.
        source: An image, a folder of images, or a dataset.
        out: The folder to write.
        samples: Members of the ensemble; more than one also writes members/.
        steps: Network calls of each member.
        sampler: ancestral, ddim, euler, heun, dpmpp_2m or dpmpp_3m.
        grid: uniform, karras, log_snr or critical.
        split: Only the cases of this split of a dataset.
        seed: With the case's name it decides the noise: a case gets the same mask in any company.
        batch: Masks drawn at once; bounds the memory.
        interactive: Ask for one image after another.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be read and written.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(model, device=device)
    _check_model(loaded, model)
    drawn = loaded.sampler(steps=steps, sampler=sampler, grid=grid)
    count = samples or loaded.recipe.sample.samples
    if interactive:
        return _ask(loaded, drawn, out, count=count, seed=seed, batch=batch, overwrite=overwrite)
    if source is None:
        raise UsageError("no image to segment", expected="sfumato segment MODEL SOURCE --out DIR, or --interactive")
    cases = _cases(source, split)
    if dry_run:
        check_output(out, overwrite=overwrite, inputs=[source])
        say(f"would segment {len(cases)} images with {count} x {drawn.calls} network calls each into {out}")
        return {"predictions": str(out), "cases": len(cases), "network_calls": count * drawn.calls}
    check_output(out, overwrite=overwrite, inputs=[source])
    _check_images(cases, loaded.spec)
    with output_folder(out, overwrite=overwrite, inputs=[source]) as folder:
        result = _write(loaded, drawn, cases, folder, count=count, seed=seed, batch=batch, source=source)
        if (model / TWIN).is_dir():
            twin = load_model(model / TWIN, device=device)
            (folder / TWIN).mkdir()
            _write(twin, twin.sampler(), cases, folder / TWIN, count=1, seed=seed, batch=batch, source=source)
    say(f"{len(cases)} cases in {out}; look first at {', '.join(result['review_first'])}")
    return {"predictions": str(out), **result}


def _check_model(model: Model, path: Path) -> None:
    if model.recipe.task != "segment":
        raise UsageError(f"{path} was trained to generate images, not to segment them", remedy="sfumato generate ...")


def _cases(source: Path, split: Split | None) -> list[Case]:
    cases = [case for case in find_cases(source).cases if split is None or case.split == split]
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
            model_input(read_image(case.image), spec)
        except DataError as problem:
            problem.finding = f"{case.id}: {problem.finding}"
            problems.append(problem)
    raise_together(problems)


def _write(
    model: Model,
    sampler: Sampler,
    cases: Sequence[Case],
    folder: Path,
    *,
    count: int,
    seed: int,
    batch: int,
    source: Path | None,
    quiet: bool = False,
) -> dict[str, Any]:
    """A predictions folder."""
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    with nullcontext() if quiet else bar("segmenting", total=len(cases)) as progress:
        for number, ensemble in enumerate(predict(model, sampler, cases, count=count, seed=seed, batch=batch)):
            rows.append(
                _write_case(ensemble, model.spec, folder, process=number < PROCESS_STRIPS and sampler.steps > 1)
            )
            if progress is not None:
                progress.update(number + 1, note=ensemble.case.id[:30])
    seconds = (time.perf_counter() - began) / len(cases)
    ranks = review_rank(np.array([row["uncertainty"] for row in rows]))
    for row, rank in zip(rows, ranks, strict=True):
        row.update(review_rank=int(rank), network_calls=count * sampler.calls, seconds=round(seconds, 4))
    _write_rows(folder, cases, rows)
    first = [row["id"] for row in sorted(rows, key=lambda row: int(row["review_rank"]))][:3]
    summary = {
        "cases": len(cases),
        "process": model.recipe.process.kind,
        "members": count,
        "sampler": sampler.name,
        "steps": sampler.steps,
        "network_calls": count * sampler.calls,
        "seconds_per_image": round(seconds, 4),
        "review_first": first,
        "mask_classes": list(model.spec.mask_classes),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    inputs = {"source": source} if source is not None else {}
    write_provenance(
        folder, inputs=inputs, seed=seed, model={"name": model.name, "sha256": model.sha256, "step": model.step}
    )
    return summary


def _write_rows(folder: Path, cases: Sequence[Case], rows: Sequence[dict[str, Any]]) -> None:
    """The manifest: a case a row, with its files and its numbers."""
    written = [Case(id=case.id, image=case.image, patient=case.patient, split=case.split) for case in cases]
    columns = [name for name in rows[0] if name != "id"]
    write_manifest(folder / "manifest.csv", written, extra={name: [row[name] for row in rows] for name in columns})


def _write_case(ensemble: Ensemble, spec: Spec, folder: Path, *, process: bool) -> dict[str, Any]:
    """The pictures of one case; its row of the manifest."""
    prediction = in_original_size(ensemble)
    name = f"{ensemble.case.id}.png"
    picture = _picture(ensemble.pixels, spec)
    write_image(_at(folder / "masks" / name), coded(prediction.mask, spec))
    for index, mask_class in enumerate(spec.mask_classes[1:], start=1):
        file = name if len(spec.mask_classes) == 2 else f"{ensemble.case.id}_{mask_class}.png"
        deep = (prediction.probability[index] * 65535).round().astype(np.uint16)
        write_image(_at(folder / "probability" / file), deep[..., None])
    write_image(_at(folder / "uncertainty" / name), (prediction.entropy * 255).round().astype(np.uint8)[..., None])
    write_image(_at(folder / "overlay" / name), overlay(picture, prediction.mask))
    if len(prediction.members) > 1:
        for number, member in enumerate(prediction.members):
            write_image(_at(folder / "members" / f"{ensemble.case.id}_{number:02}.png"), coded(member, spec))
    if process:
        _at(folder / "process" / name).write_bytes(_process_strip(ensemble))
    return {
        "id": ensemble.case.id,
        "input": ensemble.case.image,
        "mask": f"masks/{name}",
        "probability": f"probability/{name}" if len(spec.mask_classes) == 2 else "probability",
        "uncertainty_map": f"uncertainty/{name}",
        "overlay": f"overlay/{name}",
        "area": round(float((prediction.mask > 0).mean()), 6),
        "uncertainty": round(image_uncertainty(prediction.probability), 6),
        "agreement": round(agreement(prediction.members, classes=len(spec.mask_classes)), 6),
    }


def coded(mask: np.ndarray, spec: Spec) -> np.ndarray:
    """Class indices as the training masks stored them (0/255, say), (h, w, 1)."""
    rule = spec.mask_rule
    values = np.array(rule.values if rule is not None and rule.values else (0, 255))
    stored: np.ndarray = values[mask][..., None].astype(np.uint8 if values.max() < 256 else np.uint16)
    return stored


def _picture(pixels: np.ndarray, spec: Spec) -> np.ndarray:
    """The image as uint8, by the model's intensity rule."""
    picture: np.ndarray = to_uint8(to_data(np.stack([pixels]), spec))[0]
    return picture


def _process_strip(ensemble: Ensemble) -> bytes:
    """The estimate after each network call of the first member: probability of any foreground."""
    frames = [((1 - estimate[0]) / 2 * 255).clip(0, 255).astype(np.uint8)[..., None] for estimate in ensemble.steps]
    return strip(frames, [f"call {number}" for number in range(1, len(frames) + 1)])


def _at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _ask(
    model: Model, sampler: Sampler, out: Path, *, count: int, seed: int, batch: int, overwrite: bool
) -> dict[str, Any]:
    """One image after another, each into a folder of its own; an empty line ends."""
    check_output(out, overwrite=overwrite)
    done: list[str] = []
    while (answer := _question("image (empty to end): ")) != "":
        path = Path(answer).expanduser()
        try:
            cases = _cases(path, None)
            with output_folder(out / path.stem, overwrite=True, inputs=[path]) as folder:
                _write(model, sampler, cases, folder, count=count, seed=seed, batch=batch, source=path, quiet=True)
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
