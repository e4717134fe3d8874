"""What is written about all images that were made: manifest, preview grids, one sheet for each class.

SAMPLES/  <class>/000123.png (.tif of other channels than grey or RGB)  grids/{16,36,64}.png  class_<name>.png
          unconditional.png  progression.png
          manifest.csv  summary.json; where copies were rejected: rejected.csv
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.manifest import file_names
from sfumato.experiment.inference import SampleRequest
from sfumato.experiment.output_folder import numbered_file
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.sample_requests import UNCONDITIONAL
from sfumato.reporting.figures import grid

_GRIDS = (16, 36, 64)
"""Preview grids: 4 x 4, 6 x 6 and 8 x 8."""

OTHERS = (
    "grids",
    "manifest.csv",
    "summary.json",
    "provenance.json",
    "rejected.csv",
    "progression.png",
    "progression.gif",
)
"""Names in the folder that no class may have."""

PER_CLASS_SHEET = 16
Enlarging = Literal["bilinear", "bicubic", "lanczos"]
METHODS: dict[Enlarging, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def item_of(image: SampleRequest) -> str:
    """The name of an image, or of a pair, in the ledger and of its files."""
    return f"{image.number:06}"


def label_of(image: SampleRequest) -> str:
    """The class of an image in words."""
    return image.label or UNCONDITIONAL


def sample_files(
    wanted: Sequence[SampleRequest], *, channels: int, below: str = "", subdirs: bool = False
) -> dict[int, str]:
    """The file of each image of so many channels by its number, relative to the folder.

    Args:
        wanted: the images.
        channels: of the images.
        below: how each begins.
        subdirs: put them into folders of a thousand.
    """
    folders, ending = _safe_names(wanted), ending_of(channels)
    names = {image.number: numbered_file(item_of(image), subdirs=subdirs) for image in wanted}
    return {image.number: f"{below}{folders[label_of(image)]}/{names[image.number]}{ending}" for image in wanted}


def enlarged(image: np.ndarray, height: int | None, method: Enlarging) -> np.ndarray:
    """The image (h, w, c) uint8 at another height, its shape kept."""
    if height is None or height == image.shape[0]:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    channels = (Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0))
    return np.stack([np.asarray(channel.resize((width, height), METHODS[method])) for channel in channels], axis=-1)


def _safe_names(wanted: Sequence[SampleRequest]) -> dict[str, str]:
    """The name of the folder or file of each class."""
    labels = sorted({label_of(image) for image in wanted})
    return dict(zip(labels, file_names(labels, taken=OTHERS), strict=True))


def pictured(wanted: Sequence[SampleRequest]) -> set[int]:
    """Numbers of the images that a sheet shows."""
    return {number for sheet in _sheets(wanted) for number in sheet.images}


def write_sheets(wanted: Sequence[SampleRequest], folder: Path, aside: Path) -> None:
    """Preview grids and class sheets, of the images as they were made.

    Args:
        wanted: the images that were asked for; those that were left out leave no gap.
        folder: of the samples.
        aside: where the images of the sheets are, by their items.
    """
    for sheet in _sheets(wanted):
        there = [path for number in sheet.images if (path := aside / f"{number:06}.npy").exists()]
        if there:
            path = folder / sheet.file
            path.parent.mkdir(exist_ok=True)
            with spared_picture(f"the sheet {sheet.file}"):
                write_image(path, grid(np.stack([np.load(each) for each in there]), sheet.columns))


class _Sheet(NamedTuple):
    """A picture of several images, by their numbers."""

    file: str
    images: list[int]
    columns: int


def _sheets(wanted: Sequence[SampleRequest]) -> Iterator[_Sheet]:
    """Preview grids over all images, and one sheet for each class."""
    in_turn = [image.number for image in _in_turn(wanted)]
    for number in _GRIDS:
        if len(wanted) >= number:
            yield _Sheet(f"grids/{number}.png", in_turn[:number], round(number**0.5))
    names = _safe_names(wanted)
    for label in dict.fromkeys(image.label for image in wanted):
        numbers = [image.number for image in wanted if image.label == label][:PER_CLASS_SHEET]
        name = UNCONDITIONAL if label is None else f"class_{names[label]}"
        yield _Sheet(f"{name}.png", numbers, min(8, len(numbers)))


def _in_turn(wanted: Sequence[SampleRequest]) -> list[SampleRequest]:
    """The classes in turn, so that a preview shows them all."""
    seen: Counter[str | None] = Counter()
    order: list[tuple[int, int]] = []
    for image in wanted:
        order.append((seen[image.label], len(order)))
        seen[image.label] += 1
    return [wanted[index] for _, index in sorted(order)]
