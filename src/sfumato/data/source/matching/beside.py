"""Pictures beside images and masks that have the names of these images, and of which the names of folders say nothing.

    images/1.png   masks/1_mask.gif   arteries/1.png   veins/1.png        further masks: which are meant?
    Images/1.jpg   Masks/1.png        Images_Cropped/1.jpg   Masks_Cropped/1.png    the same pictures in another form
    images/1.jpg   masks/1.png        images/1_superpixels.png                      also with a word behind their names

Further masks on the same grid compete with those that were found, so a person must choose. Other forms of the same
pictures are left out, and told: as cases of their own they would show a patient twice.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sfumato.data.formats.image import read_image
from sfumato.data.manifest import folded
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.mask_files import MaskFiles, all_masks
from sfumato.data.source.matching.pairing import Matched, Owned
from sfumato.data.source.matching.proposed import flags_for_channels
from sfumato.data.source.matching.undecided import flags_for
from sfumato.data.source.matching.ways import way_of
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import SIDES, shared_stem
from sfumato.errors import DataError, listed
from sfumato.wording import counted

BEHIND = re.compile(r"(.+)[ _.-]([^\W\d_]+)")
"""A name, and a word behind it."""


class Further(NamedTuple):
    """A picture without a mask, and the image with one whose name it has."""

    entry: SourceFile
    image: Picture | None


def without_pictures_beside(matched: Matched, images: Sequence[Picture], *, said: bool) -> tuple[Matched, list[str]]:
    """What was matched without further forms of its images, and a note on these.

    Args:
        matched: which masks the images have.
        images: all of them.
        said: whether a person said which masks are meant.

    Raises:
        DataError: some are masks of the same images, and nobody said which are meant.
    """
    bare = set(matched.bare)
    alone = [image.entry for image in images if image.entry.locator in bare]
    paired = [image for image in images if image.entry.locator in matched.owned]
    if not alone or not paired:
        return matched, []
    beside = [*_in_folders_beside(alone, paired), *_with_a_word_behind(alone, paired)]
    if not beside:
        return matched, []
    way = ""
    if not said:
        if masks := [pictures for pictures in beside if _are_masks(pictures, matched)]:
            raise _compete(masks, matched)
        further = dict.fromkeys(further.entry for pictures in beside for further in pictures)
        way = flags_for_channels(list(further), matched.owned)
    names = {further.entry.locator for pictures in beside for further in pictures}
    return matched._replace(bare=[name for name in matched.bare if name not in names]), [_told(beside, way)]


def _told(beside: Sequence[Sequence[Further]], way: str) -> str:
    """The line about pictures that are left out, and how they are taken all the same."""
    kinds = {further.entry: kind for kind, pictures in enumerate(beside) for further in pictures}
    files = told_files(list(kinds), list(kinds.values()))
    choice = f"{way} takes them as channels of these" if way else "--images and --masks with a pattern choose them"
    return f"other pictures with the names of images, not used: {files}; {choice}"


def _in_folders_beside(alone: Sequence[SourceFile], paired: Sequence[Picture]) -> Iterator[list[Further]]:
    """Pictures in folders beside those of images, most of which are called like these."""
    named = {folded(image.stem): image for image in paired}
    own = {image.entry.parts[:-1] for image in paired}
    beside_these = {folder[:-1] for folder in own if folder}
    found = defaultdict[str, list[Further]](list)
    for entry in alone:
        folder = entry.parts[:-1]
        if folder and folder not in own and folder[:-1] in beside_these:
            image = named.get(folded(entry.stem)) or named.get(folded(shared_stem(entry.stem)))
            found[folder[-1]].append(Further(entry, image))
    for pictures in found.values():
        if 2 * sum(further.image is not None for further in pictures) > len(pictures):
            yield pictures


def _with_a_word_behind(alone: Sequence[SourceFile], paired: Sequence[Picture]) -> Iterator[list[Further]]:
    """Pictures called after images in their folder, with one word behind that is there for most of these images."""
    named = {(image.entry.parts[:-1], folded(image.stem)): image for image in paired}
    found = defaultdict[str, list[Further]](list)
    for entry in alone:
        parts = BEHIND.fullmatch(folded(entry.stem))
        image = named.get((entry.parts[:-1], parts[1])) if parts else None
        if parts and image is not None and parts[2] not in SIDES:
            found[parts[2]].append(Further(entry, image))
    yield from (pictures for pictures in found.values() if 2 * len(pictures) > len(paired))


def _are_masks(pictures: Sequence[Further], matched: Matched) -> bool:
    """Whether pictures have few values and lie on the grid of the masks of their image."""
    entry, image = next((entry, image) for entry, image in pictures if image is not None)
    mask = matched.owned[image.entry.locator][0]
    try:
        sizes = {read_image(one.locator).shape[:2] for one in (entry, mask.entry)}
    except DataError:
        return False
    return len(sizes) == 1 and have_few_values([entry for entry, _ in pictures])


def _compete(kinds: Sequence[Sequence[Further]], matched: Matched) -> DataError:
    """The error about further masks, with the patterns of each kind."""
    several: MaskFiles = {image: list(masks) for image, masks in matched.owned.items()}
    kind_of_each = dict[SourceFile, object]()
    for mask in all_masks(several):
        kind_of_each[mask.entry] = (mask.folder, mask.rest)
    for kind, pictures in enumerate(kinds):
        for entry, image in pictures:
            kind_of_each[entry] = kind
            if image is not None:
                several[image.entry.locator].append(Owned(entry, "", ""))
    every = dict.fromkeys(kind_of_each.values())
    ways = [way_of(several, lambda mask, kind=kind: kind_of_each[mask.entry] == kind) for kind in every]
    shown = told_files(list(kind_of_each), list(kind_of_each.values())).split(", ")
    return DataError(
        f"{counted(len(several), 'image has', 'images have')} pictures of few values, as masks have, of several "
        f"kinds:\n{listed(shown)}",
        expected="one kind of masks, or folders that are called after what they show below one of masks",
        remedy=f"choose one: {'; '.join(filter(None, ways)) or flags_for(several)}",
        code="DATA-011",
    )
