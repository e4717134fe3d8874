"""`sfumato check`: everything that is wrong with a source, at once, and what it is like."""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from sfumato.atomic import write_atomic
from sfumato.commands.flags.numbers import Count
from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.output.console import console
from sfumato.data.facts import CaseFacts
from sfumato.data.formats.joined import told as told_mask
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import Inspection, inspect, measure
from sfumato.data.source import Found
from sfumato.data.units import told
from sfumato.errors import DataError
from sfumato.escape import for_terminal, visible
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.experiment.source import find_with_problems
from sfumato.local import seen_from
from sfumato.progress import bar, say
from sfumato.provenance import called, write_provenance
from sfumato.recipe import load_recipe
from sfumato.shortening import shortened
from sfumato.tables import write_table
from sfumato.wording import counted

NAMES = 5
"""Files named for each finding in the terminal; all of them are in the report and in the result."""

PAGE, TABLE = "check.html", "findings.csv"
"""Files of `--out`."""

WIDTH = len("warning DATA-000  ")
"""Columns of the severity and the code."""

Short = Callable[[str], str]
"""Takes the paths of the source out of what may be passed on."""

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def check(
    source: Path,
    /,
    *,
    flags: ReadingFlags = AS_READ,
    report: Path | None = None,
    out: Path | None = None,
    fix_into: Path | None = None,
    workers: Count | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> dict[str, Any]:
    """Read every file once; list what is wrong, what is odd and what to do. Exit code 3 when errors remain.

    Args:
        source: A folder, table, archive or volume; whatever prepare understands.
        flags: Where the files leave a choice.
        report: The HTML page to write, with charts, examples and pictures of each finding.
        out: Folder for check.html, findings.csv (every finding with every file) and fingerprint.json.
        fix_into: Folder for a corrected copy and the list of its changes; the source is never touched.
        workers: Processes that read; all cores by default.
        overwrite: Replace what is there.
        dry_run: Only say what would be read and written.
    """
    inputs = [path for path in (source, flags.masks_folder) if path]
    page = None if report is None else claim_output_file(report, overwrite=overwrite)
    folder = None if out is None else claim_output(out, overwrite=overwrite, inputs=inputs)
    copy = None if fix_into is None else claim_output(fix_into, overwrite=overwrite, inputs=inputs)
    settings = [*flags.settings(), "data.source.drop_unpaired=true"]
    found = find_with_problems(source, load_recipe("segment", settings=settings))
    if dry_run:
        for note in found.notes:
            say(f"note: {note}")
        written = ", ".join(str(path) for path in (report, out, fix_into) if path) or "nothing"
        say(f"would read {told(found.cases)} and write {written}")
        return {"source": str(source), "cases": len(found.cases)}
    facts = _measured(found, workers or os.cpu_count() or 1)
    inspection = inspect(
        found,
        facts,
        unpaired="note" if flags.drop_unpaired else "error",
        torn="warning" if flags.keep_split else "error",
    )
    numbers = fingerprint(found, facts, copies=inspection.copies)
    _tell(source, found, inspection)
    short = seen_from(*inputs)
    html = _page(source, found, inspection, numbers, short) if page or folder else ""
    if folder is not None:
        _write_folder(folder, inspection, numbers, "" if page else html, inputs=inputs, short=short)
    if page is not None:
        with page.file() as draft:
            write_atomic(draft, html)
    place = report or (out and out / PAGE)
    if place is not None:
        say(f"report: {place}")
    if copy is not None:
        _fix(found, inspection, copy, inputs=inputs, short=short)
        say(f"a corrected copy is in {fix_into}; what was changed is in changes.csv there")
    result = _result(source, found, inspection, numbers, place)
    if copy is None:
        _refuse(source, found, inspection, result)
    return result


def _measured(found: Found, workers: int) -> list[CaseFacts]:
    facts = []
    with bar("checking", total=len(found.cases)) as progress:
        for fact in measure(found.cases, workers=min(workers, max(1, len(found.cases) // 50))):
            facts.append(fact)
            progress.update(len(facts), note=fact.id[:30])
    return facts


def _tell(source: Path, found: Found, inspection: Inspection) -> None:
    say(f"{source}: {told(found.cases)} ({found.form})")
    for finding in inspection.findings:
        head = f"{finding.severity} {finding.code}".strip().ljust(WIDTH)
        lines = _lines(finding, below=f"{source.absolute()}{os.sep}")
        console.print(Text.assemble((head, STYLES[finding.severity]), ("\n" + " " * WIDTH).join(lines)))


def _lines(finding: Finding, *, below: str) -> list[str]:
    """What was found, a few names (short where they lie below a folder), what to do."""
    inside = re.compile(rf"(?<!--labels )(?<!--labels '){re.escape(below)}")  # a flag is typed as it stands
    lines = [inside.sub("", line) for line in shortened(for_terminal(finding.text)).split("\n")]
    if finding.severity != "note":
        lines += [f"  {told_mask(file).replace(below, '')}" for file in finding.files[:NAMES]]
        if len(finding.files) > NAMES:
            lines.append(f"  ... and {len(finding.files) - NAMES} more")
    if finding.fix:
        lines += for_terminal(f"fix: {finding.fix}").split("\n")
    return [visible(line) for line in lines]


def _page(source: Path, found: Found, inspection: Inspection, numbers: dict[str, Any], short: Short) -> str:
    from sfumato.report.page import render
    from sfumato.report.sections.checks import check_section

    return render([check_section(found, inspection, numbers, name=called(source), short=short)])


def _write_folder(
    claim: Claim, inspection: Inspection, numbers: dict[str, Any], html: str, *, inputs: Sequence[Path], short: Short
) -> None:
    """The fingerprint, all findings as a table, and the page unless it is written elsewhere."""
    with claim.folder() as staging:
        write_atomic(staging / "fingerprint.json", json.dumps(numbers, indent=1))
        rows = [
            (finding.severity, finding.code, short(finding.text), short(name))
            for finding in inspection.findings
            for name in finding.files or ("",)
        ]
        write_table(staging / TABLE, ["severity", "code", "finding", "file"], rows)
        if html:
            write_atomic(staging / PAGE, html)
        write_provenance(staging, inputs=_by_role(inputs))


def _by_role(inputs: Sequence[Path]) -> dict[str, Path]:
    return dict(zip(("source", "masks"), inputs, strict=False))


def _fix(found: Found, inspection: Inspection, claim: Claim, *, inputs: Sequence[Path], short: Short) -> None:
    from sfumato.data.inspection.fix import fix

    with claim.folder() as staging, bar("fixing", total=len(found.cases)) as progress:
        for fixed in fix(found, inspection, staging, short=short):
            progress.update(fixed.done, note=fixed.name[:30])
        write_provenance(staging, inputs=_by_role(inputs), given_away=True)


def _result(
    source: Path, found: Found, inspection: Inspection, numbers: dict[str, Any], page: Path | None
) -> dict[str, Any]:
    return {
        "source": str(source),
        "form": found.form,
        "has_masks": found.has_masks,
        "cases": len(found.cases),
        "findings": [vars(finding) | {"files": list(finding.files)} for finding in inspection.findings],
        "fingerprint": numbers,
        "report": None if page is None else str(page),
    }


def _refuse(source: Path, found: Found, inspection: Inspection, result: dict[str, Any]) -> None:
    """Raise when there are errors; the result travels with the error."""
    from sfumato.data.inspection.fix import can_fix

    page = result["report"]
    errors, warnings = len(inspection.of("error")), len(inspection.of("warning"))
    if not errors:
        return
    refusal = DataError(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')} in {source}" + (f"; see {page}" if page else ""),
        expected="no errors",
        remedy="mend what is named above"
        + (", or write a corrected copy: --fix-into DIR" if can_fix(found, inspection) else ""),
        code="DATA-070",
    )
    refusal.result = result
    if page is None and any(len(finding.files) > NAMES for finding in inspection.findings):
        refusal.details = "\n".join(map(_in_full, inspection.findings))
    raise refusal


def _in_full(finding: Finding) -> str:
    """A finding with all of its files, an indented line each."""
    text = f"  {finding.severity} {finding.code}: {finding.text}"
    return "\n".join([text, *(f"    {visible(file)}" for file in finding.files)])
