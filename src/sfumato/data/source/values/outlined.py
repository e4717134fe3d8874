"""Masks that are outlines: a line around each object, and nothing within. Trained on, they are objects of one pixel.

That is told, and `--fill-outlines` takes what the lines enclose for the object (`formats.joined` fills it whenever a
mask is read). Lines that are not closed enclose nothing: they are counted.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import FILL, WITHIN, MaskPart, joined_name, mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_SAMPLE = 8
"""Masks that are looked at."""

ENCLOSES = 4
"""How much more an outline encloses than it covers; a ring of muscle encloses about as much."""

MESHES = 1.5
"""Areas that a line encloses at most: vessels and membranes, which are objects, enclose many."""

_MOST = 0.7
"""Share of the masks that speaks for all: some lines are not closed."""

_FILLED = 256
"""Masks that are looked at for lines that are not closed, where a person says that they are outlines."""

HOLDS, DOT = 0.25, 8
"""How much a closed line encloses at least, as a share of what it covers; pixels up to which an object is no line."""


def with_filled(found: DiscoveredDataset) -> DiscoveredDataset:
    """The same with masks that hold what their lines enclose.

    Raises:
        DataError: none of the lines is closed.
    """
    masks = [mask for case in found.cases for mask in case.masks]
    files = [part.locator for mask in masks for part in mask_parts(mask) if _is_drawn(part)]
    if not files:  # a dataset that was filled
        return found
    looked = [(file, shape) for file in files[:: -(-len(files) // _FILLED)] if (shape := _object_in(file)) is not None]
    open_lines = [file for file, shape in looked if not _is_closed(shape)]
    if len(open_lines) == len(looked):
        raise DataError(
            f"the lines of no mask are closed, of {counted(len(looked), 'mask')} that were looked at:\n"
            f"{listed(open_lines)}",
            expected="masks that are closed lines around what is meant",
            remedy="leave --fill-outlines out; or close the lines",
            code="DATA-014",
        )
    told = (
        f"outlines are filled in {counted(len(files), 'mask')}, as --fill-outlines says; of "
        f"{counted(len(looked), 'mask')} that were looked at, the lines of {len(open_lines)} are not closed"
    )
    if open_lines:
        names = list(dict.fromkeys(Locator.parse(file).path.name for file in open_lines))
        told += f" and stay lines: {', '.join(names[:_SAMPLE])}{' ...' if len(names) > _SAMPLE else ''}"
    cases = (replace(case, masks=tuple(map(_filled, case.masks))) for case in found.cases)
    return found._replace(cases=tuple(cases), notes=(*found.notes, told))


def _is_drawn(part: MaskPart) -> bool:
    """Whether a file of a mask is one of lines that nobody filled."""
    return part.role != WITHIN and not part.role.startswith(FILL)


def _filled(mask: str) -> str:
    return joined_name([part._replace(role=FILL + part.role) if _is_drawn(part) else part for part in mask_parts(mask)])


def _is_closed(shown: Bool[np.ndarray, "h w"]) -> bool:
    """Whether each line encloses something."""
    from scipy import ndimage

    lines = ndimage.label(shown, np.ones((3, 3)))[0]
    for number, box in enumerate(ndimage.find_objects(lines), start=1):
        line = lines[box] == number
        covers = int(line.sum())
        if covers > DOT and int(ndimage.binary_fill_holes(line).sum()) < (1 + HOLDS) * covers:
            return False
    return True


def about_outlines(found: DiscoveredDataset) -> Sequence[str]:
    """A line where the masks are outlines; none for volumes."""
    if any(not _is_drawn(part) for case in found.cases[:1] for mask in case.masks for part in mask_parts(mask)[:1]):
        return []
    files = [mask_parts(mask)[0].locator for case in found.cases for mask in case.masks]
    if not files or is_volume(Locator.parse(files[0]).path):
        return []
    shown = [
        shape for file in files[:: max(1, len(files) // _SAMPLE)][:_SAMPLE] if (shape := _object_in(file)) is not None
    ]
    if not shown or np.mean([_is_outline(shape) for shape in shown]) < _MOST:
        return []
    return [
        "the masks are outlines: thin lines that enclose far more than they cover. If the object is what lies within, "
        "--fill-outlines fills them; as they are, a model learns the line"
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
