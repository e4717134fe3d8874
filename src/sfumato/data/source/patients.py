"""Who the patient of each case is: said by a person, a table, DICOM tags or names, or known to nobody, which is told.

    --group-by              a column, an expression, `parent`, `PatientID`, `StudyInstanceUID`, or `none`
    a column of a table     `sfumato.data.source.tabulated`
    DICOM                   PatientID with its issuer, else StudyInstanceUID
    names                   `sfumato.data.source.persons`, and folders with images and masks each

Cases of one patient stay in one split. Folders that would be classes and look like persons are none: what says that it
is a person becomes the patient, what may be one is asked about, since a generator told patients as classes leaks them.

Of a DICOM tag nothing is kept (`sfumato.data.source.owners`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sfumato.data.folds import torn_patients
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.divisions import is_variant
from sfumato.data.source.grouping import NOBODY, PARENT, case_name, grouped_by
from sfumato.data.source.owners import patients_by_tag
from sfumato.data.source.persons import (
    CLASS_WORD,
    Name,
    look_for_persons,
    offers,
    parent_of,
    said_by_names,
    spelling,
    without_classes,
)
from sfumato.data.source.pieces import are_numbers_of_names, grouped_by_names, in_variants
from sfumato.data.source.table import UNKNOWN_WORDS
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_SHOWN = 3
"""Patients that a line names."""

_ASKED = "DATA-068"
"""The question whether folders are patients or classes, beside which none of them is told to be patients."""

_FORMS = ("folders", "volumes", "table", "npz", "npy", "zip", "nnU-Net raw")
"""Sources in which names of files may say whose an image is; others hold rows, or say it themselves."""


def with_patients(found: DiscoveredDataset, source: Path | None, hints: ReadOptions) -> DiscoveredDataset:
    """The cases with whose they are, what was guessed of it, and what is wrong with it.

    Args:
        found: a source.
        source: its folder or file; None for cases of a program.
        hints: what the files leave open.

    Raises:
        DataError: `ReadOptions.group_by` is no column, expression or tag, or leaves cases without a group.
    """
    if hints.images_only:
        return found
    if hints.group_by is not None:
        found = grouped_by(found, source, hints.group_by)
        if source is not None and found.form != "manifest":
            names = [case_name(case, source) for case in found.cases]
            found, _ = _without_people_as_classes(found, names, hints)
    elif source is not None and found.form != "manifest":
        found = _guessed(found, source, hints)
    found = _with_one_spelling(found)
    if found.patients is None:
        nobody = hints.group_by == NOBODY
        found = found._replace(patients=0 if nobody else len({case.patient for case in found.cases} - {None}))
    return _without_tears(found, hints)


def _guessed(found: DiscoveredDataset, source: Path, hints: ReadOptions) -> DiscoveredDataset:
    """Whose the cases are where no person said it: a table before tags, tags before names, names before folders."""
    names = [case_name(case, source) for case in found.cases]
    if hints.class_level:
        found = _without_classes_as_people(found)
    found, level = _without_people_as_classes(found, names, hints)
    told, tags = [_known(case) for case in found.cases], patients_by_tag(found.cases, None)
    several = len({case.volume or case.id for case in found.cases}) > 1
    speaking = found.form in _FORMS and len(set(names)) > 1
    named: Sequence[str | None] = said_by_names(names) if speaking else [None] * len(names)
    order = [told, tags, named] if found.form == "table" or found.patients_by else [tags, named, told]
    if speaking and not any(map(any, order)):
        order = [named := grouped_by_names(names)]
    patients = [next(filter(None, said), None) for said in zip(*order, strict=True)]
    cases = [replace(case, patient=new or case.patient) for case, new in zip(found.cases, patients, strict=True)]
    if not hints.class_level and not level and _are_persons(cases, names):
        level = names[0].folders.index(cases[0].label or "") + 1
        cases, found = [replace(case, label=None) for case in cases], found._replace(classes=())
    found = _with_one_spelling(found._replace(cases=tuple(cases)))
    origin = [
        _Origin(one == patient, tag == patient) if patient else None
        for one, tag, patient in zip(told, tags, patients, strict=True)
    ]
    notes = [*_about_people(found, origin, names, level, several=several), *_about_variants(names, speaking=speaking)]
    if several and not any(patients):
        notes.append(_nobody(found, names, speaking=speaking))
    known = {case.patient for case, one in zip(found.cases, origin, strict=True) if one is not None}
    return found._replace(notes=(*found.notes, *notes), patients=len(known))


class _Origin(NamedTuple):
    """Whether it is a table or folders that say who the patient of a case is, or a tag; else it is a name."""

    told: bool
    tag: bool


def _about_people(
    found: DiscoveredDataset, origins: Sequence[_Origin | None], names: Sequence[Name], level: int, *, several: bool
) -> Iterator[str]:
    """What says who the patients are, each with how many it makes; all numbers are those of the cases as they stand.

    Args:
        found: the cases.
        origins: what says whose each is.
        names: of the images.
        level: that of folders that are patients by their names and would be classes; 0 without such.
        several: whether there are several images or volumes.
    """
    column, tag, name = dict[str, None](), dict[str, None](), dict[str, None]()
    for case, origin in zip(found.cases, origins, strict=True):
        if origin is not None and case.patient is not None:
            (column if origin.told else tag if origin.tag else name)[case.patient] = None
    alone = origins.count(None)
    if column and found.patients_by:
        yield f"whose the images are is said by {found.patients_by}: {_patients(len(column))}"
    elif column and not any(problem.code == _ASKED for problem in found.problems):
        flag = "" if found.form == "table" else f"; {_level(names, column)} if each is a class"
        flag = f"; --class-level {level} makes them classes" if level else flag
        yield f"folders taken as patients (kept together): {len(column)}{flag}"
    if tag:
        one = "; if these numbers were blanked, --group-by StudyInstanceUID" if len(tag) == 1 and several else ""
        yield (
            "whose the DICOM files are is taken from PatientID, else StudyInstanceUID "
            f"({_patients(len(tag))}); no tag is kept{one}"
        )
    if name:
        rest = f"; {counted(alone, 'case')} without such a name stand alone" if alone else ""
        if apart := _in_several_folders(found, origins, names):
            rest += f"; of one name in several folders, taken for one person: {apart}, else --group-by {PARENT}"
        rest += f"; --class-level {level} makes classes of their folders" if level else ""
        yield (
            f"whose the images are is guessed from their names ({_patients(len(name))}, such as "
            f"{', '.join(list(name)[:_SHOWN])}{rest}): --group-by says it otherwise, --group-by {NOBODY} keeps each by "
            "itself"
        )
    every = {*column, *tag, *name}
    if len([one for one in (column, tag, name) if one]) > 1:
        yield f"patients in all: {len(every)}"


def _in_several_folders(found: DiscoveredDataset, origins: Sequence[_Origin | None], names: Sequence[Name]) -> int:
    """How many persons that their names alone say lie below several folders."""
    places = defaultdict[str, set[str]](set)
    for case, origin, name in zip(found.cases, origins, names, strict=True):
        if case.patient is not None and origin is not None and not (origin.told or origin.tag):
            places[case.patient].add(parent_of(name).partition(case.patient)[0])
    return sum(len(folders) > 1 for folders in places.values())


def _about_variants(names: Sequence[Name], *, speaking: bool) -> Iterator[str]:
    """A line where pictures are there in several variants: trained on, each counts as often."""
    several = in_variants(names) if speaking else []
    folders = sorted(
        {
            folder
            for name, many in zip(names, several, strict=False)
            if many
            for folder in name.folders
            if is_variant(folder)
        }
    )
    if folders:
        yield (
            f"{counted(sum(several), 'image is a variant', 'images are variants')} of one of the same name elsewhere "
            f"({', '.join(folders[:_SHOWN])}): kept together; --images '**/{folders[0]}/**/{{id}}.*' takes those of "
            "one folder"
        )


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


def _known(case: Case) -> str | None:
    """Whose a case is, where that is known: a volume is not its own patient."""
    patient = case.patient
    return None if patient is None or patient == case.volume or patient.strip().casefold() in UNKNOWN_WORDS else patient


def _without_classes_as_people(found: DiscoveredDataset) -> DiscoveredDataset:
    """Folders that a person calls classes are no patients."""
    cases = tuple(replace(case, patient=None) if case.patient == case.label else case for case in found.cases)
    return found._replace(cases=cases)


def _level(names: Sequence[Name], folders: Collection[str]) -> str:
    """The flag by which folders are classes, as far as one of them lies in the way to each image."""
    last = {folder.rpartition("/")[2] for folder in folders}
    levels = {place for name in names for place, folder in enumerate(name.folders, start=1) if folder in last}
    return f"--class-level {min(levels, default='N')}"


def _patients(number: int) -> str:
    return counted(number, "patient")


def _nobody(found: DiscoveredDataset, names: Sequence[Name], *, speaking: bool) -> str:
    """The line where no patient is known, with what would help."""
    if not speaking:
        return (
            "nobody said whose the images are: each stands alone. Where one patient has several, give files whose "
            "names or folders tell it, or a table with a column patient"
        )
    above = without_classes(names, [case.label for case in found.cases])
    once = {case.volume or case.id: (name, case.label) for case, name in zip(found.cases, above, strict=True)}
    fitting = [f"--group-by '{column}' ({number} groups)" for column, number in _columns(found.cases)]
    whose, labels = zip(*once.values(), strict=True)
    fitting += map(str, offers(whose, list(once), labels))
    other = (
        "--group-by with an expression whose group is the patient, such as '(.*)_', or a table with a column patient"
    )
    helping = ", or ".join(fitting) or other
    alone = "volume" if all(case.volume for case in found.cases) else "image"
    return f"nobody said whose the {alone}s are: each stands alone. Where one patient has several, {helping}"


def _columns(cases: Sequence[Case]) -> Iterator[tuple[str, int]]:
    """Columns that may tell patients: some values are there more than once, none is in half of the cases."""
    for column in {name: None for case in cases for name in case.more}:
        sizes = Counter(case.more.get(column, "") for case in cases)
        telling = re.search(
            r"(?:^|[ _-])(?:id|no|nr|number|code|key|name|case|exam|accession)$|id$", column, re.IGNORECASE
        )
        if telling and "" not in sizes and 1 < len(sizes) < len(cases) and 2 * max(sizes.values()) <= len(cases):
            yield column, len(sizes)


def _without_people_as_classes(
    found: DiscoveredDataset, names: Sequence[Name], hints: ReadOptions
) -> tuple[DiscoveredDataset, int]:
    """Folders that look like persons are no classes: patients where their names say so, else a question.

    Returns:
        what was found, and the level of folders that are patients by their names; 0 without such.
    """
    by_folder = all(case.label in name.folders for case, name in zip(found.cases, names, strict=True))
    if hints.class_level or not by_folder or not found.cases:
        return found, 0
    folders = [case.label or "" for case in found.cases]
    looks = look_for_persons(folders)
    begun = are_numbers_of_names(folders, names)
    if not looks.people and not looks.doubtful and not begun:
        return found, 0
    people = looks.people or begun or all(said_by_names([Name((), folder) for folder in sorted(set(folders))]))
    level = names[0].folders.index(folders[0]) + 1
    named = hints.group_by is None
    cases = tuple(
        replace(case, label=None, patient=(_known(case) or case.label) if named else case.patient)
        for case in found.cases
    )
    found = found._replace(cases=cases, classes=())
    if people and named:
        return found, level
    if people:
        number = len({said or folder for said, folder in zip(said_by_names(names), folders, strict=True)})
        note = f"folders of patients by their names, which are no classes: {number}; --class-level {level} makes them"
        return found._replace(notes=(*found.notes, f"{note} classes")), level
    if hints.group_by == PARENT:  # also where each has folders of its own
        cases = tuple(replace(case, patient=folder) for case, folder in zip(found.cases, folders, strict=True))
        number = len(set(folders))
        note = f"folders of patients, as --group-by {PARENT} says: {number}"
        return found._replace(cases=cases, notes=(*found.notes, note)), 0
    return found._replace(problems=(*found.problems, _question(folders, level))), 0


def _question(folders: Sequence[str], level: int) -> DataError:
    sizes = Counter(folders)
    shown = listed([f"{name}: {counted(count, 'image')}" for name, count in sizes.items()])
    return DataError(
        f"{len(sizes)} folders of {counted(len(folders), 'image')} in all may be patients or classes:\n{shown}",
        expected="classes with many images, or patients: a generator that is told patients as classes gives them away",
        remedy=f"--group-by {PARENT} if each folder is a patient, --class-level {level} if each is a class",
        code=_ASKED,
    )


def _with_one_spelling(found: DiscoveredDataset) -> DiscoveredDataset:
    """Patients whose names differ by case and spaces alone are one."""
    counts = Counter(case.patient for case in found.cases if case.patient)
    spellings: dict[str, list[str]] = defaultdict(list)
    for name, _ in sorted(counts.most_common(), key=lambda item: (-item[1], item[0])):
        spellings[spelling(name)].append(name)
    several = [names for names in spellings.values() if len(names) > 1]
    if not several:
        return found
    one = {name: names[0] for names in several for name in names}
    cases = tuple(replace(case, patient=one.get(case.patient or "", case.patient)) for case in found.cases)
    shown = "; ".join(" and ".join(f"'{name}'" for name in names) for names in several[:3])
    note = f"patients whose names differ by spaces or upper and lower case alone are one each: {len(several)} ({shown})"
    return found._replace(cases=cases, notes=(*found.notes, note))


def _without_tears(found: DiscoveredDataset, hints: ReadOptions) -> DiscoveredDataset:
    """A split of the source that has one patient in several parts is a problem, or is told."""
    torn = torn_patients(found.cases, found.folds)
    if not torn:
        return found
    text = f"{counted(len(torn), 'patient is', 'patients are')} in several splits of the source"
    if hints.keep_split:
        note = f"{text}, kept as --keep-split says: scores will be too good"
        return found._replace(notes=(*found.notes, note))
    problem = DataError(
        f"{text}:\n{listed(torn)}",
        expected="all cases of a patient in one split: scores will be too good otherwise",
        remedy="correct the split, let check --fix-into move them to train, or keep it with --keep-split; if these are "
        "several people, say who is who with --group-by",
        code="DATA-082",
    )
    return found._replace(problems=(*found.problems, problem))
