"""The section of synthetic images: what they look like, how many of each class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sfumato.data.manifest import SPLITS
from sfumato.files import matching
from sfumato.reporting.content import Block, Gallery, Note, Section, Table
from sfumato.reporting.reading import STRIP, inside, listings, picture, spared_part, table
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

NO_CLASS = "(no class)"

SYNTHETIC_BESIDE = "Every image here but the real ones of the manifest"

SINGLES = 12
"""Single images shown when there is no preview grid."""


def samples_section(folder: Path) -> Section:
    """A folder written by `generate`."""
    rows = read_rows(folder / "manifest.csv")
    made = [row for row in rows if row["file"]]
    mixed = len(made) < len(rows)
    every = SYNTHETIC_BESIDE if mixed else "Every image here"
    return Section(
        title="Synthetic and real images" if mixed else "Synthetic images",
        name=folder.name,
        summary=_summary(made, real=len(rows) - len(made)),
        limits=tuple(_limits(made)),
        blocks=(
            Note(f"{every} is synthetic: it was not taken of a patient."),
            _counts(rows) if mixed else _table(made),
            *_grid(folder, [row["file"] for row in made]),
            *_classes(folder),
            *_progression(folder / "progression.png"),
            table("All images", rows, file="manifest.csv", without=("file",)),
            *_rejected(folder),
            *listings(folder, "summary.json", "provenance.json"),
        ),
    )


def _summary(made: Sequence[Row], *, real: int) -> str:
    beside = f", beside {counted(real, 'real one')}" if real else ""
    return f"{_made(made)}{beside}"


def _made(made: Sequence[Row]) -> str:
    """How many, and of how many classes where there are classes."""
    images = counted(len(made), "image")
    classes = {row["label"] for row in made if row.get("label")}
    if classes:
        images += f" of {counted(len(classes), 'class', 'classes')}"
    return f"{images} was made" if len(made) == 1 else f"{images} were made"


def _table(made: Sequence[Row]) -> Table:
    count = Counter(row.get("label") or NO_CLASS for row in made)
    cells = tuple((label, str(number)) for label, number in sorted(count.items()))
    return Table(title="Images of each class", columns=("class", "images"), rows=cells)


def _counts(rows: Sequence[Row]) -> Table:
    """Real images of each split beside those that were made for training."""
    kinds = ("synthetic", *(f"real, {split}" for split in SPLITS))
    count = Counter((row.get("label") or NO_CLASS, _kind(row)) for row in rows)
    cells = list[tuple[str, ...]]()
    for label in sorted({label for label, _ in count}):
        of_kinds = [str(count[label, kind]) for kind in kinds]
        cells.append((label, *of_kinds))
    columns = ("class", *kinds)
    return Table(title="Images of each class", columns=columns, rows=tuple(cells), caption="Synthetic ones train.")


def _kind(row: Row) -> str:
    return "synthetic" if row["file"] else f"real, {row.get('split')}"


def _limits(made: Sequence[Row]) -> Iterator[str]:
    """Whether copies of patients were looked for."""
    if made and "copy" not in made[0]:
        yield "Whether these images copy training images was not checked (generate --reject-copies DATASET)."
    elif made and not any(row["copy"] for row in made):
        yield "Images were compared with the training images, but there is no verdict: none were held out."


def _rejected(folder: Path) -> tuple[Block, ...]:
    """The copies that were rejected, if there were any."""
    file = folder / "rejected.csv"
    if not file.is_file():
        return ()
    return (table("Rejected as copies", read_rows(file), file=file.name),)


@spared_part
def _grid(folder: Path, files: list[str]) -> tuple[Block, ...]:
    """The largest preview grid; without one, the first images."""
    grids = sorted(matching(folder / "grids", "*.png"), key=lambda file: int(file.stem))
    if grids:
        shot = picture(grids[-1], counted(int(grids[-1].stem), "image"), limit=STRIP)
        return (Gallery(title="Samples", pictures=(shot,), size="sheet"),)
    pictures = tuple(picture(inside(folder, file), file) for file in files[:SINGLES])
    if not pictures:
        return ()
    return (Gallery(title="Samples", pictures=pictures),)


@spared_part
def _classes(folder: Path) -> tuple[Block, ...]:
    files = [*matching(folder, "class_*.png"), *matching(folder, "unconditional.png")]
    pictures = tuple(picture(file, file.stem.removeprefix("class_")) for file in files)
    if not pictures:
        return ()
    return (Gallery(title="One sheet for each class", pictures=pictures, size="wide"),)


@spared_part
def _progression(file: Path) -> tuple[Block, ...]:
    if not file.exists():
        return ()
    shot = picture(file, "from noise (left) to the image (right)", limit=STRIP)
    return (Gallery(title="The denoising process", pictures=(shot,), size="strip"),)
