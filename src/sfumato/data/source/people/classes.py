"""Names of classes as people write them: what looks the same is one class, and what differs by case alone is said."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sfumato.data.manifest import SPLITS, Case
from sfumato.data.source.people.persons import NEARLY_ALL, are_words
from sfumato.escape import visible
from sfumato.wording import counted

_SHOWN = 8
"""Classes that are named in a line."""


def plain_name(name: str) -> str:
    """A name as it is seen: accents composed with their letters, one space between words and none around them."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def with_one_spelling(cases: Sequence[Case]) -> tuple[tuple[Case, ...], list[str]]:
    """The cases with each class spelt in one way, and a sentence for each class that was spelt in several."""
    spellings: Mapping[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for label in (case.label for case in cases if case.label is not None):
        spellings[plain_name(label)].add(label)
        counts[plain_name(label)] += 1
    notes = [
        f"{len(several)} spellings of the class '{name}' ({counted(counts[name], 'case')}) look the same and were read "
        "as one: they differ in spaces, or in how accents are stored"
        for name, several in sorted(spellings.items())
        if len(several) > 1
    ]
    return tuple(_spelt(case) for case in cases), notes


def without_folders_of_one(cases: Sequence[Case]) -> tuple[list[Case], list[str]]:
    """The cases of a table; folders that most of them have for themselves (nearly all, of words) are no classes."""
    folders = {case.label for case in cases if case.label is not None}
    if len(folders) < 2 or len(folders) <= (NEARLY_ALL if are_words(folders) else 0.5) * len(cases):
        return list(cases), []
    note = f"the folders of the files are no classes: {len(folders)} for {counted(len(cases), 'image')}"
    return [replace(case, label=None) for case in cases], [note]


def told_classes(cases: Sequence[Case]) -> list[str]:
    """A line with the classes of the images, largest first: folders that mean something else are seen in it."""
    counts = Counter(case.label for case in cases if case.label is not None)
    if not counts:
        return []
    shown = ", ".join(f"{visible(name)} ({count})" for name, count in counts.most_common(_SHOWN))
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return [f"classes of images: {shown}{more}"]


def told_splits(cases: Sequence[Case]) -> list[str]:
    """A line with the parts into which the source divides the images."""
    counts = Counter(case.split for case in cases)
    if counts.keys() <= {None}:
        return []
    shown = [f"{name} ({counts[name]})" for name in SPLITS if counts[name]]
    shown += [f"nothing said of {counts[None]}"] if counts[None] else []
    return [f"splits that the source brings: {', '.join(shown)}"]


def _spelt(case: Case) -> Case:
    if case.label is None or case.label == plain_name(case.label):
        return case
    return replace(case, label=plain_name(case.label) or None)


def alike_but_for_case(labels: Iterable[str | None]) -> list[dict[str, int]]:
    """Groups of classes that differ by upper and lower case alone, each with its number of cases."""
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for name, count in sorted(Counter(label for label in labels if label is not None).items()):
        groups[name.casefold()][name] = count
    return [group for group in groups.values() if len(group) > 1]


def told_alike(group: Mapping[str, int]) -> str:
    """A group of them in words."""
    names = " and ".join(f"'{name}' ({counted(count, 'image')})" for name, count in group.items())
    return f"classes differ by upper and lower case alone: {names}"
