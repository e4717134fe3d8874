"""The section of generated images that were compared with real ones: distances beside their floor, sheets, copies."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sfumato.escape import visible
from sfumato.files import matching
from sfumato.metrics.table import MATCHED, POOLED, spelt_out
from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Note, Section, Table
from sfumato.reporting.figures import LINES, encoded, style
from sfumato.reporting.labels import shortened_names
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import (
    DASH,
    STRIP,
    listings,
    number,
    picture,
    plotted,
    read_optional_json,
    shown_cell,
    spared_part,
    z_text,
)
from sfumato.reporting.reading import table as rows_table
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

_NOTICED = 3.0
"""A z-score from which a difference is called one."""

_DISTANCES = {name: spelt_out(name) for name in ("kid", "frechet")}

_IN_SHORT = ("kid", "frechet", "frechet_reference", "precision", "recall", "coverage", "ms_ssim", "duplicates")
"""Metrics of the table at the top."""

_BAR, _MARGIN = 0.17, 0.8
"""Inches: height of a bar of a chart, and of what is above and below the bars."""

BARS, CLASS_NAME = 40, 14
"""Bars of a chart at most, and letters of the name of a class beside one."""

_CALLED = {POOLED: "all", MATCHED: "matched"}
"""What the whole set is called beside a bar."""

_SHEETS = 12
"""Sheets of classes that the page shows."""

_LIMITS = (
    "A distance that is not above its floor means that this many images show no difference in this space, not that "
    "there is none: more images, or another space, may show one.",
    "No distance between sets of images sees that images are copies of training images; that is searched for apart.",
    "None of these numbers says that the images help to train a model for patients, or that they are right medically.",
)


def images_section(folder: Path) -> Section:
    """A folder written by `evaluate images`."""
    rows, summary = read_rows(folder / "metrics.csv"), read_optional_json(folder / "summary.json")
    against = summary["compared_with"] or "statistics of real images"
    made = counted(summary["generated"], "generated image")
    return Section(
        title="Synthetic images beside real ones",
        name=folder.name,
        summary=f"{made} compared with {against}",
        asked=f"How do {made} differ from real ones ({against}), and are they copies?",
        reading=tuple(summary["reading"]),
        limits=(*summary["notes"], *_LIMITS),
        headline=(_whole(rows), *_charts(rows)),
        blocks=(
            Note("The images of the rows called synthetic show no patient."),
            *_sheets(folder),
            *_copies(folder, summary),
            *_classes(rows),
            rows_table("All numbers", rows, file="metrics.csv"),
            *listings(folder, "provenance.json"),
        ),
    )


def scores(title: str, values: Mapping[str, float], *, ink: str) -> bytes:
    """A z-score for each name as a bar; as a PNG without background, for a page on which `ink` can be read.

    Bars beyond `_NOTICED` have another colour, and far from 0 the axis is logarithmic.
    """
    height = max(3.3, _MARGIN + _BAR * len(values))
    figure = Figure(figsize=(5.4, height))
    axes = figure.add_axes((0.34, 0.46 / height, 0.62, (height - 0.79) / height))
    finite = [max(-1e6, min(1e6, value)) for value in values.values()]
    axes.barh(range(len(values)), finite, color=[_colour(value) for value in finite])
    axes.axvline(_NOTICED, color=ink, linewidth=1, linestyle="--")
    style(axes, title=title, ink=ink)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yticks(range(len(values)), [visible(name) for name in values], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("standard deviations above real images (dashed: 3)", color=ink, fontsize=9)
    return encoded(figure, transparent=True)


def _colour(z: float) -> str:
    return LINES[1] if z > _NOTICED else LINES[0]


def _whole(rows: Sequence[Row]) -> Table:
    """The whole set in short."""
    matched = any(row["class"] == MATCHED for row in rows)
    chosen = [row for row in rows if row["metric"] in _IN_SHORT and _is_of_whole(row, matched=matched)]
    count = chosen[0]["n_generated"] if chosen else DASH
    shares = ", in the class shares of the samples" if matched else ""
    return Table(
        title="Generated beside real images",
        columns=("space", "metric", "generated", "real among themselves", "z", "meaning"),
        rows=tuple(_cells(row) for row in chosen),
        caption=f"{count} images on each side{shares}. In brackets: 95 % interval. z counts standard deviations "
        "between the generated and the real images.",
    )


def _is_of_whole(row: Row, *, matched: bool) -> bool:
    """Whether a number is of all images: in the class shares of the samples, where it is known so."""
    if row["class"] == (MATCHED if matched else POOLED):
        return True
    return row["class"] == POOLED and row["metric"] == "frechet_reference"


def _cells(row: Row) -> tuple[str, ...]:
    value = f"{shown_cell(row['value'])} [{shown_cell(row['low'])}, {shown_cell(row['high'])}]"
    floor = f"{shown_cell(row['floor'])} ± {shown_cell(row['floor_sd'])}" if row["floor"] else DASH
    name = heading(row["metric"])
    return row["space"], name, value, floor, _z(row["z"]), meaning(row["metric"])


def _z(text: str) -> str:
    return z_text(number(text))


@spared_part
def _charts(rows: Sequence[Row]) -> tuple[Block, ...]:
    pictures = list[Image]()
    for metric, name in _DISTANCES.items():
        title, values = f"z of the {name}", _bars([row for row in rows if row["metric"] == metric])
        if values:
            pictures.append(plotted(partial(scores, title, values), title=title))
    caption = "A bar beyond the dashed line: the space notices that these images are not real ones."
    return (Gallery(title="Which spaces notice a difference", pictures=tuple(pictures), size="wide", caption=caption),)


def _bars(rows: Sequence[Row]) -> dict[str, float]:
    """A bar for each space and class; of very many the whole set alone, the classes have a table."""
    if len(rows) > BARS:
        rows = [row for row in rows if row["class"] in (POOLED, MATCHED)]
    groups = list(dict.fromkeys(row["class"] for row in rows))
    names = [_CALLED.get(group, group) for group in groups]
    short = dict(zip(groups, shortened_names(names, CLASS_NAME), strict=True))
    bars: dict[str, float] = {}
    for row in rows:
        name = short[row["class"]]
        bars[f"{row['space']}, {name}"] = number(row["z"])
    return bars


def _classes(rows: Sequence[Row]) -> tuple[Block, ...]:
    """z of the distances of each class."""
    names = [name for name in dict.fromkeys(row["class"] for row in rows) if name not in (POOLED, MATCHED)]
    if not names:
        return ()
    found = {(row["space"], row["class"], row["metric"]): row for row in rows}
    spaces = [space for space in dict.fromkeys(row["space"] for row in rows) if (space, names[0], "kid") in found]
    if not spaces:
        return ()
    cells = list[tuple[str, ...]]()
    for name in names:
        count = found[spaces[0], name, "kid"]["n_generated"]
        distances = [_both(found, space, name) for space in spaces]
        cells.append((name, count, *distances))
    columns = ("class", "images a side", *spaces)
    caption = "z of the kernel distance / of the Fréchet distance; above 3 the class differs from its real images."
    return (Table(title="Each class", columns=columns, rows=tuple(cells), caption=caption),)


def _both(found: Mapping[tuple[str, str, str], Row], space: str, name: str) -> str:
    return " / ".join(_z(found[space, name, metric]["z"]) for metric in _DISTANCES)


@spared_part
def _sheets(folder: Path) -> tuple[Block, ...]:
    files = matching(folder / "sheets", "*.png")
    if not files:
        return ()
    shots = tuple(picture(file, file.stem, limit=STRIP) for file in files[:_SHEETS])
    caption = "Above real images, below synthetic ones."
    if len(files) > len(shots):
        caption += f" {len(files) - len(shots)} further classes are in sheets/."
    return (Gallery(title="Real and synthetic", pictures=shots, size="sheet", caption=caption),)


def _copies(folder: Path, summary: Mapping[str, Any]) -> Iterator[Block]:
    found = summary["copies"]
    if found is None:
        return
    flagged = DASH if found["copies"] is None else f"{found['copies']} of {found['images']}"
    far = DASH if found["authenticity"] is None else f"{found['authenticity']:.0%}"
    yield KeyNumbers(
        "Copies",
        (
            Fact("flagged as copies", flagged, "Images that match a training image better than new real images do."),
            Fact("authenticity", far, "Images farther from their nearest training image than that from its own."),
        ),
    )
    sheet = folder / "copies.png"
    if sheet.is_file():
        caption = "Each generated image above the training image that it is nearest to, the closest pairs first."
        shot = picture(sheet, "closest pairs", limit=STRIP)
        yield Gallery(title="The closest pairs", pictures=(shot,), size="sheet", caption=caption)
