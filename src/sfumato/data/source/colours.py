"""What colours of masks mean: by a table beside them (`sfumato.data.formats.colours`), or as numbers in red alone."""

from collections.abc import Sequence

from sfumato.data.formats.colours import LABELMAP_FILE, LOSSY, find_colours
from sfumato.data.formats.image import is_image_name, is_in_colours, is_in_red_alone, read_mask
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.errors import DataError
from sfumato.escape import visible

_SAMPLE = 24
"""Masks that are looked at where no table is: the first may be empty."""


def colour_names(cases: Sequence[Case]) -> tuple[dict[int, str], list[str]]:
    """Names of the classes by index, and what is said of them; the first masks stand for all."""
    masks = [Locator.parse(case.masks[0]) for case in cases if case.masks]
    masks = [mask for mask in masks[:: max(1, len(masks) // _SAMPLE)][:_SAMPLE] if _is_picture(mask)]
    try:
        table = find_colours(masks[0].path) if masks else None
        if table is None:
            return {}, [*_about_red(masks)]
        if not is_in_colours(masks[0].path):
            return {}, [f"{LABELMAP_FILE} is not used: the masks are not in colours"]
    except DataError:  # told when the masks are read
        return {}, []
    names = dict(enumerate(table.names))
    nearest = ", each pixel by the nearest one, since JPEG blurs them" if masks[0].path.suffix.lower() in LOSSY else ""
    told = ", ".join(map(visible, table.names))
    return names, [f"the masks are read by the colours of {LABELMAP_FILE}{nearest}: {told}"]


def _is_picture(mask: Locator) -> bool:
    return not mask.member and is_image_name(mask.path.name)


def _about_red(masks: Sequence[Locator]) -> list[str]:
    """A line about masks in colours whose numbers stand in red.

    Raises:
        DataError: others have further colours.
    """
    others = [mask for mask in masks if not is_in_red_alone(mask.path)]
    if len(others) == len(masks):
        return []
    for mask in others:
        read_mask(str(mask))
    return [
        "the masks are in colours of which red alone is used: its numbers are their values; if they are colours, "
        f"{LABELMAP_FILE} beside them says what each means"
    ]
