"""Files of one image that are encodings of one mask: they show the same, in other values.

    labels/a.tif and binary/a.png     numbers of objects, and black and white
    1.PNG and 1_binary.PNG            classes or colours, and black and white
    a.png and distance/a.png          a mask, and how far its border is
    label masks/a.tif                 numbers of objects without their borders, which mask binary/a.png has

Taken for readers they would agree wholly, and classes would be lost in black and white. The kind with the most values
is used, which a note says with the patterns that choose another: classes before black and white, and of two with the
same classes that without white borders. Colours that nothing
explains and greys that run smoothly are no values. Only a few images are looked at.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from sfumato.data.borders import WHITE, has_white_border
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.joined import object_mask
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.source.matching.mask_files import MaskFiles
from sfumato.data.source.matching.overlap import MASKS_COMPARED
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.undecided import flags_for
from sfumato.data.source.matching.ways import way, way_of, with_reader
from sfumato.data.source.patterns import told_files
from sfumato.data.source.words import READERS, tokens
from sfumato.errors import DataError

_SAMPLE = 6
"""Images that are looked at."""

_SAME = 0.97
"""Dice from which on two files show the same."""

NUMBERED, BORDER = 3, 3
"""More values than these number objects, which may lack borders of so many pixels that black and white has."""

SMOOTH = 0.3
"""Share of neighbouring pixels of an object that differ, from which on values are greys and not classes or numbers."""

_SHOWN = 4
"""Values that are told."""

_Form = tuple[str, ...]
"""The words that the paths of files of a kind have beyond those of their images, but for readers and numbers."""


class Seen(NamedTuple):
    """What a file shows: where, in one way or two, its values without the background, and whether these are such.

    Of values that lie between white borders (`has_border`), white is one.
    """

    areas: tuple[Bool[np.ndarray, "..."], ...]
    values: frozenset[int]
    why_not: str = ""
    has_border: bool = False

    def shows_same(self, other: "Seen") -> bool:
        """Whether another file shows the same, perhaps without the borders of its objects."""
        if any(_dice(one, two) >= _SAME for one in self.areas for two in other.areas):
            return True
        fewer, more = sorted((self, other), key=lambda seen: len(seen.values))
        numbered = len(fewer.values) == 1 and len(more.values) > NUMBERED
        return numbered and _but_for_borders(more.areas[0], fewer.areas[0])


class Chosen(NamedTuple):
    """The masks of the kind that is used, the others, and a sentence."""

    masks: MaskFiles
    unused: tuple[Owned, ...]
    notes: tuple[str, ...]


def without_encodings(owned: MaskFiles) -> Chosen:
    """The masks without further encodings of them."""
    forms = _forms(owned)
    seen = _seen(owned, forms) if 1 < len(forms) <= MASKS_COMPARED else {}
    ranked = sorted((form for form in seen if not _why_not(seen[form])), key=lambda form: _rank(seen[form]))
    if len(seen) < 2 or not ranked:
        return Chosen(owned, (), ())
    kept = {image: [mask for mask in masks if _form(mask) == ranked[0]] for image, masks in owned.items()}
    unused = tuple(mask for masks in owned.values() for mask in masks if _form(mask) != ranked[0])
    return Chosen(kept, unused, (_told(owned, [ranked[0], *(form for form in forms if form != ranked[0])], seen),))


def _form(mask: Owned) -> _Form:
    return _words(mask.folder, mask.rest)


@lru_cache(maxsize=65536)
def _words(folder: str, rest: str) -> _Form:
    return tuple(
        token.text
        for text in (folder, rest)
        for token in tokens(text)
        if token.number is None and token.text not in READERS
    )


def _forms(owned: MaskFiles) -> list[_Form]:
    """The kinds of files, where each image has all of them."""
    forms = list(dict.fromkeys(_form(mask) for masks in owned.values() for mask in masks))
    if len(forms) > MASKS_COMPARED:
        return []
    whole = all({_form(mask) for mask in masks} == set(forms) for masks in owned.values())
    return forms if whole else []


def _seen(owned: MaskFiles, forms: Sequence[_Form]) -> Mapping[_Form, list[Seen]]:
    """What the files of a few images show, by their kind; nothing where kinds do not show the same in other values."""
    seen = defaultdict[_Form, list[Seen]](list)
    images = list(owned.values())
    for masks in images[:: -(-len(images) // _SAMPLE)]:
        of_image: dict[_Form, list[Seen]] = {form: [] for form in forms}
        for mask in masks:
            if (one := look(mask.entry.locator)) is None:
                return {}
            of_image[_form(mask)].append(one)
        if not all(_same(of_image[one], of_image[other]) for one, other in combinations(forms, 2)):
            return {}
        for form, found in of_image.items():
            seen[form] += found
    drawn = any(one.values for found in seen.values() for one in found)
    differ = all(_values(seen[one]) != _values(seen[other]) for one, other in combinations(forms, 2))
    return seen if drawn and differ else {}


def _same(some: Sequence[Seen], others: Sequence[Seen]) -> bool:
    """Whether each file of one kind shows what one of the other does."""
    return len(some) == len(others) and all(any(one.shows_same(other) for other in others) for one in some)


def look(locator: str) -> Seen | None:
    """What a file shows; None where it cannot be read."""
    target = Locator.parse(locator)
    try:
        raw = np.asarray(read_volume(target.path).voxels) if _is_volume(target) else read_mask(locator)
    except DataError as error:
        return _in_colours(locator) if error.code == "DATA-013" else None
    values = frozenset(np.unique(raw).tolist()) - {0}
    drawn = raw != 0
    smooth = _differ(raw, drawn) >= SMOOTH
    has_border = raw.dtype == np.uint8 and has_white_border(raw)
    return Seen((drawn, object_mask(locator, raw)), values, "greys" if smooth else "", has_border)


def _is_volume(target: Locator) -> bool:
    return not target.member and is_volume(target.path)


def _in_colours(locator: str) -> Seen | None:
    """What a picture shows whose colours nothing explains: all but its darkest colour."""
    try:
        pixels = read_image(locator)[..., :3].astype(np.int64)
    except DataError:
        return None
    numbers = pixels @ np.array([65536, 256, 1][-pixels.shape[2] :])
    values = np.unique(numbers)
    smooth = "greys" if _differ(numbers, numbers != values[0]) >= SMOOTH else "colours without a labelmap.txt"
    return Seen((numbers != values[0],), frozenset((-values[1:]).tolist()), smooth)


def _differ(raw: Shaped[np.ndarray, "..."], drawn: Bool[np.ndarray, "..."]) -> float:
    """Share of the pixels of an object that differ from the next one of it."""
    both = drawn[..., 1:] & drawn[..., :-1]
    return float((raw[..., 1:] != raw[..., :-1])[both].mean()) if both.any() else 0.0


def _dice(one: Bool[np.ndarray, "..."], other: Bool[np.ndarray, "..."]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 0.0 if one.shape != other.shape else 2 * int((one & other).sum()) / total if total else 1.0


def _but_for_borders(inner: Bool[np.ndarray, "..."], outer: Bool[np.ndarray, "..."]) -> bool:
    """Whether an area lies in another one, of which nothing is far from it."""
    if inner.shape != outer.shape or not inner.any() or (inner & ~outer).sum() > (1 - _SAME) * inner.sum():
        return False
    from scipy import ndimage

    near = ndimage.binary_dilation(inner, iterations=BORDER)
    return int((outer & ~near).sum()) <= (1 - _SAME) * int(outer.sum())


def _values(found: Sequence[Seen]) -> frozenset[int]:
    return frozenset().union(*(one.values for one in found))


def _rank(found: Sequence[Seen]) -> tuple[int, bool]:
    """How a kind of files is ranked: most values first but for white borders, then those without."""
    borders = _have_borders(found)
    return borders - len(_values(found)), borders


def _have_borders(found: Sequence[Seen]) -> bool:
    """Whether all files of a kind that show something have white borders."""
    return all(one.has_border for one in found if one.values) and any(one.values for one in found)


def _why_not(found: Sequence[Seen]) -> str:
    """Why the values of a kind of files mean nothing to us; empty where they do."""
    return next((one.why_not for one in found if one.why_not), "")


def _told(owned: MaskFiles, forms: Sequence[_Form], seen: Mapping[_Form, list[Seen]]) -> str:
    """The kinds of files with what they hold, the first of which is used, and how another is chosen."""
    said = list[str]()
    for form in forms:
        entries = [mask.entry for masks in owned.values() for mask in masks if _form(mask) == form]
        said.append(f"{told_files(entries)}, {_why_not(seen[form]) or _told_kind(seen[form])}")
    return (
        f"files of one image that show the same in other values are encodings of one mask: {said[0]}, is used; not "
        f"{'; nor '.join(said[1:])}. Else {_ways(owned, forms[1:])}"
    )


def _told_kind(found: Sequence[Seen]) -> str:
    """The values of a kind of files, white borders told apart."""
    borders = _have_borders(found)
    told = _told_values(sorted(_values(found) - ({WHITE} if borders else set())))
    return f"{told} and white borders ({WHITE})" if borders else told


def _told_values(values: Sequence[int]) -> str:
    """The values of a kind of files, without the background."""
    shown = ", ".join(map(str, values[:_SHOWN])) + (f" ... {values[-1]}" if len(values) > _SHOWN else "")
    return f"{'value' if len(values) == 1 else 'values'} {shown}"


def _ways(owned: MaskFiles, forms: Sequence[_Form]) -> str:
    """The patterns that choose files of these kinds."""
    ways = [_way(owned, form) for form in forms]
    return "; ".join(ways) if all(ways) else flags_for(owned)


def _way(owned: MaskFiles, form: _Form) -> str:
    """The patterns of a kind of files; empty where nothing says them."""
    image, masks = next(iter(owned.items()))
    of_form = [mask for mask in masks if _form(mask) == form]
    if len(of_form) == 1:
        return way_of(owned, lambda mask: _form(mask) == form)
    ways = [way(image, mask) for mask in of_form]
    many = len({Path(one).parent for one in owned}) > 1
    folders = {mask.entry.parts[:-1] for masks in owned.values() for mask in masks if _form(mask) == form}
    return "" if many or not all(ways) or len(folders) > len(ways) else with_reader(ways)
