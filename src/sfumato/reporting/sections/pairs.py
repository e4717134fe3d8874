"""The section of synthetic pairs: how many were kept and why, images beside themselves with their masks outlined."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sfumato.reporting.channels import AnyImage
from sfumato.reporting.content import Block, Fact, Gallery, KeyNumbers, Note, Section
from sfumato.reporting.figures import grid, overlay
from sfumato.reporting.reading import STRIP, listings, picture, read_optional_json, shown_cell, spared_part, table
from sfumato.tables import read_rows
from sfumato.wording import counted

_COLUMNS = 8
"""Pictures in a row of a sheet: an image and its outline, four times."""

_SIDE = 128
"""Shorter side in pixels to which small pictures of a sheet are enlarged: thinner outlines hide less."""

_SHEETS = {
    "pairs.png": ("Pairs that were kept", "Each image beside itself with its mask outlined."),
    "rejected.png": ("Pairs that were not kept", "The segmenter finds something else in the image than the mask says."),
}


def outlined(pairs: Sequence[tuple[AnyImage, np.ndarray]]) -> UInt8[np.ndarray, "height width 3"]:
    """A sheet of images (h, w, channels), each beside itself with its mask (h, w) outlined."""
    tiles = []
    for image, mask in pairs:
        factor = max(1, -(-_SIDE // min(mask.shape)))
        large, classes = _enlarged(image, factor), _enlarged(mask, factor)
        nothing = np.zeros_like(classes)
        tiles += [overlay(large, nothing), overlay(large, nothing, reference=classes)]
    return grid(np.stack(tiles), _COLUMNS)


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, 0).repeat(factor, 1)


def pairs_section(folder: Path) -> Section:
    """A folder written by `pair`."""
    rows, summary = read_rows(folder / "manifest.csv"), read_optional_json(folder / "summary.json")
    return Section(
        title="Synthetic images with masks",
        name=folder.name,
        summary=f"{counted(summary['kept'], 'pair')} of {counted(summary['attempts'], 'attempt')}",
        headline=(_numbers(summary),),
        blocks=(
            Note("Every image here is synthetic: it shows no patient."),
            *(Note(sentence) for sentence in summary["reading"]),
            *_sheets(folder),
            table("All pairs", rows, file="manifest.csv", without=("copy_score", "nearest_real", "copy_view", "copy")),
            *listings(folder, "summary.json", "provenance.json"),
        ),
    )


def _numbers(summary: Mapping[str, Any]) -> KeyNumbers:
    kept = Fact("pairs kept", str(summary["kept"]), f"{summary['asked']} were asked for")
    accepted = Fact("accepted", f"{summary['accepted']:.0%}", f"Of {counted(summary['attempts'], 'attempt')}.")
    checked = () if summary["check"] is None else _checked(summary["check"])
    return KeyNumbers("Synthetic pairs", (kept, accepted, *checked))


def _checked(check: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What a pair must reach, and what real cases reach."""
    below = f"{counted(check['real_below'], 'lies', 'lie')} below" if "real_below" in check else "few lie below"
    real = counted(check["real_cases"], "real validation case")
    median = "how well the segmenter does on these real cases"
    return (
        Fact("least Dice", shown_cell(check["threshold"]), f"Of {real}, {below}."),
        Fact("real median Dice", shown_cell(check["real_dice_median"]), median),
    )


@spared_part
def _sheets(folder: Path) -> Iterator[Block]:
    for name, (title, caption) in _SHEETS.items():
        if (folder / name).is_file():
            sheet = picture(folder / name, caption, limit=STRIP)
            yield Gallery(title=title, pictures=(sheet,), size="sheet")
