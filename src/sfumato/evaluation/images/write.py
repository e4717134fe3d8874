"""The folder of a comparison of images.

metrics.csv      a row for each space, class and metric: value, interval, floor, z
scores.csv       a row for each generated image: its nearest training image
summary.json     what was compared, the reading, all rows again
sheets/          for each class some real images and some generated ones below them
copies.png       the closest pairs of generated and training images
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.atomic import write_atomic
from sfumato.data.formats.archive import Locator
from sfumato.data.manifest import Case, file_names, written
from sfumato.evaluation.copies import CopyAudit, CopyVerdict
from sfumato.evaluation.images.panel import MetricRow
from sfumato.evaluation.images.read import ImageSet
from sfumato.evenly import evenly
from sfumato.local import Names
from sfumato.reporting.figures import strips
from sfumato.tables import write_table
from sfumato.tasks.task import to_uint8

_COLUMNS = ("space", "class", "metric", "value", "low", "high", "floor", "floor_sd", "z", "n_real", "n_generated")

_SHOWN = 10
"""Images of each class on a sheet, of either set."""

_WHOLE = "all"
"""Name of the sheet of images without classes."""


def write_metrics(file: Path, measures: Sequence[MetricRow]) -> None:
    """All rows; a number that does not exist is left empty."""
    write_table(file, _COLUMNS, map(_cells, measures))


def as_row(measure: MetricRow) -> dict[str, Any]:
    """A measure by the names of the columns."""
    row = dict(zip(_COLUMNS, (*measure, measure.images), strict=True))
    if math.isnan(measure.floor):  # the images of a reference are not counted
        row["n_real"] = None
    return row


def as_json(measures: Sequence[MetricRow]) -> list[dict[str, Any]]:
    """All rows as plain JSON: what is no finite number is null."""
    return [{name: _finite(value) for name, value in as_row(measure).items()} for measure in measures]


def write_image_scores(
    file: Path, cases: Sequence[Case], verdicts: Sequence[CopyVerdict] | None, *, source: Path
) -> None:
    """One row for each generated image; without verdicts the columns of copies are empty."""
    names = Names(file.parent)
    rows = list[list[str | None]]()
    found: Sequence[CopyVerdict | None] = [None] * len(cases) if verdicts is None else verdicts
    for case, verdict in zip(cases, found, strict=True):
        said = _told(verdict) if verdict else ["", "", "", ""]
        rows.append([case.id, _below(case.image, source, names), case.label, *said])
    write_table(file, ["id", "file", "class", "copy_score", "nearest_real", "copy_view", "copy"], rows)
    names.keep()


def write_summary(file: Path, summary: Mapping[str, Any]) -> None:
    """Plain JSON."""
    write_atomic(file, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def write_comparison_sheets(folder: Path, real: ImageSet, generated: ImageSet) -> None:
    """For each class of the generated images a sheet: real ones above, generated ones below."""
    folder.mkdir()
    sets = {"real": real, "synthetic": generated}
    theirs, ours = np.asarray(real.labels), np.asarray(generated.labels)
    names = [str(name) for name in sorted(set(ours)) if name and name in theirs]
    for name, stem in zip(names, file_names(names), strict=True):
        rows = {"real": np.flatnonzero(theirs == name), "synthetic": np.flatnonzero(ours == name)}
        _write_sheet(folder / f"{stem}.png", sets, rows)
    if not names:
        _write_sheet(folder / f"{_WHOLE}.png", sets, {name: np.arange(len(images)) for name, images in sets.items()})


def copies_summary(audit: CopyAudit) -> dict[str, Any]:
    """The audit of copies as plain JSON."""
    return {
        "images": audit.images,
        "copies": audit.copies,
        "share": None if audit.share is None else audit.share._asdict(),
        "chance": audit.chance,
        "sources": audit.sources,
        "patients": audit.patients,
        "authenticity": _finite(audit.authenticity),
        "authenticity_real": _finite(audit.authenticity_real),
        "distance_z": _finite(audit.distance_z),
        "reading": list(audit.reading),
    }


def _pictures(images: ImageSet, places: Sequence[int]) -> np.ndarray:
    """Some images in 8 bits: (n, h, w, channels)."""
    shown: np.ndarray = to_uint8(images.fetch(places))
    return shown


def _write_sheet(file: Path, sets: Mapping[str, ImageSet], rows: Mapping[str, np.ndarray]) -> None:
    count = min(_SHOWN, *map(len, rows.values()))
    drawn: dict[str, list[np.ndarray]] = {}
    for name, images in sets.items():
        places = evenly(rows[name].tolist(), count)
        drawn[name] = list(_pictures(images, places))
    write_atomic(file, strips(drawn, [""] * count))


def _told(verdict: CopyVerdict) -> list[str]:
    return [f"{verdict.score:.5f}", verdict.nearest, verdict.view, verdict.said]


def _below(image: str, source: Path, names: Names) -> str:
    """An image's file as it is called within its source, or as a path may be told that leads elsewhere."""
    locator, folder = Locator.parse(image), source.resolve()
    path = locator.path.resolve()
    inside = path.is_relative_to(folder) and path != folder
    if not inside:
        return written(image, names)
    return str(locator._replace(path=path.relative_to(folder)))


def _cells(measure: MetricRow) -> list[str]:
    return [_cell(value) for value in as_row(measure).values()]


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
