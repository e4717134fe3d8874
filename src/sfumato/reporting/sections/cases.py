"""The cases behind the means: the best, the worst, the ones the model was least sure about."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.joined import ON, at_member, mask_parts
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.formats.volume import Axis, PlaneAddress, named_place
from sfumato.data.manifest import located
from sfumato.errors import DataError
from sfumato.reporting.content import Gallery, Image
from sfumato.reporting.figures import grid, overlay
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import as_bytes, embedded, inside, picture, spared_part
from sfumato.reporting.sections.comparison import CaseValues, case_values
from sfumato.tables import Row

_CASES = 4
"""Cases shown as best, worst, most uncertain."""

TRIPLE = ("image", "reference", "prediction")
"""Columns of scores.csv that give the pictures of a case; where the image is not known, the two masks alone."""


@spared_part
def extreme_cases(folder: Path, rows: Sequence[Row], *, readers: int = 1) -> tuple[Gallery, ...]:
    """Pictures of the worst, best and most uncertain cases of one model; none if scores.csv names no pictures.

    Args:
        folder: the scores folder, from which the file names of pictures count.
        rows: the rows of one model.
        readers: how many masks an image has; the first is shown.
    """
    if not rows:
        return ()
    metric = next((name for name in ("dice", "iou") if name in rows[0]), "")
    legend = _legend(rows[0], readers)
    if not metric or not legend:
        return ()
    score, first = case_values(rows, metric), {row["id"]: row for row in reversed(rows)}
    size: Literal["wide", "medium"] = "wide" if _has_masks(rows[0]) else "medium"
    galleries = list[Gallery]()
    for title, cases in _groups(rows, score).items():
        pictures = list[Image]()
        for case in cases:
            caption = f"{case} · {heading(metric)} {score.get(case, math.nan):.3f}"
            pictures.append(_case(folder, first[case], caption))
        galleries.append(Gallery(title=title, pictures=tuple(pictures), size=size, caption=legend))
    return tuple(galleries)


def _groups(rows: Sequence[Row], score: CaseValues) -> dict[str, list[str]]:
    """The ids of at most `_CASES` cases of each kind; best and worst do not overlap."""
    order = sorted(score, key=lambda case: score[case])
    count = min(_CASES, max(1, len(order) // 2))
    groups = {"Worst cases": order[:count], "Best cases": order[::-1][:count]}
    doubt = case_values(rows, "uncertainty")
    if doubt:
        groups["Most uncertain cases"] = sorted(doubt, key=lambda case: -doubt[case])[:count]
    return groups


def _legend(row: Row, readers: int) -> str:
    if not _has_masks(row):
        return "Yellow: the reference. Filled: the prediction." if row.get("overlay") else ""
    whose = "" if readers == 1 else f" of the first of {readers} readers"
    if row.get("image"):
        return f"Left the image, in the middle the reference (yellow){whose}, on the right the prediction (filled)."
    return f"The images are not known: left the reference (yellow){whose}, on the right the prediction (filled)."


def _has_masks(row: Row) -> bool:
    return all(row.get(column) for column in TRIPLE[1:])


class _Shown(NamedTuple):
    """The locators of what is shown, and in words which plane it is."""

    image: str
    reference: str
    prediction: str
    which: str = ""


def _case(folder: Path, row: Row, caption: str) -> Image:
    """The image, the reference and the prediction, as far as scores.csv names them; the overlay where it does not."""
    if not _has_masks(row):
        return picture(inside(folder, row["overlay"]), caption)
    try:
        image, reference, prediction = (_located(row.get(column, ""), folder) for column in TRIPLE)
        return _drawn(_plane(image, reference, prediction), caption)
    except DataError as error:
        return Image(light="", caption=f"{caption} (cannot be shown: {error.finding})", width=0, height=0)


def _drawn(shown: _Shown, caption: str) -> Image:
    reference, prediction = _classes(read_mask(shown.reference)), _classes(read_mask(shown.prediction))
    image = as_bytes(read_image(shown.image)) if shown.image else np.zeros((*reference.shape, 1), np.uint8)
    empty = np.zeros(image.shape[:2], np.uint8)
    views = [overlay(image, empty, reference=reference), overlay(image, prediction)]
    if shown.image:
        views.insert(0, overlay(image, empty))
    return embedded(grid(np.stack(views), len(views)), f"{caption}{_empty(reference, prediction)}{shown.which}")


def _located(name: str, folder: Path) -> str:
    """Where a file lies that a table names.

    Raises:
        DataError: nobody knows it here.
    """
    place = located(name, folder) if name else ""
    if place is None:
        raise DataError(f"where {name} lies is not known here", expected="local.json beside the table")
    return place


def _empty(reference: np.ndarray, prediction: np.ndarray) -> str:
    """Which of the masks shows nothing, in words."""
    told = ""
    if not reference.any():
        told += " · nothing in the reference"
    if not prediction.any():
        told += " · nothing predicted"
    return told


def _plane(image: str, reference: str, prediction: str) -> _Shown:
    """Of a volume the plane in which the reference is largest, or the prediction where the reference is empty."""
    seen, true, drawn = Locator.parse(image), Locator.parse(reference), Locator.parse(prediction)
    start = named_place(true.member)
    first = named_place(seen.member)
    if not image or (not seen.member and is_volume(seen.path)):
        first = start  # nothing, or a scan as a whole: where the mask lies
    if first is None or start is None or drawn.member or not is_volume(drawn.path):
        return _Shown(image, reference, prediction)
    number = _largest(reference, start, drawn.path)
    at = first._replace(number=first.number + number - start.number)
    laid = _laid(true)
    drawn_number = at.number if laid else number
    return _Shown(
        image=_plane_of(seen, at) if image else "",
        reference=at_member(reference, f"{start.axis}/{number}{laid}"),
        prediction=f"{drawn.path}::{start.axis}/{drawn_number}",
        which=f" · {at.axis} plane {at.number}",
    )


def _plane_of(scan: Locator, place: PlaneAddress) -> str:
    component = "" if place.component is None else f"/{place.component}"
    return f"{scan.path}::{place.axis}/{place.number}{component}"


def _laid(mask: Locator) -> str:
    """The end of the name of its plane that says how it lies on the image, with its mark; "" where it has none."""
    _, mark, how = mask.member.partition("@")
    return mark + how


def _largest(reference: str, start: PlaneAddress, drawn: Path) -> int:
    """The plane in which the reference is largest, or what was drawn where the reference is empty."""
    areas, others = _areas_of(reference, start, drawn), _areas(drawn, start.axis)
    return int(areas.argmax() if areas.any() else others.argmax())


def _areas_of(reference: str, start: PlaneAddress, drawn: Path) -> np.ndarray:
    """How many pixels each plane of a reference marks; contours have as many planes as what was drawn."""
    true = Locator.parse(reference)
    if all(part.role != ON for part in mask_parts(reference)):
        return _areas(true.path, start.axis, start.codes)
    areas = list[int]()
    for number in range(len(read_volume(drawn).planes(start.axis))):
        plane = read_mask(at_member(reference, f"{start.axis}/{number}{_laid(true)}"))
        areas.append(int(np.count_nonzero(plane)))
    return np.array(areas)


def _areas(path: Path, axis: Axis, codes: str = "") -> np.ndarray:
    """How many pixels each plane of a label volume marks."""
    planes = read_volume(path).planes(axis, codes)
    return np.asarray((planes != 0).reshape(len(planes), -1).sum(axis=1))


def _classes(mask: np.ndarray) -> np.ndarray:
    """A mask file as consecutive classes: 0/255 and 0/1/2 alike."""
    classes: np.ndarray = np.searchsorted(np.union1d([0], mask), mask)
    return classes
