"""The patterns of the images that have masks, where other pictures of their names stand beside them without any."""

from collections.abc import Sequence
from pathlib import Path

from sfumato.data.source.byhand import compiled
from sfumato.data.source.listing import PathParts
from sfumato.data.source.pairing import Parted
from sfumato.data.source.patterns import pattern
from sfumato.data.source.ways import patterns_of
from sfumato.data.source.words import read_folder


def way_of_paired(parted: Parted) -> str:
    """The patterns of images with masks and of these; empty where they would not be what is meant.

    They are where pictures without masks have the names of others that have some, and lie elsewhere.
    """
    owned = parted.matched.owned
    images = {image.entry.locator: image for image in parted.images}
    paired = [images[locator] for locator in owned if locator in images]
    named = {image.stem for image in paired}
    bare = [images[locator] for locator in parted.matched.bare if locator in images]
    if not paired or not bare or not all(image.stem in named for image in bare):
        return ""
    if any(read_folder(part).role == "mask" for image in bare for part in image.entry.parts[:-1]):  # masks too, perhaps
        return ""
    first = paired[0]
    masks = [mask.entry for image in paired for mask in owned[image.entry.locator]]
    both = patterns_of(first.entry.locator, owned[first.entry.locator][0])
    if not both:
        return ""
    image_pattern = _anywhere(both[0], [image.entry.parts[:-1] for image in paired])
    mask_pattern = _anywhere(both[1], [mask.parts[:-1] for mask in masks])
    meant, drawn = compiled(image_pattern, "--images"), compiled(mask_pattern, "--masks")
    fits = all(meant.fullmatch(image.entry.where) for image in paired) and all(
        drawn.fullmatch(mask.where) for mask in masks
    )
    others = any(one.fullmatch(image.entry.where) for image in bare for one in (meant, drawn))
    return f"--images '{image_pattern}' --masks '{mask_pattern}'" if fits and not others else ""


def _anywhere(text: str, folders: Sequence[PathParts]) -> str:
    """A pattern of one file with the folders of all, where these are of one depth."""
    if len({len(parts) for parts in folders}) > 1:
        return text
    return "/".join(filter(None, (pattern(folders), Path(text).name)))
