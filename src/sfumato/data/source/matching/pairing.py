"""Which mask belongs to which image, by their names.

A mask belongs to the image of the same split, group and stem, once the words of `source.words` are taken off both;
where stems are unique, the stem alone decides. The order of files never does. Where no stem fits, a mask whose name
continues that of an image is one of it (`IDRiD_01` and `IDRiD_01_MA`), and masks in a folder beside a single image are
its (`s0001/ct` and `s0001/segmentations/liver`), or those of several images of the same names in each folder of a case
(`source.casefolders`). Several images that differ by what made them, and share a mask, are
channels of one (`p1_t1`, `p1_flair` and `p1_seg`). What has no partner is listed in full.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

from sfumato.data.source.listing import SourceFile, ending_among, place_among
from sfumato.data.source.matching.casefolders import channels_beside
from sfumato.data.source.matching.index import Hit, ImageIndex, inner_folder, mask_places
from sfumato.data.source.matching.renamed import (
    MaskHit,
    hits_by_beginning,
    hits_by_other_words,
    hits_by_other_words_beside,
    hits_by_shorter_images,
    told_beginning,
)
from sfumato.data.source.nearest import with_nearest
from sfumato.data.source.patterns import told_folders
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import READERS, qualifier, tokens
from sfumato.errors import DataError
from sfumato.wording import counted


class Owned(NamedTuple):
    """A mask of an image.

    Attributes:
        entry: its file.
        folder: its folder below the group.
        rest: what its name has beyond that of the image.
        said: its class as a person's pattern finds it, word for word; empty without one.
    """

    entry: SourceFile
    folder: str
    rest: str
    said: str = ""


NO_PARTNER = "left out because they have no partner"
"""How notes about images without a mask, and masks without an image, begin."""


class Matched(NamedTuple):
    """Masks of each image, its channels (both by the locator of the image), what has no partner, and what to know."""

    owned: Mapping[str, list[Owned]]
    channels: Mapping[str, tuple[Picture, ...]]
    bare: list[str]
    orphans: list[str]
    notes: tuple[str, ...] = ()

    @property
    def unpaired(self) -> list[str]:
        """Images without a mask, then masks without an image."""
        return [*self.bare, *self.orphans]

    def counts(self) -> str:
        """How many have no partner, in words."""
        counts = list[str]()
        if self.bare:
            counts.append(counted(len(self.bare), "image without a mask", "images without a mask"))
        if self.orphans:
            counts.append(counted(len(self.orphans), "mask without an image", "masks without an image"))
        return ", ".join(counts)

    def complaint(self, *, kept: int, pairs: str = "", images: str = "", masks: str = "") -> DataError:
        """The error that lists them all; leaving them out helps where more is kept than lost.

        Args:
            kept: how many images have masks.
            pairs: the flags that pair what has no partner.
            images: the patterns of these alone, where what has none are other pictures of them.
            masks: the patterns of one kind of masks, where those without an image are another kind.
        """
        lists = list[str]()
        if self.bare:
            lists.append(_without_partner("image", self.bare, "mask", self.orphans))
        if self.orphans:
            lists.append(_without_partner("mask", self.orphans, "image", self.bare))
        names = f" ({pairs or self._flags()})" if pairs or not (images or masks) else ""
        remedy = f"give the folder of the masks with --masks, say how the names go together{names}"
        remedy += self._without_these(kept)
        if images:
            remedy += f"; if these are other pictures of images that have masks, name the images alone: {images}"
        if masks:
            remedy += f"; if these are other masks of images that have some, name those that are meant: {masks}"
        return DataError(
            "\n  ".join(lists),
            expected="the same name for an image and its mask, but for the ending and _mask, _gt, _segmentation ...",
            remedy=remedy,
            code="DATA-010",
        )

    def _flags(self) -> str:
        """The flags that pair files by their names, in general."""
        ending = ending_among([PurePath(name).name for name in self.orphans or self.bare])
        return f"--images '{place_among(self.bare or self.orphans)}' --masks 'PLACE/{{id}}_outline{ending}'"

    def _without_these(self, kept: int) -> str:
        """The way to leave out what has no partner: with masks for all, even where more is left out than kept."""
        if len(self.unpaired) < kept:
            return ", or leave these out with --drop-unpaired"
        if self.orphans or not kept:
            return ""
        return f", or {told_kept(kept, len(self.bare))}"


def _without_partner(what: str, names: Sequence[str], other: str, others: Sequence[str]) -> str:
    """The list of the images without a mask, or of the masks without an image, with what is called nearly so."""
    have = counted(len(names), f"{what} has", f"{what}s have")
    return f"{have} no {other}{told_folders(names)}:\n{with_nearest(names, others)}"


def told_kept(kept: int, bare: int) -> str:
    """The way to go on with images that have masks, where more have none."""
    with_masks = counted(kept, "image that has a mask", "images that have a mask")
    return f"go on with --drop-unpaired, which keeps the {with_masks}, and leaves {bare} out"


class Parted(NamedTuple):
    """Images, and the masks that were found for them.

    Attributes:
        images: all of them.
        matched: which masks they have.
        notes: what was guessed.
        has_masks: whether there are masks at all.
    """

    images: list[Picture]
    matched: Matched
    notes: list[str]
    has_masks: bool


def match(images: Sequence[Picture], masks: Sequence[Picture], known: Mapping[SourceFile, str]) -> Matched:
    """Find the image of each mask.

    Args:
        images: the images.
        masks: the masks.
        known: masks with the locator of their image, or "" for none.
    """
    hits, notes = _hits_by_names(images, masks)
    at_home = {hit.first for mask, hit in hits if hit and _is_at_home(mask, hit)}
    found = _Found()
    for entry, image in known.items():
        found.add_known(entry, image)
    for mask, hit in _with_beside(hits, images, masks):
        if hit is None or (hit.first in at_home and not _is_at_home(mask, hit)):
            found.orphans.append(mask.entry.locator)
        else:
            found.add(mask, hit)
    bare = [image.entry.locator for image in images if image.entry.locator not in found.taken]
    owned = _by_folders_above(found.owned, {image.entry.locator: image for image in images})
    return Matched(owned, found.channels, bare, found.orphans, notes)


def _by_folders_above(owned: Mapping[str, list[Owned]], images: Mapping[str, Picture]) -> dict[str, list[Owned]]:
    """The masks with the folders above theirs too, where some image has several of one folder and name.

    `masks/a.png` and `vague areas/masks/a.png`; what the image lies in too tells nothing, and readers draw the same.
    """
    if all(len({(mask.folder, mask.rest) for mask in masks}) == len(masks) for masks in owned.values()):
        return dict(owned)
    return {image: [_with_folders_above(mask, images.get(image)) for mask in masks] for image, masks in owned.items()}


def _with_folders_above(mask: Owned, image: Picture | None) -> Owned:
    above = {part.casefold() for part in image.entry.parts[:-1]} if image else set[str]()
    apart = [part for part in mask.entry.parts[:-1] if part.casefold() not in above and not _says_reader(part)]
    return mask._replace(folder="/".join(apart)) if mask.folder else mask


def _says_reader(folder: str) -> bool:
    return any(token.text in READERS for token in tokens(folder))


@dataclass
class _Found:
    """What was found so far: the masks and channels of each image, masks without one, and images that are taken."""

    owned: defaultdict[str, list[Owned]] = field(default_factory=lambda: defaultdict(list))
    channels: dict[str, tuple[Picture, ...]] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def add_known(self, entry: SourceFile, image: str) -> None:
        """Add a mask whose content says its image."""
        if image:
            self.owned[image].append(Owned(entry, "", entry.name))
            self.taken.add(image)
        else:
            self.orphans.append(entry.locator)

    def add(self, mask: Picture, hit: Hit) -> None:
        """Add a mask with the image that it was found to belong to."""
        self.owned[hit.first].append(Owned(mask.entry, _beyond(hit.folder, hit.images[0]), hit.rest))
        self.taken.update(image.entry.locator for image in hit.images)
        if len(hit.images) > 1:
            self.channels[hit.first] = hit.images


def _hits_by_names(images: Sequence[Picture], masks: Sequence[Picture]) -> tuple[list[MaskHit], tuple[str, ...]]:
    """The image of each mask by its name, and a note where names say it by their beginnings alone."""
    index = ImageIndex(images)
    hits = [MaskHit(mask, index.find(mask)) for mask in masks]
    if any(hit for _, hit in hits):
        return hits, ()
    if renamed := hits_by_other_words(index, masks) or hits_by_other_words_beside(index, masks):
        return renamed, ()
    if shorter := hits_by_shorter_images(index, masks):
        return shorter, ()
    if begun := hits_by_beginning(index, masks):
        return begun, (told_beginning(begun),)
    return hits, ()


def _with_beside(hits: Sequence[MaskHit], images: Sequence[Picture], masks: Sequence[Picture]) -> list[MaskHit]:
    """The same with images for masks whose names say none: those beside them in the folder of a case."""
    alone = [mask for mask, hit in hits if hit is None]
    beside = _beside_one_image(images, alone)
    if not beside and len(alone) == len(masks):
        beside = _beside_channels(images, alone)
    return [MaskHit(mask, hit or beside.get(mask.entry.locator)) for mask, hit in hits]


def _is_at_home(mask: Picture, hit: Hit) -> bool:
    """Whether a mask lies in the folders of its image: what lies in those of others is no second mask of it."""
    image = hit.images[0]
    return mask.split in (image.split, None) and set(image.group) <= set(mask.group)


def _beside_one_image(images: Sequence[Picture], masks: Sequence[Picture]) -> dict[str, Hit]:
    """Masks in folders of masks whose group has a single image, where neither image nor masks have other partners."""
    groups = defaultdict[tuple[str | None, tuple[str, ...]], list[Picture]](list)
    for image in images:
        groups[image.split, image.group].append(image)
    hits = dict[str, Hit]()
    for mask in masks:
        if mask.role != "mask":
            continue
        for group, folder in mask_places(mask):
            beside = groups.get((mask.split, group), [])
            if len(beside) == 1 and (group or len(images) == 1):
                hits[mask.entry.locator] = Hit(tuple(beside), folder, mask.stem)
                break
    alone = len(images) == 1 and len(hits) == 1 and not images[0].group
    return {} if alone else hits


def _beside_channels(images: Sequence[Picture], masks: Sequence[Picture]) -> dict[str, Hit]:
    """Masks in the folders of cases that hold the channels of one image each."""
    beside = channels_beside(images, masks)
    hits = dict[str, Hit]()
    for mask in masks:
        if channels := beside.get(mask.entry.locator):
            hits[mask.entry.locator] = Hit(channels, inner_folder(mask, mask.below), mask.stem)
    return hits


def _beyond(folder: str, image: Picture) -> str:
    """The folders of a mask without those in which its image lies too: these tell classes of images, not of pixels.

    Nor does what the folders of both are called by beside their role: `images_C1` and `masks_C1`.
    """
    first, *inner = folder.split("/")
    above = {part.casefold() for part in image.entry.parts[:-1]}
    if qualifier(first) and qualifier(first) == qualifier(image.folder):
        first = " ".join(token.text for token in tokens(first) if token.marks_mask)
    return "/".join([first, *(part for part in inner if part.casefold() not in above)])
