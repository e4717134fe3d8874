"""Texts beside images that list those of a split, or their patients.

    train_val_list.txt, test_list.txt, ImageSets/train.txt     names of images
    subgroup_training.txt, subgroup_testing.txt                names of patients
    train_split,test_split                                     columns of a table, whose cells are such names
    train_indexes.csv, test_indexes.csv                        numbers of the rows of the table that is read
    {"train": ["a", "b"], "val": ["c"]}                        a small JSON; also with the numbers at the ends of names

A text counts where its name says a split and nothing else, or differs from others by that word alone, and most of its
lines begin with an image or, where no list does, with a patient: a folder, or how names begin. Images of a list that
says less (`trainval`) go where another one puts them; those of no list have no split, which is training.

Where nothing else says it, names that all begin or end with the word for a split are one: `train_1.bmp`, `testA_1.bmp`;
and so are folders of cases that all have such a word: `LCTSC-Train-S1-001`, `LCTSC-Test-S1-101`.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Literal, NamedTuple

from sfumato.data.folds import torn_patients
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.listing import ENDING, SOME, SourceFile
from sfumato.data.source.people.belonging import FilesByName, files_of_patients
from sfumato.data.source.people.dividing import differing_by_split, split_in
from sfumato.data.source.tables.split_columns import names_of_splits, tables_of_splits
from sfumato.data.source.words import FILLERS, IMAGES, SPLIT_WORDS, tokens
from sfumato.files import open_file, read_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

_LARGEST = 2**26
"""Bytes of a list; a text that goes on is none."""

_BESIDE = FILLERS | IMAGES | {"list", "lists", "split", "splits", "names", "name", "ids", "id", "cases"}
_BESIDE |= {"index", "indexes", "indices", "idx"}
"""What may stand beside the word for a split in the name of a list."""

LARGEST_JSON, MOST_JSON = 2**22, 20
"""Bytes of a JSON that may be one, and how many are looked into: more are one for each image."""

_FOLDERS = re.compile(r"[/\\]")

PATH = re.compile(rb"^\s*\"?([^\s,;\"]+)(.*)$", re.MULTILINE)

_TEXTS = (".txt", ".lst", ".list")
_OF_ONE_COLUMN = (".csv", ".tsv")
"""Endings of lists, and of tables that are one where they have a single column."""

_FORMS = ("folders", "volumes", "table")


NO_ROWS: Mapping[str, int] = MappingProxyType({})


class _Named(NamedTuple):
    """What a text or a list of a JSON holds: names or numbers, their split, and whether that is all it says."""

    entry: SourceFile
    split: str
    exact: bool
    values: tuple[str | int, ...]
    more: bool = False
    of_json: bool = False


class _List(NamedTuple):
    """A text, its split, whether it says but one, what it names, and whether its lines say more."""

    entry: SourceFile
    split: str
    exact: bool
    names: tuple[str, ...]
    more: bool


class _Meant(NamedTuple):
    """Files by the names that lists may hold, and whose names these are: of an image, or of a patient with several."""

    files: FilesByName
    whose: Literal["image", "patient", "row"]


def with_lists(
    found: DiscoveredDataset, others: Sequence[SourceFile], *, rows: Mapping[str, int] = NO_ROWS
) -> tuple[DiscoveredDataset, list[SourceFile]]:
    """The cases with the splits that texts give them, and the other files without these texts.

    Args:
        found: a source.
        others: files that are no images.
        rows: the place of the row of each image in the table that was read, which lists may mean.
    """
    texts = _called_after_splits(others)
    described = [entry for entry in others if entry.name.lower().endswith(".json")]
    columns = [] if any(case.split for case in found.cases) else tables_of_splits(others)
    if not (texts or described or columns) or found.form not in _FORMS or any(case.split for case in found.cases):
        return found, list(others)
    images = _by_name(found.cases)
    texts = {entry: split for entry, split in texts.items() if entry.stem not in images}
    texts = {entry: split for entry, split in texts.items() if entry not in columns}
    named = [*_read_texts(texts), *_read_json(described[:MOST_JSON]), *_read_columns(columns)]
    lists, meant = _understood(named, images, rows)
    used = {one.entry for one in lists}
    found = found._replace(notes=(*found.notes, *_about_unknown(texts, used)))
    if not lists:
        return found, list(others)
    chosen, twice = _chosen(lists, meant)
    if twice:
        several = counted(twice, meant.whose)
        note = f"{_told(lists)} name the {meant.whose}s of splits, not followed: {several} would be in several"
        return found._replace(notes=(*found.notes, note)), list(others)
    cases = tuple(replace(case, split=chosen.get(_file(case))) for case in found.cases)
    notes = (*found.notes, *_notes(lists, meant, cases))
    return found._replace(cases=cases, notes=notes), [entry for entry in others if entry not in used]


def _called_after_splits(others: Iterable[SourceFile]) -> dict[SourceFile, str]:
    """The texts whose names say a split and nothing else, with it; without such those that differ by its word alone."""
    texts = [entry for entry in others if entry.name.lower().endswith((*_TEXTS, *_OF_ONE_COLUMN))]
    plain = {entry: split_of(entry) for entry in texts if split_of(entry)}
    if plain:
        return plain
    said = {entry.parts: split for entry in texts if (split := split_in(entry.stem))}
    alike = set(differing_by_split(said))
    return {entry: said[entry.parts] for entry in texts if entry.parts in alike}


def _understood(named: Sequence[_Named], images: FilesByName, rows: Mapping[str, int]) -> tuple[list[_List], _Meant]:
    """The lists by names of images; where there is none, by rows of a table, or by names of patients."""
    if lists := _lists(named, images):
        return lists, _Meant(images, "image")
    if rows and (lists := _of_rows(named, len(rows))):
        return lists, _Meant({str(place): {_file_of(image)} for image, place in rows.items()}, "row")
    files = set[str]().union(*images.values())
    names = {_key(value) for one in named for value in one.values if isinstance(value, str)}
    for way in files_of_patients(files, names) if names else ():
        if lists := _lists(named, way):
            return lists, _Meant(way, "patient")
    return [], _Meant(images, "image")


def _lists(named: Sequence[_Named], files: FilesByName) -> list[_List]:
    """The lists of names of files, most of whose names are these."""
    numbered = _by_number(files) if any(isinstance(value, int) for one in named for value in one.values) else {}
    lists, strange = list[_List](), set[SourceFile]()
    for one in named:
        keys = [_key(value) if isinstance(value, str) else numbered.get(value, "") for value in one.values]
        names = tuple(key for key in keys if key in files)
        if 2 * len(names) > len(keys) and "" not in keys:  # a number that no image has may be a place in a list
            lists.append(_List(one.entry, one.split, one.exact, names, one.more))
        elif one.of_json:
            strange.add(one.entry)
    return [one for one in lists if one.entry not in strange]


def _of_rows(named: Sequence[_Named], rows: int) -> list[_List]:
    """The lists of numbers of rows: several, none twice, and counted from 0 or from 1 as the first or last one says."""
    numbers = list[list[int]]()
    for one in named:
        texts = list(map(str, one.values))
        texts = texts if texts[0].isdecimal() else texts[1:]  # the name of the column
        if not texts or not all(map(str.isdecimal, texts)):
            return []
        numbers.append(list(map(int, texts)))
    every = list(chain.from_iterable(numbers))
    first, last = min(every, default=0), max(every, default=0)
    if len(numbers) < 2 or len(set(every)) < len(every) or (first == 0) == (last == rows) or last > rows:
        return []
    return [
        _List(one.entry, one.split, one.exact, tuple(str(number - (first > 0)) for number in of_one), one.more)
        for one, of_one in zip(named, numbers, strict=True)
    ]


def _about_unknown(texts: Iterable[SourceFile], used: Collection[SourceFile]) -> Iterator[str]:
    """A note about texts that are called after splits and name nothing that is here."""
    unknown = [entry for entry in texts if entry not in used and entry.name.lower().endswith(_TEXTS)]
    if unknown:
        shown = ", ".join(entry.where for entry in unknown[:SOME])
        more = " ..." if len(unknown) > SOME else ""
        yield (
            f"called after splits, not followed, since most of their lines begin with no image and no patient here: "
            f"{len(unknown)} ({shown}{more}); a table with the columns image and split, given with --labels, says it"
        )


def with_named_splits(found: DiscoveredDataset, *, keep_split: bool = False) -> DiscoveredDataset:
    """The cases with the splits that all of their names say, unless these have a patient in several.

    Args:
        found: a source whose patients are known.
        keep_split: whether a person keeps a split that has one patient in several parts.
    """
    if found.form not in _FORMS or found.folds or any(case.split for case in found.cases):
        return found
    said = _splits_of_names([_file(case) for case in found.cases])
    if not said:
        return found
    cases = tuple(replace(case, split=split) for case, split in zip(found.cases, said, strict=True))
    note = "the split is that of the names; a table with a column split says it otherwise"
    if torn := torn_patients(cases, ()):
        patients = counted(len(torn), "patient")
        if not keep_split:
            note = (
                f"the names say splits ({_sizes(cases)}), not followed: {patients} would be in several; --keep-split "
                "follows them all the same"
            )
            return found._replace(notes=(*found.notes, note))
        note += f"; {patients} in several splits, kept as --keep-split says: scores will be too good"
    return found._replace(cases=cases, notes=(*found.notes, note))


def _splits_of_names(files: Sequence[str]) -> list[str]:
    """The split of each file by the names of all, else by those of the folders at one depth; empty where none is."""
    if not files:
        return []
    named = _of_all(map(_said_by, map(_key, files)))
    if named:
        return named
    folders = [_FOLDERS.split(file)[:-1] for file in files]
    for depth in range(min(map(len, folders))):
        if named := _of_all(_said_within(above[depth]) for above in folders):
            return named
    return []


def _of_all(said: Iterable[str | None]) -> list[str]:
    """What names say, where each says a split, and some another than training; else nothing."""
    splits = list[str]()
    for split in said:
        if split is None:
            return []
        splits.append(split)
    return splits if {"train"} < set(splits) else []


def _said_by(name: str) -> str | None:
    """The split by the first or last word of a name; None where there is none, or several."""
    words = [token.text for token in tokens(name)]
    said = {SPLIT_WORDS[word] for word in (words[:1] + words[-1:]) if word in SPLIT_WORDS}
    return said.pop() if len(said) == 1 else None


@lru_cache
def _said_within(folder: str) -> str | None:
    """The split by any word in the name of a folder that has a number, as those of cases do: `LCTSC-Train-S1-001`."""
    said = {SPLIT_WORDS[token.text] for token in tokens(folder) if token.text in SPLIT_WORDS}
    return said.pop() if len(said) == 1 and re.search(r"\d", folder) else None


def _sizes(cases: Sequence[Case]) -> str:
    sizes = Counter(case.split for case in cases)
    return ", ".join(f"{split} {sizes[split]}" for split in ("train", "validation", "test") if sizes[split])


def _notes(lists: Sequence[_List], meant: _Meant, cases: Sequence[Case]) -> Iterator[str]:
    whose = {"patient": " (lists of patients)", "row": " (numbers of the rows of the table)", "image": ""}
    names = whose[meant.whose]
    rest = sum(case.split is None for case in cases)
    without = f" ({counted(rest, 'case')} of no list)" if rest else ""
    more = "; what else their lines say is not read" if any(one.more for one in lists) else ""
    told = f"{_told(lists)}{names}{without}{more}"
    yield f"the split is that of {told}; to divide afresh, take these files out of the folder"


def _told(lists: Sequence[_List]) -> str:
    return ", ".join(dict.fromkeys(one.entry.where for one in lists))


def split_of(entry: SourceFile, beside: AbstractSet[str] = frozenset()) -> str:
    """The split that the name of a list says; empty for other names. Of training and validation it is training.

    Args:
        entry: a text, or a table.
        beside: further words that may stand beside that for the split.
    """
    words = [token.text for token in tokens(entry.stem) if token.number is None]
    said = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    if not said or not all(word in SPLIT_WORDS or word in _BESIDE or word in beside for word in words):
        return ""
    return said.pop() if len(said) == 1 else "train" if said == {"train", "validation"} else ""


def _read_texts(texts: Mapping[SourceFile, str]) -> Iterator[_Named]:
    """What the lines of texts begin with."""
    for entry, split in texts.items():
        lines = _lines(entry)
        more = any(rest for _, rest in lines)
        if lines and not (more and entry.name.lower().endswith(_OF_ONE_COLUMN)):
            said = [token.text for token in tokens(entry.stem) if token.text in SPLIT_WORDS]
            exact = len(said) == 1 and said != ["trainval"]
            yield _Named(entry, split, exact, tuple(name for name, _ in lines), more)


def _lines(entry: SourceFile) -> list[tuple[str, str]]:
    """The first word of each line of a text, and what follows it; none of one that cannot be read or is too large."""
    target = Locator.parse(entry.locator)
    if target.member:
        return []
    try:
        with open_file(target.path) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return []
    if len(content) > _LARGEST:
        return []
    return [
        (name.decode(errors="replace"), rest.strip().decode(errors="replace")) for name, rest in PATH.findall(content)
    ]


def _read_json(described: Iterable[SourceFile]) -> Iterator[_Named]:
    """The values of JSON files whose keys say splits: names, or numbers of images."""
    for entry in described:
        for key, values in _splits_in(entry).items():
            if not values:
                continue
            yield _Named(entry, SPLIT_WORDS[key.lower()], key.lower() != "trainval", tuple(values), of_json=True)


def _read_columns(tables: Iterable[SourceFile]) -> Iterator[_Named]:
    """The cells of tables with a column for each split."""
    for entry in tables:
        for split, names in names_of_splits(entry).items():
            if names:
                yield _Named(entry, split, exact=True, values=names)


def _splits_in(entry: SourceFile) -> Mapping[str, list[str | int]]:
    """The lists of a small JSON that say splits: alone in it, or several beside what else it says; none of another."""
    target = Locator.parse(entry.locator)
    if target.member or target.path.stat().st_size > LARGEST_JSON:
        return {}
    try:
        content = json.loads(read_file(target.path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=target.path)
        return {}
    if not isinstance(content, dict):
        return {}
    splits = {key: values for key, values in content.items() if key.lower() in SPLIT_WORDS}
    if not all(isinstance(values, list) for values in splits.values()):
        return {}
    named = {key: [_image_of(value) for value in values] for key, values in splits.items()}
    with_labels = any(isinstance(value, dict) for values in splits.values() for value in values)
    described = with_labels or len(splits) < len(content)  # it says more than splits: then several lists alone are some
    if None in chain.from_iterable(named.values()) or (described and sum(map(bool, named.values())) < 2):
        return {}
    return {key: [value for value in values if value is not None] for key, values in named.items()}


def _image_of(value: object) -> str | int | None:
    """The name or number of an image in a list, also where its label stands beside it; None for anything else."""
    image = value.get("image") if isinstance(value, dict) else value
    return image if isinstance(image, str | int) else None


def _by_number(images: Iterable[str]) -> dict[int, str]:
    """Images by the numbers that their names end in, where each has another."""
    ends = {name: re.search(r"\d+$", name) for name in images}
    numbered = {int(end[0]): name for name, end in ends.items() if end}
    return numbered if len(numbered) == len(ends) else {}


def _chosen(lists: Sequence[_List], meant: _Meant) -> tuple[dict[str, str], int]:
    """The split of each file, and how many names would be in several or are of several images."""
    said: dict[str, dict[bool, set[str]]] = defaultdict(lambda: defaultdict(set))
    names = {name for one in lists for name in one.names}
    for one in lists:
        for name in one.names:
            for file in meant.files[name]:
                said[file][one.exact].add(one.split)
    torn = {file for file, splits in said.items() if _disagree(splits)}
    unclear = [name for name in names if meant.whose == "image" and len(meant.files[name]) > 1]
    twice = {*unclear, *(name for name in names if not torn.isdisjoint(meant.files[name]))}
    return {file: min(splits.get(True) or splits[False]) for file, splits in said.items()}, len(twice)


def _disagree(splits: Mapping[bool, set[str]]) -> bool:
    """Whether lists put a file in several splits: those that say one each, or one of testing and a wider one."""
    exact, wide = splits.get(True, set()), splits.get(False, set())
    return len(exact or wide) > 1 or ("test" in exact and bool(wide))


def _by_name(cases: Sequence[Case]) -> dict[str, set[str]]:
    """The files of images by their names without ending."""
    files: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        files[_key(_file(case))].add(_file(case))
    return files


def _file(case: Case) -> str:
    return _file_of(case.image)


def _file_of(image: str) -> str:
    return str(Locator.parse(image).path)


def _key(path: str) -> str:
    """The name of a file without its folders and its ending."""
    name = _FOLDERS.split(path.rstrip("/\\"))[-1]
    return ENDING.sub("", name) or name
