"""What is wrong with the files of a set: unreadable, without partner, misnamed, or telling more than they should."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sfumato.data.copies import in_several_splits, of_patients
from sfumato.data.encoding import Storage
from sfumato.data.facts import CaseFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.colours import LABELMAP_FILE, way_with_table
from sfumato.data.formats.image import colours_of
from sfumato.data.formats.scan import FILES, is_volume
from sfumato.data.inspection.finding import Finding, Severity, is_picture_locator, most_frequent, volume_files
from sfumato.data.manifest import Case
from sfumato.data.source import DiscoveredDataset
from sfumato.data.source.matching.pairing import told_kept
from sfumato.data.source.nearest import alike_among
from sfumato.data.source.patterns import told_folders
from sfumato.errors import DataError
from sfumato.wording import counted

NAMELESS = FILES
"""Volumes in these formats have no tags for the patient."""

_COLOURED = 64
"""Masks in colours that are looked at for the table of these."""

TORN = "DATA-082"

LEFT_OUT = "nothing to do: they are left out, as --drop-unpaired says"

_PAIRS = 3
"""Files without a partner that may be meant for each other, of which so many pairs are named."""


def find_in_files(found: DiscoveredDataset, facts: Sequence[CaseFacts], *, unpaired: Severity) -> Iterator[Finding]:
    """Files that cannot be read, have no partner or class, are misnamed, or tell more than they should."""
    if found.unpaired:
        yield _without_partner(found, unpaired)
    if found.unlabelled:
        yield _without_class(found, unpaired)
    yield from _of_source(found)
    yield from _unreadable(found, facts)
    stored = dict(_storages(found, facts))
    yield from _misnamed(stored)
    yield from _private(stored)
    yield from _patient_tags(found)
    for note in found.notes:
        yield Finding(code="", severity="note", text=note)


def _without_partner(found: DiscoveredDataset, severity: Severity) -> Finding:
    text = f"{counted(len(found.unpaired), 'image or mask has', 'images or masks have')} no partner"
    text += told_folders(found.unpaired)
    alike = [] if found.bare_alone else alike_among(found.unpaired)[:_PAIRS]
    if alike:
        text += f"; much alike are {', '.join(alike)}"
    return Finding(
        code="DATA-010",
        severity=severity,
        files=found.unpaired,
        text=text,
        fix=f"{_pairing(found)}{_without_unpaired(found)}" if severity == "error" else LEFT_OUT,
    )


def _pairing(found: DiscoveredDataset) -> str:
    """The ways to give what has no partner one, with the patterns that were tried where there are some."""
    ways = found.partners or "--images, --masks with {id}"
    return f"rename them alike, or say how their names go together ({ways})"


def _without_unpaired(found: DiscoveredDataset) -> str:
    """The way to leave out what has no partner, where more is kept than lost, or every mask has its image."""
    kept = len({case.volume or case.id for case in found.cases})
    if len(found.unpaired) < kept:
        return ", or leave them out with --drop-unpaired"
    return f", or {told_kept(kept, len(found.unpaired))}" if found.bare_alone else ""


def _without_class(found: DiscoveredDataset, severity: Severity) -> Finding:
    return Finding(
        code="DATA-052",
        severity=severity,
        files=found.unlabelled,
        text=f"{counted(len(found.unlabelled), 'row')} of the table without a class",
        fix="fill them in, or leave these images out with --drop-unpaired" if severity == "error" else LEFT_OUT,
    )


def _of_source(found: DiscoveredDataset) -> Iterator[Finding]:
    """What is wrong with the source as a whole; patients torn by splits are told by `inspection.splits`, with files."""
    torn = in_several_splits(found.cases, of_patients(found.cases))
    for problem in found.problems:
        if problem.code != TORN or not torn:
            yield Finding(code=problem.code, severity="error", text=problem.finding, fix=problem.remedy)


@dataclass(frozen=True)
class _Unreadable:
    """A file that cannot be read, and why."""

    file: str
    problem: DataError


def _unreadable(found: DiscoveredDataset, facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """One finding for each code; planes of one broken file are one."""
    by_code: dict[str, dict[str, _Unreadable]] = defaultdict(dict)
    often = Counter[str]()
    for case, fact in zip(found.cases, facts, strict=True):
        for problem, file in zip(fact.problems, broken(case, fact), strict=True):
            by_code[problem.code].setdefault(problem.finding, _Unreadable(file, problem))
            often[problem.finding] += 1
    for code, by_finding in sorted(by_code.items()):
        unreadable = list(by_finding.values())
        text = unreadable[0].problem.finding
        if often[text] > 1:
            text += f" ({often[text]} cases)"
        if len(unreadable) > 1:
            text += f" (and {len(unreadable) - 1} more of this kind)"
        yield Finding(
            code=code,
            severity="error",
            text=text,
            fix=_remedy(unreadable, found) or "mend these files, or take them out of the folder",
            files=volume_files(each.file for each in unreadable),
        )


def _remedy(unreadable: Sequence[_Unreadable], found: DiscoveredDataset) -> str:
    """What to do about problems of one code; masks in colours need one table for the colours of all."""
    if not any(LABELMAP_FILE in each.problem.remedy for each in unreadable):
        return unreadable[0].problem.remedy
    masks = list(
        chain.from_iterable(case.masks for case in found.cases)
    )  # some of one colour alone are read without it
    return way_with_table(colours_of(masks[:: max(1, len(masks) // _COLOURED)]))


def _storages(found: DiscoveredDataset, facts: Sequence[CaseFacts]) -> Iterator[tuple[str, Storage]]:
    """How each image and mask is stored, where that is known."""
    for case, fact in zip(found.cases, facts, strict=True):
        if fact.image is not None and fact.image.storage is not None:
            yield case.image, fact.image.storage
        for locator, mask in zip(case.masks, fact.masks, strict=True):
            if mask is not None and mask.storage is not None:
                yield locator, mask.storage


def _misnamed(stored: Mapping[str, Storage]) -> Iterator[Finding]:
    named = {locator: storage for locator, storage in stored.items() if not storage.ending}
    if not named:
        return
    kinds = Counter[str]()
    for locator, storage in named.items():
        ending = Locator.parse(locator).path.suffix or "no ending"
        kinds[f"{storage.format} as {ending}"] += 1
    names = counted(len(named), "name does", "names do")
    yield Finding(
        code="DATA-093",
        severity="warning",
        files=tuple(named),
        text=f"{names} not end as the format of the file: {most_frequent(kinds)}",
        fix="sfumato reads them; other programs may not: rename them, or use --fix-into",
    )


def _private(stored: Mapping[str, Storage]) -> Iterator[Finding]:
    """Entries of pictures that tell who or where."""
    private = {locator: storage.private for locator, storage in stored.items() if storage.private}
    if private:
        kinds = Counter(chain.from_iterable(private.values()))
        yield Finding(
            code="DATA-092",
            severity="warning",
            files=tuple(private),
            text=f"{counted(len(private), 'file tells', 'files tell')} who or where: {most_frequent(kinds)}",
            fix="remove these entries before the files leave the house; --fix-into writes pixels only",
        )


def _patient_tags(found: DiscoveredDataset) -> Iterator[Finding]:
    """What DICOM files tell about the patient; of a series, one file stands for all."""
    risky: dict[Path, tuple[str, ...]] = {}
    for path in _volumes_with_tags(found):
        risks = _risks(path)
        if risks:
            risky[path] = risks
    if risky:
        kinds = dict.fromkeys(chain.from_iterable(risky.values()))
        yield Finding(
            code="DATA-092",
            severity="warning",
            files=tuple(map(str, risky)),
            text=f"{counted(len(risky), 'volume tells', 'volumes tell')} about the patient: {'; '.join(kinds)}",
            fix="nothing of it leaves sfumato; take it out before the files themselves leave the house",
        )


def _volumes_with_tags(found: DiscoveredDataset) -> Iterator[Path]:
    """The files of volumes that may have tags for the patient, each once."""
    images = [case.image for case in found.cases if not is_picture_locator(case.image)]
    for path in dict.fromkeys(Locator.parse(image).path for image in images):
        if is_volume(path) and not path.name.lower().endswith(NAMELESS):
            yield path


def _risks(path: Path) -> tuple[str, ...]:
    """What the tags of a volume tell about the patient."""
    from sfumato.data.formats.dicom.series import risks

    try:
        return tuple(risks(path))
    except DataError:
        return ()  # what is wrong with the file is told where it is read


def broken(case: Case, fact: CaseFacts) -> list[str]:
    """The files of a case that cannot be read, in the order of its problems."""
    masks = [locator for locator, mask in zip(case.masks, fact.masks, strict=True) if mask is None]
    if fact.image is None:
        return [case.image, *masks]
    return masks
