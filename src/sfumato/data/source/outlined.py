"""Masks that are outlines: a line around each object, and nothing within. Trained on, they are objects of one pixel."""

import numpy as np
from jaxtyping import Bool

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import parts_of
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.source.found import Found
from sfumato.errors import DataError

SAMPLE = 8
"""Masks that are looked at."""

ENCLOSES = 4
"""How much more an outline encloses than it covers; a ring of muscle encloses about as much."""

MESHES = 1.5
"""Areas that a line encloses at most: vessels and membranes, which are objects, enclose many."""

MOST = 0.9
"""Share of the masks that speaks for all."""


def about_outlines(found: Found) -> list[str]:
    """A line where the masks are outlines; none for volumes."""
    files = [parts_of(mask)[0].locator for case in found.cases for mask in case.masks]
    if not files or is_volume(Locator.parse(files[0]).path):
        return []
    shown = [
        shape for file in files[:: max(1, len(files) // SAMPLE)][:SAMPLE] if (shape := _object_in(file)) is not None
    ]
    if not shown or np.mean([_is_outline(shape) for shape in shown]) < MOST:
        return []
    return [
        "the masks are outlines: thin lines that enclose far more than they cover. If the object is what lies within, "
        "fill them first; as they are, a model learns the line"
    ]


def _object_in(file: str) -> Bool[np.ndarray, "h w"] | None:
    """What a mask shows, without the margin around it; None where it shows nothing or cannot be read."""
    try:
        shown = read_mask(file) != 0
    except DataError:
        return None
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else None


def _is_outline(shown: Bool[np.ndarray, "h w"]) -> bool:
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(shown)
    if int(filled.sum()) <= ENCLOSES * int(shown.sum()):
        return False
    lines, meshes = ndimage.label(shown, np.ones((3, 3)))[1], ndimage.label(filled & ~shown)[1]
    return bool(meshes <= MESHES * lines)
