"""A run that goes on from a chosen checkpoint of another one, in a folder of its own; the other one is only read.

It begins as the other run was after that step: checkpoint, log, pictures, snapshots and averages up to there, and the
best checkpoints that are still kept. So it ends with the bits of the other run, if nothing else is asked of it.
`run.json`, `log.jsonl`, `plan.json` and `provenance.json` say where it comes from.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.commands.output.console import say
from sfumato.commands.output.folder import output_folder
from sfumato.commands.work.dataset import CASES, record_dataset
from sfumato.commands.work.starting import RECORD
from sfumato.data.pack import Pack
from sfumato.errors import ModelError, UsageError, listed
from sfumato.files import read_text
from sfumato.provenance import digest, write_provenance
from sfumato.run import Run
from sfumato.training.checkpoint import MANIFEST, Checkpoint, copy, load, mark, named, newest
from sfumato.training.log import Log, read_log

KEPT = ("samples", "snapshots", "averages")
"""Folders of a run whose files are named after steps."""


def chosen(path: Path) -> tuple[Run, Path | None]:
    """The run that is named, and which of its checkpoints, if one is: `RUN`, `RUN/checkpoints/step-...` or `.../best`.

    Raises:
        UsageError: there is no run, or no such checkpoint.
    """
    if Run(path).exists():
        return Run(path), None
    run, checkpoint = Run(path.parent.parent), named(path)
    if path.parent != run.checkpoints or not run.exists():
        raise UsageError(f"{path} holds no run", expected="a folder with recipe.yaml", remedy="sfumato train ...")
    if checkpoint is None:
        there = sorted(place.name for place in run.checkpoints.glob("[!.]*"))
        raise UsageError(f"{run.folder} has no checkpoint {path.name}", expected=f"one of these:\n{listed(there)}")
    return run, checkpoint


def branch(run: Run, path: Path | None, out: Run, dataset: Path) -> None:
    """Make a run that goes on from a checkpoint of another; nothing where the folder holds just that run already.

    Args:
        run: the other run.
        path: its checkpoint; the newest that verifies where none is given.
        out: the new run.
        dataset: of both.

    Raises:
        UsageError: the folder holds something else.
        ModelError: the checkpoint is damaged, or there is none.
    """
    checkpoint = _loaded(run, path)
    origin = {"run": run.folder.resolve().name, "step": checkpoint.step, "sha256": digest(checkpoint.path / MANIFEST)}
    if out.exists():
        if out.record.get("from") != origin:
            raise UsageError(
                f"{out.folder} holds another run", expected=f"a new folder, or the run that went on from {origin}",
                remedy="give another --out",
            )  # fmt: skip
        return
    with output_folder(out.folder, inputs=[run.folder]) as folder:
        _copy(run, checkpoint, folder)
        _tell(run, checkpoint, folder, origin)
        inputs = {"checkpoint": checkpoint.path, "dataset": dataset}
        write_provenance(folder, inputs=inputs, seed=run.recipe.train.seed, origin=origin)
        record_dataset(Run(folder), dataset, Pack.open(dataset), origin=origin)
        write_atomic(Run(folder).recipe_file, run.recipe.to_yaml())
    say(f"{out.folder} goes on from step {checkpoint.step} of {run.folder}")
    if run.twin.exists():
        say(f"its twin stays behind: sfumato resume {run.twin.folder} --out {out.twin.folder} takes it along")


def _loaded(run: Run, path: Path | None) -> Checkpoint:
    checkpoint = newest(run.checkpoints) if path is None else load(path)
    if checkpoint is None:
        raise ModelError(f"{run.folder} holds no checkpoint", remedy=f"sfumato resume {run.folder}")
    return checkpoint


def _copy(run: Run, checkpoint: Checkpoint, folder: Path) -> None:
    """What the run had after the step; a best checkpoint that is no longer there is said."""
    new = Run(folder)
    copy(checkpoint.path, new.checkpoints)
    for step in _bests(checkpoint.state["best"]):
        best = run.checkpoints / f"step-{step:08d}"
        if best.is_dir():
            copy(best, new.checkpoints)
        else:
            say(f"note: the best checkpoint until then, of step {step}, is no longer kept")
    mark(new.checkpoints, "last", new.checkpoints / checkpoint.path.name)
    for record in (CASES, RECORD):
        if (run.folder / record).is_file():
            shutil.copy(run.folder / record, folder / record)
    for name in KEPT:
        for file in _until(run.folder / name, checkpoint.step):
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(file, folder / name / file.name)


def _bests(best: Mapping[str, Any]) -> list[int]:
    """The steps of the best checkpoints that a state knows."""
    return sorted({best["step"]} if "step" in best else set())


def _until(folder: Path, step: int) -> Iterator[Path]:
    """The files named after steps up to one."""
    for file in sorted(folder.glob("step-*")):
        number = re.match(r"step-(\d+)", file.name)
        if number is not None and int(number[1]) <= step:
            yield file


def _tell(run: Run, checkpoint: Checkpoint, folder: Path, origin: Mapping[str, Any]) -> None:
    """Log and plan of the run up to the step, and where they come from."""
    with Log(folder / "log.jsonl") as log:
        for record in read_log(run.folder / "log.jsonl"):
            if record["step"] <= checkpoint.step:
                log.write(record)
        log.write({"kind": "origin", "step": checkpoint.step, "run": origin["run"], "sha256": origin["sha256"]})
    plan = run.folder / "plan.json"
    choices = json.loads(read_text(plan)) if plan.is_file() else []
    reason = "the checkpoint that this run goes on from; choices above are those of its run"
    choices.append({"choice": "resume", "value": f"step {origin['step']} of {origin['run']}", "reason": reason})
    write_atomic(folder / "plan.json", json.dumps(choices, indent=2) + "\n")
