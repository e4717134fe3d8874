"""The section of images that were made from others: denoised again, or between two seeds or images."""

from pathlib import Path

import numpy as np

from sfumato.reporting.content import Block, Fact, Gallery, KeyNumbers, Note, Section
from sfumato.reporting.reading import STRIP, listings, number, picture, spared_part, table
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

ERROR, WEIGHT = "mean_absolute_error", "weight"
"""Columns that only reconstructions, or only interpolations, have."""

_MADE = Note("A model made these images: what they show beyond their originals is no finding in a patient.")


def reconstruction_section(folder: Path) -> Section:
    """A folder written by `reconstruct`."""
    rows = read_rows(folder / "manifest.csv")
    return Section(
        title="Images denoised again",
        name=folder.name,
        summary=counted(len(rows), "image"),
        blocks=(
            _MADE,
            *_error(rows),
            *_sheet(folder / "sheet.png", title="Noised and denoised"),
            table("All images", rows, file="manifest.csv"),
            *listings(folder, "provenance.json"),
        ),
    )


def interpolation_section(folder: Path) -> Section:
    """A folder written by `interpolate`."""
    rows = read_rows(folder / "manifest.csv")
    return Section(
        title="Images between two",
        name=folder.name,
        summary=counted(len(rows), "image"),
        blocks=(
            _MADE,
            *_sheet(folder / "strip.png", title="From one end to the other"),
            table("All images", rows, file="manifest.csv"),
            *listings(folder, "provenance.json"),
        ),
    )


def _error(rows: list[Row]) -> tuple[Block, ...]:
    errors = np.array([number(row.get(ERROR, "")) for row in rows])
    if not np.isfinite(errors).any():
        return ()
    text = "Mean absolute difference to the original; 1 is from black to white."
    return (KeyNumbers("In short", (Fact("Mean error", f"{np.nanmean(errors):.3f}", text),)),)


@spared_part
def _sheet(file: Path, *, title: str) -> tuple[Block, ...]:
    if not file.is_file():
        return ()
    return (Gallery(title=title, pictures=(picture(file, "", limit=STRIP),), size="sheet"),)
