"""Whether the diffusion part matters: one model, segmenting the same cases in several ways."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sfumato.data.dataset import Dataset
from sfumato.errors import DataError, UsageError, listed
from sfumato.evaluation.audit.arms import RECOMMENDED, TWIN_ARM, arms_of
from sfumato.evaluation.audit.measure import AuditCase, measure_arms
from sfumato.evaluation.audit.reading import ArmRow, Audit
from sfumato.evenly import evenly
from sfumato.experiment.mask_sampling import load_controls
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.run import Model, Run, load_model
from sfumato.metrics.interval import Interval
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.tables import write_table
from sfumato.tasks.constant_mask import BesideConstant, best_constant_mask, patients_of
from sfumato.tasks.patches import in_parts_of_one_size
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted

CALLS_TO_AUDIT = (1, 2, 4, 10, 50)
"""Network calls of one mask at which a model is looked at, beside those of its recipe."""

_FEWEST = 2
"""Cases, and patients: one is shown the state of another, and an interval draws them again."""


@dataclass(frozen=True)
class Audited:
    """A model, its twin, and the model misled, on the same cases.

    Attributes:
        folder: holds scores.csv, a row for each case and way of segmenting, and summary.json.
        rows: a row for each way, with the interval of its Dice, the recommended way first.
        beside_constant: the model beside the best mask that is the same for every image.
        summary: what summary.json holds; `reading` says in sentences what it shows.
    """

    folder: Path
    rows: Sequence[ArmRow]
    beside_constant: BesideConstant | None
    summary: Mapping[str, Any]


def audit(
    run: Path | str,
    source: Path | str | None = None,
    *,
    out: Path | str,
    split: Literal["validation", "test"] = "test",
    calls: Sequence[int] = CALLS_TO_AUDIT,
    members: int | None = None,
    cases: int = 50,
    seed: int = 0,
    batch: int = 16,
    device: str = "auto",
    overwrite: bool = False,
) -> Audited:
    """Does the diffusion part matter? The model against fewer calls, its deterministic twin, and a state that misleads.

    All on the same cases, each with what it costs: the model as its recipe samples it; at other numbers of network
    calls; its twin; its twin over views of the image with as many calls; and the model when it is shown noise, or the
    state of another case, in place of its own state.

    Args:
        run: a run folder of a segmenter, with its twin if it has one.
        source: a prepared dataset of the same size and classes; else that of the run.
        out: the folder to write.
        split: the cases that are segmented.
        calls: network calls of one mask, for the model at other numbers of them; each 1 or more.
        members: members of each ensemble; else as the recipe says.
        cases: how many cases, equally spaced; the cost is about 100 to 200 network calls for each.
        seed: decides the noise, which is the same for all ways of segmenting.
        batch: masks drawn at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps.
        overwrite: replace a folder that is not empty.

    Raises:
        UsageError: the run makes images, or the dataset is of another kind than its own.
        DataError: fewer than two patients.
    """
    choose_device(device)
    if min(calls, default=0) < 1:
        raise UsageError(f"--calls {','.join(map(str, calls))}", expected="numbers from 1 on, like 1,2,4,10,50")
    if members is not None and members < 1:
        raise UsageError(f"--members {members}", expected="1 or more")
    run, out, worker = Path(run), Path(out), set_up()
    model = _segmenter(run, device=worker)
    arms = arms_of(
        model, load_controls(run, device=worker), calls=calls, members=members or model.recipe.sample.samples
    )
    origin = Run(run).found_dataset() if source is None else Path(source)
    dataset = in_parts_of_one_size(_opened(origin, model), model.window)
    if model.window is not None:
        say(f"of each image a part of {' x '.join(map(str, model.window))} pixels around its foreground is looked at")
    rows = evenly(dataset.rows(split), cases)
    patients = patients_of(dataset, rows)
    if len(set(patients)) < _FEWEST:
        whose = f"{counted(len(rows), 'case')} of {counted(len(set(patients)), 'patient')}"
        raise DataError(f"{origin} has {whose} in the split {split}", expected=f"{_FEWEST} patients or more")
    with claim_output(out, overwrite=overwrite, inputs=[run, origin]).folder() as folder:
        with bar("auditing", total=len(arms) * len(rows)) as progress:
            table = measure_arms(
                arms,
                dataset,
                rows,
                batch=batch,
                seed=seed,
                progress=lambda done, name: progress.update(done, note=name),
            )
        constant = best_constant_mask(dataset, rows)
        done = Audit(arms=arms, table=table, patients=patients, readers=dataset.spec.readers, constant=constant)
        _write_scores(folder, table, [dataset.cases[row].id for row in rows], patients, split)
        summary = _summary(done, split)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        write_provenance(folder, inputs={"run": run, "dataset": origin}, seed=seed, model=model.provenance)
    return Audited(out, done.lines(), done.beside_constant(RECOMMENDED), summary)


def _segmenter(run: Path, *, device: str) -> Model:
    """The model of a run.

    Raises:
        UsageError: it makes images.
    """
    model = load_model(run, device=device)
    if model.recipe.task != "segment":
        raise UsageError(
            f"{run} was trained to generate images: there is no mask to compare", remedy="sfumato evaluate"
        )
    return model


def _opened(source: Path, model: Model) -> Dataset:
    """A dataset that the model can be asked about as it is.

    Raises:
        UsageError: its images or masks are others than those of the model.
    """
    dataset = Dataset.open(source)
    differences = [
        f"{name}: {getattr(dataset.spec, name)} instead of {getattr(model.spec, name)}"
        for name in ("size", "channels", "mask_classes")
        if getattr(dataset.spec, name) != getattr(model.spec, name)
    ]
    if differences:
        raise UsageError(
            f"{source} does not suit the model:\n{listed(differences)}",
            expected="a dataset prepared like that of the run",
            remedy="sfumato prepare SOURCE --size with the size of the model",
        )
    return dataset


def _write_scores(
    folder: Path, table: Mapping[str, Sequence[AuditCase]], ids: Sequence[str], patients: Sequence[str], split: str
) -> None:
    lines = [
        [case, arm, *(round(value, 6) for value in row), patient, split]
        for arm, rows in table.items()
        for case, patient, row in zip(ids, patients, rows, strict=True)
    ]
    write_table(folder / "scores.csv", ["id", "arm", *AuditCase._fields, "patient", "split"], lines)


def _summary(done: Audit, split: str) -> dict[str, Any]:
    lines = done.lines()
    return {
        "kind": "audit",
        "reading": done.reading(),
        "cases": len(done.patients),
        "patients": len(set(done.patients)),
        "readers": done.readers,
        "members": done.arms[0].members,
        "split": split,
        "constant_mask": {name: found.to_dict() for name in (RECOMMENDED, TWIN_ARM) if (found := _beside(done, name))},
        "arms": {line.name: _line(line) for line in lines},
    }


def _beside(done: Audit, name: str) -> BesideConstant | None:
    return done.beside_constant(name) if name in done.table else None


def _line(line: ArmRow) -> dict[str, Any]:
    means = {name: _number(value) for name, value in line.means._asdict().items() if name != "dice"}
    difference = None if line.difference is None else _interval(line.difference)
    return {"network_calls": line.calls, "dice": _interval(line.dice), "difference": difference, **means}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {name: _number(getattr(interval, name)) for name in ("mean", "low", "high", "level")}


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
