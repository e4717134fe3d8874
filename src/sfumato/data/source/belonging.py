"""Which files are of a patient whom a list or a table names: those in a folder of that name, or whose names say it.

    patient0001     database/patient0001/patient0001_2CH_ED.nii.gz     a folder
    4               images/4_t2.mha                                    the beginning of a name
    0012            ED_0012_slice3.png                                 a part of a name

Parts count where folders and beginnings say nothing.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, takewhile
from pathlib import PurePath

from sfumato.data.source.beginnings import beginnings
from sfumato.data.source.persons import APART, Name

FilesByName = Mapping[str, set[str]]
"""Files by names that may mean them."""


def files_of_patients(files: Iterable[str]) -> Iterator[FilesByName]:
    """The files that the name of a patient may mean, the likeliest way first: folders and beginnings, then parts.

    Args:
        files: their paths.
    """
    paths = {file: PurePath(file).parts for file in files}
    common = len(list(takewhile(lambda names: len(set(names)) == 1, zip(*paths.values(), strict=False))))
    named = {file: Name.of(parts[min(common, len(parts) - 1) :]) for file, parts in paths.items()}
    for names_in in (_folders_and_beginnings, _parts):
        yield _by(names_in, named)


def _by(names_in: Callable[[Name], Iterable[str]], named: Mapping[str, Name]) -> FilesByName:
    """The files by all that may be a name in their paths."""
    found = defaultdict[str, set[str]](set)
    for file, name in named.items():
        for who in names_in(name):
            found[who].add(file)
    return found


def _folders_and_beginnings(name: Name) -> Iterator[str]:
    yield from name.folders
    yield name.stem
    yield from beginnings(name.stem)


def _parts(name: Name) -> Iterator[str]:
    """The parts of a name between separators, alone and together, as far as they have a number."""
    for text in (*name.folders, name.stem):
        for start, end in combinations(_marks(text), 2):
            part = text[start:end].strip(" _.-")
            if re.search(r"\d", part):
                yield part


def _marks(text: str) -> Sequence[int]:
    """Where the parts of a name begin or end."""
    return [0, *(mark.end() for mark in re.finditer(f"{APART}+", text)), len(text)]
