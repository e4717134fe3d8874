"""`sfumato audit`: does the diffusion part matter? One command, one table."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Several
from sfumato.commands.output.layout import show_table
from sfumato.data.pack import Pack
from sfumato.errors import DataError, UsageError, listed
from sfumato.evaluation.audit.arms import RECOMMENDED, TWIN_ARM, arms_of
from sfumato.evaluation.audit.measure import AuditCase, measure_arms
from sfumato.evaluation.audit.reading import ArmRow, Audit, bounds
from sfumato.evaluation.refusal import refuse_constant
from sfumato.evenly import evenly
from sfumato.experiment.mask_sampling import load_twin
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.run import Model, Run, load_model
from sfumato.metrics.interval import Interval
from sfumato.metrics.table import AUDITED
from sfumato.numerals import whole
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import DASH
from sfumato.tables import write_table
from sfumato.tasks.constant_mask import BesideConstant, best_constant_mask, patients_of
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted

_TITLE = "The same cases, segmented in other ways: mean [95 % interval]; calls and seconds for one image"

_FEWEST = 2
"""Cases, and patients: one is shown the state of another, and an interval draws them again."""


def audit(
    run: Path,
    source: Path | None = None,
    /,
    *,
    out: Path,
    split: Literal["validation", "test"] = "test",
    calls: str = "1,2,4,10,50",
    members: Count | None = None,
    cases: Several = 50,
    seed: Index = 0,
    batch: Count = 16,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Does the diffusion part matter? The model against fewer calls, its deterministic twin, and a state that misleads.

    All on the same cases, each with what it costs: the model as its recipe samples it; at other numbers of network
    calls; its twin; its twin over views of the image with as many calls; and the model when it is shown noise, or the
    state of another case, in place of its own state.

    Args:
        run: A run folder of train segment, with its twin if it has one (--twin).
        source: A prepared dataset of the same size and classes; else that of the run.
        out: The folder to write: scores.csv, summary.json.
        split: The cases that are segmented.
        calls: Network calls of one mask, for the model at other numbers of them.
        members: Members of each ensemble; else as the recipe says.
        cases: How many cases, equally spaced; the cost is about 100 to 200 network calls for each.
        seed: Decides the noise, which is the same for all ways of segmenting.
        batch: Masks drawn at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    choose_device(device)
    numbers = _numbers(calls)
    device = set_up()
    model = load_model(run, device=device)
    if model.recipe.task != "segment":
        raise UsageError(
            f"{run} was trained to generate images: there is no mask to compare", remedy="sfumato evaluate"
        )
    if members is not None and members < 1:
        raise UsageError(f"--members {members}", expected="1 or more")
    arms = arms_of(model, load_twin(run, device=device), calls=numbers, members=members or model.recipe.sample.samples)
    origin = source or Run(run).found_dataset()
    pack = _opened(origin, model)
    rows = evenly(pack.rows(split), cases)
    patients = patients_of(pack, rows)
    if len(set(patients)) < _FEWEST:
        whose = f"{counted(len(rows), 'case')} of {counted(len(set(patients)), 'patient')}"
        raise DataError(f"{origin} has {whose} in the split {split}", expected=f"{_FEWEST} patients or more")
    with claim_output(out, overwrite=overwrite, inputs=[run, origin]).folder() as folder:
        with bar("auditing", total=len(arms) * len(rows)) as progress:
            table = measure_arms(
                arms,
                pack,
                rows,
                batch=batch,
                seed=seed,
                progress=lambda done, name: progress.update(done, note=name),
            )
        constant = best_constant_mask(pack, rows)
        done = Audit(arms=arms, table=table, patients=patients, readers=pack.spec.readers, constant=constant)
        _write_scores(folder, table, [pack.cases[row].id for row in rows], patients, split)
        summary = _summary(done, split)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        write_provenance(
            folder,
            inputs={"run": run, "dataset": origin},
            seed=seed,
            model=model.told,
        )
    result = {"audit": str(out), **summary}
    _show(done.lines(), summary["reading"])
    refuse_constant(done.beside_constant(RECOMMENDED), whom=f"the model {run}", result=result)
    return result


def _numbers(words: str) -> list[int]:
    numbers = [whole(word.strip()) or 0 for word in words.split(",")]
    if min(numbers) < 1:
        raise UsageError(f"--calls {words}", expected="numbers from 1 on, like 1,2,4,10,50")
    return numbers


def _opened(source: Path, model: Model) -> Pack:
    """A dataset that the model can be asked about as it is.

    Raises:
        UsageError: its images or masks are others than those of the model.
    """
    pack = Pack.open(source)
    differences = [
        f"{name}: {getattr(pack.spec, name)} instead of {getattr(model.spec, name)}"
        for name in ("size", "channels", "mask_classes")
        if getattr(pack.spec, name) != getattr(model.spec, name)
    ]
    if differences:
        raise UsageError(
            f"{source} does not suit the model:\n{listed(differences)}",
            expected="a dataset prepared like that of the run",
            remedy="sfumato prepare SOURCE --size with the size of the model",
        )
    return pack


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


def _show(lines: Sequence[ArmRow], reading: Sequence[str]) -> None:
    head = ("way", "network calls", "Dice", "minus recommended", *map(heading, AUDITED))
    show_table(head, list(map(_row, lines)), title=_TITLE)
    for sentence in reading:
        say(sentence)


def _row(line: ArmRow) -> list[str]:
    difference = "" if line.difference is None else _told(line.difference, sign="+")
    numbers = (_three(getattr(line.means, name)) for name in AUDITED)
    return [line.name, str(line.calls), _told(line.dice), difference, *numbers]


def _three(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.3f}"


def _told(interval: Interval, *, sign: str = "") -> str:
    return f"{interval.mean:{sign}.3f} {bounds(interval.low, interval.high)}"
