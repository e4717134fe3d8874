"""Whose the cases are where no person said it: guessed from a table, DICOM tags, names and folders, which is told.

    a column of a table     `tables.row_values`
    DICOM                   PatientID with its issuer, else StudyInstanceUID, of which nothing is kept
    names                   `people.persons`, and `people.pieces` where they go on alike
    folders                 with images and masks each (`people.levels`)

The first that says it counts; the order of names and folders is that of tables where one was read.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.people.divisions import is_variant
from sfumato.data.source.people.folders_of_persons import (
    PATIENTS_OR_CLASSES,
    known_patient,
    without_labels,
    without_persons_as_classes,
)
from sfumato.data.source.people.grouping import NOBODY, PARENT, case_name
from sfumato.data.source.people.owners import patients_by_tag
from sfumato.data.source.people.persons import (
    CLASS_WORD,
    Name,
    offers,
    parent_of,
    said_by_names,
    without_classes,
)
from sfumato.data.source.people.pieces import counted_by_number, grouped_by_names, in_variants
from sfumato.data.source.people.spelt_alike import with_patients_spelt_alike
from sfumato.wording import counted

_SHOWN = 3
"""Patients that a line names."""

_OF_A_NUMBER = re.compile(r"(?:^|[ _-])(?:id|no|nr|number|code|key|name|case|exam|accession)$|id$", re.IGNORECASE)
"""How the names of columns end that may number persons."""

_FORMS = ("folders", "volumes", "table", "npz", "npy", "zip", "nnU-Net raw")
"""Sources in which names of files may say whose an image is; others hold rows, or say it themselves."""


class _Origin(Enum):
    """What says who the patient of a case is."""

    TOLD = "a table, or folders"
    TAG = "a tag of DICOM"
    NAME = "a name"


class _Guess(NamedTuple):
    """The patient of a case, and what says it."""

    patient: str
    origin: _Origin


@dataclass(frozen=True)
class _Guessed:
    """Cases with what says whose they are.

    Attributes:
        found: the cases as they stand.
        names: of the images.
        guesses: what says whose each is; None where nothing does.
        level: that of folders that are patients by their names and would be classes; 0 without such.
        speaking: whether names of files may say whose an image is.
    """

    found: DiscoveredDataset
    names: Sequence[Name]
    guesses: Sequence[_Guess | None]
    level: int
    speaking: bool

    @property
    def several(self) -> bool:
        """Whether there are several images or volumes."""
        return len({case.volume or case.id for case in self.found.cases}) > 1

    @property
    def nobody(self) -> bool:
        """Whether nothing says whose any case is."""
        return not any(self.guesses)

    def patients(self, origin: _Origin) -> list[str]:
        """The patients whom an origin says, as they are spelt now, in order."""
        of_cases = zip(self.found.cases, self.guesses, strict=True)
        said = [case.patient for case, guess in of_cases if guess is not None and guess.origin is origin]
        return list(dict.fromkeys(patient for patient in said if patient is not None))


def with_guessed_patients(found: DiscoveredDataset, source: Path, hints: ReadOptions) -> DiscoveredDataset:
    """Whose the cases are where no person said it: a table before tags, tags before names, names before folders."""
    names = [case_name(case, source) for case in found.cases]
    if hints.class_level:
        found = _without_classes_as_people(found)
    found, level = without_persons_as_classes(found, names, hints)
    speaking = found.form in _FORMS and len(set(names)) > 1
    guesses = _guesses(found, names, speaking=speaking)
    found = _with_guesses(found, guesses)
    if not hints.class_level and not level and _are_persons(found.cases, names):
        level = names[0].folders.index(found.cases[0].label or "") + 1
        found = without_labels(found, as_patients=False)
    found = with_patients_spelt_alike(found)
    guessed = _Guessed(found, names, guesses, level, speaking)
    known = {case.patient for case, guess in zip(found.cases, guesses, strict=True) if guess is not None}
    return found._replace(notes=(*found.notes, *_about(guessed)), patients=len(known))


def _guesses(found: DiscoveredDataset, names: Sequence[Name], *, speaking: bool) -> list[_Guess | None]:
    """What says whose each case is: the first origin that says it; how names go on where none does of any."""
    told, tags = [known_patient(case) for case in found.cases], patients_by_tag(found.cases, None)
    by_name: Sequence[str | None] = said_by_names(names) if speaking else [None] * len(names)
    order = [told, tags, by_name] if found.form == "table" or found.patients_by else [tags, by_name, told]
    if speaking and not any(map(any, order)):
        order = [grouped_by_names(names)]
        if found.has_masks and not any(order[0]):
            order = [counted_by_number(names)]
    guesses = list[_Guess | None]()
    for of_case, by_folder, by_tag in zip(zip(*order, strict=True), told, tags, strict=True):
        patient = next(filter(None, of_case), None)
        guesses.append(_Guess(patient, _origin(patient, by_folder, by_tag)) if patient else None)
    return guesses


def _origin(patient: str, told: str | None, tag: str | None) -> _Origin:
    """What says that a case is of a patient."""
    if patient == told:
        return _Origin.TOLD
    return _Origin.TAG if patient == tag else _Origin.NAME


def _with_guesses(found: DiscoveredDataset, guesses: Sequence[_Guess | None]) -> DiscoveredDataset:
    """The cases with their patients, where something says who these are."""
    cases = list[Case]()
    for case, guess in zip(found.cases, guesses, strict=True):
        cases.append(case if guess is None else replace(case, patient=guess.patient))
    return found._replace(cases=tuple(cases))


def _about(guessed: _Guessed) -> Iterator[str]:
    """Notes about what was guessed."""
    yield from _about_people(guessed)
    if guessed.speaking:
        yield from _about_variants(guessed)
    if guessed.several and guessed.nobody:
        yield _about_nobody(guessed.found, guessed.names, speaking=guessed.speaking)


def _about_people(guessed: _Guessed) -> Iterator[str]:
    """What says who the patients are, each with how many it makes; all numbers are those of the cases as they stand."""
    told = guessed.patients(_Origin.TOLD)
    tags = guessed.patients(_Origin.TAG)
    by_name = guessed.patients(_Origin.NAME)
    if told:
        yield from _about_told(guessed, told)
    if tags:
        yield _about_tags(len(tags), several=guessed.several)
    if by_name:
        yield _about_names(guessed, by_name)
    if len(list(filter(None, (told, tags, by_name)))) > 1:
        yield f"patients in all: {len({*told, *tags, *by_name})}"


def _about_told(guessed: _Guessed, patients: Collection[str]) -> Iterator[str]:
    """A line about patients by a table or folders, unless a question about the folders is asked."""
    found = guessed.found
    if found.patients_by:
        yield f"whose the images are is said by {found.patients_by}: {_patients(len(patients))}"
        return
    if any(problem.code == PATIENTS_OR_CLASSES for problem in found.problems):
        return
    note = f"folders taken as patients (kept together): {len(patients)}"
    if guessed.level:
        yield f"{note}; --class-level {guessed.level} makes them classes"
    elif found.form == "table":
        yield note
    else:
        yield f"{note}; {_level(guessed.names, patients)} if each is a class"


def _about_tags(number: int, *, several: bool) -> str:
    tags = "PatientID, else StudyInstanceUID"
    note = f"whose the DICOM files are is taken from {tags} ({_patients(number)}); no tag is kept"
    if number == 1 and several:
        note += "; if these numbers were blanked, --group-by StudyInstanceUID"
    return note


def _about_names(guessed: _Guessed, patients: Sequence[str]) -> str:
    parts = [f"{_patients(len(patients))}, such as {', '.join(patients[:_SHOWN])}"]
    alone = guessed.guesses.count(None)
    if alone:
        parts.append(f"{counted(alone, 'case')} without such a name stand alone")
    apart = _in_several_folders(guessed)
    if apart:
        otherwise = "" if _lie_in_classes(guessed) else f", else --group-by {PARENT}"
        parts.append(f"of one name in several folders, taken for one person: {apart}{otherwise}")
    if guessed.level:
        parts.append(f"--class-level {guessed.level} makes classes of their folders")
    return (
        f"whose the images are is guessed from their names ({'; '.join(parts)}): --group-by says it otherwise, "
        f"--group-by {NOBODY} keeps each by itself"
    )


def _patients(number: int) -> str:
    return counted(number, "patient")


def _level(names: Sequence[Name], folders: Collection[str]) -> str:
    """The flag by which folders are classes, as far as one of them lies in the way to each image."""
    last = {folder.rpartition("/")[2] for folder in folders}
    levels = set[int]()
    for name in names:
        levels.update(place for place, folder in enumerate(name.folders, start=1) if folder in last)
    return f"--class-level {min(levels, default='N')}"


def _in_several_folders(guessed: _Guessed) -> int:
    """How many persons that their names alone say lie below several folders."""
    places = defaultdict[str, set[str]](set)
    for case, guess, name in zip(guessed.found.cases, guessed.guesses, guessed.names, strict=True):
        if case.patient is not None and guess is not None and guess.origin is _Origin.NAME:
            places[case.patient].add(parent_of(name).partition(case.patient)[0])
    return sum(len(folders) > 1 for folders in places.values())


def _lie_in_classes(guessed: _Guessed) -> bool:
    """Whether the folders that images lie in are their classes, so that these would be the patients of each."""
    cases = zip(guessed.found.cases, guessed.names, strict=True)
    return any(case.label is not None and case.label == parent_of(name).rpartition("/")[2] for case, name in cases)


def _about_variants(guessed: _Guessed) -> Iterator[str]:
    """A line where pictures are there in several variants: trained on, each counts as often."""
    several = in_variants(guessed.names)
    folders = set[str]()
    for name in compress(guessed.names, several):
        folders.update(filter(is_variant, name.folders))
    if folders:
        first, *_ = shown = sorted(folders)[:_SHOWN]
        flags = f"--images '**/{first}/**/{{id}}.*'{_masks_of_variant(guessed, first)}"
        yield (
            f"{counted(sum(several), 'image is a variant', 'images are variants')} of one of the same name elsewhere "
            f"({', '.join(shown)}): kept together; {flags} takes those of one folder"
        )


def _masks_of_variant(guessed: _Guessed, folder: str) -> str:
    """The flag of the masks of the images in the folder of a variant; empty without masks."""
    for case, name in zip(guessed.found.cases, guessed.names, strict=True):
        if folder in name.folders and case.masks:
            mask = Locator.parse(mask_parts(case.masks[0])[0].locator).path
            behind = mask.name.partition(".")[0].removeprefix(name.stem)
            return f" --masks '**/{mask.parent.name}/**/{{id}}{behind}.*'"
    return ""


def _are_persons(cases: Sequence[Case], names: Sequence[Name]) -> bool:
    """Whether the folder that is the class of each image is its person too: `S01/S01.t1.hdr`; a grade is none."""
    return all(
        case.label is not None
        and case.label == case.patient
        and case.label in name.folders
        and re.search(r"\d", case.label) is not None
        and not CLASS_WORD.fullmatch(case.label)
        for case, name in zip(cases, names, strict=True)
    )


def _without_classes_as_people(found: DiscoveredDataset) -> DiscoveredDataset:
    """Folders that a person calls classes are no patients."""
    cases = tuple(replace(case, patient=None) if case.patient == case.label else case for case in found.cases)
    return found._replace(cases=cases)


def _about_nobody(found: DiscoveredDataset, names: Sequence[Name], *, speaking: bool) -> str:
    """The line where no patient is known, with what would help."""
    if not speaking:
        return (
            "nobody said whose the images are: each stands alone. Where one patient has several, give files whose "
            "names or folders tell it, or a table with a column patient"
        )
    helping = ", or ".join(_groupings(found.cases, names))
    if not helping:
        helping = (
            "--group-by with an expression whose group is the patient, such as '(.*)_', or a table with a column "
            "patient"
        )
    alone = "volume" if all(case.volume for case in found.cases) else "image"
    return f"nobody said whose the {alone}s are: each stands alone. Where one patient has several, {helping}"


def _groupings(cases: Sequence[Case], names: Sequence[Name]) -> Iterator[str]:
    """What may be given to `--group-by`, with the number of groups: columns, then what names bear out."""
    for column, number in _columns(cases):
        yield f"--group-by '{column}' ({number} groups)"
    above = without_classes(names, [case.label for case in cases])
    images = dict[str, tuple[Name, str | None]]()
    for case, name in zip(cases, above, strict=True):
        images[case.volume or case.id] = (name, case.label)
    whose, labels = zip(*images.values(), strict=True)
    yield from map(str, offers(whose, list(images), labels))


def _columns(cases: Sequence[Case]) -> Iterator[tuple[str, int]]:
    """Columns that may tell patients: some values are there more than once, none is in half of the cases."""
    columns = dict[str, None]()
    for case in cases:
        columns |= dict.fromkeys(case.more)
    for column in columns:
        if not _OF_A_NUMBER.search(column):
            continue
        sizes = Counter(case.more.get(column, "") for case in cases)
        if "" not in sizes and 1 < len(sizes) < len(cases) and 2 * max(sizes.values()) <= len(cases):
            yield column, len(sizes)
