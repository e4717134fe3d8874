"""The section of synthetic images: what they look like, how many of each class."""

from collections import Counter
from pathlib import Path

from sfumato.report.content import Block, Gallery, Note, Section, Table
from sfumato.report.reading import STRIP, listings, picture, read_rows, table

SINGLES = 12
"""Single images shown when there is no preview grid."""


def samples_section(folder: Path) -> Section:
    """A folder written by `generate`."""
    rows = read_rows(folder / "manifest.csv")
    count = Counter(row.get("label") or "(no class)" for row in rows)
    cells = tuple((label, str(number)) for label, number in sorted(count.items()))
    return Section(
        title="Synthetic images",
        name=folder.name,
        summary=f"{len(rows)} images of {len(count)} classes",
        blocks=(
            Note("Every image here is synthetic: it shows no patient."),
            Table(title="Images of each class", columns=("class", "images"), rows=cells),
            *_grid(folder, [row["file"] for row in rows]),
            *_classes(folder),
            *_progression(folder / "progression.png"),
            table("All images", rows, file="manifest.csv"),
            *listings(folder, "provenance.json"),
        ),
    )


def _grid(folder: Path, files: list[str]) -> tuple[Block, ...]:
    """The largest preview grid; without one, the first images."""
    grids = sorted((folder / "grids").glob("*.png"), key=lambda file: int(file.stem))
    if grids:
        shot = picture(grids[-1], f"{grids[-1].stem} images", limit=STRIP)
        return (Gallery(title="Samples", pictures=(shot,), size="sheet"),)
    pictures = tuple(picture(folder / file, file) for file in files[:SINGLES])
    return (Gallery(title="Samples", pictures=pictures),) if pictures else ()


def _classes(folder: Path) -> tuple[Block, ...]:
    files = [*sorted(folder.glob("class_*.png")), *folder.glob("unconditional.png")]
    pictures = tuple(picture(file, file.stem.removeprefix("class_")) for file in files)
    return (Gallery(title="One sheet for each class", pictures=pictures),) if pictures else ()


def _progression(file: Path) -> tuple[Block, ...]:
    if not file.exists():
        return ()
    shot = picture(file, "from noise (left) to the image (right)", limit=STRIP)
    return (Gallery(title="The denoising process", pictures=(shot,), size="strip"),)
