"""Which files are of a patient whom a list or a table names: those in a folder of that name, or whose names say it.

    patient0001     database/patient0001/patient0001_2CH_ED.nii.gz     a folder
    4               images/4_t2.mha                                    the beginning of a name
    12              Case 012/2.png, 012/2.png, case012_slice2.png      the number of a person
    0012            ED_0012_slice3.png                                 a part of a name; short numbers count planes

The first of these that names the patients of most files is meant.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, takewhile

from sfumato.data.source.beginnings import beginnings
from sfumato.data.source.people.persons import APART, Name, said_by_names

FilesByName = Mapping[str, set[str]]
"""Files by names that may mean them."""


def files_of_patients(files: Iterable[str], names: Collection[str]) -> Iterator[FilesByName]:
    """The files that names of patients may mean: by folders and beginnings, then by numbers, then by parts.

    Args:
        files: their paths.
        names: those that are asked for.
    """
    paths = {file: re.split(r"[/\\]", file) for file in files}
    common = len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*paths.values(), strict=False))))
    named = {file: Name.of(parts[min(common, len(parts) - 1) :]) for file, parts in paths.items()}
    wanted = frozenset(names)
    for names_in in (_folders_and_beginnings, _numbers, _parts):
        found = defaultdict[str, set[str]](set)
        for file, name in named.items():
            for who in wanted.intersection(names_in(name)):
                found[who].add(file)
        yield found


def _folders_and_beginnings(name: Name) -> Iterator[str]:
    yield from name.folders
    yield name.stem
    yield from beginnings(name.stem)


def _numbers(name: Name) -> Iterator[str]:
    """The number of the person whom a name says, or of the folders that are numbers, with zeros before it and without.

    The number that a name begins with counts where no folder is one.
    """
    (who,) = said_by_names([name])
    plain = list(filter(str.isdecimal, name.folders)) or [re.split(APART, name.stem)[0]]
    for text in re.findall(r"\d+$", who) if who else filter(str.isdecimal, plain):
        yield from {text, text.lstrip("0") or "0"}


def _parts(name: Name) -> Iterator[str]:
    """The parts of a name between separators, alone and together, other than words and short numbers."""
    for text in (*name.folders, name.stem):
        for start, end in combinations(_marks(text), 2):
            part = text[start:end].strip(" _.-")
            if re.search(r"\d", part) and not re.fullmatch(r"\d{1,2}", part):
                yield part


def _marks(text: str) -> Sequence[int]:
    """Where the parts of a name begin or end."""
    return [0, *(mark.end() for mark in re.finditer(f"{APART}+", text)), len(text)]
