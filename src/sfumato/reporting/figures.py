"""Pictures of a run: learning curves, contact sheets, outlines, heat maps, the denoising process.

Arrays are images in uint8, height first, channels last, of any number of channels (`sfumato.reporting.channels` says
how they are seen); figures come back as PNG bytes. Nothing here touches matplotlib's global state: every figure is its
own object, so threads and servers may draw too.
"""

import io
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from sfumato.escape import visible
from sfumato.reporting.channels import AnyImage, DisplayImage, arranged, as_picture
from sfumato.reporting.labels import cut_to_width, shortened_names
from sfumato.reporting.meaning import heading
from sfumato.slabs import slabs

INK = "#2a2f36"
"""Colour of text and axes on a light page."""

LIGHT_INK = "#c9d0d8"
"""Colour of text and axes on a dark page."""

LINES = ("#1f8a8c", "#d5643f", "#7b6bc4", "#b8860b", "#4f8f3a", "#c2457f", "#4a7fc1", "#8a8f98")
"""Colours of lines, readable on light and dark pages."""

FILLS = ((0, 190, 235), (235, 70, 175), (90, 205, 90), (255, 125, 45), (150, 115, 255), (235, 60, 60))
"""Colour of the predicted classes 1, 2, ...; they repeat after the last."""

REFERENCE = (255, 221, 0)
"""Colour of the reference outline, whatever the class."""

_NAME = 20
"""Characters of a name beside a bar."""

TILE = 200
"""Longest side in pixels of a picture in a strip."""

FRAME_MILLISECONDS, HOLD_MILLISECONDS = 200, 1200
"""How long frames of an animation are shown: most of them, and those that are held."""

NOT_A_LOSS = {"kind", "step", "images", "seconds", "learning_rate", "gradient_norm"}
"""Keys of a `train` record that are no loss term."""

NOT_A_METRIC = {"kind", "step", "seconds", "gap_error", "score"}
"""Keys of a `validate` record that are no metric of their own; the score is one of the others, or its negative."""

LOSS = "Loss"
"""The panel of what training makes small; its terms are called as the recipe calls them."""

_APART = "kid"
"""A metric that is drawn by itself: it has another scale than losses."""


class Panel(NamedTuple):
    """One set of axes of the learning curves.

    Attributes:
        title: what is drawn.
        lines: for each name the steps and the values.
    """

    title: str
    lines: dict[str, tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]]


def panels(records: Sequence[Mapping[str, object]]) -> tuple[Panel, ...]:
    """What the records of a run's log have to draw: losses, validation, learning rate, gradient norm.

    Args:
        records: lines of `log.jsonl`, of kind `train` or `validate`; other kinds and values that are no numbers are
            not drawn.
    """
    train = [record for record in records if record.get("kind") == "train"]
    validate = [record for record in records if record.get("kind") == "validate"]
    every = (
        Panel(LOSS, _lines(train, _names(train) - NOT_A_LOSS)),
        Panel("Validation", _lines(validate, _names(validate) - NOT_A_METRIC - {_APART})),
        Panel(f"Validation {heading(_APART)}", _lines(validate, _names(validate) & {_APART})),
        Panel("Learning rate", _lines(train, {"learning_rate"})),
        Panel("Gradient norm", _lines(train, {"gradient_norm"})),
    )
    return tuple(panel for panel in every if panel.lines)


def curves(records: Sequence[Mapping[str, object]]) -> bytes:
    """All learning curves as one PNG, two panels in a row."""
    found = panels(records)
    rows = max(1, math.ceil(len(found) / 2))
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    for place, panel in enumerate(found, start=1):
        _draw(figure.add_subplot(rows, 2, place), panel, ink=INK)
    return encoded(figure)


def chart(panel: Panel, *, ink: str) -> bytes:
    """One panel of the learning curves as a PNG without background, for a page on which `ink` can be read."""
    figure = Figure(figsize=(5.4, 3.3))
    _draw(figure.add_axes((0.13, 0.14, 0.84, 0.76)), panel, ink=ink)
    return encoded(figure, transparent=True)


def histogram(title: str, values: Sequence[float], *, unit: str, ink: str) -> bytes:
    """How often values occur, as a PNG without background, for a page on which `ink` can be read."""
    counts, edges = np.histogram(values, bins=min(40, max(8, round(len(values) ** 0.5))))
    figure = Figure(figsize=(5.4, 3.3))
    axes = figure.add_axes((0.1, 0.14, 0.87, 0.76))
    axes.stairs(counts, edges, fill=True, color=LINES[0])
    style(axes, title=title, ink=ink)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_xlabel(unit, color=ink, fontsize=9)
    return encoded(figure, transparent=True)


def bars(title: str, counts: Mapping[str, float], *, unit: str, ink: str) -> bytes:
    """A number for each name, as a PNG without background, for a page on which `ink` can be read."""
    figure = Figure(figsize=(5.4, 3.3))
    axes = figure.add_axes((0.28, 0.14, 0.69, 0.76))
    names = shortened_names([visible(name) for name in counts], _NAME)
    axes.barh(range(len(names)), list(counts.values()), color=LINES[0])
    style(axes, title=title, ink=ink)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.invert_yaxis()
    axes.set_xlabel(unit, color=ink, fontsize=9)
    return encoded(figure, transparent=True)


def strip(images: Sequence[AnyImage], labels: Sequence[str]) -> bytes:
    """A row of pictures with a label under each: the denoising process from noise to sample, as a PNG.

    Args:
        images: images of one size; small ones are enlarged without smoothing, large ones reduced.
        labels: one for each picture.
    """
    return strips({"": images}, labels)


def strips(rows: Mapping[str, Sequence[AnyImage]], labels: Sequence[str]) -> bytes:
    """Rows of pictures, each with its name at the left, a label under each column; as a PNG.

    Args:
        rows: for each name as many images as there are labels; see `strip`.
        labels: one for each column.
    """
    tiles = of_one_size([_tile(image) for row in rows.values() for image, _ in zip(row, labels, strict=True)])
    names, labels = [visible(name) for name in rows], [visible(label) for label in labels]
    body = Image.fromarray(grid(tiles, len(labels)))
    size = max(11, tiles.shape[2] // 12)
    font = ImageFont.load_default(size)
    margin = max(round(font.getlength(name)) for name in names)
    margin += size if margin else 0
    sheet = Image.new("RGB", (margin + body.width, body.height + 2 * size), "white")
    sheet.paste(body, (margin, 0))
    pen, width, height = ImageDraw.Draw(sheet), body.width / len(labels), body.height / len(rows)
    room = width - size / 2
    for place, label in enumerate(cut_to_width(label, room, font.getlength) for label in labels):
        pen.text((margin + (place + 0.5) * width, body.height + size), label, fill=INK, font=font, anchor="mm")
    for place, name in enumerate(names):
        pen.text((0, (place + 0.5) * height), name, fill=INK, font=font, anchor="lm")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def animation(frames: Sequence[Sequence[AnyImage]], *, hold: Sequence[int] = (-1,)) -> bytes:
    """Frames one after another, each a row of pictures, as a GIF that repeats.

    Args:
        frames: rows of pictures, all of one size; enlarged or reduced as in a strip.
        hold: frames that stay longer.
    """
    drawn = [Image.fromarray(grid(np.stack([_tile(image) for image in row]), len(row))) for row in frames]
    pauses = [FRAME_MILLISECONDS] * len(drawn)
    for place in hold:
        pauses[place] = HOLD_MILLISECONDS
    buffer = io.BytesIO()
    drawn[0].save(buffer, "GIF", save_all=True, append_images=drawn[1:], duration=pauses, loop=0)
    return buffer.getvalue()


def film_pictures(
    steps: Sequence[int], noised: Sequence[AnyImage], states: Sequence[AnyImage], estimates: Sequence[AnyImage]
) -> tuple[bytes, bytes]:
    """The diffusion process in both directions, as a strip (PNG) and as an animation (GIF).

    The columns of the strip are noise levels: read to the right, noise becomes a result; read to the left in its first
    row, the result becomes noise. The animation plays the one, then the other.

    Args:
        steps: numbers of the steps that are shown.
        noised: the result on its way into noise, at the level of each step.
        states: the state after each step.
        estimates: the estimate that led there.
    """
    rows = {"noised": noised, "state": states, "estimate": estimates}
    there = [(state, noised[-1]) for state in reversed(noised)]
    back = list(zip(states, estimates, strict=True))
    return strips(rows, [f"step {step}" for step in steps]), animation([*there, *back], hold=(0, -1))


def grid(images: UInt8[np.ndarray, "n h w channels"], columns: int) -> UInt8[np.ndarray, "height width c"]:
    """A contact sheet: images in rows of `columns`, thin white gaps between them, white where images run out."""
    return arranged(np.stack([as_picture(image) for image in images]), columns)


def overlay(
    image: AnyImage, mask: Integer[np.ndarray, "h w"], *, reference: Integer[np.ndarray, "h w"] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """The image with each predicted class filled lightly and outlined, and the reference outlined in yellow.

    The prediction's outline lies just inside its region and the reference's just outside, so neither hides the other
    where they agree. Outlines are one pixel wide, more in large images; the border of the image is none.

    Args:
        image: of any number of channels; onto each panel of several the same is drawn.
        mask: predicted class indices, 0 = background (drawn as it is).
        reference: true class indices, if known.
    """
    return as_picture(image, partial(_outlined, mask=mask, reference=reference))


def _outlined(
    image: DisplayImage, mask: Integer[np.ndarray, "h w"], reference: Integer[np.ndarray, "h w"] | None
) -> UInt8[np.ndarray, "h w 3"]:
    """See `overlay`."""
    drawn, pen = _colour(image).copy(), max(1, round(min(mask.shape) / 256))
    for label in np.unique(mask[mask > 0]):
        region, colour = mask == label, np.array(FILLS[(label - 1) % len(FILLS)])
        for part in slabs(mask.shape):
            drawn[part][region[part]] = (0.75 * drawn[part][region[part]] + 0.25 * colour).round()
        drawn[region & ~ndimage.binary_erosion(region, iterations=pen, border_value=1)] = colour
    if reference is not None:
        for label in np.unique(reference[reference > 0]):
            region = reference == label
            drawn[ndimage.binary_dilation(region, iterations=pen) & ~region] = REFERENCE
    return drawn


def heat(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A map in [0, 1] in colours of growing lightness (black, violet, orange, pale yellow); it saturates beyond."""
    colours: np.ndarray = matplotlib.colormaps["inferno"](values, bytes=True)
    return colours[..., :3]


def _tile(image: AnyImage) -> np.ndarray:
    """The image in colour, about `TILE` pixels on its longest side."""
    picture = _colour(as_picture(image))
    if (factor := round(TILE / max(picture.shape[:2]))) >= 1:
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)
    reduced = Image.fromarray(picture)
    reduced.thumbnail((TILE, TILE))
    return np.asarray(reduced)


def of_one_size(tiles: Sequence[np.ndarray]) -> UInt8[np.ndarray, "n h w 3"]:
    """Tiles in the size of the largest, white where they are smaller: panels and single pictures differ a little."""
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    sheet = np.full((len(tiles), height, width, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        sheet[place, : tile.shape[0], : tile.shape[1]] = tile
    return sheet


def _colour(image: DisplayImage) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _names(records: Sequence[Mapping[str, object]]) -> set[str]:
    return {name for record in records for name, value in record.items() if isinstance(value, int | float)}


def _lines(
    records: Sequence[Mapping[str, object]], names: set[str]
) -> dict[str, tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
    """Steps and values of each name, `loss` first, then by the alphabet."""
    lines = {}
    for name in sorted(names, key=lambda name: (name != "loss", name)):
        points = [(record["step"], record[name]) for record in records if isinstance(record.get(name), int | float)]
        if points:
            steps, values = np.array(points, dtype=np.float64).T
            lines[name] = (steps, values)
    return lines


def _draw(axes: Axes, panel: Panel, *, ink: str) -> None:
    for (name, (steps, values)), colour in zip(panel.lines.items(), LINES * 8, strict=False):
        smooth = _smooth(values)
        if smooth is not values:
            axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.25)
        marker = "o" if len(steps) <= 20 else ""
        label = visible(name).replace("_", " ") if panel.title == LOSS else heading(visible(name))
        axes.plot(steps, smooth, color=colour, linewidth=1.6, marker=marker, markersize=3.5, label=label)
    if len(panel.lines) > 1:
        legend(axes, ink=ink)
    if panel.title in {LOSS, "Gradient norm"} and _spans_decades(panel):
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_formatter("{x:.4g}")  # a factor for all ticks would lie over the title
    style(axes, title=panel.title, ink=ink)


def legend(axes: Axes, *, ink: str) -> None:
    """The names of the lines, letter by letter: a name such as `$x^$` is no formula."""
    for text in axes.legend(frameon=False, fontsize=8, labelcolor=ink).get_texts():
        text.set_parse_math(False)


def style(axes: Axes, *, title: str, ink: str) -> None:
    """Title, grid and colours that all diagrams share; the horizontal axis counts steps."""
    axes.set_title(title, loc="left", fontsize=10.5, color=ink, fontweight="bold", parse_math=False)
    axes.set_xlabel("step", color=ink, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(which="both", colors=ink, labelsize=8.5, length=3)
    axes.grid(which="major", color=ink, alpha=0.14, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)


def _smooth(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Moving average over a fiftieth of a long line (ends over what there is); a short line as it is."""
    width = len(values) // 50
    if width < 2 or not np.isfinite(values).all():
        return values
    window = np.ones(width)
    smooth: np.ndarray = np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")
    return smooth


def _spans_decades(panel: Panel) -> bool:
    values = np.concatenate([values for _, values in panel.lines.values()])
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() > 20 * values.min())


def encoded(figure: Figure, *, transparent: bool = False) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=150, transparent=transparent)
    return buffer.getvalue()
