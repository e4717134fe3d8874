"""What the numbers of a folder do not say, as far as its tables tell: said without being asked.

A folder of scores is judged by its cases: how many there are, whether their patients are known, whether they were held
out of training, and whether its probabilities are calibrated.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sfumato.report.reading import Row, number, read_json, read_rows

FEW = 30
"""Cases below which an interval is mostly about the cases that happened to be there."""

CALIBRATED = 0.05
"""Gap between confidence and accuracy up to which probabilities may be read as they are."""

ALWAYS = "For research. Not a medical device: no decision about a patient may rest on these numbers or pictures."


def limits_of(folder: Path, *, said: bool) -> tuple[str, ...]:
    """Limits of a folder of scores; none for other folders, whose readers say theirs.

    Args:
        folder: the folder.
        said: its reader has spoken of patients.
    """
    summary = read_json(folder / "summary.json")
    kind = summary.get("kind", "masks") if isinstance(summary, dict) else "masks"
    table = folder / "scores.csv"
    return tuple(_of_cases(read_rows(table), said=said)) if kind == "masks" and table.is_file() else ()


def _of_cases(rows: Sequence[Row], *, said: bool) -> Iterator[str]:
    cases = {row["id"]: row for row in rows if "id" in row}
    if 0 < len(cases) < FEW:
        yield f"{len(cases)} cases are few; their intervals are wide, and other cases may give other numbers."
    if cases and not said and not any(row.get("patient") for row in cases.values()):
        yield "No patients are known, so intervals treat all images as if each showed another patient."
    yield from _of_splits({row["split"] for row in cases.values() if row.get("split")})
    yield from _of_calibration(rows)


def _of_splits(splits: set[str]) -> Iterator[str]:
    if "train" in splits:
        yield "Some cases are from the training split; the model has seen them, and the numbers flatter it."
    elif splits == {"validation"}:
        yield "The cases chose the best weights (validation split); no test cases were held out."


def _of_calibration(rows: Sequence[Row]) -> Iterator[str]:
    """Of each model that gives probabilities."""
    for arm in dict.fromkeys(row.get("arm", "") for row in rows):
        values = [number(row.get("ece_foreground", "")) for row in rows if row.get("arm", "") == arm]
        known = [value for value in values if math.isfinite(value)]
        if known and (gap := float(np.mean(known))) > CALIBRATED:
            who = f"The probabilities of {arm}" if arm else "The probabilities"
            yield f"{who} are not calibrated: around the object they miss the truth by {gap:.0%} on average."
