"""Folders that would be classes and look like those of persons are none: they are patients, or are asked about.

What says by its name that it is a person becomes the patient; what may be one is asked about, since a generator told
patients as classes leaks them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.people.grouping import PARENT
from sfumato.data.source.people.persons import Name, look_for_persons, said_by_names
from sfumato.data.source.people.pieces import are_numbers_of_names
from sfumato.data.source.table import UNKNOWN_WORDS
from sfumato.errors import DataError, listed
from sfumato.wording import counted

PATIENTS_OR_CLASSES = "DATA-068"
"""The question whether folders are patients or classes, beside which none of them is told to be patients."""


def without_persons_as_classes(
    found: DiscoveredDataset, names: Sequence[Name], hints: ReadOptions
) -> tuple[DiscoveredDataset, int]:
    """Folders that look like persons are no classes: patients where their names say so, else a question.

    Returns:
        what was found, and the level of folders that are patients by their names; 0 without such.
    """
    if hints.class_level or not found.cases or not _are_folders(found.cases, names):
        return found, 0
    folders = [case.label or "" for case in found.cases]
    looks = look_for_persons(folders)
    begun = are_numbers_of_names(folders, names)
    if not looks.people and not looks.doubtful and not begun:
        return found, 0
    level = names[0].folders.index(folders[0]) + 1
    guessing = hints.group_by is None
    found = without_labels(found, as_patients=guessing)
    if looks.people or begun or _are_called_persons(folders):
        notes = [] if guessing else [_about_folders_of_persons(folders, names, level)]
        return found._replace(notes=(*found.notes, *notes)), level
    if hints.group_by == PARENT:  # also where each has folders of its own
        cases = tuple(replace(case, patient=folder) for case, folder in zip(found.cases, folders, strict=True))
        note = f"folders of patients, as --group-by {PARENT} says: {len(set(folders))}"
        return found._replace(cases=cases, notes=(*found.notes, note)), 0
    return found._replace(problems=(*found.problems, _question(folders, level))), 0


def _are_folders(cases: Sequence[Case], names: Sequence[Name]) -> bool:
    """Whether the class of each image is a folder that it lies in."""
    return all(case.label in name.folders for case, name in zip(cases, names, strict=True))


def _are_called_persons(folders: Iterable[str]) -> bool:
    """Whether the name of each folder says a person."""
    return all(said_by_names([Name((), folder) for folder in sorted(set(folders))]))


def without_labels(found: DiscoveredDataset, *, as_patients: bool) -> DiscoveredDataset:
    """The cases without their classes, which are their patients, where nothing else says these."""
    cases = list[Case]()
    for case in found.cases:
        patient = (known_patient(case) or case.label) if as_patients else case.patient
        cases.append(replace(case, label=None, patient=patient))
    return found._replace(cases=tuple(cases), classes=())


def known_patient(case: Case) -> str | None:
    """Whose a case is, where that is known: a volume is not its own patient."""
    patient = case.patient
    return None if patient is None or patient == case.volume or patient.strip().casefold() in UNKNOWN_WORDS else patient


def _about_folders_of_persons(folders: Sequence[str], names: Sequence[Name], level: int) -> str:
    """The line about folders of persons, where another grouping was asked for."""
    persons = {said or folder for said, folder in zip(said_by_names(names), folders, strict=True)}
    return (
        f"folders of patients by their names, which are no classes: {len(persons)}; --class-level {level} makes them "
        "classes"
    )


def _question(folders: Sequence[str], level: int) -> DataError:
    sizes = Counter(folders)
    shown = listed([f"{name}: {counted(count, 'image')}" for name, count in sizes.items()])
    return DataError(
        f"{len(sizes)} folders of {counted(len(folders), 'image')} in all may be patients or classes:\n{shown}",
        expected="classes with many images, or patients: a generator that is told patients as classes gives them away",
        remedy=f"--group-by {PARENT} if each folder is a patient, --class-level {level} if each is a class",
        code=PATIENTS_OR_CLASSES,
    )
