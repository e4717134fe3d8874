"""Whose image a file is, as far as names of files and folders say so; nothing is opened.

    sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz     a word for a person and a number     sub-01
    patient00007/study1/view1_frontal.png                                                patient00007
    TCGA_CS_4943_20000902_11.tif                    numbers of public collections        TCGA_CS_4943

All of this is a guess, which `sfumato.data.source.people.patients` tells. It holds for each name by itself; what only
the set as a whole bears out is in `sfumato.data.source.people.pieces`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.listing import ENDING
from sfumato.data.source.people.divisions import is_division, is_origin
from sfumato.data.source.words import IMAGES, MODALITIES, PORTION, read_folder, tokens

APART = r"[ _.\-]"
_NUMBER = rf"{APART}*(?:id|no|nr|number)?[ _.\-#]*\d+"
PERSON = re.compile(
    rf"(?:^|(?<={APART}))(?P<who>"
    rf"sub-(?!folder|set|dir)[0-9a-z]+"
    rf"|(?:subject|subj|patient|participant|person|proband|volunteer|donor|animal|mouse|video){_NUMBER}"
    rf"|(?<![\s\S])(?:(?:sub|pat|pt|pid|rat|vid|clip|case){_NUMBER}|p[_-]?\d{{2,}})"
    rf"|p[_-]?\d{{4,}}"
    rf")(?![0-9])",
    re.IGNORECASE,
)
"""A word for a person, or a film of one, with a number, as a whole or at the start of a part of a name.

Short words, `p07` and `case7` count at the start of a name alone: behind it they number planes and pictures of a person
too (`P_00041` does not), or say what is seen (`SOB_B_PT-14-22704`).
"""

_WITHIN = re.compile(rf"(?<={APART})(?P<who>(?:sub|pat|pt|pid|rat|vid|clip){_NUMBER})(?![0-9])", re.IGNORECASE)
"""Short words within a name: they count where the names of nearly all have one, and these differ."""

COLLECTIONS = re.compile(
    rf"(?:^|(?<={APART}))(?P<who>"
    r"TCGA[-_.][0-9A-Z]{2}[-_.][0-9A-Z]{4}"
    r"|BraTS-[A-Z]+-\d{5}"
    r"|\d{3}_S_\d{4}"
    r"|OAS\d_?\d{4,5}"
    r"|IXI\d{3}"
    r"|[A-Z]{2,}(?:-[A-Z]{2,})+-\d{3,5}"
    r")(?![0-9])"
)
"""How persons are numbered in public collections whose names also tell a date, a time point or a sequence.

The last is that of archives: an institution and a disease, then the number (`ABCD-GBM-00001_11`, of which `_21` is
another visit).
"""

VISIT = re.compile(
    r"(?:ses|session|study|visit|series|scan|exam|view|anat|func|dwi|perf|day|week|month)[ _-]?\w*"
    r"|(?:\d\d-\d\d-\d{4}|(?:19|20)\d\d-\d\d-\d\d|(?:19|20)\d{6})(?:[ _.-].*)?",
    re.IGNORECASE,
)
"""Folders of one person's visits and series, also by the date of a study."""

_ROLES = re.compile(
    r"images?(?:Tr|Ts)?|imgs?|masks?|labels?(?:Tr|Ts)?|seg(?:mentation)?s?|gt|train(?:ing|val)?|val(?:id(?:ation)?)?|test(?:ing)?",
    re.IGNORECASE,
)
"""Folders that say what is in them, not whose it is."""

CLASS_WORD = re.compile(
    r"(?:class(?:es)?|grades?|types?|stages?|labels?|categor(?:y|ies)|clusters?|bi-?rads|scores?|levels?|groups?|cat|kl"
    r"|who|gleason|tnm|phase|cohort|site|cent(?:er|re)|fold|part|batch|set)[ _-]?\w{0,3}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_LETTERS = re.compile(r"[^\W\d_]+")
_NUMBERED = re.compile(r"(?=.*\d)[0-9a-z]{1,12}(?:[ _.\-][0-9a-z]{1,12}){0,4}|(?=.*\d)[0-9a-f-]{8,}", re.IGNORECASE)
"""What a number of a person may look like, and a lot else."""

NEARLY_ALL = 0.9
"""Share of the names that speaks for the set."""

_CODE = re.compile(
    rf"(?:^|(?<={APART}))(?:"
    r"[^\W\d_]{1,3}\d+[^\W\d_]{1,3}\d+"
    r"|[^\W\d_]{1,3}[1-9]\d{2,}"
    r")"
    r"|(?<!\d)0*[1-9]\d{4,}",
    re.IGNORECASE,
)
"""Letters and numbers in turn, few letters before a number that does not begin at 0, or a long number."""

_FEWEST = 4
"""Groups that are offered at least: a split has three parts."""

_MANY = 5
"""So many folders that look like persons are asked about; fewer are not, where a number is all that they have."""

_SMALL = {1: 20, 3: 200}
"""Images of a folder on average, up to which it may be one person's, by the digits that its name has in a row."""

_TINY = (20, 5)
"""So many folders of so few images each are asked about, unless they are called by words."""

_FEW, _LARGE = 5, 10
"""Folders with images and masks each are no persons where there are no more, of at least so many images on average."""

WORD, SEVERAL = re.compile(r"[^\W\d_]{5}"), 3
"""What makes a name a word and no initials; folders called so are no persons from so many images on average."""

CLASS_COUNTS = {0: 10, 1: 7}
"""Folders that count from 0 (digits, stages) or 1 (grades) up to so many are classes."""

ORDERED = re.compile(r"(?P<place>\d{1,2})[ _.-]+(?P<word>[^\W\d_]{3,}(?:[ _-][^\W\d_]+)*)")
"""A word with its place in an order before it."""

PATTERNS = (
    r"^(.+?)[ _.-]+(?:slice|frame|img|image)?[ _.-]*\d+$",
    r"^(.*?\d+)[ _.-]",
    r"^([^_]+)_",
    r"^([^-]+)-",
    r"^([A-Za-z]+\d+)",
    r"^[^_]+_([^_]*[^\W\d_][^_]*\d)_",
)
"""Patterns with a group that are offered, where they fit the names of a set; the last is a slide behind a tile."""

BEHIND_CLASS = r"(\d+)[ _.-]+\d+$"
"""The pattern of names that begin with the class: the number behind it, which may be in several classes."""


_MORE_DIGITS = 3
"""So many digits more has the number of a person than the folder that gathers those of its beginning."""


class Name(NamedTuple):
    """Where an image lies: the folders below the source, and its name without ending."""

    folders: tuple[str, ...]
    stem: str

    @classmethod
    def of(cls, parts: Sequence[str]) -> "Name":
        """From the parts of a path."""
        return cls(tuple(parts[:-1]), ENDING.sub("", parts[-1]) or parts[-1])


def is_person(folder: str) -> bool:
    """Whether the name of a folder says that it is a person's, whatever follows behind a mark: `TCGA_CS_4941_1996`."""
    found = COLLECTIONS.match(folder) or PERSON.match(folder)
    return found is not None and re.fullmatch(rf"(?:{APART}.*)?", folder[found.end() :]) is not None


@lru_cache(maxsize=65536)
def is_code(name: str) -> bool:
    """Whether a name is so specific that it is of one person wherever it comes again: `C100P61`, not `image_1`."""
    found = _CODE.search(name)
    if found is None or VISIT.fullmatch(name):
        return False
    code = name if found[0].isdecimal() else found[0]
    return any(token.number is None and token.text not in IMAGES for token in tokens(code))


def spelling(name: str) -> str:
    """What is left of the name of a person when case, spaces and how accents are stored do not count."""
    return "".join(folded(name).split())


def said_by_names(names: Sequence[Name]) -> list[str | None]:
    """The person whom each name says, its folders first; None where it does not.

    Most say it by themselves; short words within names count where nearly all have one, and these differ. A person of
    one name at several sites is several.
    """
    said = [_said(name, (COLLECTIONS, PERSON)) for name in names]
    within = [who or _said(name, (_WITHIN,)) for who, name in zip(said, names, strict=True)]
    many = len(set(within) - {None}) > 1 and sum(map(bool, within)) >= NEARLY_ALL * len(within)
    return _at_their_sites(names, within if many else said)


def _at_their_sites(names: Sequence[Name], said: Sequence[str | None]) -> list[str | None]:
    """Persons with the folder of the site that numbered them, where one name comes again at several."""
    sites = ["/".join(filter(is_origin, name.folders)) for name in names]
    places = defaultdict[str, set[str]](set)
    for who, site in zip(said, sites, strict=True):
        if who:
            places[who].add(site)
    persons = list[str | None]()
    for who, site in zip(said, sites, strict=True):
        again = who is not None and len(places[who]) > 1
        persons.append(f"{site}/{who}" if again and site else who)
    return persons


def _said(name: Name, patterns: Sequence[re.Pattern[str]]) -> str | None:
    """A person whom a name says by itself; the same person wherever the folder lies.

    Folders that gather persons by the beginnings of their numbers are none: `p10/p10000032`.
    """
    texts = (*name.folders, name.stem)
    for place, text in enumerate(texts):
        for pattern in patterns:
            if found := pattern.search(text):
                number = re.compile(rf"{re.escape(found['who'])}\d{{{_MORE_DIGITS},}}")
                below = next(filter(number.fullmatch, name.folders[place + 1 :]), None)
                return below or found["who"]
    return None


def is_grouping(groups: Sequence[str | None]) -> bool:
    """Whether groups are more than one, and no single one is most of the set: `image_001` is nobody's slice."""
    sizes = Counter(group for group in groups if group is not None)
    return len(sizes) > 1 and 2 * max(sizes.values()) <= len(groups) + 1 and len(sizes) < len(groups)


def without_classes(names: Sequence[Name], labels: Sequence[str | None]) -> list[Name]:
    """Names without the folder of the class, where that is the last and comes again below several: `p07/benign`."""
    above, places = list[Name](), defaultdict[str, set[tuple[str, ...]]](set)
    for name, label in zip(names, labels, strict=True):
        *folders, last = _telling_folders(name) or [""]
        if label is None or not folders or last != label:
            return list(names)
        above.append(name._replace(folders=tuple(folders)))
        places[label].add(tuple(folders))
    again = sum(len(found) > 1 for found in places.values())
    return above if 2 * again > len(places) else list(names)


def _telling_folders(name: Name) -> list[str]:
    """The folders of an image without those that say a role or a split."""
    return [folder for folder in name.folders if not says_what(folder)]


def parent_of(name: Name) -> str:
    """The folder that an image lies in, above those that tell a role, a split or a visit."""
    folders = _telling_folders(name)
    while folders and VISIT.fullmatch(folders[-1]) and len(folders) > 1:
        folders.pop()
    return "/".join(folders)


def says_what(folder: str) -> bool:
    """Whether the name of a folder says what is in it or of which split that is, and nothing else."""
    said = read_folder(folder)
    return _ROLES.fullmatch(folder) is not None or (said.certain and not said.numbered)


class Folders(NamedTuple):
    """What folders that would be classes look like: `people` by their names, or `doubtful`."""

    people: bool
    doubtful: bool


def look_for_persons(folders: Iterable[str]) -> Folders:
    """Whether folders look like persons.

    Args:
        folders: the folder of each image.
    """
    sizes = Counter(folders)
    people = sum(map(is_person, sizes))
    if 2 * people > len(sizes):
        return Folders(people=True, doubtful=False)
    mean = sizes.total() / len(sizes)
    numbered = [name for name in sizes if may_be_number(name, mean)]
    many = len(sizes) >= _MANY and 2 * len(numbered) > len(sizes) and not are_counted(sizes)
    tiny = len(sizes) >= _TINY[0] and mean <= _TINY[1] and not are_words(sizes)
    return Folders(people=False, doubtful=many or tiny)


def are_words(names: Collection[str]) -> bool:
    """Whether most names are words, which have no number."""
    return 2 * sum(map(_is_word, names)) > len(names)


def _is_word(name: str) -> bool:
    return WORD.search(name) is not None and _DIGIT.search(name) is None


def are_classes(folders: Iterable[str]) -> bool:
    """Whether folders with images and masks each are classes: few and large, or words for several images each.

    Args:
        folders: the folder of each image.
    """
    sizes = Counter(folders)
    named = [name for name in sizes if is_person(name) or may_be_number(name)]
    if len(sizes) < 2 or 2 * len(named) >= len(sizes):
        return False
    large = len(sizes) <= _FEW and sizes.total() >= _LARGE * len(sizes)
    return large or (len(sizes) < _TINY[0] and are_words(sizes) and sizes.total() >= SEVERAL * len(sizes))


def may_be_number(name: str, mean: float = 0) -> bool:
    """Whether a name may be the number of a person with so many images."""
    if not _NUMBERED.fullmatch(name) or CLASS_WORD.fullmatch(name):
        return False
    digits = max(map(len, re.findall(r"\d+", name)))
    return mean <= max(limit for least, limit in _SMALL.items() if digits >= least)


def are_counted(names: Iterable[str]) -> bool:
    """Whether names count from 0 or 1, and not far, as classes do; or in full before a word each (`01_TUMOR`)."""
    names = list(names)
    ordered = [found for found in map(ORDERED.fullmatch, names) if found]
    if ordered and len(ordered) == len(names) == len({found["word"] for found in ordered}):
        places = sorted(int(found["place"]) for found in ordered)
        return places[0] < 2 and _go_on_by_one(places)
    if not all(name.isdecimal() and len(name) < 3 for name in names):
        return False
    numbers = sorted(map(int, names))
    return len(numbers) <= CLASS_COUNTS.get(numbers[0], 0) and _go_on_by_one(numbers)


def _go_on_by_one(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))


class Offer(NamedTuple):
    """What may be given to `--group-by`, and how many groups it makes."""

    by: str
    groups: int

    def __str__(self) -> str:
        return f"--group-by {self.by} ({self.groups} groups)"


FIRST_NUMBER = r"^\D*(\d+)"
"""An expression for names that differ by what made them and have one number of the patient."""

MADE_BY = MODALITIES - {"training", "test"}
"""Words for what made an image."""


def offers(names: Sequence[Name], ids: Sequence[str], labels: Sequence[str | None]) -> Iterator[Offer]:
    """What would keep images together, where names bear it out: the folder they lie in, a pattern that fits the ids.

    Args:
        names: of the images.
        ids: of the images, in which a pattern is looked for.
        labels: of the images; groups that are no more than these, and in one class each, are the classes again.
    """
    parents = {parent_of(name) for name in names}
    by_folder = _are_enough_folders(parents, labels) and 2 * len(parents) <= len(names)
    if by_folder:
        yield Offer("parent", len(parents))
    patterns = (BEHIND_CLASS,) if all(map(begins_with_folder, names)) else PATTERNS
    for pattern in patterns:
        number = _groups_by(pattern, ids, labels)
        if number and not (by_folder and number == len(parents)):
            yield Offer(f"'{pattern}'", number)
            return
    if number := _groups_of_modalities(ids):
        yield Offer(f"'{FIRST_NUMBER}'", number)


def _groups_of_modalities(ids: Sequence[str]) -> int:
    """How many groups the first number makes of ids that are alike but for what made them: `ct_001`, `mr_001`.

    0 where it makes others, or nothing is alike: the same number may be that of two persons, which only a person knows.
    """
    without, made_by = list[str](), set[str]()
    for name in ids:
        said = [token for token in tokens(name) if token.text in MADE_BY]
        if len(said) != 1:
            return 0
        made_by.add(said[0].text)
        without.append(name[: said[0].start] + name[said[0].end :])
    first = [found[1] if (found := re.search(FIRST_NUMBER, name)) else "" for name in ids]
    alike = dict(zip(without, first, strict=True))
    several = len(alike) < len(ids) and len(made_by) > 1
    return len(alike) if several and "" not in first and len(set(first)) == len(alike) > 1 else 0


def _are_enough_folders(parents: Iterable[str], labels: Sequence[str | None]) -> bool:
    """Whether folders that may be persons' are as many as are offered, and more than the classes."""
    telling = {"/".join(filter(_tells, parent.split("/"))) for parent in parents}
    return len(telling) >= _FEWEST and len(telling) > len(set(labels) - {None})


def _groups_by(pattern: str, ids: Sequence[str], labels: Sequence[str | None]) -> int:
    """How many groups a pattern makes of ids; 0 where it does not fit all of them, or its groups are no persons'."""
    matched = [match for match in map(re.compile(pattern).search, ids) if match]
    if len(matched) < len(ids):
        return 0
    groups = [match[1] for match in matched]
    number = len(set(groups))
    more_than_classes = number > len(set(labels) - {None}) or _lie_in_several(groups, labels)
    if number < _FEWEST or not more_than_classes or not is_grouping(groups) or not _tell_persons(matched):
        return 0
    return number


def _lie_in_several(groups: Sequence[str], labels: Sequence[str | None]) -> bool:
    """Whether most groups have images of several classes."""
    classes = defaultdict[str, set[str | None]](set)
    for group, label in zip(groups, labels, strict=True):
        classes[group].add(label)
    return 2 * sum(len(found) > 1 for found in classes.values()) > len(classes)


def _tells(folder: str) -> bool:
    """Whether a folder may be a person's, other than one of a division of the set."""
    return not PORTION.fullmatch(folder) and not is_division(folder)


def begins_with_folder(name: Name) -> bool:
    """Whether a file is called after its folder, as `CNV/CNV-1016042-1` is: that is its class, and not its person."""
    if not name.folders:
        return False
    return re.match(rf"{re.escape(name.folders[-1])}{APART}", name.stem, re.IGNORECASE) is not None


def _tell_persons(matched: Sequence[re.Match[str]]) -> bool:
    """Whether groups have numbers, and what follows them has too: words alone (`01_dr`, `01_h`) may be of others.

    Groups are few beside the images, or nearly all count their images from 1 on (`010_HC`, `010_2HC`). Letters with a
    number behind them (`ALWI_001`) may be of persons, nearly all with several images.
    """
    behind = [re.findall(r"\d+", match.string[match.end(1) :]) for match in matched]
    groups = [match[1] for match in matched]
    if all(behind) and all(map(_LETTERS.fullmatch, groups)):
        sizes = Counter(groups).values()
        return sum(size > 1 for size in sizes) >= NEARLY_ALL * len(sizes)
    if not any(behind) or not all(map(_DIGIT.search, groups)):
        return False
    counts = defaultdict[str, list[int]](list)
    for group, numbers in zip(groups, behind, strict=True):
        counts[group].append(int(numbers[-1]) if numbers else 1)
    counted_from_1 = sum(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in counts.values())
    return counted_from_1 >= NEARLY_ALL * len(counts) or 2 * len(counts) <= len(matched)
