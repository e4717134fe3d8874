"""Images by their names, and the image of a mask among them: by the most specific rule that finds one.

First the same name in the same folders, then the same name alone, then both with fewer and fewer of the words of
`source.words`; then the longest name that the mask's continues, the channels that share its name, and the only image
of a folder.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import (
    DATATYPES,
    MODALITIES,
    qualifier,
    tokens,
    without_image_words,
    without_mask_words,
)

_Home = tuple[str | None, tuple[str, ...]]
"""A split and a group."""

_Key = tuple[str | None, tuple[str, ...], str]
"""A split, a group and a name."""


class Hit(NamedTuple):
    """The images that a mask belongs to (channels where several), and what its path has beyond theirs."""

    images: tuple[Picture, ...]
    folder: str
    rest: str

    @property
    def first(self) -> str:
        """The locator of the image, or of its first channel."""
        return self.images[0].entry.locator


class MaskPlace(NamedTuple):
    """A group in which the image of a mask may be, and what the folder of the mask is called beyond it."""

    group: tuple[str, ...]
    folder: str


class _Name(NamedTuple):
    """What the image of a mask may be called, and what the mask's name has beyond it."""

    stem: str
    rest: str


class _Channels(NamedTuple):
    """Images by their names without the last word, and where there are any of such a beginning."""

    images: defaultdict[_Key, list[Picture]]
    homes: defaultdict[str, set[_Home]]


class ImageIndex:
    """Images by split, group and stem, with fewer and fewer words of their names."""

    def __init__(self, images: Sequence[Picture]) -> None:
        self.images = images
        self._by_stem = defaultdict[str, list[Picture]](list)
        self._by_home = defaultdict[_Home, list[Picture]](list)
        self._exact = defaultdict[_Key, list[Picture]](list)
        self._plain = defaultdict[_Key, list[Picture]](list)
        self._by_plain_stem = defaultdict[str, list[Picture]](list)
        for image in images:
            self._add(image)

    def _add(self, image: Picture) -> None:
        self._by_stem[image.stem].append(image)
        self._by_home[image.split, image.group].append(image)
        self._exact[image.split, image.group, image.stem].append(image)
        plain = {folded(way.stem) for way in without_image_words(image.stem)}
        for stem in plain | {folded(image.stem)}:
            self._plain[image.split, image.group, stem].append(image)
            if stem:
                self._by_plain_stem[stem].append(image)

    def find(self, mask: Picture) -> Hit | None:
        """The image of a mask, by the most specific rule that finds one."""
        names = _names(mask)
        for name in names:
            if hit := self._of_name(mask, name):
                return hit
        for name in names:
            if hit := self._by_words(mask, name):
                return self._with_other_channels(mask, hit, name)
        return self._continued(mask) or self._of_channels(mask, names) or self._only_one(mask, names)

    def _of_name(self, mask: Picture, name: _Name) -> Hit | None:
        for place in mask_places(mask):
            if found := self._exact.get((mask.split, place.group, name.stem)):
                return Hit((_of_the_same(found, mask),), place.folder, name.rest)
        return self._anywhere(mask, name) if name.stem else None

    def _anywhere(self, mask: Picture, name: _Name) -> Hit | None:
        """The image of a name that no other has."""
        found = self._by_stem.get(name.stem, [])
        return Hit(tuple(found), inner_folder(mask, mask.below), name.rest) if len(found) == 1 else None

    def _by_words(self, mask: Picture, name: _Name) -> Hit | None:
        stem = folded(name.stem)
        for place in mask_places(mask):
            found = self._plain.get((mask.split, place.group, stem), [])
            if len(found) > 1 and not stem and all(image.stem.lower() in MODALITIES for image in found):
                found = self._with_all_of_the_case(found)
            if _is_one(found, stem):
                return Hit(tuple(found), place.folder, name.rest)
        found = self._by_plain_stem.get(stem, []) if stem else []
        sessions = {(image.split, _session(image)) for image in found}
        if len(sessions) == 1 and _is_one(found, stem):
            return Hit(tuple(found), inner_folder(mask, mask.below), name.rest)
        return None

    def _with_all_of_the_case(self, found: list[Picture]) -> list[Picture]:
        """Channels that are called after what made them alone, with those beside them that most such folders have.

        `CT`, `PET` and, of each case too, `CTres` and `SUV`.
        """
        home = self._by_home[found[0].split, found[0].group]
        beside = [image for image in home if self._cases_with[image.stem] > 1]
        often = [image for image in beside if 2 * self._cases_with[image.stem] > self._cases_with[found[0].stem]]
        return [image for image in home if image in found or image in often]

    @cached_property
    def _cases_with(self) -> Mapping[str, int]:
        """In how many folders there is an image of each name."""
        return {stem: len({(image.split, image.group) for image in found}) for stem, found in self._by_stem.items()}

    def _with_other_channels(self, mask: Picture, hit: Hit, name: _Name) -> Hit:
        """The same image with those beside it that have other words, where its own is a modality: `1_T2`, `1_C0`.

        Beside a mask that its name marks, other words may be those of further masks.
        """
        image, *others = hit.images
        if others or mask.is_marked or folded(image.stem) == folded(name.stem):
            return hit
        channels = self._of_channels(mask, [name])
        return channels if channels is not None and image in channels.images else hit

    def _continued(self, mask: Picture) -> Hit | None:
        """The image whose name the mask's continues, the longest."""
        if mask.role != "mask" and not mask.is_marked:
            return None
        for name in _beginnings(mask.stem):
            is_numbered = all(token.number is not None for token in tokens(name.rest))
            if is_numbered and self._has_numbers:
                continue
            for place in mask_places(mask):
                if found := self._exact.get((mask.split, place.group, name.stem)):
                    return Hit((found[0],), place.folder, name.rest)
            if hit := self._anywhere(mask, name):
                return hit
        return None

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether images continue the names of others by numbers: then a number behind a name means another image."""
        for stem in self._by_stem:
            start = re.sub(r"[ _.-]+\d+$", "", stem)
            if start != stem and start in self._by_stem:
                return True
        return False

    def _only_one(self, mask: Picture, names: Sequence[_Name]) -> Hit | None:
        """The only image in the folder of a mask whose name has nothing but words for masks."""
        found = self._by_home.get((mask.split, mask.group), [])
        if not mask.group or len(found) != 1:
            return None
        for name in names:
            if not name.stem:
                return Hit(tuple(found), mask.folder, name.rest)
        return None

    def _of_channels(self, mask: Picture, names: Sequence[_Name]) -> Hit | None:
        """Images in one folder whose names continue that of the mask by one word each, wherever no others do."""
        for name in names:
            if hit := self._of_channels_beside(mask, name) or self._of_channels_anywhere(mask, name):
                return hit
        return None

    def _of_channels_beside(self, mask: Picture, name: _Name) -> Hit | None:
        for place in mask_places(mask):
            found = self._channels.images.get((mask.split, place.group, folded(name.stem)), [])
            if len(found) > 1 and (name.stem or _are_of_several_kinds(found)):
                return Hit(tuple(found), place.folder, name.rest)
        return None

    def _of_channels_anywhere(self, mask: Picture, name: _Name) -> Hit | None:
        homes = self._channels.homes.get(folded(name.stem), set()) if name.stem else set()
        if len(homes) != 1:
            return None
        split, group = next(iter(homes))
        found = self._channels.images[split, group, folded(name.stem)]
        return Hit(tuple(found), inner_folder(mask, mask.below), name.rest) if len(found) > 1 else None

    @cached_property
    def _channels(self) -> _Channels:
        channels = _Channels(defaultdict(list), defaultdict(set))
        for image in self.images:
            start, _, word = image.stem.rpartition("_")
            if re.search(r"[^\W\d]", word):
                channels.images[image.split, image.group, folded(start)].append(image)
                channels.homes[folded(start)].add((image.split, image.group))
        return channels


def mask_places(mask: Picture) -> Iterator[MaskPlace]:
    """The groups in which the image of a mask may be, the nearest first."""
    for dropped in range(mask.below + 1):
        group = mask.group[: len(mask.group) - dropped]
        yield MaskPlace(group, inner_folder(mask, dropped))


def inner_folder(mask: Picture, dropped: int) -> str:
    """The folder of a mask and those of the last folders that are no part of its image's group."""
    inner = mask.group[len(mask.group) - dropped :]
    return "/".join((mask.folder, *inner)).strip("/")


def stems_of_image(stem: str) -> Iterator[str]:
    """A mask's name without its words; of BIDS also without the entities that only masks have."""
    for way in without_mask_words(stem):
        yield way.stem
        shorter = re.sub(r"_(?:desc|label|seg|atlas|space|res|dseg)-[^_]*", "", way.stem)
        if shorter != way.stem:
            yield shorter


def _names(mask: Picture) -> list[_Name]:
    """What the image of a mask may be called, beginning with the whole name of the mask."""
    others = (_Name(stem, _beyond(mask.stem, stem)) for stem in stems_of_image(mask.stem))
    return [_Name(mask.stem, ""), *others]


def _beyond(name: str, stem: str) -> str:
    """What a name has beyond a stem: all of it, where the stem does not stand in it."""
    if not stem:
        return name
    before, found, behind = name.partition(stem)
    return before + behind if found else name


def _beginnings(stem: str) -> Iterator[_Name]:
    """The beginnings of a name that end before a separator, the longest first."""
    for separator in reversed(list(re.finditer(r"[ _.-]+", stem))):
        if separator.start():
            yield _Name(stem[: separator.start()], stem[separator.start() :])


def _session(image: Picture) -> tuple[str, ...]:
    """The folders of an image without that which says how it was made, as in BIDS."""
    return image.group[:-1] if image.group and image.group[-1] in DATATYPES else image.group


def _are_of_several_kinds(images: Sequence[Picture]) -> bool:
    """Whether names differ by more than a number, or are those of modalities: `case 1` and `case 2` are two cases."""
    names = {image.stem.lower() for image in images}
    without_numbers = {re.sub(r"\d+", "", name) for name in names}
    return names <= MODALITIES or len(without_numbers) > 1


def _of_the_same(found: Sequence[Picture], mask: Picture) -> Picture:
    """Of images of one name the one whose folder is called by the same words: `Images_Square` and `Masks_Square`."""
    for image in found:
        if qualifier(image.folder) == qualifier(mask.folder):
            return image
    return found[0]


def _is_one(found: Sequence[Picture], stem: str) -> bool:
    """Whether images are one: a single file, or the channels of one image."""
    if len(found) < 2:
        return len(found) == 1
    return all(folded(image.stem) != stem for image in found)
