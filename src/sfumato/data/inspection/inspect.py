"""Look at all of a source once, and say everything that is wrong with it.

    facts = list(measure(found.cases, workers=4))     # reads every file once, in processes
    inspection = inspect(found, facts)                # thinks

Every file is decoded as `prepare` decodes it, so what passes here passes there.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from sfumato.data.copies import Copies, find_copies
from sfumato.data.facts import CaseFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.inspection.files import find_in_files
from sfumato.data.inspection.finding import Finding, Severity
from sfumato.data.inspection.images import find_in_images
from sfumato.data.inspection.masks import find_in_masks
from sfumato.data.inspection.meaning import LabelMapping, masks_of, read_meaning
from sfumato.data.inspection.sizes import find_in_sizes
from sfumato.data.inspection.splits import find_in_splits
from sfumato.data.inspection.worker import measure_chunk
from sfumato.data.manifest import Case
from sfumato.data.source import DiscoveredDataset
from sfumato.data.worker_pool import WorkerPool
from sfumato.errors import DataError

FILES_AT_ONCE = 16
"""Image files that a process takes at a time."""

_ROWS = 512
"""Rows of an archive that a process takes at a time: it decodes the whole archive for them."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Inspection(NamedTuple):
    """All that is known of a source.

    Attributes:
        findings: errors first, then warnings, then notes.
        facts: what was measured, for each case of the source in its order.
        meaning: what the values of its masks mean.
        copies: pictures that it has more than once.
    """

    findings: tuple[Finding, ...]
    facts: tuple[CaseFacts, ...]
    meaning: LabelMapping
    copies: Copies

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)


def inspect(
    found: DiscoveredDataset, facts: Sequence[CaseFacts], *, unpaired: Severity = "error", torn: Severity = "error"
) -> Inspection:
    """What is wrong with a source, and what is worth knowing.

    Args:
        found: the source; found with `ReadOptions.drop_unpaired`, so that files without a partner are named here.
        facts: of its cases, in their order.
        unpaired: how bad files without a partner are.
        torn: how bad patients and pictures in several splits are.
    """
    meaning, copies = read_meaning(found, masks_of(found, facts)), find_copies(found.cases, facts)
    findings = [
        *find_in_files(found, facts, unpaired=unpaired),
        *find_in_masks(found, facts, meaning),
        *find_in_splits(found, copies, torn=torn),
        *find_in_images(found, facts),
        *find_in_sizes(found, facts, meaning),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Inspection(tuple(findings), tuple(facts), meaning, copies)


def refusals(found: DiscoveredDataset, facts: Sequence[CaseFacts], *, scaled: bool) -> Iterator[DataError]:
    """What `inspect` calls an error though every file can be read: no verb goes on with it.

    Args:
        found: the source.
        facts: of its cases, in their order.
        scaled: numbers of several kinds are no fault, since a person said how each image becomes black and white.
    """
    meaning = read_meaning(found, masks_of(found, facts))
    findings = list(find_in_masks(found, facts, meaning))
    if not scaled:
        findings += find_in_images(found, facts)
    for finding in findings:
        if finding.severity == "error":
            yield finding.as_error()


def measure_cases(cases: Sequence[Case], *, workers: int = 1) -> Iterator[CaseFacts]:
    """Read every case once and measure it, in the order of the cases.

    Args:
        cases: what to read.
        workers: processes that read; 1 reads here.

    Raises:
        ResourceError: a process was ended from outside, as happens when memory runs out.
    """
    early, due = dict[int, list[CaseFacts]](), 0
    with WorkerPool(workers) as pool:
        for (number, _), facts in pool.each(measure_chunk, None, enumerate(_chunks(cases))):
            early[number] = facts
            while due in early:
                yield from early.pop(due)
                due += 1


def _chunks(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Cases that one process takes together: all planes of a volume, many rows of an archive, a few files."""
    for container, group in groupby(cases, key=_container):
        held = list(group)
        step = container.chunk or len(held)
        for start in range(0, len(held), step):
            yield held[start : start + step]


class _Container(NamedTuple):
    """The file that several cases lie in, or none, and how many of them are read together; 0 is all."""

    path: Path | None
    chunk: int


def _container(case: Case) -> _Container:
    path, member = Locator.parse(case.image)
    if is_volume(path):
        return _Container(path, 0)
    if member:
        return _Container(path, _ROWS)
    return _Container(None, FILES_AT_ONCE)
