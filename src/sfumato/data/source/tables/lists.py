"""Texts beside images that list those of a split: `train_val_list.txt`, `test_list.txt`, `ImageSets/train.txt`.

A small JSON does so too, all of whose keys are splits: `{"train": ["a", "b"], "val": ["c"]}`, or with the numbers at
the ends of names.

A text counts where its name says a split and nothing else, and most of its lines begin with an image. Images of a list
that says less (`trainval`) go where another one puts them; those of no list have no split, which is training.

Where nothing else says it, names that all begin or end with the word for a split are one: `train_1.bmp`, `testA_1.bmp`.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

from sfumato.data.folds import torn_patients
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.listing import ENDING, SourceFile
from sfumato.data.source.words import FILLERS, IMAGES, SPLIT_WORDS, tokens
from sfumato.files import open_file, read_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

_LARGEST = 2**26
"""Bytes of a list; a text that goes on is none."""

_BESIDE = FILLERS | IMAGES | {"list", "lists", "split", "splits", "names", "name", "ids", "id", "cases"}
"""What may stand beside the word for a split in the name of a list."""

LARGEST_JSON, MOST_JSON = 2**22, 20
"""Bytes of a JSON that may be one, and how many are looked into: more are one for each image."""

PATH = re.compile(rb"^\s*\"?([^\s,;\"]+)(.*)$", re.MULTILINE)

_FORMS = ("folders", "volumes", "table")


class _List(NamedTuple):
    """A text, its split, whether it says but one, the files that it names, and whether its lines say more."""

    entry: SourceFile
    split: str
    exact: bool
    names: tuple[str, ...]
    more: bool


def with_lists(found: DiscoveredDataset, others: Sequence[SourceFile]) -> tuple[DiscoveredDataset, list[SourceFile]]:
    """The cases with the splits that texts give them, and the other files without these texts.

    Args:
        found: a source.
        others: files that are no images.
    """
    texts = [entry for entry in others if entry.name.lower().endswith(".txt") and split_of(entry)]
    described = [entry for entry in others if entry.name.lower().endswith(".json")]
    if not (texts or described) or found.form not in _FORMS or any(case.split for case in found.cases):
        return found, list(others)
    images = _by_name(found.cases)
    lists = [one for entry in texts if (one := _read(entry, images)) is not None]
    lists += [one for entry in described[:MOST_JSON] for one in _parts(entry, images)]
    if not lists:
        return found, list(others)
    told = _told(lists)
    chosen, twice = _chosen(lists, images)
    if twice:
        note = f"{told} name the images of splits, not followed: {counted(twice, 'image')} would be in several"
        return found._replace(notes=(*found.notes, note)), list(others)
    cases = tuple(replace(case, split=chosen.get(_file(case))) for case in found.cases)
    used = {one.entry for one in lists}
    return found._replace(cases=cases, notes=(*found.notes, *_notes(lists, cases))), [
        entry for entry in others if entry not in used
    ]


def with_named_splits(found: DiscoveredDataset) -> DiscoveredDataset:
    """The cases with the splits that all of their names say, unless these have a patient in several."""
    if found.form not in _FORMS or found.folds or any(case.split for case in found.cases):
        return found
    names = [_key(_file(case)) for case in found.cases]
    said = list(takewhile(bool, map(_said_by, names)))
    if len(said) < len(names) or not {"train"} < set(said):
        return found
    cases = tuple(replace(case, split=split) for case, split in zip(found.cases, said, strict=True))
    if torn := torn_patients(cases, ()):
        note = (
            f"the names say splits ({_sizes(cases)}), not followed: {counted(len(torn), 'patient')} would be in several"
        )
        return found._replace(notes=(*found.notes, note))
    note = "the split is that of the names; a table with a column split says it otherwise"
    return found._replace(cases=cases, notes=(*found.notes, note))


def _said_by(name: str) -> str | None:
    """The split by the first or last word of a name; None where there is none, or several."""
    words = [token.text for token in tokens(name)]
    said = {SPLIT_WORDS[word] for word in (words[:1] + words[-1:]) if word in SPLIT_WORDS}
    return said.pop() if len(said) == 1 else None


def _sizes(cases: Sequence[Case]) -> str:
    sizes = Counter(case.split for case in cases)
    return ", ".join(f"{split} {sizes[split]}" for split in ("train", "validation", "test") if sizes[split])


def _notes(lists: Sequence[_List], cases: Sequence[Case]) -> Iterator[str]:
    rest = sum(case.split is None for case in cases)
    without = f" ({counted(rest, 'case')} of no list)" if rest else ""
    more = "; what else their lines say is not read" if any(one.more for one in lists) else ""
    yield f"the split is that of {_told(lists)}{without}{more}; to divide afresh, take these files out of the folder"


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


def _read(entry: SourceFile, images: Mapping[str, set[str]]) -> _List | None:
    """A text whose lines begin with images, most of them."""
    target = Locator.parse(entry.locator)
    if target.member:
        return None
    try:
        with open_file(target.path) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return None
    lines = [(name.decode(errors="replace"), rest.strip()) for name, rest in PATH.findall(content)]
    names = tuple(key for name, _ in lines if (key := _key(name)) in images)
    if len(content) > _LARGEST or 2 * len(names) <= len(lines):
        return None
    said = [token.text for token in tokens(entry.stem) if token.text in SPLIT_WORDS]
    exact = len(said) == 1 and said != ["trainval"]
    return _List(entry, split_of(entry), exact, names, any(rest for _, rest in lines))


def _parts(entry: SourceFile, images: Mapping[str, set[str]]) -> list[_List]:
    """The splits of a JSON whose keys say them, most of whose values are names of images or their numbers."""
    target = Locator.parse(entry.locator)
    if target.member or target.path.stat().st_size > LARGEST_JSON:
        return []
    try:
        content = json.loads(read_file(target.path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=target.path)
        return []
    if not isinstance(content, dict) or not all(key.lower() in SPLIT_WORDS for key in content):
        return []
    numbered, lists = _by_number(images), list[_List]()
    for key, values in content.items():
        if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
            return []
        named = [_key(value) if isinstance(value, str) else numbered.get(value, "") for value in values]
        names = tuple(name for name in named if name in images)
        if "" in named or 2 * len(names) <= len(values):  # a number that no image has: they may be places in a list
            return []
        lists.append(_List(entry, SPLIT_WORDS[key.lower()], key.lower() != "trainval", names, more=False))
    return lists


def _by_number(images: Iterable[str]) -> dict[int, str]:
    """Images by the numbers that their names end in, where each has another."""
    ends = {name: re.search(r"\d+$", name) for name in images}
    numbered = {int(end[0]): name for name, end in ends.items() if end}
    return numbered if len(numbered) == len(ends) else {}


def _chosen(lists: Sequence[_List], images: Mapping[str, set[str]]) -> tuple[dict[str, str], int]:
    """The split of each file, and how many would have several or have a name that others have too."""
    found: dict[str, dict[bool, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in lists:
        for name in one.names:
            found[name][one.exact].add(one.split)
    chosen, twice = dict[str, str](), 0
    for name, splits in found.items():
        best = splits.get(True) or splits[False]
        twice += len(best) > 1 or len(images[name]) > 1 or bool("test" in best and splits.get(False))
        chosen |= dict.fromkeys(images[name], min(best))
    return chosen, twice


def _by_name(cases: Sequence[Case]) -> dict[str, set[str]]:
    """The files of images by their names without ending."""
    files: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        files[_key(_file(case))].add(_file(case))
    return files


def _file(case: Case) -> str:
    return str(Locator.parse(case.image).path)


def _key(path: str) -> str:
    """The name of a file without its folders and its ending."""
    name = re.split(r"[/\\]", path)[-1]
    return ENDING.sub("", name) or name
