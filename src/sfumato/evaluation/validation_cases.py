"""The validation cases of a run on which something is measured once, and kept beside the model."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sfumato.data.dataset import Dataset
from sfumato.evaluation.review import FEWEST_CASES, rows_of
from sfumato.experiment.run import Run
from sfumato.progress import say
from sfumato.wording import counted


class ValidationCases(NamedTuple):
    """What a model is measured on: some rows of the dataset that it was trained on."""

    dataset: Dataset
    rows: list[int]


def validation_cases(path: Path, *, purpose: str) -> ValidationCases | str:
    """The validation cases of a run; in words why there are none to measure on: no run, no dataset, too few cases.

    Args:
        path: where the model was loaded from.
        purpose: what few cases are too few for: "to expect an error by".
    """
    run = Run(path)
    if not run.exists():
        return "a model without its run, and not measured before"
    if not run.dataset.is_dir():
        return "the run's dataset is gone"
    dataset = Dataset.open(run.dataset)
    rows = rows_of(dataset)
    if len(rows) < FEWEST_CASES:
        few = counted(len(rows), "validation case is", "validation cases are")
        return f"{few} too few {purpose} ({FEWEST_CASES} are needed)"
    return ValidationCases(dataset, rows)


def keep_if_possible(keep: Callable[[], object]) -> None:
    """Keep what was measured; where that fails it is said, and will be measured again."""
    try:
        keep()
    except OSError as problem:
        say(f"it cannot be kept, and will be measured again: {problem}")
