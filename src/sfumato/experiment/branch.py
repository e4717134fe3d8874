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
from sfumato.data.dataset import Dataset
from sfumato.errors import ModelError, UsageError, listed
from sfumato.experiment.dataset_record import CASES_FILE, record_dataset
from sfumato.experiment.output_folder import output_folder
from sfumato.experiment.pretrained import RECORD
from sfumato.experiment.run import Run, write_recipe
from sfumato.files import matching, open_file
from sfumato.plain import ours, read_list
from sfumato.progress import say
from sfumato.provenance import digest, write_provenance
from sfumato.training.best import best_files
from sfumato.training.checkpoint import MANIFEST, Checkpoint, listed_files, load, mark, named_checkpoint, newest
from sfumato.training.log import Log, read_log

_KEPT = ("samples", "snapshots", "averages")
"""Folders of a run whose files are named after steps."""


def run_and_checkpoint(path: Path) -> tuple[Run, Path | None]:
    """The run that is named, and which of its checkpoints, if one is: `RUN`, `RUN/checkpoints/step-...` or `.../best`.

    Raises:
        UsageError: there is no run, or no such checkpoint.
    """
    if Run(path).exists():
        return Run(path), None
    run, checkpoint = Run(path.parent.parent), named_checkpoint(path)
    if path.parent != run.checkpoints or not run.exists():
        raise UsageError(f"{path} holds no run", expected="a folder with recipe.yaml", remedy="sfumato train ...")
    if checkpoint is None:
        there = [place.name for place in matching(run.checkpoints, "[!.]*")]
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
    path = path or _newest(run)
    step = int(path.name.removeprefix("step-"))
    origin = {"run": run.folder.resolve().name, "step": step, "sha256": digest(path / MANIFEST)}
    if out.exists():
        if out.record.get("from") != origin:
            raise UsageError(
                f"{out.folder} holds another run",
                expected=f"a new folder, or the run that went on from {origin}",
                remedy="give another --out",
            )
        return
    with output_folder(out.folder, inputs=[run.folder]) as folder:
        _copy(run, path, folder, step=step)
        _tell(run, folder, origin)
        inputs = {"checkpoint": path, "dataset": dataset}
        write_provenance(folder, inputs=inputs, seed=run.recipe.train.seed, origin=origin)
        record_dataset(Run(folder), dataset, Dataset.open(dataset), origin=origin)
        write_recipe(Run(folder).recipe_file, run.recipe)
    say(f"{out.folder} goes on from step {step} of {run.folder}")
    for name, control in run.controls.items():
        taken = f"sfumato resume {control.folder} --out {out.control(name).folder}"
        say(f"its {name} stays behind: {taken} takes it along")


def _newest(run: Run) -> Path:
    checkpoint = newest(run.checkpoints)
    if checkpoint is None:
        raise ModelError(f"{run.folder} holds no checkpoint", remedy=f"sfumato resume {run.folder}")
    return checkpoint.path


def _copy(run: Run, path: Path, folder: Path, *, step: int) -> None:
    """What the run had after a step; a best checkpoint that is no longer there is said."""
    new = Run(folder)
    state = _copied(path, new).state
    mark(new.checkpoints, "last", new.checkpoints / path.name)
    for best in sorted(set(best_files(state["best"]).values()) - {step}):
        place = run.checkpoints / f"step-{best:08d}"
        if place.is_dir():
            _copied(place, new)
        else:
            say(f"note: the checkpoint of step {best}, the best until then, is no longer kept")
    for record in (CASES_FILE, RECORD):
        if (run.folder / record).is_file():
            _take_along(run.folder / record, folder / record)
    for name in _KEPT:
        for file in _until(run.folder / name, step):
            (folder / name).mkdir(exist_ok=True)
            _take_along(file, folder / name / file.name)


def _take_along(file: Path, place: Path) -> None:
    """Copy a file. A link stays behind: in the run of a stranger it could bring along any file of this machine."""
    if file.is_symlink():
        say(f"note: {file} is a link and stays behind")
        return
    _copy_file(file, place)


def _copy_file(file: Path, place: Path) -> None:
    with open_file(file) as source, place.open("xb") as target:
        shutil.copyfileobj(source, target)


def _copied(path: Path, run: Run) -> Checkpoint:
    """A checkpoint that verifies, copied; the copy is verified when the new run starts from it."""
    found, place = load(path), run.checkpoints / path.name
    place.mkdir(parents=True)
    try:
        for name in listed_files(path):
            _copy_file(path / name, place / name)
    except FileNotFoundError:
        raise ModelError(f"{path} went away while it was copied", expected="a checkpoint that its run keeps") from None
    return found


def _until(folder: Path, step: int) -> Iterator[Path]:
    """The files named after steps up to one."""
    for file in matching(folder, "step-*"):
        number = re.match(r"step-(\d+)", file.name)
        if number is not None and int(number[1]) <= step:
            yield file


def _tell(run: Run, folder: Path, origin: Mapping[str, Any]) -> None:
    """Log and plan of the run up to the step, and where they come from."""
    with Log(folder / "log.jsonl") as log:
        for record in read_log(run.folder / "log.jsonl"):
            if record["step"] <= origin["step"]:
                log.write(record)
        log.write({"kind": "origin", **origin})
    plan = run.folder / "plan.json"
    choices = read_list(plan, ours(plan)) if plan.is_file() else []
    reason = "the checkpoint that this run goes on from; choices above are those of its run"
    choices.append({"choice": "resume", "value": f"step {origin['step']} of {origin['run']}", "reason": reason})
    write_atomic(folder / "plan.json", json.dumps(choices, indent=2) + "\n")
