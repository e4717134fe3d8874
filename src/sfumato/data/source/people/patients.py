"""Who the patient of each case is: said by a person, or by a table, DICOM tags or names, or known to nobody.

    --group-by              a column, an expression, `parent`, `PatientID`, `StudyInstanceUID`, or `none`
    without it              `sfumato.data.source.people.guessed_patients`, which is told

Cases of one patient stay in one split. Folders that look like persons are no classes
(`sfumato.data.source.people.folders_of_persons`).
"""

from pathlib import Path

from sfumato.data.folds import torn_patients
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.people.folders_of_persons import without_persons_as_classes
from sfumato.data.source.people.grouping import NOBODY, case_name, grouped_by
from sfumato.data.source.people.guessed_patients import with_guessed_patients
from sfumato.data.source.people.spelt_alike import with_patients_spelt_alike
from sfumato.errors import DataError, listed
from sfumato.wording import counted


def with_patients(found: DiscoveredDataset, source: Path | None, hints: ReadOptions) -> DiscoveredDataset:
    """The cases with whose they are, what was guessed of it, and what is wrong with it.

    Args:
        found: a source.
        source: its folder or file; None for cases of a program.
        hints: what the files leave open.

    Raises:
        DataError: `ReadOptions.group_by` is no column, expression or tag, or leaves cases without a group.
    """
    if hints.images_only or not hints.people:
        return found
    if hints.group_by is not None:
        found = grouped_by(found, source, hints.group_by)
        if source is not None and found.form != "manifest":
            names = [case_name(case, source) for case in found.cases]
            found, _ = without_persons_as_classes(found, names, hints)
    elif source is not None and found.form != "manifest":
        found = with_guessed_patients(found, source, hints)
    found = with_patients_spelt_alike(found)
    if found.patients is None:
        known = {case.patient for case in found.cases} - {None}
        found = found._replace(patients=0 if hints.group_by == NOBODY else len(known))
    return _without_tears(found, hints)


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
