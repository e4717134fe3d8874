"""Everything that is wrong with a source, at once, and what it is like."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.data.facts import CaseFacts
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import Inspection, inspect, measure_cases
from sfumato.data.source import DiscoveredDataset
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.experiment.source import AS_FOUND, Reading, find_with_problems
from sfumato.local import seen_from
from sfumato.progress import bar
from sfumato.provenance import called, write_provenance
from sfumato.recipe import load_recipe
from sfumato.tables import write_table
from sfumato.verbs.bounds import check_workers

_PAGE, _TABLE = "check.html", "findings.csv"
"""Files of `out`."""

Short = Callable[[str], str]
"""Takes the paths of the source out of what may be passed on."""


@dataclass(frozen=True)
class Checked:
    """What was found in a source.

    Attributes:
        source: the source.
        found: its cases, as they were read.
        inspection: all findings, with the facts that they rest on.
        fingerprint: the source in numbers.
        report: the page that was written, if one was asked for.
    """

    source: Path
    found: DiscoveredDataset
    inspection: Inspection
    fingerprint: Mapping[str, Any]
    report: Path | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, odd, or worth knowing, the worst first."""
        return tuple(self.inspection.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What must be mended before `prepare` goes on."""
        return tuple(self.inspection.of("error"))

    @property
    def summary(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "source": str(self.source),
            "form": self.found.form,
            "has_masks": self.found.has_masks,
            "cases": len(self.found.cases),
            "findings": [vars(finding) | {"files": list(finding.files)} for finding in self.findings],
            "fingerprint": dict(self.fingerprint),
            "report": None if self.report is None else str(self.report),
        }


def check(
    source: Path | str,
    *,
    reading: Reading = AS_FOUND,
    report: Path | str | None = None,
    out: Path | str | None = None,
    fix_into: Path | str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Checked:
    """Read every file of a source once; list what is wrong, what is odd and what to do.

    Args:
        source: a folder, table, archive or volume; whatever `prepare` understands.
        reading: what may be said of it beyond its path.
        report: the HTML page to write, with charts, examples and pictures of each finding.
        out: folder for check.html, findings.csv (every finding with every file) and fingerprint.json.
        fix_into: folder for a corrected copy and the list of its changes; the source is never touched.
        workers: processes that read; all cores by default.
        overwrite: replace what is there.

    Raises:
        DataError: nothing is there, or nothing of it can be read; what is wrong with single files is a finding.
        UsageError: an output is there already, or lies within the source.
    """
    outputs = Outputs.claim(source, reading, report=report, out=out, fix_into=fix_into, overwrite=overwrite)
    checked = inspect_source(source, reading, workers=workers)
    outputs.write(checked)
    return replace(checked, report=outputs.place)


@dataclass(frozen=True)
class Outputs:
    """What is to be written of a source, claimed before it is read; `inspect_source` is what comes between.

    Attributes:
        inputs: the source, and the folder of its masks if that is another one.
        page: the page, if it has a place of its own.
        folder: the folder of all findings.
        copy: the folder of the corrected copy.
        place: where the page lies in the end, as a person said it.
    """

    inputs: tuple[Path, ...]
    page: Claim | None
    folder: Claim | None
    copy: Claim | None
    place: Path | None

    @classmethod
    def claim(
        cls,
        source: Path | str,
        reading: Reading,
        *,
        report: Path | str | None,
        out: Path | str | None,
        fix_into: Path | str | None,
        overwrite: bool,
    ) -> "Outputs":
        """See `check`.

        Raises:
            UsageError: an output is there already, or lies within the source.
        """
        inputs = [path for path in (Path(source), reading.masks_folder) if path]
        return cls(
            tuple(inputs),
            None if report is None else claim_output_file(Path(report), overwrite=overwrite),
            None if out is None else claim_output(Path(out), overwrite=overwrite, inputs=inputs),
            None if fix_into is None else claim_output(Path(fix_into), overwrite=overwrite, inputs=inputs),
            Path(report) if report is not None else None if out is None else Path(out) / _PAGE,
        )

    def write(self, checked: Checked) -> None:
        """The page, the folder and the copy."""
        short = seen_from(*self.inputs)
        html = _page(checked, short) if self.page or self.folder else ""
        if self.folder is not None:
            _write_folder(self.folder, checked, "" if self.page else html, inputs=self.inputs, short=short)
        if self.page is not None:
            with self.page.file() as draft:
                write_atomic(draft, html)
        if self.copy is not None:
            _fix(checked, self.copy, inputs=self.inputs, short=short)


def inspect_source(source: Path | str, reading: Reading, *, workers: int | None = None) -> Checked:
    """Everything but what is written; see `check`."""
    check_workers(workers)
    found = find_to_check(Path(source), reading)
    facts = _measured(found, workers or os.cpu_count() or 1)
    inspection = inspect(
        found,
        facts,
        unpaired="note" if reading.drop_unpaired else "error",
        torn="warning" if reading.keep_split else "error",
    )
    return Checked(Path(source), found, inspection, fingerprint(found, facts, copies=inspection.copies), None)


def find_to_check(source: Path, reading: Reading) -> DiscoveredDataset:
    """The cases of a source; what has no partner is left out, and told among the findings."""
    changes = {**reading.changes(), "data.source.drop_unpaired": True}
    return find_with_problems(source, load_recipe("segment", changes=changes))


def _measured(found: DiscoveredDataset, workers: int) -> list[CaseFacts]:
    facts = []
    with bar("checking", total=len(found.cases)) as progress:
        for fact in measure_cases(found.cases, workers=min(workers, max(1, len(found.cases) // 50))):
            facts.append(fact)
            progress.update(len(facts), note=fact.id[:30])
    return facts


def _page(checked: Checked, short: Short) -> str:
    from sfumato.reporting.page import render
    from sfumato.reporting.sections.checks import check_section

    name = called(checked.source)
    return render([check_section(checked.found, checked.inspection, checked.fingerprint, name=name, short=short)])


def _write_folder(claim: Claim, checked: Checked, html: str, *, inputs: Sequence[Path], short: Short) -> None:
    """The fingerprint, all findings as a table, and the page unless it is written elsewhere."""
    with claim.folder() as staging:
        write_atomic(staging / "fingerprint.json", json.dumps(checked.fingerprint, indent=1))
        rows = [
            (finding.severity, finding.code, short(finding.text), short(name))
            for finding in checked.findings
            for name in finding.files or ("",)
        ]
        write_table(staging / _TABLE, ["severity", "code", "finding", "file"], rows)
        if html:
            write_atomic(staging / _PAGE, html)
        write_provenance(staging, inputs=_by_role(inputs))


def _by_role(inputs: Sequence[Path]) -> dict[str, Path]:
    return dict(zip(("source", "masks"), inputs, strict=False))


def _fix(checked: Checked, claim: Claim, *, inputs: Sequence[Path], short: Short) -> None:
    from sfumato.data.inspection.fix import fix

    with claim.folder() as staging, bar("fixing", total=len(checked.found.cases)) as progress:
        for fixed in fix(checked.found, checked.inspection, staging, short=short):
            progress.update(fixed.done, note=fixed.name[:30])
        write_provenance(staging, inputs=_by_role(inputs), given_away=True)
