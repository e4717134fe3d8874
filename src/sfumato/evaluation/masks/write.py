"""The tables that an evaluation writes: `scores.csv`, a row for each case, target and model, and `patients.csv`."""

import math
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from sfumato.data.formats.archive import Locator
from sfumato.data.manifest import located, written
from sfumato.evaluation.masks.evaluate import Evaluation
from sfumato.evaluation.masks.predictions import Predictions
from sfumato.evaluation.masks.table import ModelScores, by_patient, fact, patients
from sfumato.local import Names
from sfumato.tables import write_table

COUNTS = ("members", "readers")
"""Columns of `scores.csv` without which a distance between an ensemble and readers cannot be read."""


def write_mask_scores(file: Path, measured: Evaluation, *, by: Sequence[str] = ()) -> None:
    """Write `scores.csv`; numbers of a case as a whole stand in the row of each of its targets.

    The column `image` is empty where nobody knows the image: never is a mask called one.

    Args:
        file: the file to write.
        measured: what was measured.
        by: columns of the reference to write beside the scores.
    """
    tables = [ModelScores(measured, arm) for arm in measured.arms]
    names = list(dict.fromkeys(chain.from_iterable(table.names for table in tables)))
    more = [column for column in by if column not in ("patient", "split", *COUNTS)]
    columns = ["id", "class", "arm", *names, *COUNTS, *more, "patient", "split", "image", "reference", "prediction"]
    places = Names(file.parent)
    rows = chain.from_iterable(_rows(table, names, more, places) for table in tables)
    write_table(file, columns, rows)
    places.keep()


def _rows(table: ModelScores, names: Sequence[str], more: Sequence[str], places: Names) -> Iterator[list[str]]:
    measured = table.measured
    of_targets = {name: table.of_targets(name) for name in table.names_of_targets}
    of_cases = {name: table.of_cases(name) for name in names if name not in of_targets}
    for row, name in enumerate(measured.cases):
        case = measured.truth.units[name].cases[0]
        facts = [fact(case, column) for column in (*more, "patient", "split")]
        files = _files(table, name, places)
        counts = _counts(table, name)
        whole = {number: values[row] for number, values in of_cases.items()}
        for place, target in enumerate(measured.manner.targets):
            numbers = whole | {metric: values[row, place] for metric, values in of_targets.items()}
            cells = [_cell(float(numbers[each])) for each in names]
            yield [name, target.name, table.name, *cells, *counts, *facts, *files]


def _counts(table: ModelScores, name: str) -> list[str]:
    """How many masks the model and the readers have of a case: `COUNTS`."""
    case = table.arm.cases[name]
    return [str(case.members), str(len(case.readings))]


def _files(table: ModelScores, name: str, places: Names) -> list[str]:
    """The image, the reference and the prediction of a case, as a table may tell them."""
    case = table.measured.truth.units[name].cases[0]
    image = case.image or _image_of(table.arm.predictions, name)
    prediction = table.arm.predictions.files[name].mask
    return [written(file, places) for file in (image, case.masks[0], prediction)]


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
        for who in dict.fromkeys(groups):
            cells = [_cell(of_patients[who]) for of_patients in means]
            rows.append([who, table.name, groups.count(who), *cells])
    write_table(file, ["patient", "arm", "cases", *metrics], rows)


def _cell(number: float) -> str:
    """Six decimals, whole numbers without any; empty where undefined."""
    if not math.isfinite(number):
        return ""
    if number == int(number):
        return str(int(number))
    return str(round(number, 6))


def _image_of(predictions: Predictions, name: str) -> str:
    """The image of a prediction, where its manifest says it and it is there; else nothing.

    A manifest of another program may name images in folders beside its own, and none further away.
    """
    said, folder = predictions.rows.get(name, {}).get("image", ""), predictions.folder.absolute()
    if not said:
        return ""
    image = located(said, folder) or located(os.path.normpath(f"{folder.name}/{said}"), folder.parent)
    return image if image and Locator.parse(image).path.exists() else ""
