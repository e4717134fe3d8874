"""Masks that are called otherwise than their images: by another word around all names, or by their beginnings.

images/bus_01-l.png           masks/mask_01-l.png       other words before all names
images/1.png                  masks/p1.png              other letters before all numbers
images/226_61be_R_CC.png      masks/226.png             the beginning of a name, and of no other
pre/p1_01_flair_pp.nii        masks/p1_01_mask1.nii     a word behind all names of images, which masks have not
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.beginnings import by_beginning
from sfumato.data.source.listing import PathParts
from sfumato.data.source.matching.index import Hit, ImageIndex, inner_folder, stems_of_image
from sfumato.data.source.patterns import common_start
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import SIDES


class MaskHit(NamedTuple):
    """A mask, and the image it belongs to; None where none was found."""

    mask: Picture
    hit: Hit | None


class _Around(NamedTuple):
    """What stands before and behind all of several names."""

    before: str
    behind: str

    def without(self, name: str) -> str:
        """What a name has between these."""
        return name[len(self.before) : len(name) - len(self.behind)]


def hits_by_beginning(index: ImageIndex, masks: Sequence[Picture]) -> list[MaskHit]:
    """The images of masks whose names are the beginnings of theirs, and of no others: `226` of `226_61be_R_CC_ANON`.

    Empty where most masks have none even so.
    """
    begun = by_beginning((image.stem, image) for image in index.images)
    return _where_most([MaskHit(mask, _begun(mask, begun)) for mask in masks])


def _begun(mask: Picture, begun: Mapping[str, list[Picture]]) -> Hit | None:
    """The image whose name begins with that of a mask, where it is the only one."""
    for stem in map(folded, (mask.stem, *stems_of_image(mask.stem))):
        if stem in begun:
            images = begun[stem]
            return Hit(tuple(images), inner_folder(mask, mask.below), "") if len(images) == 1 else None
    return None


def told_beginning(hits: Sequence[MaskHit]) -> str:
    """The line that tells of such masks, with the first of them."""
    mask, image = next((mask, hit.images[0]) for mask, hit in hits if hit is not None)
    return (
        "names of masks are the beginnings of those of their images, each of one alone: "
        f"{mask.entry.where} is the mask of {image.entry.where}"
    )


def hits_by_other_words(index: ImageIndex, masks: Sequence[Picture]) -> list[MaskHit]:
    """The images of masks where another word stands before or behind all names: `bus_01-l`, `mask_01-l`; `1`, `p1`.

    Empty where most masks have none even so.
    """
    apart = _homes(index.images).isdisjoint(_homes(masks))
    images = _around([image.stem for image in index.images], letters=apart)
    drawn = _around([mask.stem for mask in masks], letters=apart)
    hits = list[MaskHit]()
    for mask in masks:
        called = images.before + drawn.without(mask.stem) + images.behind
        hits.append(MaskHit(mask, index.find(mask._replace(stem=called))))
    return _where_most(hits)


def hits_by_shorter_images(index: ImageIndex, masks: Sequence[Picture]) -> list[MaskHit]:
    """The images of masks whose names lack the words that stand behind those of all images: `flair_pp`, `t2_pp`.

    Empty where no such words are, or most masks have none even so.
    """
    behind = _around([image.stem for image in index.images], letters=False).behind
    if not behind:
        return []
    own = {image.entry.locator: image for image in index.images}
    shorter = ImageIndex([image._replace(stem=image.stem.removesuffix(behind)) for image in index.images])
    hits = list[MaskHit]()
    for mask in masks:
        hit = shorter.find(mask)
        images = tuple(own[image.entry.locator] for image in hit.images) if hit else ()
        hits.append(MaskHit(mask, hit._replace(images=images) if hit else None))
    return _where_most(hits)


def hits_by_other_words_beside(index: ImageIndex, masks: Sequence[Picture]) -> list[MaskHit]:
    """The same by the images beside the masks alone: others may end otherwise, as those of another sequence do."""
    images = _by_home(index.images)
    hits = list[MaskHit]()
    for home, drawn in _by_home(masks).items():
        found = hits_by_other_words(ImageIndex(images.get(home, [])), drawn)
        hits += found or [MaskHit(mask, None) for mask in drawn]
    return hits if any(hit for _, hit in hits) else []


def _where_most(hits: list[MaskHit]) -> list[MaskHit]:
    """What was found, where most masks have an image; else nothing."""
    found = sum(hit is not None for _, hit in hits)
    return hits if 2 * found > len(hits) else []


def _homes(pictures: Sequence[Picture]) -> set[PathParts]:
    return {picture.entry.parts[:-1] for picture in pictures}


def _by_home(pictures: Sequence[Picture]) -> dict[PathParts, list[Picture]]:
    found = defaultdict[PathParts, list[Picture]](list)
    for picture in pictures:
        found[picture.entry.parts[:-1]].append(picture)
    return found


def _around(names: Sequence[str], *, letters: bool) -> _Around:
    """The words that stand before and behind all of several names; numbers tell cases apart.

    Args:
        names: of files without their endings.
        letters: whether letters before the numbers of all count too, as where masks have folders of their own.
    """
    if len(names) < 2:
        return _Around("", "")
    before = _words_before(names)
    if letters:
        before += _letters_before_numbers(names, before)
    reversed_names = [name[::-1] for name in names]
    behind = _words_before(reversed_names, word=r"(?=[^\W_]*[^\W\d_])[^\W_]+")[::-1]
    return _Around(before, behind)


def _words_before(names: Sequence[str], *, word: str = r"[^\W\d_]+") -> str:
    """The words that all names begin with; such as `ceT1` are words behind a name, and of cases before it."""
    words = re.match(rf"(?:{word}[ _.-]+)*", common_start(names))
    return words[0] if words else ""


def _letters_before_numbers(names: Sequence[str], before: str) -> str:
    """The letters between words and the number of each name; sides tell images apart."""
    found = re.match(r"[^\W\d_]+", common_start(names)[len(before) :])
    if found is None or found[0].lower() in SIDES:
        return ""
    start = len(before) + len(found[0])
    return found[0] if all(name[start:][:1].isdigit() for name in names) else ""
