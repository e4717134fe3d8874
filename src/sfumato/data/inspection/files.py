"""What is wrong with the files of a set: unreadable, without partner, misnamed, or telling more than they should."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

from sfumato.data.copies import in_several_splits, of_patients
from sfumato.data.facts import CaseFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.colours import LABELMAP_FILE, way_with_table
from sfumato.data.formats.image import colours_of
from sfumato.data.formats.scan import FILES, is_volume
from sfumato.data.inspection.finding import Finding, Severity, is_picture_locator, most_frequent, volume_files
from sfumato.data.manifest import Case
from sfumato.data.source import Found
from sfumato.data.source.nearest import alike_among
from sfumato.data.source.pairing import told_kept
from sfumato.data.source.patterns import told_folders
from sfumato.data.storage import Storage
from sfumato.errors import DataError
from sfumato.wording import counted

NAMELESS = FILES
"""Volumes in these formats have no tags for the patient."""

_COLOURED = 64
"""Masks in colours that are looked at for the table of these."""

TORN = "DATA-082"

_PAIRS = 3
"""Files without a partner that may be meant for each other, of which so many pairs are named."""


def find_in_files(found: Found, facts: Sequence[CaseFacts], *, unpaired: Severity) -> Iterator[Finding]:
    """Files that cannot be read, have no partner or class, are misnamed, or tell more than they should."""
    if found.unpaired:
        alike = [] if found.bare_alone else alike_among(found.unpaired)[:_PAIRS]
        yield Finding(
            code="DATA-010", severity=unpaired, files=found.unpaired,
            text=f"{counted(len(found.unpaired), 'image or mask has', 'images or masks have')} no partner"
            + told_folders(found.unpaired)
            + (f"; much alike are {', '.join(alike)}" if alike else ""),
            fix="rename them alike, or say how their names go together (--images, --masks with {id})"
            + _without_unpaired(found),
        )  # fmt: skip
    if found.unlabelled:
        yield Finding(
            code="DATA-052", severity=unpaired, files=found.unlabelled,
            text=f"{counted(len(found.unlabelled), 'row')} of the table without a class",
            fix="fill them in, or leave these images out with --drop-unpaired",
        )  # fmt: skip
    yield from _of_source(found)
    yield from _unreadable(found, facts)
    stored = {locator: storage for locator, storage in _storages(found, facts) if storage is not None}
    named = tuple(locator for locator, storage in stored.items() if not storage.ending)
    if named:
        kinds = Counter(
            f"{storage.format} as {Locator.parse(locator).path.suffix or 'no ending'}"
            for locator, storage in stored.items()
            if not storage.ending
        )
        names = counted(len(named), "name does", "names do")
        yield Finding(
            code="DATA-093", severity="warning", files=named,
            text=f"{names} not end as the format of the file: {most_frequent(kinds)}",
            fix="sfumato reads them; other programs may not: rename them, or use --fix-into",
        )  # fmt: skip
    if private := tuple(locator for locator, storage in stored.items() if storage.private):
        kinds = Counter(text for storage in stored.values() for text in storage.private)
        yield Finding(
            code="DATA-092", severity="warning", files=private,
            text=f"{counted(len(private), 'file tells', 'files tell')} who or where: {most_frequent(kinds)}",
            fix="remove these entries before the files leave the house; --fix-into writes pixels only",
        )  # fmt: skip
    yield from _patient_tags(found)
    yield from (Finding(code="", severity="note", text=note) for note in found.notes)


def _without_unpaired(found: Found) -> str:
    """The way to leave out what has no partner, where more is kept than lost, or every mask has its image."""
    kept = len({case.volume or case.id for case in found.cases})
    if len(found.unpaired) < kept:
        return ", or leave them out with --drop-unpaired"
    return f", or {told_kept(kept, len(found.unpaired))}" if found.bare_alone else ""


def _of_source(found: Found) -> Iterator[Finding]:
    """What is wrong with the source as a whole; patients torn by splits are told by `inspection.splits`, with files."""
    torn = in_several_splits(found.cases, of_patients(found.cases))
    for problem in found.problems:
        if problem.code != TORN or not torn:
            yield Finding(code=problem.code, severity="error", text=problem.finding, fix=problem.remedy)


def _unreadable(found: Found, facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """One finding for each code; planes of one broken file are one."""
    by_code: dict[str, dict[str, tuple[DataError, str]]] = defaultdict(dict)
    often = Counter(problem.finding for fact in facts for problem in fact.problems)
    for case, fact in zip(found.cases, facts, strict=True):
        for problem, locator in zip(fact.problems, broken(case, fact), strict=True):
            by_code[problem.code].setdefault(problem.finding, (problem, locator))
    for code, problems in sorted(by_code.items()):
        first, _ = next(iter(problems.values()))
        more = f" ({often[first.finding]} cases)" if often[first.finding] > 1 else ""
        more += f" (and {len(problems) - 1} more of this kind)" if len(problems) > 1 else ""
        yield Finding(
            code=code, severity="error", text=first.finding + more,
            fix=_remedy(problems.values(), found) or "mend these files, or take them out of the folder",
            files=volume_files(locator for _, locator in problems.values()),
        )  # fmt: skip


def _storages(found: Found, facts: Sequence[CaseFacts]) -> Iterator[tuple[str, Storage | None]]:
    for case, fact in zip(found.cases, facts, strict=True):
        yield case.image, fact.image and fact.image.storage
        for locator, mask in zip(case.masks, fact.masks, strict=True):
            yield locator, mask and mask.storage


def _remedy(problems: Collection[tuple[DataError, str]], found: Found) -> str:
    """What to do about problems of one code; masks in colours need one table for the colours of all."""
    if not any(LABELMAP_FILE in problem.remedy for problem, _ in problems):
        return next(iter(problems))[0].remedy
    in_colours = [mask for case in found.cases for mask in case.masks]  # some of one colour alone are read without it
    return way_with_table(colours_of(in_colours[:: max(1, len(in_colours) // _COLOURED)]))


def _patient_tags(found: Found) -> Iterator[Finding]:
    """What DICOM files tell about the patient; of a series, one file stands for all."""
    risky: dict[str, str] = {}
    kinds: dict[str, None] = {}
    volumes = (case.image for case in found.cases if not is_picture_locator(case.image))
    for path in dict.fromkeys(Locator.parse(image).path for image in volumes):
        if not is_volume(path) or path.name.lower().endswith(NAMELESS):
            continue
        from sfumato.data.formats.dicom.series import risks

        try:
            texts = risks(path)
        except DataError:
            continue  # what is wrong with the file is told where it is read
        kinds |= dict.fromkeys(texts)
        risky.update({str(path): text for text in texts})
    if risky:
        yield Finding(
            code="DATA-092", severity="warning", files=tuple(risky),
            text=f"{counted(len(risky), 'volume tells', 'volumes tell')} about the patient: {'; '.join(kinds)}",
            fix="nothing of it leaves sfumato; take it out before the files themselves leave the house",
        )  # fmt: skip


def broken(case: Case, fact: CaseFacts) -> list[str]:
    """The files of a case that cannot be read, in the order of its problems."""
    image = [case.image] if fact.image is None else []
    return image + [locator for locator, mask in zip(case.masks, fact.masks, strict=True) if mask is None]
