"""The section of segmented images: which cases deserve a second look, and all of them in a table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Section, Table
from sfumato.reporting.meaning import meaning
from sfumato.reporting.reading import (
    DASH,
    STRIP,
    inside,
    listings,
    number,
    picture,
    read_optional_json,
    spared_part,
    table,
)
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

_CASES = 6
"""Cases shown with pictures."""

FILMS = 3
"""Cases whose denoising process is shown."""

_PICTURES = (("overlay", "prediction"), ("probability", "probability"), ("uncertainty_map", "uncertainty"))
"""Columns of the manifest that hold pictures, and what they show."""

BY_CHANCE = ", by an order that was no better than a random one on the validation cases"
"""What follows the cases to look at first, where their order did not find the worst of other cases."""

_FILES = ("image", "input", "mask")
"""Columns that name files, by which the table would be wide, and say how somebody sorts their disks."""

_NUMBERS = ("area", "expected_error", "uncertainty", "information", "agreement", "network_calls", "seconds")

_PRESENCE, _SIZE, _LOW, _HIGH, _UNIT = "presence_probability", "expected_size", "size_low", "size_high", "size_unit"
"""Columns of presence and size; of several classes all but the unit end in _CLASS."""

_UNITS = {"mm2": "mm\xb2", "mm3": "mm\xb3"}
"""As a person writes them; others are words."""


def predictions_section(folder: Path) -> Section:
    """A folder written by `segment`."""
    rows = sorted(read_rows(folder / "manifest.csv"), key=lambda row: number(row["review_rank"]))
    return Section(
        title="Predictions",
        name=folder.name,
        summary=f"{counted(len(rows), 'case')} segmented, {_calls(rows)} each",
        reading=_reading(folder, rows),
        limits=_limits(folder),
        blocks=(
            *_means(rows),
            *_look_first(folder, rows),
            *_members(folder, rows),
            *_processes(folder, rows),
            _cases(rows),
            *listings(folder, "summary.json", "provenance.json"),
        ),
    )


def _cases(rows: Sequence[Row]) -> Table:
    """All cases; the size of a class and its interval are one cell, and stand in front, where the table is not cut."""
    shown = table(
        "All cases, those to look at first on top",
        [_with_sizes(row) for row in rows],
        file="manifest.csv",
        without={*_FILES, *dict(_PICTURES)},
    )
    if not any(name.startswith(_SIZE) for name in shown.columns):
        return shown
    meant = "expected_size: area or volume to expect of the class, with the central 80 % of the members in brackets."
    return replace(shown, caption=f"{meant} {shown.caption}")


def _with_sizes(row: Row) -> Row:
    """The row with "523 (410 to 640) mm³" in place of the numbers and the unit of each class, behind the id."""
    endings = [name.removeprefix(_SIZE) for name in row if name.startswith(_SIZE)]
    merged = {f"{name}{ending}" for name in (_LOW, _HIGH) for ending in endings} | ({_UNIT} if endings else set())
    cells = {"id": row["id"]}
    for ending in endings:
        cells[f"{_PRESENCE}{ending}"] = row.get(f"{_PRESENCE}{ending}", "")
        cells[f"{_SIZE}{ending}"] = _size(row, ending)
    return cells | {name: value for name, value in row.items() if name not in merged | cells.keys()}


def _size(row: Row, ending: str) -> str:
    """The expected size of a class with its interval; nothing where one is not known."""
    size, low, high = (number(row.get(f"{name}{ending}", "")) for name in (_SIZE, _LOW, _HIGH))
    if not np.isfinite([size, low, high]).all():
        return ""
    unit = row.get(_UNIT, "")
    return f"{_plain(size)} ({_plain(low)} to {_plain(high)}) {_UNITS.get(unit, unit)}".rstrip()


def _plain(size: float) -> str:
    """Four significant digits, without an exponent where there is room."""
    return f"{float(f'{size:.4g}'):.10g}"


def _calls(rows: Sequence[Row]) -> str:
    """Network calls of a case, or from the fewest to the most where volumes have more planes than others."""
    calls = [number(row.get("network_calls", "")) for row in rows]
    known = [int(of_case) for of_case in calls if not math.isnan(of_case)]
    if not known:
        return f"{DASH} network calls"
    fewest, most = min(known), counted(max(known), "network call")
    return most if fewest == max(known) else f"{fewest} to {most}"


def _means(rows: Sequence[Row]) -> tuple[Block, ...]:
    facts = []
    for name in _NUMBERS:
        values = np.array([number(row.get(name, "")) for row in rows])
        if np.isfinite(values).any():
            mean = f"{np.nanmean(values):.4g}"
            facts.append(Fact(f"Mean {name.replace('_', ' ')}", mean, meaning(name)))
    if not facts:
        return ()
    return (KeyNumbers("In short", tuple(facts)),)


def _reading(folder: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """Which cases to look at; or that their order means nothing."""
    about = _about(folder)
    if _is_unordered(about):
        return (f"No case is to be looked at before another: {about['review']['why']}.",)
    if not rows:
        return ()
    first = ", ".join(f"{row['id']}{_expected(row)}" for row in rows[:3])
    by = BY_CHANCE if ranks_by_chance(about.get("review", {})) else ""
    return (f"Look first at {first}{by}.",)


def _about(folder: Path) -> Mapping[str, Any]:
    """The summary; empty where there is none."""
    return read_optional_json(folder / "summary.json") or {}


def _is_unordered(about: Mapping[str, Any]) -> bool:
    """Whether a summary says that the order means nothing."""
    return "review_first" in about and not about["review_first"]


def ranks_by_chance(review: Mapping[str, Any]) -> bool:
    """Whether what a summary's `review` expected of validation cases told nothing of their errors."""
    correlation = review.get("spearman")
    return isinstance(correlation, int | float) and correlation <= 0


def _limits(folder: Path) -> tuple[str, ...]:
    """What the order of review rests on."""
    about = _about(folder)
    review = about.get("review", {})
    if _is_unordered(about) or not review:
        return ()
    if review.get("by") != "expected_error":
        return (f"The order of review rests on plain uncertainty: {review['why']}.",)
    cases = counted(review["validation_cases"], "validation case")
    return (f"The order of review rests on {cases}{_how_well(review)}.",)


def _how_well(review: Mapping[str, Any]) -> str:
    """How well the order found the worst of the validation cases, and what follows."""
    if review["spearman"] is None:
        return ": whether it finds the worst is not known"
    agrees = f", with rank correlation {review['spearman']:.2f} (1 is perfect)"
    if ranks_by_chance(review):
        return f"{agrees}: no better than a random order there, and perhaps here"
    return f"{agrees}: it holds for images like those"


def _expected(row: Row) -> str:
    error = number(row.get("expected_error", ""))
    return f" (expected error {error:.2f})" if np.isfinite(error) else ""


@spared_part
def _look_first(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    pictures = list[Image]()
    for row in rows[:_CASES]:
        pictures.extend(_pictures(folder, row))
    if not pictures:
        return ()
    title, caption = "Some cases", "Bright = likely foreground, or much uncertainty."
    if not _is_unordered(_about(folder)):
        expected = "expected_error" in rows[0]
        by = "with the largest error to expect" if expected else "the ensemble is least sure about"
        title, caption = "Look at these first", f"The cases {by}. {caption}"
    return (Gallery(title=title, pictures=tuple(pictures), size="triple", caption=caption),)


def _pictures(folder: Path, row: Row) -> Iterator[Image]:
    """What there are pictures of: volumes are opened elsewhere, and several classes have a folder of pictures."""
    for column, what in _PICTURES:
        if not row.get(column, "").endswith(".png"):
            continue
        file = inside(folder, row[column])
        if column == "overlay":
            yield picture(file, f"{row['id']} · {what}{_expected(row)}")
        else:
            yield picture(file, f"{row['id']} · {what}", as_heat=True)


@spared_part
def _members(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    """The members of some ensembles, side by side."""
    strips = {row["id"]: inside(folder, f"readings/{row['id']}.png") for row in rows}
    pictures = tuple(picture(file, case, limit=STRIP) for case, file in strips.items() if file.exists())
    if not pictures:
        return ()
    caption = "Each is a whole mask by itself: where they differ, the model is not sure, or readers would not agree."
    return (Gallery(title="Members, side by side", pictures=pictures, size="strip", caption=caption),)


@spared_part
def _processes(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    films = {row["id"]: inside(folder, f"process/{row['id']}.png") for row in rows}
    there = [case for case, trajectory in films.items() if trajectory.exists()]
    if not there:
        return ()
    pictures = tuple(_film(case, films[case]) for case in there[:FILMS])
    more = counted(len(there) - FILMS, "more is", "more are")
    left_out = f"{more} in process/." if len(there) > FILMS else ""
    return (Gallery(title="The denoising process", pictures=pictures, size="strip", caption=left_out),)


def _film(case: str, file: Path) -> Image:
    return picture(file, f"{case}: from noise (left) to the mask (right)", limit=STRIP)
