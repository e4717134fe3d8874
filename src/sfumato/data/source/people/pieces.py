"""Whose an image is where only the names of all together say it: pieces of one thing, and visits to one person.

    LUNG-0001_slice003.png                  a part of something                        LUNG-0001
    Image_01L.jpg, Image_01R.jpg            one of two sides                           Image_01
    xy17_t1.nii.gz, xy17_t2_SPACE.nii.gz    one of several sequences or planes         xy17
    A-14-22549-40-001.png                   one of several magnifications              A-14-22549
    xy17_ses-2.png, xy17_20190301.png       one of several visits                      xy17
    14-22549/40X/14-22549-40-001.png        begins with the name of a folder           14-22549
    training01/pre/training01_02_t2.nii     the same, where there are several          training01
    CNV-1016042-1.png, CNV-1016042-2.png    a long number, and pictures of it          1016042
    7_1.tif, 7_2.tif ... 7_120.tif          numbers that count on, with masks          7
    derm/a7.png, clinic/a7.png              one of several variants                    a7

A name may have several such ends (`xy17_ses-2_L_slice003`): they are taken off until none is left, since a guess that
stops at one of them tears a person.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import takewhile

from sfumato.data.source.people.divisions import is_division, is_origin, is_variant
from sfumato.data.source.people.persons import (
    APART,
    CLASS_WORD,
    NEARLY_ALL,
    VISIT,
    Name,
    begins_with_folder,
    is_code,
    is_grouping,
    says_what,
)

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
_MANNERS = (
    r"space|cube|vista|fs|fat-?sat|stir|tirm|tse|fse|gre|mprage|bravo|vibe|flash|fiesta|dixon|[23]d|iso|hr|tra"
    r"|pre|post|gd|ce|contrast|reg|registered|coreg|n4|bet|stripped|resampled|brain"
)
"""How a sequence was taken, or what was done to it."""

_SERIES = rf"(?:(?:{_MANNERS}){APART})*(?:{SEQUENCES})(?:{APART}(?:{SEQUENCES}|{_MANNERS}))*"
"""A sequence with all that is said of it: `t2_SPACE`, `t1_fs`, `FLAIR_reg`."""

POWERS = r"(?:2|4|5|10|20|40|60|63|100|200|400|1000)x?"
VISITS = (
    r"(?:ses|session|visit|v|tp|timepoint|time|year|month|week|day|scan|exam|study)[ _-]?\d+"
    r"|(?:19|20)\d\d-?\d\d-?\d\d|baseline|follow-?up"
)

_SIDE = re.compile(rf"(?P<who>.*\d){APART}?(?P<which>{_SIDES})(?:{APART}(?:{_VIEWS}))?{_COUNT}", re.IGNORECASE)
SEQUENCE = re.compile(rf"(?P<who>.*?\d.*?){APART}(?P<which>{_SERIES}){_COUNT}", re.IGNORECASE)
MAGNIFIED = re.compile(rf"(?P<who>.*\d.*){APART}(?P<which>{POWERS})", re.IGNORECASE)
_COUNTED = re.compile(rf"(?P<who>.*?\d.*?){APART}(?P<which>{POWERS}){APART}\d{{1,4}}", re.IGNORECASE)
"""A picture of a slide at one of several magnifications, with its number."""
VISITED = re.compile(rf"(?P<who>.*?\d.*?){APART}(?P<which>{VISITS}){_COUNT}", re.IGNORECASE)
"""A person, and the visit or its date."""
_LONG = re.compile(
    rf"(?P<who>(?:.*{APART})?(?P<number>(?!(?:19|20)\d{{6}}(?!\d))[1-9]\d{{4,}})){APART}+(?P<count>\d{{1,4}})"
)
"""A long number that is no date, and the number of a picture behind it."""

_FEW_SERIES = 10
"""Series of a case have numbers below, also where some of them are left out."""

_TWO_NUMBERS = re.compile(rf"(?P<who>\d+){APART}+(?P<count>\d+)")

_PERSONS, _IMAGES = 4, 5
"""So many persons, and images of each, at least where two numbers tell them."""

_CALLED_AFTER_SPLITS = 3
"""So many folders such as `training01` are persons, where the names of their files begin with them."""

NO_PERSON = re.compile(rf"(?:{VISITS})|(?:{_SIDES})(?:{APART}(?:{_VIEWS}))?|{_SERIES}|\d+x|x\d+", re.IGNORECASE)
"""What is left of a name, or a folder, that says what is seen and when, and not of whom."""


def grouped_by_names(names: Sequence[Name]) -> list[str | None]:
    """Whose each image may be; None where nothing says it."""
    below = _below_common(names)
    bare = _without_variants(below)
    begun = [_begun_by(_without_variant(name)) for name in below]
    if is_grouping(begun) and None not in begun and not _are_splits(set(begun)):
        return begun
    groups = [None if who is None else _in(name, who) for name, who in zip(bare, _wholes(bare), strict=True)]
    if any(groups):
        return groups
    for ways in (_long_numbers, _codes_above):
        if is_grouping(groups := ways(bare)):
            return groups
    return [_in(name, name.stem) if many else None for name, many in zip(bare, in_variants(names), strict=True)]


def _long_numbers(names: Sequence[Name]) -> list[str | None]:
    """The long number of each name that has the number of a picture behind it; none where these do not count.

    Names without a long number stand alone. Names that begin with their folder, which is a class, are of one person
    wherever the number comes again.
    """
    found = [_LONG.fullmatch(name.stem) for name in names]
    counts = defaultdict[str, set[int]](set)
    for hit in filter(None, found):
        counts[hit["who"]].add(int(hit["count"]))
    several = [numbers for numbers in counts.values() if len(numbers) > 1]
    on = sum(_count(numbers) for numbers in several)
    others = [name for name, match in zip(names, found, strict=True) if match is None]
    if any(re.search(r"\d{5}", name.stem) for name in others) or 2 * on < max(1, len(several)):
        return [None] * len(names)
    whole = all(map(begins_with_folder, names))
    groups = list[str | None]()
    for name, match in zip(names, found, strict=True):
        groups.append(match and (match["number"] if whole else _in(name, match["who"])))
    return groups


def _count(numbers: AbstractSet[int]) -> bool:
    """Whether numbers are those of pictures or series: they go on from 0 or 1, or have one digit; places have more."""
    return max(numbers) - min(1, min(numbers)) < len(numbers) or max(numbers) < _FEW_SERIES


def counted_by_number(names: Sequence[Name]) -> list[str | None]:
    """The first of two numbers of each name, where the second counts the images of each from 1 on: `7_1` to `7_120`.

    All have about as many. Images of masks alone are asked: the first number of others may be their class.
    """
    found = [_TWO_NUMBERS.fullmatch(name.stem) for name in names]
    counts = defaultdict[str, list[int]](list)
    for name, match in zip(names, found, strict=True):
        if match is None:
            return [None] * len(names)
        counts[_in(name, match["who"])].append(int(match["count"]))
    sizes = sorted(map(len, counts.values()))
    count_on = sum(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in counts.values())
    alike = len(sizes) >= _PERSONS and sizes[0] >= _IMAGES and 2 * sizes[0] > sizes[-1]
    if not alike or count_on < NEARLY_ALL * len(counts):
        return [None] * len(names)
    return [_in(name, match["who"]) for name, match in zip(names, filter(None, found), strict=True)]


def _codes_above(names: Sequence[Name]) -> list[str | None]:
    """The folder of each image that is a code, where codes come again below few other folders: `ill/C100P61`."""
    codes, places = list[str | None](), defaultdict[str, set[tuple[str, ...]]](set)
    for name in names:
        code = next(filter(is_code, reversed(name.folders)), None)
        if code is None:
            return [None] * len(names)
        codes.append(code)
        places[code].add(name.folders[: name.folders.index(code)])
    several = any(len(above) > 1 for above in places.values())
    few = len(set[tuple[str, ...]]().union(*places.values())) < len(places)
    return codes if several and few else [None] * len(names)


def in_variants(names: Sequence[Name]) -> list[bool]:
    """Whether there is a picture of each name in several variants."""
    names = _below_common(names)
    if not any(is_variant(folder) for name in names for folder in name.folders):
        return [False] * len(names)
    bare = _without_variants(names)
    sizes = Counter(dict(zip(names, bare, strict=True)).values())  # planes of a volume have one name
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
    return [Name((), name.stem) if alone else _without_variant(name) for name in names]


def _without_variant(name: Name) -> Name:
    return Name(tuple(folder for folder in name.folders if not is_variant(folder)), name.stem)


def _begun_by(name: Name) -> str | None:
    """The first folder with a number that a name begins with, but for separators: the slide of its magnifications.

    A folder of parts (`fold0/fold0_001`) or a class (`grade1/grade1_001`) is none, nor is one that is the whole name.
    """
    stem = _letters(name.stem)
    for depth, folder in enumerate(name.folders, start=1):
        begins = stem.startswith(f"{_letters(folder)}-") and re.search(r"\d", folder)
        if begins and not (CLASS_WORD.fullmatch(folder) or NO_PERSON.fullmatch(folder) or is_division(folder)):
            folders = name.folders[:depth]
            if says_what(folder):
                return "/".join([*_telling_apart(folders[:-1]), folder])
            return "/".join([*_places(folders[:-1], folder), folder] if is_code(folder) else _telling_apart(folders))
    return None


def _are_splits(groups: AbstractSet[str | None]) -> bool:
    """Whether folders with which names begin are called after splits, and too few to be persons: `train1`, `test1`."""
    return len(groups) < _CALLED_AFTER_SPLITS and all(says_what((group or "").rpartition("/")[2]) for group in groups)


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
    (`xy17/visit1_L`) is that of its folder, where this has a number. A name that is a code is of one person in all
    folders but those of places.
    """
    rest = f"-{_letters(name.stem[len(who) :]).strip('-')}-"
    folders = _places([folder for folder in name.folders if f"-{_letters(folder)}-" not in rest], who)
    somebody = bool(folders) and re.search(r"\d", folders[-1]) is not None
    return "/".join(folders if somebody and NO_PERSON.fullmatch(who) else (*folders, who))


def _places(folders: Sequence[str], who: str) -> list[str]:
    """The folders in which a name means one person."""
    if is_code(who) and not NO_PERSON.fullmatch(who):
        return list(filter(is_origin, folders))
    return _telling_apart(folders)


def _telling_apart(folders: Sequence[str]) -> list[str]:
    """Folders in which one number may be two things; a role, a split, a fold or a magnification has the same in each.

    Visits have, where they are somebody's.
    """
    telling = [folder for folder in folders if not says_what(folder) and (is_origin(folder) or not is_division(folder))]
    return [folder for folder in telling if not (VISIT.fullmatch(folder) or NO_PERSON.fullmatch(folder))] or telling
