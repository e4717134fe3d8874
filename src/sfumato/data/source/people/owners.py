"""Whose DICOM files are, by PatientID with its issuer, else by StudyInstanceUID, of which nothing is kept.

Tags are compared as hashes with a key that ends with the process (`formats.dicom.facts.Owner`). What is stored is a
hash of the ids of a patient's cases, which stand beside it anyway: a patient has one value within a source, the same in
each run, and there is nothing to look up.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.manifest import Case
from sfumato.data.source.scans import FILES
from sfumato.errors import collected

OWNER_TAGS = ("PatientID", "StudyInstanceUID")

_DIGITS = 12
"""Of the hash that a patient goes by."""


def patients_by_tag(cases: Sequence[Case], tag: str | None) -> list[str | None]:
    """A name for the patient of each case from its DICOM file; None for other files, and without the tag.

    Args:
        cases: the cases.
        tag: the tag that decides; None takes PatientID, else StudyInstanceUID.
    """
    paths = [_dicom(case) for case in cases]
    if not any(paths):
        return [None] * len(paths)
    owners = _owners({path for path in paths if path is not None}, tag)
    ids: dict[bytes, set[str]] = defaultdict(set)
    whose = [None if path is None else owners.get(path) for path in paths]
    for case, owner in zip(cases, whose, strict=True):
        if owner is not None:
            ids[owner].add(case.volume or case.id)
    called = {
        owner: hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:_DIGITS] for owner, names in ids.items()
    }
    return [None if owner is None else f"patient {called[owner]}" for owner in whose]


def _dicom(case: Case) -> Path | None:
    path = Locator.parse(case.image).path
    return path if is_volume(path) and not path.name.lower().endswith(FILES) else None


def _owners(paths: Iterable[Path], tag: str | None) -> Mapping[Path, bytes | None]:
    """The patient of each DICOM file, as a hash that means nothing elsewhere.

    A number without issuer is that of the number with one, and a file without number has that of its study.
    """
    from sfumato.data.formats.dicom.facts import Owner, read_facts

    found = dict[Path, Owner]()
    for path in sorted(paths):
        with collected([]):  # what is wrong with a file is told where it is read
            found[path] = read_facts(path).owner
    if tag == "StudyInstanceUID":
        return {path: owner.study for path, owner in found.items()}
    unissued = {owner.patient for owner in found.values() if owner.issuer is None}
    persons = {
        path: (owner.patient or b"") + (b"" if owner.patient in unissued else owner.issuer or b"") or None
        for path, owner in found.items()
    }
    if tag is not None:
        return persons
    of_study = {found[path].study: person for path, person in persons.items() if person is not None}
    return {path: persons[path] or of_study.get(owner.study) or owner.study for path, owner in found.items()}
