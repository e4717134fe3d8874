"""The section of segmented images: which cases deserve a second look, and all of them in a table."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Section
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
            *_processes(folder, rows),
            table(
                "All cases, those to look at first on top",
                rows,
                file="manifest.csv",
                without={*_FILES, *dict(_PICTURES)},
            ),
            *listings(folder, "summary.json", "provenance.json"),
        ),
    )


def _calls(rows: Sequence[Row]) -> str:
    """Network calls of a case, or from the fewest to the most where volumes have more planes than others."""
    known = sorted(int(calls) for row in rows if not math.isnan(calls := number(row.get("network_calls", ""))))
    if not known:
        return f"{DASH} network calls"
    most = counted(known[-1], "network call")
    return most if known[0] == known[-1] else f"{known[0]} to {most}"


def _means(rows: Sequence[Row]) -> tuple[Block, ...]:
    facts = []
    for name in _NUMBERS:
        values = np.array([number(row.get(name, "")) for row in rows])
        if np.isfinite(values).any():
            mean = f"{np.nanmean(values):.4g}"
            facts.append(Fact(f"Mean {name.replace('_', ' ')}", mean, meaning(name)))
    return (KeyNumbers("In short", tuple(facts)),) if facts else ()


def _reading(folder: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """Which cases to look at; or that their order means nothing."""
    if _is_unordered(folder):
        why = read_optional_json(folder / "summary.json")["review"]["why"]
        return (f"No case is to be looked at before another: {why}.",)
    first = ", ".join(f"{row['id']}{_expected(row)}" for row in rows[:3])
    by = BY_CHANCE if ranks_by_chance((read_optional_json(folder / "summary.json") or {}).get("review", {})) else ""
    return (f"Look first at {first}{by}.",) if first else ()


def _is_unordered(folder: Path) -> bool:
    """Whether the folder says that its order means nothing."""
    about = read_optional_json(folder / "summary.json") or {}
    return "review_first" in about and not about["review_first"]


def ranks_by_chance(review: Mapping[str, Any]) -> bool:
    """Whether what a summary's `review` expected of validation cases told nothing of their errors."""
    correlation = review.get("spearman")
    return isinstance(correlation, int | float) and correlation <= 0


def _limits(folder: Path) -> tuple[str, ...]:
    """What the order of review rests on."""
    about = (read_optional_json(folder / "summary.json") or {}).get("review", {})
    if _is_unordered(folder):
        return ()
    if about.get("by") == "expected_error":
        agrees = "" if about["spearman"] is None else f", with rank correlation {about['spearman']:.2f} (1 is perfect)"
        holds = "it holds for images like those" if agrees else "whether it finds the worst is not known"
        if ranks_by_chance(about):
            holds = "no better than a random order there, and perhaps here"
        cases = counted(about["validation_cases"], "validation case")
        return (f"The order of review rests on {cases}{agrees}: {holds}.",)
    return (f"The order of review rests on plain uncertainty: {about['why']}.",) if about else ()


def _expected(row: Row) -> str:
    error = number(row.get("expected_error", ""))
    return f" (expected error {error:.2f})" if np.isfinite(error) else ""


@spared_part
def _look_first(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    pictures = tuple(shot for row in rows[:_CASES] for shot in _pictures(folder, row))
    by = (
        "with the largest error to expect"
        if rows and "expected_error" in rows[0]
        else "the ensemble is least sure about"
    )
    title, whose = ("Some cases", "") if _is_unordered(folder) else ("Look at these first", f"The cases {by}. ")
    caption = f"{whose}Bright = likely foreground, or much uncertainty."
    return (Gallery(title=title, pictures=pictures, size="triple", caption=caption),) if pictures else ()


def _pictures(folder: Path, row: Row) -> tuple[Image, ...]:
    """What there are pictures of: volumes are opened elsewhere, and several classes have a folder of pictures."""
    return tuple(
        picture(
            inside(folder, row[column]),
            f"{row['id']} · {what}{_expected(row) if column == 'overlay' else ''}",
            as_heat=column != "overlay",
        )
        for column, what in _PICTURES
        if row.get(column, "").endswith(".png")
    )


@spared_part
def _processes(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    films = [(row["id"], file) for row in rows if (file := inside(folder, f"process/{row['id']}.png")).exists()]
    if not films:
        return ()
    caption = "{}: from noise (left) to the mask (right)"
    pictures = tuple(picture(file, caption.format(case), limit=STRIP) for case, file in films[:FILMS])
    more = counted(len(films) - FILMS, "more is", "more are")
    left_out = f"{more} in process/." if len(films) > FILMS else ""
    return (Gallery(title="The denoising process", pictures=pictures, size="strip", caption=left_out),)
