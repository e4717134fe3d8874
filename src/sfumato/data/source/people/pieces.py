"""Whose an image is where only the names of all together say it: pieces of one thing, and visits to one person.

    LUNG-0001_slice003.png                  a part of something                        LUNG-0001
    Image_01L.jpg, Image_01R.jpg            one of two sides                           Image_01
    xy17_t1.nii.gz, xy17_t2.nii.gz          one of several sequences or planes         xy17
    A-14-22549-40-001.png                   one of several magnifications              A-14-22549
    xy17_ses-2.png, xy17_20190301.png       one of several visits                      xy17
    14-22549/40X/14-22549-40-001.png        begins with the name of a folder           14-22549
    derm/a7.png, clinic/a7.png              one of several variants                    a7

A name may have several such ends (`xy17_ses-2_L_slice003`): they are taken off until none is left, since a guess that
stops at one of them tears a person.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import takewhile

from sfumato.data.source.people.divisions import is_division, is_origin, is_variant
from sfumato.data.source.people.persons import APART, CLASS_WORD, NEARLY_ALL, VISIT, Name, is_grouping, says_what

_COUNT = rf"(?:{APART}\d{{1,4}})?"
"""The number of a piece behind what is said of it."""

_PART = re.compile(
    rf"(?P<who>.+?){APART}*(?:(?<={APART})|(?<=[0-9]))"
    r"(?:slice|slc|sl|frame|frm|plane|tile|patch|crop|layer|section|image|img|view|z)[ _.\-#]*\d+(?![0-9]).*",
    re.IGNORECASE,
)
"""Something, and the number of a part of it."""

_SIDES = r"L|R|OD|OS|left|right"
_VIEWS = r"CC|MLO|ML|LM"
SEQUENCES = (
    r"t1|t1w|t1ce|t1c|t1gd|t1n|t2|t2w|t2f|flair|dwi|adc|pd|pdw|swi|bold|ct|cbct|pet|mr|mri|dce|asl"
    r"|axial|coronal|sagittal|ax|cor|sag"
)
POWERS = r"(?:2|4|5|10|20|40|60|63|100|200|400|1000)x?"
VISITS = (
    r"(?:ses|session|visit|v|tp|timepoint|time|year|month|week|day|scan|exam|study)[ _-]?\d+"
    r"|(?:19|20)\d\d-?\d\d-?\d\d|baseline|follow-?up"
)

_SIDE = re.compile(rf"(?P<who>.*\d){APART}?(?P<which>{_SIDES})(?:{APART}(?:{_VIEWS}))?{_COUNT}", re.IGNORECASE)
SEQUENCE = re.compile(rf"(?P<who>.*\d.*?){APART}(?P<which>{SEQUENCES}){_COUNT}", re.IGNORECASE)
MAGNIFIED = re.compile(rf"(?P<who>.*\d.*){APART}(?P<which>{POWERS})", re.IGNORECASE)
_COUNTED = re.compile(rf"(?P<who>.*?\d.*?){APART}(?P<which>{POWERS}){APART}\d{{1,4}}", re.IGNORECASE)
"""A picture of a slide at one of several magnifications, with its number."""
VISITED = re.compile(rf"(?P<who>.*?\d.*?){APART}(?P<which>{VISITS}){_COUNT}", re.IGNORECASE)
"""A person, and the visit or its date."""

NO_PERSON = re.compile(rf"(?:{VISITS})|(?:{_SIDES})(?:{APART}(?:{_VIEWS}))?|{SEQUENCES}|\d+x|x\d+", re.IGNORECASE)
"""What is left of a name, or a folder, that says what is seen and when, and not of whom."""


def grouped_by_names(names: Sequence[Name]) -> list[str | None]:
    """Whose each image may be; None where nothing says it."""
    bare = _without_variants(_below_common(names))
    if is_grouping(groups := [_begun_by(name) for name in bare]) and None not in groups:
        return groups
    groups = [None if who is None else _in(name, who) for name, who in zip(bare, _wholes(bare), strict=True)]
    if any(groups):
        return groups
    return [_in(name, name.stem) if many else None for name, many in zip(bare, in_variants(names), strict=True)]


def in_variants(names: Sequence[Name]) -> list[bool]:
    """Whether there is a picture of each name in several variants."""
    names = _below_common(names)
    if not any(is_variant(folder) for name in names for folder in name.folders):
        return [False] * len(names)
    bare = _without_variants(names)
    sizes = Counter(bare)
    return [sizes[name] > 1 for name in bare]


def _wholes(names: Sequence[Name]) -> list[str | None]:
    """What each name is a piece of; None where it is none."""
    wholes, known = [name.stem for name in names], [False] * len(names)
    ends, place = (_SIDE, SEQUENCE, MAGNIFIED, _COUNTED, VISITED, _PART), 0
    while place < len(ends):
        taken = _without(ends[place], wholes, names)
        place += 1
        if taken is not None:
            known = [before or one != whole for before, one, whole in zip(known, taken, wholes, strict=True)]
            wholes, place = taken, 0
    return [whole if is_piece else None for whole, is_piece in zip(wholes, known, strict=True)]


def _without(pattern: re.Pattern[str], wholes: Sequence[str], names: Sequence[Name]) -> list[str] | None:
    """The names without what a pattern takes off their ends; None where the set does not bear it out."""
    found = {whole: pattern.fullmatch(whole) for whole in set(wholes)}
    hits = [match for match in found.values() if match]
    if not hits or (pattern in (MAGNIFIED, _COUNTED, VISITED) and len(hits) < NEARLY_ALL * len(found)):
        return None
    taken = [match["who"] if (match := found[whole]) else whole for whole in wholes]
    if pattern is _PART:
        groups = [
            _in(name, whole) if found[old] else None for name, whole, old in zip(names, taken, wholes, strict=True)
        ]
        return taken if is_grouping(groups) else None
    if pattern is VISITED:
        return taken if 1 < len(set(taken)) < len(names) else None
    return taken if _bears_out(hits, len(found)) else None


def _bears_out(hits: Sequence[re.Match[str]], count: int) -> bool:
    """Whether at least half of what is left of some names goes on in more than one way.

    Args:
        hits: names that have an end.
        count: of all names.
    """
    ways: dict[str, set[str]] = defaultdict(set)
    for match in hits:
        ways[match["who"]].add(match["which"].casefold())
    return 2 * sum(len(which) > 1 for which in ways.values()) >= max(1, len(ways)) and 2 * len(ways) <= count


def _without_variants(names: Sequence[Name]) -> list[Name]:
    """Names without the folders that say what was done to a picture: what is left is the same for all its variants.

    Where no two names of one variant are the same, nothing but names tells pictures apart.
    """
    tags = [tuple(filter(is_variant, name.folders)) for name in names]
    if not any(tags):
        return list(names)
    alone = len({(tag, name.stem) for tag, name in zip(tags, names, strict=True)}) == len(names)
    return [
        Name(() if alone else tuple(folder for folder in name.folders if not is_variant(folder)), name.stem)
        for name in names
    ]


def _begun_by(name: Name) -> str | None:
    """The first folder with a number that a name begins with, but for separators: the slide of its magnifications.

    A folder of parts (`fold0/fold0_001`) or a class (`grade1/grade1_001`) is none, nor is one that is the whole name.
    """
    stem = _letters(name.stem)
    for depth, folder in enumerate(name.folders, start=1):
        begins = stem.startswith(f"{_letters(folder)}-") and re.search(r"\d", folder)
        if begins and not (CLASS_WORD.fullmatch(folder) or NO_PERSON.fullmatch(folder) or is_division(folder)):
            return "/".join(_telling_apart(name.folders[:depth]))
    return None


def are_numbers_of_names(folders: Sequence[str], names: Sequence[Name]) -> bool:
    """Whether folders are long numbers with which the names in them begin: `10017/10017_1000017_t2w.mha`.

    Args:
        folders: the folder of each image that would be its class.
        names: of the images.
    """
    return len(set(folders)) > 1 and all(
        re.fullmatch(r"\d{3,}", folder) and _letters(name.stem).startswith(f"{folder}-")
        for folder, name in zip(folders, names, strict=True)
    )


def _letters(text: str) -> str:
    """A name in small letters, with one sign for whatever separates its parts."""
    return re.sub(rf"{APART}+", "-", text.casefold())


def _below_common(names: Sequence[Name]) -> list[Name]:
    """Names without the folders that all lie in: those only wrap."""
    levels = zip(*(name.folders for name in names), strict=False)
    common = len(list(takewhile(lambda folders: len(set(folders)) == 1, levels)))
    return [name._replace(folders=name.folders[common:]) for name in names]


def _in(name: Name, who: str) -> str:
    """A name that means something in its folder alone: slices of `1` in two folders are not one person's.

    A folder that says what was taken off the name (`L/1_L`) tells nothing apart; a name that says no more than a visit
    (`xy17/visit1_L`) is that of its folder, where this has a number.
    """
    rest = f"-{_letters(name.stem[len(who) :]).strip('-')}-"
    folders = _telling_apart([folder for folder in name.folders if f"-{_letters(folder)}-" not in rest])
    somebody = bool(folders) and re.search(r"\d", folders[-1]) is not None
    return "/".join(folders if somebody and NO_PERSON.fullmatch(who) else (*folders, who))


def _telling_apart(folders: Sequence[str]) -> list[str]:
    """Folders in which one number may be two things; a role, a split, a fold or a magnification has the same in each.

    Visits have, where they are somebody's.
    """
    telling = [folder for folder in folders if not says_what(folder) and (is_origin(folder) or not is_division(folder))]
    return [folder for folder in telling if not (VISIT.fullmatch(folder) or NO_PERSON.fullmatch(folder))] or telling
