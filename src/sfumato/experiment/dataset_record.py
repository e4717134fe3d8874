"""The dataset of a run: which it is, where it lies, and whether it is still the one that the run was started with.

    RUN/run.json      where it lies, by a name (`sfumato.local`); sizes and times of its files there
    RUN/cases.json    what it holds, case by case (`sfumato.data.contents`); no path, no patient

A run goes on with a dataset in another place if its content is the same. Pixels are read for that only where the place,
a size or a time of change is another one than the run knows.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.data.contents import content_differences, dataset_contents, stamps
from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError, listed
from sfumato.experiment.run import Run
from sfumato.local import Names
from sfumato.plain import in_form, ours, read_object
from sfumato.progress import say
from sfumato.provenance import digest

CASES_FILE = "cases.json"


def check_dataset(run: Run, dataset: Path) -> None:
    """A run goes on with the data that it was started with, wherever they lie.

    Raises:
        UsageError: the content is another one; with the differences.
    """
    record = run.record
    if dataset.resolve() == run.dataset and record.get("files") == stamps(dataset):
        return
    other = _differences(run, record, dataset)
    if other:
        raise UsageError(
            f"{dataset} is not what {run.folder} was started with, or has changed since:\n{listed(other)}",
            expected="the same cases, split, pixels and rules",
            remedy="give the dataset of the run, or start a new run with another --out",
        )
    if dataset.resolve() != run.dataset:
        say(f"the dataset of {run.folder} lies at {dataset} now; its content is the same")


def _differences(run: Run, record: Mapping[str, Any], dataset: Path) -> list[str]:
    file = run.folder / CASES_FILE
    if file.is_file():
        there = dataset_contents(Dataset.open(dataset))
        with in_form(ours(file)):
            return content_differences(read_object(file, ours(file)), there)
    same = digest(dataset) == record.get("sha256")  # all that runs of sfumato 0.1 know of it
    return [] if same else ["dataset.json: another form of the images"]


def record_dataset(run: Run, dataset: Path, opened: Dataset, *, origin: Mapping[str, Any] | None = None) -> None:
    """Write where the dataset of a run lies, and once what it holds and from which other run the run goes on."""
    if not (run.folder / CASES_FILE).is_file():
        write_atomic(run.folder / CASES_FILE, json.dumps(dataset_contents(opened), ensure_ascii=False) + "\n")
    file = run.folder / "run.json"
    known = run.record if file.is_file() else ({} if origin is None else {"from": dict(origin)})
    names = Names(run.folder)
    record = {**known, "dataset": names(dataset.resolve()), "sha256": digest(dataset), "files": stamps(dataset)}
    names.keep()
    write_atomic(file, json.dumps(record, indent=2) + "\n")
