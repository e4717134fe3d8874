"""The tables that an evaluation writes: `scores.csv`, a row for each case, target and model, and `patients.csv`."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sfumato.data.formats.archive import Locator
from sfumato.data.manifest import located, written
from sfumato.evaluation.masks.evaluate import Evaluation
from sfumato.evaluation.masks.predictions import Predictions
from sfumato.evaluation.masks.table import ModelScores, by_patient, fact, patients
from sfumato.local import Names
from sfumato.tables import write_table


def write_mask_scores(file: Path, measured: Evaluation, *, by: Sequence[str] = ()) -> None:
    """Write `scores.csv`; numbers of a case as a whole stand in the row of each of its targets.

    The column `image` is empty where nobody knows the image: never is a mask called one.

    Args:
        file: the file to write.
        measured: what was measured.
        by: columns of the reference to write beside the scores.
    """
    tables = [ModelScores(measured, arm) for arm in measured.arms]
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    more = [column for column in by if column not in ("patient", "split")]
    columns = ["id", "class", "arm", *names, *more, "patient", "split", "image", "reference", "prediction"]
    places = Names(file.parent)
    write_table(file, columns, (row for table in tables for row in _rows(table, names, more, places)))
    places.keep()


def _rows(table: ModelScores, names: Sequence[str], more: Sequence[str], places: Names) -> Iterator[list[str]]:
    measured, files = table.measured, table.arm.predictions.files
    metrics = measured.manner.metrics
    whole = {name: table.of_cases(name) for name in names if name not in metrics}
    targets = {name: table.of_targets(name) for name in metrics}
    for row, name in enumerate(measured.cases):
        case = measured.truth.units[name].cases[0]
        facts = (fact(case, column) for column in (*more, "patient", "split"))
        image = case.image or _image_of(table.arm.predictions, name)
        about = [*facts, *(written(each, places) for each in (image, case.masks[0], files[name].mask))]
        for place, target in enumerate(measured.manner.targets):
            numbers = [targets[of][row, place] if of in targets else whole[of][row] for of in names]
            cells = [_cell(float(number)) for number in numbers]
            yield [name, target.name, table.arm.predictions.name, *cells, *about]


def write_patients(file: Path, measured: Evaluation) -> None:
    """Write `patients.csv`: the means of every patient and model; nothing where no patient is known."""
    groups = patients(measured)
    if groups is None:
        return
    metrics = measured.manner.metrics
    rows = list[list[object]]()
    for arm in measured.arms:
        table = ModelScores(measured, arm)
        means = [by_patient(table.of_cases(name), groups) for name in metrics]
        rows += [
            [who, arm.predictions.name, groups.count(who), *(_cell(of[who]) for of in means)]
            for who in dict.fromkeys(groups)
        ]
    write_table(file, ["patient", "arm", "cases", *metrics], rows)


def _cell(number: float) -> str:
    """Six decimals, whole numbers without any; empty where undefined."""
    if not math.isfinite(number):
        return ""
    return str(int(number)) if number == int(number) else str(round(number, 6))


def _image_of(predictions: Predictions, name: str) -> str:
    """The image of a prediction, where its manifest says it and it is there; else nothing.

    A manifest of another program may name images in folders beside its own, and none further away.
    """
    said, folder = predictions.rows.get(name, {}).get("image", ""), predictions.folder.absolute()
    if not said:
        return ""
    image = located(said, folder) or located(os.path.normpath(f"{folder.name}/{said}"), folder.parent)
    return image if image and Locator.parse(image).path.exists() else ""
