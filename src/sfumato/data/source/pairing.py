"""Which mask belongs to which image, by their names.

A mask belongs to the image of the same split, group and stem, once the words of `source.words` are taken off both;
where stems are unique, the stem alone decides. The order of files never does. Where no stem fits, a mask whose name
continues that of an image is one of it (`IDRiD_01` and `IDRiD_01_MA`), and masks in a folder beside a single image are
its (`s0001/ct` and `s0001/segmentations/liver`), or those of several images of the same names in each folder of a case
(`source.casefolders`). Several images that differ by what made them, and share a mask, are
channels of one (`p1_t1`, `p1_flair` and `p1_seg`). What has no partner is listed in full.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.beginnings import by_beginning
from sfumato.data.source.casefolders import channels_beside
from sfumato.data.source.listing import PathParts, SourceFile, ending_among
from sfumato.data.source.nearest import with_nearest
from sfumato.data.source.patterns import common_start, told_folders
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import (
    DATATYPES,
    MODALITIES,
    SIDES,
    qualifier,
    tokens,
    without_image_words,
    without_mask_words,
)
from sfumato.errors import DataError
from sfumato.wording import counted

Key = tuple[str | None, tuple[str, ...], str]


class Owned(NamedTuple):
    """A mask of an image: its file, its folder below the group, and what its name has beyond that of the image."""

    entry: SourceFile
    folder: str
    rest: str


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
        bare = counted(len(self.bare), "image without a mask", "images without a mask")
        orphans = counted(len(self.orphans), "mask without an image", "masks without an image")
        return ", ".join(text for text, names in ((bare, self.bare), (orphans, self.orphans)) if names)

    def complaint(self, *, kept: int, pairs: str = "", way: str = "") -> DataError:
        """The error that lists them all; leaving them out helps where more is kept than lost.

        Args:
            kept: how many images have masks.
            pairs: the flags that pair what has no partner.
            way: the patterns of these alone, where what has none are further pictures of them.
        """
        parts = [
            f"{counted(len(names), f'{what} has', f'{what}s have')} no {other}{told_folders(names)}:\n"
            + with_nearest(names, others)
            for what, other, names, others in (
                ("image", "mask", self.bare, self.orphans),
                ("mask", "image", self.orphans, self.bare),
            )
            if names
        ]
        ending = ending_among([PurePath(name).name for name in (*self.bare, *self.orphans)])
        by_name = f"--images 'PLACE/{{id}}{ending}' --masks 'PLACE/{{id}}_outline{ending}'"
        drop = self._without_these(kept)
        drop += f"; if these are other pictures of images that have masks, name the images alone: {way}" if way else ""
        return DataError(
            "\n  ".join(parts),
            expected="the same name for an image and its mask, but for the ending and _mask, _gt, _segmentation ...",
            remedy=f"give the folder of the masks with --masks, say how the names go together ({pairs or by_name})"
            + drop,
            code="DATA-010",
        )

    def _without_these(self, kept: int) -> str:
        """The way to leave out what has no partner: with masks for all, even where more is left out than kept."""
        if len(self.unpaired) < kept:
            return ", or leave these out with --drop-unpaired"
        return "" if self.orphans or not kept else f", or {told_kept(kept, len(self.bare))}"


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
    index = ImageIndex(images)
    owned: dict[str, list[Owned]] = defaultdict(list)
    channels, taken = dict[str, tuple[Picture, ...]](), set[str]()
    orphans = [mask.locator for mask, image in known.items() if not image]
    for entry, image in known.items():
        if image:
            owned[image].append(Owned(entry, "", entry.name))
            taken.add(image)
    hits, notes = [(mask, index.find(mask)) for mask in masks], tuple[str, ...]()
    if not any(hit for _, hit in hits):
        hits = _called_otherwise(index, masks) or _called_otherwise_beside(index, masks) or hits
    if not any(hit for _, hit in hits) and (begun := hits_by_beginning(index, masks)):
        hits, notes = begun, (_told_beginning(begun),)
    alone = [mask for mask, hit in hits if hit is None]
    lone = _beside_one_image(images, alone)
    if len(alone) == len(masks) and not lone:
        beside = channels_beside(images, alone)
        lone = {
            mask.entry.locator: _hit(beside[mask.entry.locator], _inner(mask, mask.below), mask.stem)
            for mask in alone
            if mask.entry.locator in beside
        }
    at_home = {hit.images[0].entry.locator for mask, hit in hits if hit and _is_at_home(mask, hit)}
    for mask, found in hits:
        hit = found or lone.get(mask.entry.locator)
        if hit is None or (hit.images[0].entry.locator in at_home and not _is_at_home(mask, hit)):
            orphans.append(mask.entry.locator)
            continue
        first = hit.images[0].entry.locator
        owned[first].append(Owned(mask.entry, _beyond(hit.folder, hit.images[0]), hit.rest))
        taken.update(image.entry.locator for image in hit.images)
        if len(hit.images) > 1:
            channels[first] = hit.images
    bare = [image.entry.locator for image in images if image.entry.locator not in taken]
    return Matched(dict(owned), channels, bare, orphans, notes)


def hits_by_beginning(index: "ImageIndex", masks: Sequence[Picture]) -> list[tuple[Picture, "Hit | None"]]:
    """The images of masks whose names are the beginnings of theirs, and of no others: `226` of `226_61be_R_CC_ANON`.

    Empty where most masks have none even so.
    """
    begun = by_beginning((image.stem, image) for image in index.images)
    ways = [(mask, (mask.stem, *_ways(mask.stem))) for mask in masks]
    found = [(mask, next((begun[folded(stem)] for stem in stems if folded(stem) in begun), [])) for mask, stems in ways]
    hits = [(mask, _hit(images, _inner(mask, mask.below), "") if len(images) == 1 else None) for mask, images in found]
    return hits if 2 * sum(hit is not None for _, hit in hits) > len(hits) else []


def _told_beginning(hits: Sequence[tuple[Picture, "Hit | None"]]) -> str:
    mask, image = next((mask, hit.images[0]) for mask, hit in hits if hit is not None)
    return (
        "names of masks are the beginnings of those of their images, each of one alone: "
        f"{mask.entry.where} is the mask of {image.entry.where}"
    )


def _called_otherwise(index: "ImageIndex", masks: Sequence[Picture]) -> list[tuple[Picture, "Hit | None"]]:
    """The images of masks where another word stands before or behind all names: `bus_01-l`, `mask_01-l`; `1`, `p1`.

    Empty where most masks have none even so.
    """
    homes = [{picture.entry.parts[:-1] for picture in pictures} for pictures in (index.images, masks)]
    apart = homes[0].isdisjoint(homes[1])
    before, behind = _around([image.stem for image in index.images], letters=apart)
    start, end = map(len, _around([mask.stem for mask in masks], letters=apart))
    hits = [
        (mask, index.find(mask._replace(stem=before + mask.stem[start : len(mask.stem) - end] + behind)))
        for mask in masks
    ]
    return hits if 2 * sum(hit is not None for _, hit in hits) > len(hits) else []


def _called_otherwise_beside(index: "ImageIndex", masks: Sequence[Picture]) -> list[tuple[Picture, "Hit | None"]]:
    """The same by the images beside the masks alone: others may end otherwise, as those of another sequence do."""
    homes = defaultdict[PathParts, list[Picture]](list)
    for mask in masks:
        homes[mask.entry.parts[:-1]].append(mask)
    beside = defaultdict[PathParts, list[Picture]](list)
    for image in index.images:
        beside[image.entry.parts[:-1]].append(image)
    return [hit for home, drawn in homes.items() for hit in _called_otherwise(ImageIndex(beside[home]), drawn)]


def _around(names: Sequence[str], *, letters: bool) -> tuple[str, str]:
    """The words that stand before and behind all of several names; numbers tell cases apart.

    Args:
        names: of files without their endings.
        letters: whether letters before the numbers of all count too, as where masks have folders of their own.
    """
    if len(names) < 2:
        return "", ""
    before = _words_before(names)
    before += _letters_before_numbers(names, before) if letters else ""
    return before, _words_before([name[::-1] for name in names], word=r"(?=[^\W_]*[^\W\d_])[^\W_]+")[::-1]


def _words_before(names: Sequence[str], *, word: str = r"[^\W\d_]+") -> str:
    """The words that all names begin with; such as `ceT1` are words behind a name, and of cases before it."""
    words = re.match(rf"(?:{word}[ _.-]+)*", common_start(names))
    return words[0] if words else ""


def _letters_before_numbers(names: Sequence[str], before: str) -> str:
    """The letters between words and the number of each name; sides tell images apart."""
    found = re.match(r"[^\W\d_]+", common_start(names)[len(before) :])
    letters = found[0] if found else ""
    numbered = all(name[len(before) + len(letters) :][:1].isdigit() for name in names)
    return letters if numbered and letters.lower() not in SIDES else ""


def _beyond(folder: str, image: Picture) -> str:
    """The folders of a mask without those in which its image lies too: these tell classes of images, not of pixels.

    Nor does what the folders of both are called by beside their role: `images_C1` and `masks_C1`.
    """
    first, *inner = folder.split("/")
    above = {part.casefold() for part in image.entry.parts[:-1]}
    if qualifier(first) and qualifier(first) == qualifier(image.folder):
        first = " ".join(token.text for token in tokens(first) if token.marks_mask)
    return "/".join([first, *(part for part in inner if part.casefold() not in above)])


def _is_at_home(mask: Picture, hit: "Hit") -> bool:
    """Whether a mask lies in the folders of its image: what lies in those of others is no second mask of it."""
    image = hit.images[0]
    return mask.split in (image.split, None) and set(image.group) <= set(mask.group)


class Hit(NamedTuple):
    """The images that a mask belongs to (channels where several), and what its path has beyond theirs."""

    images: tuple[Picture, ...]
    folder: str
    rest: str


class ImageIndex:
    """Images by split, group and stem, with fewer and fewer words of their names."""

    def __init__(self, images: Sequence[Picture]) -> None:
        self.images = images
        self.names: dict[str, list[Picture]] = defaultdict(list)
        self.exact: dict[Key, list[Picture]] = defaultdict(list)
        self.plain: dict[Key, list[Picture]] = defaultdict(list)
        self.by_plain: dict[str, list[Picture]] = defaultdict(list)
        self.groups: dict[tuple[str | None, tuple[str, ...]], list[Picture]] = defaultdict(list)
        self._channels: dict[Key, list[Picture]] | None = None
        self._begun = defaultdict[str, set[tuple[str | None, tuple[str, ...]]]](set)
        self._numbered: bool | None = None
        for image in images:
            self.names[image.stem].append(image)
            self.groups[image.split, image.group].append(image)
            self.exact[image.split, image.group, image.stem].append(image)
            ways = {folded(way.stem) for way in without_image_words(image.stem)} | {folded(image.stem)}
            for stem in ways:
                self.plain[image.split, image.group, stem].append(image)
                if stem:
                    self.by_plain[stem].append(image)

    def find(self, mask: Picture) -> Hit | None:
        """The image of a mask, by the most specific rule that finds one."""
        variants = [(mask.stem, ""), *((stem, _taken(mask.stem, stem)) for stem in _ways(mask.stem))]
        for stem, rest in variants:
            for group, folder in _places(mask):
                if found := self.exact.get((mask.split, group, stem)):
                    return _hit([_of_the_same(found, mask)], folder, rest)
            if stem and len(named := self.names.get(stem, [])) == 1:
                return _hit(named, _inner(mask, mask.below), rest)
        for stem, rest in variants:
            if hit := self._by_words(mask, folded(stem), rest):
                return self._with_other_channels(mask, hit, (stem, rest))
        return self._continued(mask) or self._of_channels(mask, variants) or self._only_one(mask, variants)

    def _by_words(self, mask: Picture, stem: str, rest: str) -> Hit | None:
        for group, folder in _places(mask):
            found = self.plain.get((mask.split, group, stem), [])
            if _is_one(found, stem):
                return _hit(found, folder, rest)
        found = self.by_plain.get(stem, []) if stem else []
        if found and len({(image.split, _session(image)) for image in found}) == 1 and _is_one(found, stem):
            return _hit(found, _inner(mask, mask.below), rest)
        return None

    def _with_other_channels(self, mask: Picture, hit: Hit, variant: tuple[str, str]) -> Hit:
        """The same image with those beside it that have other words, where its own is a modality: `1_T2`, `1_C0`.

        Beside a mask that its name marks, other words may be those of further masks.
        """
        words = len(hit.images) == 1 and not mask.is_marked and folded(hit.images[0].stem) != folded(variant[0])
        channels = self._of_channels(mask, [variant]) if words else None
        return channels if channels is not None and hit.images[0] in channels.images else hit

    def _continued(self, mask: Picture) -> Hit | None:
        """The image whose name the mask's continues, the longest."""
        if mask.role != "mask" and not mask.is_marked:
            return None
        for cut in reversed([found.start() for found in re.finditer(r"[ _.-]+", mask.stem) if found.start()]):
            stem, rest = mask.stem[:cut], mask.stem[cut:]
            if not any(token.number is None for token in tokens(rest)) and self._has_numbers():
                continue
            for group, folder in _places(mask):
                if found := self.exact.get((mask.split, group, stem)):
                    return _hit(found[:1], folder, rest)
            if len(named := self.names.get(stem, [])) == 1:
                return _hit(named, _inner(mask, mask.below), rest)
        return None

    def _has_numbers(self) -> bool:
        """Whether images continue the names of others by numbers: then a number behind a name means another image."""
        if self._numbered is None:
            starts = (re.sub(r"[ _.-]+\d+$", "", stem) for stem in self.names)
            self._numbered = any(
                start in self.names and start != stem for start, stem in zip(starts, self.names, strict=True)
            )
        return self._numbered

    def _only_one(self, mask: Picture, variants: Sequence[tuple[str, str]]) -> Hit | None:
        """The only image in the folder of a mask whose name has nothing but words for masks."""
        found = self.groups.get((mask.split, mask.group), [])
        if not mask.group or len(found) != 1:
            return None
        return next((_hit(found, mask.folder, rest) for stem, rest in variants if not stem), None)

    def _of_channels(self, mask: Picture, variants: Sequence[tuple[str, str]]) -> Hit | None:
        """Images in one folder whose names continue that of the mask by one word each, wherever no others do."""
        if self._channels is None:
            self._channels = defaultdict(list)
            for image in self.images:
                start, _, word = image.stem.rpartition("_") if "_" in image.stem else ("", "", image.stem)
                if re.search(r"[^\W\d]", word):
                    self._channels[image.split, image.group, folded(start)].append(image)
                    self._begun[folded(start)].add((image.split, image.group))
        for stem, rest in variants:
            for group, folder in _places(mask):
                found = self._channels.get((mask.split, group, folded(stem)), [])
                if len(found) > 1 and (stem or _are_of_several_kinds(found)):
                    return _hit(found, folder, rest)
            if stem and len(homes := self._begun.get(folded(stem), set())) == 1:
                found = self._channels[(*next(iter(homes)), folded(stem))]
                if len(found) > 1:
                    return _hit(found, _inner(mask, mask.below), rest)
        return None


def _session(image: Picture) -> tuple[str, ...]:
    """The folders of an image without that which says how it was made, as in BIDS."""
    return image.group[:-1] if image.group and image.group[-1] in DATATYPES else image.group


def _are_of_several_kinds(images: Sequence[Picture]) -> bool:
    """Whether names differ by more than a number, or are those of modalities: `case 1` and `case 2` are two cases."""
    names = {image.stem.lower() for image in images}
    return names <= MODALITIES or len({re.sub(r"\d+", "", name) for name in names}) > 1


def _of_the_same(found: Sequence[Picture], mask: Picture) -> Picture:
    """Of images of one name the one whose folder is called by the same words: `Images_Square` and `Masks_Square`."""
    same = [image for image in found if qualifier(image.folder) == qualifier(mask.folder)]
    return (same or found)[0]


def _is_one(found: Sequence[Picture], stem: str) -> bool:
    """Whether images are one: a single file, or the channels of one image."""
    return len(found) == 1 or (len(found) > 1 and all(folded(image.stem) != stem for image in found))


def _hit(images: Sequence[Picture], folder: str, rest: str) -> Hit:
    return Hit(tuple(images), folder, rest)


def _ways(stem: str) -> Iterator[str]:
    """A mask's name without its words; of BIDS also without the entities that only masks have."""
    for way in without_mask_words(stem):
        yield way.stem
        if (shorter := re.sub(r"_(?:desc|label|seg|atlas|space|res|dseg)-[^_]*", "", way.stem)) != way.stem:
            yield shorter


def _taken(name: str, stem: str) -> str:
    """What a name has beyond a stem."""
    before, found, behind = name.partition(stem) if stem else ("", "", name)
    return before + behind if found or not stem else name


def _places(mask: Picture) -> Iterator[tuple[tuple[str, ...], str]]:
    """The groups in which the image of a mask may be, and what its folder is called beyond them."""
    for dropped in range(mask.below + 1):
        yield mask.group[: len(mask.group) - dropped], _inner(mask, dropped)


def _inner(mask: Picture, dropped: int) -> str:
    """The folder of a mask and those of the last folders that are no part of its image's group."""
    return "/".join((mask.folder, *mask.group[len(mask.group) - dropped :])).strip("/")


def _beside_one_image(images: Sequence[Picture], masks: Sequence[Picture]) -> dict[str, Hit]:
    """Masks in folders of masks whose group has a single image, where neither image nor masks have other partners."""
    groups: dict[tuple[str | None, tuple[str, ...]], list[Picture]] = defaultdict(list)
    for image in images:
        groups[image.split, image.group].append(image)
    hits = dict[str, Hit]()
    for mask in masks:
        if mask.role != "mask":
            continue
        for group, folder in _places(mask):
            beside = groups.get((mask.split, group), [])
            if len(beside) == 1 and (group or len(images) == 1):
                hits[mask.entry.locator] = _hit(beside, folder, mask.stem)
                break
    alone = len(images) == 1 and len(hits) == 1 and not images[0].group
    return {} if alone else hits
