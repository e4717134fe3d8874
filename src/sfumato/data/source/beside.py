"""Pictures beside images and masks that have the names of these images, and of which the names of folders say nothing.

    images/1.png   masks/1_mask.gif   arteries/1.png   veins/1.png        further masks: which are meant?
    Images/1.jpg   Masks/1.png        Images_Cropped/1.jpg   Masks_Cropped/1.png    the same pictures in another form

Further masks on the same grid compete with those that were found, so a person must choose. Other forms of the same
pictures are left out, and told: as cases of their own they would show a patient twice.
"""

from collections import defaultdict
from collections.abc import Sequence

from sfumato.data.formats.image import read_image
from sfumato.data.manifest import folded
from sfumato.data.source.listing import Entry, Parts
from sfumato.data.source.pairing import Matched, Owned, Picture
from sfumato.data.source.patterns import told_files
from sfumato.data.source.rivals import ways
from sfumato.data.source.undecided import Masks
from sfumato.data.source.witness import have_few_values
from sfumato.data.source.words import shared_stem
from sfumato.errors import DataError, listed
from sfumato.wording import counted


def without_pictures_beside(matched: Matched, images: Sequence[Picture]) -> tuple[Matched, list[str]]:
    """What was matched without further forms of its images, and a note on these.

    Raises:
        DataError: some are masks of the same images.
    """
    bare = set(matched.bare)
    paired = {folded(image.stem): image for image in images if image.entry.locator in matched.owned}
    own = {image.entry.parts[:-1] for image in paired.values()}
    beside_these = {folder[:-1] for folder in own if folder}
    found = defaultdict[Parts, list[Entry]](list)
    for folder, image in ((image.entry.parts[:-1], image) for image in images):
        if image.entry.locator in bare and folder and folder not in own and folder[:-1] in beside_these:
            found[folder].append(image.entry)
    beside = {
        folder: entries
        for folder, entries in found.items()
        if 2 * sum(_name(entry) in paired for entry in entries) > len(entries)
    }
    if not beside:
        return matched, []
    masks = [entries for entries in beside.values() if _are_masks(entries, matched, paired)]
    if masks:
        raise _compete(masks, matched, paired)
    left = [entry for entries in beside.values() for entry in entries]
    names = {entry.locator for entry in left}
    note = (
        f"other pictures with the names of images, not used: {told_files(left, [entry.parts[-2] for entry in left])}; "
        "--images and --masks with a pattern choose them"
    )
    return matched._replace(bare=[name for name in matched.bare if name not in names]), [note]


def _name(entry: Entry) -> str:
    return folded(shared_stem(entry.stem))


def _are_masks(entries: Sequence[Entry], matched: Matched, paired: dict[str, Picture]) -> bool:
    """Whether pictures have few values and lie on the grid of the masks of their image."""
    entry = next(entry for entry in entries if _name(entry) in paired)
    mask = matched.owned[paired[_name(entry)].entry.locator][0]
    try:
        sizes = {read_image(one.locator).shape[:2] for one in (entry, mask.entry)}
    except DataError:
        return False
    return len(sizes) == 1 and have_few_values(entries)


def _compete(kinds: Sequence[Sequence[Entry]], matched: Matched, paired: dict[str, Picture]) -> DataError:
    """The error about further masks, with the patterns of each kind."""
    several: Masks = {image: list(masks) for image, masks in matched.owned.items()}
    for entries in kinds:
        for entry in entries:
            if _name(entry) in paired:
                several[paired[_name(entry)].entry.locator].append(Owned(entry, entry.parts[-2], ""))
    every = [mask.entry for masks in several.values() for mask in masks]
    return DataError(
        f"{counted(len(several), 'image has', 'images have')} pictures of few values, as masks have, in several "
        f"folders:\n{listed(told_files(every, [entry.parts[-2] for entry in every]).split(', '))}",
        expected="one kind of masks, or folders that are called after what they show below one of masks",
        remedy=f"choose one: {'; '.join(ways(several))}",
        code="DATA-011",
    )
