"""Which of the tables that name images are read: one, those of parts of the set, or several side by side.

Tables that are called after splits (`train.csv`, `test.csv`; `mass_train.csv`, `calc_train.csv` and their `_test.csv`),
or lie in the folders of the parts of a set, are one, where they have the same columns, or say the same in columns of
one name, and no image in common. Of tables that say the same of all images one is read. Tables of which one says the
class and another the patient of the same images are read side by side. What a table that is not read would say, and
how it is read, is told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, permutations
from pathlib import Path
from shlex import quote

from sfumato.data.source.people.dividing import split_in
from sfumato.data.source.tables.lists import split_of
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.tables.nearby import folders_of
from sfumato.data.source.tables.numbered_images import is_called_after
from sfumato.data.source.tables.side_by_side import side_by_side
from sfumato.data.source.tables.table_hits import TableHit, Tables
from sfumato.data.source.words import SPLIT_WORDS, tokens
from sfumato.wording import counted

_LABELS = frozenset({"labels", "label", "classes", "annotations", "metadata", "meta", "df"})
"""What may stand beside the word for a split in the name of a table."""


def chosen_tables(hits: Sequence[TableHit], files: FileLookup, notes: list[str]) -> Tables:
    """The table or tables that name most of the images.

    Args:
        hits: tables that may.
        files: the images.
        notes: what is known of other tables already.
    """
    images = len(files)
    naming = [hit for hit in hits if hit.named]
    most = [hit for hit in naming if 2 * len(hit.named) > images]
    for group in _alike(naming):
        parts = _of_parts(group, images)
        if parts is not None:
            return parts._replace(notes=[*notes, *_about_others(naming, parts), *parts.notes])
    if len(most) > 1:
        several = _of_several(most, files)
        several = several._replace(notes=[*notes, *several.notes])
        if not several.chosen:
            return several
        return several._replace(notes=[*several.notes, *_about_others(naming, several)])
    if most:
        alone = Tables({most[0].path: ""}, [f"the table {most[0].path.name} was read"])
        return alone._replace(notes=[*notes, *_about_others(naming, alone), *alone.notes])
    told_of = [hit for hit in naming if len(hit.named) > 1]
    return Tables({}, [*notes, *chain.from_iterable(_about_some(hit, images) for hit in told_of)])


def _about_others(naming: Sequence[TableHit], read: Tables) -> Iterator[str]:
    """Notes about tables that name images and are not read beside those that are, where no other note names them."""
    first, told = next(iter(read.chosen)).name, " ".join(read.notes)
    for hit in naming:
        if hit.path in read.chosen or hit.path in read.beside or hit.path.name in told:
            continue
        names = f"{hit.path.name} names {counted(len(hit.named), 'image')} too, not used"
        nothing = "" if hit.with_one_hot() else "; it says neither class nor patient nor split"
        yield f"{names}: it has not the columns of {first}, or images of it{nothing}"


def _about_some(hit: TableHit, images: int) -> list[str]:
    """A note about a table that names some of the images, with the words by which it is read, where it can be."""
    if doubles := about_doubles(hit):
        return doubles
    note = f"{hit.path.name} names {len(hit.named)} of {images} images (column '{hit.plan.image}'), not used"
    if not hit.agrees():
        return [f"{note}: rows of one image differ in what they say of it"]
    drop = "" if all(map(hit.files.has, hit.texts)) else " --drop-unpaired"
    return [f"{note}: --labels {quote(str(hit.path))}{drop} takes these alone"]


def about_doubles(hit: TableHit) -> list[str]:
    """A note about a table whose names several files have, with the folders that have one for each."""
    text = next(filter(hit.files.has_several, hit.texts), None)
    if text is None:
        return []
    way = "write their folders too"
    folders = folders_of(hit.table, hit.texts, hit.files)
    if folders and hit.agrees():
        sources = " or ".join(f"{quote(folder)} {hit.flag}" for folder in folders)
        elsewhere = "with --masks FOLDER where masks lie elsewhere"
        way = f"give the folder that it is about as the source, {elsewhere}: {sources}"
    return [f"{hit.path.name} names files of which there are several, such as {text}, not used: {way}"]


def _alike(hits: Sequence[TableHit]) -> Iterator[Sequence[TableHit]]:
    """All tables, then those of the same columns that say the class, beside others."""
    yield hits
    groups = defaultdict[frozenset[str], list[TableHit]](list)
    for hit in hits:
        groups[frozenset(hit.table.header)].append(hit)
    if len(groups) > 1:
        yield from (group for group in groups.values() if all("class" in hit.with_one_hot() for hit in group))


def _of_parts(hits: Sequence[TableHit], images: int) -> Tables | None:
    """Tables of which each is about a part of the set: a split, or the images beside it; None where they are not."""
    if not _are_of_parts(hits, images):
        return None
    splits = _splits_of(hits)
    if _are_of_splits(hits, splits):
        named = ", ".join(f"{path.name} ({split})" for path, split in splits.items())
        return Tables(splits, [f"the tables {named} were read, and the split is theirs"])
    named = ", ".join(hit.entry.where for hit in hits)
    if _lie_apart(hits):
        return Tables({hit.path: "" for hit in hits}, [f"the tables {named} were read, each for the images beside it"])
    if _are_called_after_folders(hits):
        note = f"the tables {named} were read, each for the images of the folder that it is called after"
        return Tables({hit.path: "" for hit in hits}, [note])
    return None


def _are_of_parts(hits: Sequence[TableHit], images: int) -> bool:
    """Whether tables say the same of parts of one set."""
    names = list(chain.from_iterable(hit.named for hit in hits))
    if len(hits) < 2 or len(set(names)) < len(names) or 2 * len(names) <= images:
        return False
    if len({frozenset(hit.table.header) for hit in hits}) == 1:
        return True
    return bool(hits[0].plan.label) and len({hit.plan for hit in hits}) == 1


def _splits_of(hits: Sequence[TableHit]) -> dict[Path, str]:
    """The split that the name of each table says: beside it known words stand, or the same in all."""
    often = Counter(map(_beside_split, hits))
    splits = dict[Path, str]()
    for hit in hits:
        alike = often[_beside_split(hit)] > 1
        splits[hit.path] = split_of(hit.entry, _LABELS) or (alike and split_in(hit.entry.stem)) or ""
    return splits


def _beside_split(hit: TableHit) -> tuple[str, ...]:
    """What the name of a table says beside a split and that it is a table."""
    words = (token.text for token in tokens(hit.entry.stem))
    return tuple(word for word in words if word not in SPLIT_WORDS and word not in _LABELS)


def _are_of_splits(hits: Sequence[TableHit], splits: Mapping[Path, str]) -> bool:
    """Whether tables of parts are those of splits by their names."""
    if "" in splits.values() or len(set(splits.values())) < 2 or any(hit.plan.split for hit in hits):
        return False
    return len({(_beside_split(hit), splits[hit.path]) for hit in hits}) == len(hits)


def _lie_apart(hits: Sequence[TableHit]) -> bool:
    """Whether each table lies in a folder of its own, above all of its images."""
    folders = [hit.path.absolute().parent for hit in hits]
    for hit, folder in zip(hits, folders, strict=True):
        if not all(Path(name).is_relative_to(folder) for name in hit.named):
            return False
    return not any(one.is_relative_to(other) for one, other in permutations(folders, 2))


def _are_called_after_folders(hits: Sequence[TableHit]) -> bool:
    """Whether the images of each table lie in one folder, by whose name it is called and no other is."""
    folders = [{Path(name).parent.name for name in hit.named} for hit in hits]
    if any(len(of_one) != 1 for of_one in folders):
        return False
    names = [of_one.pop() for of_one in folders]
    return all(
        is_called_after(hit.path.stem, name) == (hit is own)
        for own, name in zip(hits, names, strict=True)
        for hit in hits
    )


def _of_several(most: Sequence[TableHit], files: FileLookup) -> Tables:
    """The one table of several about the same images that says all that others say, and more; else none.

    Where each says what others do not, they are read side by side.
    """
    names = ", ".join(hit.path.name for hit in most)
    said = {hit.path: hit.with_one_hot() for hit in most}
    if fullest := next((hit for hit in most if _says_more(hit, most, said)), None):
        other = next(hit for hit in most if hit is not fullest)
        note = (
            f"of several tables that name the images ({names}), {fullest.path.name} was read, which says most (the "
            f"{' and the '.join(said[fullest.path])}): {other.flag} reads another"
        )
        return Tables({fullest.path: ""}, [note])
    if joined := _joined(most, said, files):
        return joined
    telling = [hit for hit in most if hit.says]
    if len(telling) > 1 and _agree(telling, files):
        widest = max(telling, key=lambda hit: (hit.has_a_row_each, len(hit.table.header)))
        others = ", ".join(hit.path.name for hit in telling if hit is not widest)
        said_by_all = " and ".join(widest.says)
        note = f"the table {widest.path.name} was read; {others} say the same {said_by_all} of all images"
        return Tables({widest.path: ""}, [note])
    once = [hit for hit in telling if hit.has_a_row_each]
    if len(once) == 1:
        other = next(hit for hit in most if hit is not once[0])
        note = (
            f"of several tables that name the images ({names}), {once[0].path.name} was read: of those that say class, "
            f"patient or split it alone has one row for each image; {other.flag} reads another"
        )
        return Tables({once[0].path: ""}, [note])
    ways = " or ".join(hit.flag for hit in most)
    return Tables({}, [f"several tables name the images ({names}): none was read, choose one with {ways}"])


def _says_more(hit: TableHit, most: Sequence[TableHit], said: Mapping[Path, Sequence[str]]) -> bool:
    """Whether a table says all that each of the others says, and more."""
    others = [other for other in most if other is not hit]
    return all(set(said[hit.path]) > set(said[other.path]) for other in others)


def _joined(most: Sequence[TableHit], said: Mapping[Path, Sequence[str]], files: FileLookup) -> Tables | None:
    """Tables side by side, no two of which say the same of their images; None where they do, or contradict."""
    telling = [hit for hit in most if said[hit.path]]
    every = list(chain.from_iterable(said.values()))
    if len(telling) < 2 or len(set(every)) < len(every):
        return None
    whole = side_by_side([(hit.table, hit.plan.image) for hit in telling], files)
    if whole is None:
        return None
    first, *others = telling
    names = " and ".join(f"{hit.path.name} (the {' and the '.join(said[hit.path])})" for hit in telling)
    note = f"tables that name the same images were read side by side: {names}; {first.flag} reads one alone"
    beside = frozenset(hit.path for hit in others)
    return Tables({whole.path: ""}, [note], joined={whole.path: whole}, beside=beside)


def _agree(hits: Sequence[TableHit], files: FileLookup) -> bool:
    """Whether tables say the same of the same images, in the columns that would be read."""
    first, *others = [_said_of_files(hit, files) for hit in hits]
    return all(other == first for other in others)


def _said_of_files(hit: TableHit, files: FileLookup) -> set[tuple[str, ...]]:
    """Each file that a table names, with its class, patient and split."""
    columns = list[list[str]]()
    for name in (hit.plan.label, hit.plan.patient, hit.plan.split):
        columns.append(hit.table.column(name) if name else [""] * len(hit.texts))
    said = set[tuple[str, ...]]()
    for text, *values in zip(hit.texts, *columns, strict=True):
        if files.has(text):
            said.add((*files.candidates(text), *values))
    return said
