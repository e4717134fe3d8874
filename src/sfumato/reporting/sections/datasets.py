"""The section of a data set: how many cases of what, and what they look like."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfumato.data.formats.archive import read_array
from sfumato.data.manifest import SPLITS
from sfumato.data.three_planes import fullest, three_planes
from sfumato.evenly import evenly
from sfumato.reporting.content import Block, Gallery, Image, Section, Table
from sfumato.reporting.reading import embedded, inside, listings, picture, read_optional_json, spared_part, table
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

if TYPE_CHECKING:
    from sfumato.data.spec import Spec

_EXAMPLES = 12
"""Images shown, spread evenly over the manifest."""


def dataset_section(folder: Path) -> Section:
    """A folder written by `prepare`."""
    rows = read_rows(folder / "manifest.csv")
    whole = _of_volumes(folder, rows)
    return Section(
        title="Data set",
        name=folder.name,
        summary=_summary(whole, "case" if whole is rows else "whole volume"),
        blocks=(
            _counts(whole),
            *_examples(folder, rows),
            table("All cases", rows, file="manifest.csv", without=_files_of(rows)),
            *listings(folder, "dataset.json", "provenance.json"),
        ),
    )


def _of_volumes(folder: Path, rows: list[Row]) -> list[Row]:
    """Where volumes are whole, a row for each, its first; else those that there are."""
    spec = (read_optional_json(folder / "dataset.json") or {}).get("spec") or {}
    if spec.get("dimensions") != 3:
        return rows
    return list({row.get("volume", ""): row for row in reversed(rows)}.values())[::-1]


def _files_of(rows: Sequence[Row]) -> list[str]:
    """Columns that name files, by which the table would be wide, and say how somebody sorts their disks."""
    if not rows:
        return []
    return [name for name in rows[0] if name == "image" or name.startswith("mask")]


def _summary(rows: Sequence[Row], what: str) -> str:
    cases = counted(len(rows), what)
    splits = Counter(row.get("split", "") for row in rows)
    parts = [f"{splits[name]} {name}" for name in SPLITS if splits[name]]
    if not parts:
        return cases
    return f"{cases}: {', '.join(parts)}"


def _counts(rows: Sequence[Row]) -> Table:
    """Cases of each class in each split."""
    pairs = Counter((row.get("label") or "(no class)", row.get("split") or "(no split)") for row in rows)
    splits = sorted({split for _, split in pairs}, key=_place)
    labels = sorted({label for label, _ in pairs})
    counts = np.zeros((len(labels), len(splits)), dtype=int)
    for (label, split), count in pairs.items():
        counts[labels.index(label), splits.index(split)] = count
    cells = [_counted_row(label, of_label) for label, of_label in zip(labels, counts, strict=True)]
    cells.append(_counted_row("all", counts.sum(axis=0)))
    return Table(title="Cases of each class and split", columns=("class", *splits, "all"), rows=tuple(cells))


def _place(split: str) -> tuple[int, str]:
    """Of a split in the table: those of every data set first."""
    known = SPLITS.index(split) if split in SPLITS else len(SPLITS)
    return known, split


def _counted_row(name: str, counts: np.ndarray) -> tuple[str, ...]:
    return (name, *map(str, counts), str(counts.sum()))


@spared_part
def _examples(folder: Path, rows: Sequence[Row]) -> tuple[Block, ...]:
    places = np.linspace(0, len(rows) - 1, min(_EXAMPLES, len(rows))).round().astype(int)
    chosen = np.unique(places).tolist()
    decoded = folder / "images.npy"
    pictures = _decoded(decoded, rows, chosen) if decoded.exists() else _files(folder, rows, chosen)
    if not pictures:
        return ()
    return (Gallery(title="Examples", pictures=pictures),)


def _files(folder: Path, rows: Sequence[Row], places: Sequence[int]) -> tuple[Image, ...]:
    return tuple(picture(inside(folder, rows[place]["image"]), rows[place]["id"]) for place in places)


def _decoded(file: Path, rows: Sequence[Row], places: Sequence[int]) -> tuple[Image, ...]:
    """Images of the packed array (case, height, width, channel), whose rows are those of the manifest."""
    images = read_array(file)
    if images.ndim == 1:
        return _of_own_sizes(file.parent)
    return tuple(embedded(_bytes(images[place]), rows[place]["id"]) for place in places)


def _of_own_sizes(folder: Path) -> tuple[Image, ...]:
    """Images that keep their own size; of whole volumes three planes through the most of their masks."""
    from sfumato.data.dataset import Dataset  # imports torch, which other pages do without

    dataset = Dataset.open(folder)
    rows, spec = evenly(range(len(dataset)), _EXAMPLES), dataset.spec
    shown = [dataset.images([row])[0].movedim(0, -1).add(1).numpy() for row in rows]
    masks = [dataset.mask(row) if spec.has_masks else np.zeros(dataset.size(row), np.uint8) for row in rows]
    flat = [_flat(*each, spec) for each in zip(shown, masks, strict=True)]
    return tuple(embedded(_bytes(image), dataset.cases[row].id) for image, row in zip(flat, rows, strict=True))


def _flat(image: np.ndarray, mask: np.ndarray, spec: "Spec") -> np.ndarray:
    """An image as numbers (h, w, c); of a volume three planes."""
    if spec.dimensions == 2:
        return image
    return three_planes(image, fullest([mask]), spacing=spec.voxel, axis=spec.slice_axis, nearest=False)


def _bytes(image: np.ndarray) -> np.ndarray:
    """Any whole or real numbers stretched to 0..255, unless they are bytes already."""
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = float(image.min()), float(image.max())
    return ((image - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)
