"""`sfumato check`: everything that is wrong with a source, at once, and what it is like."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from sfumato.commands.flags.numbers import Count
from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.output.console import console
from sfumato.data.formats.joined import mask_words as told_mask
from sfumato.data.inspection.finding import Finding
from sfumato.data.units import counted_cases
from sfumato.errors import DataError
from sfumato.escape import for_terminal, visible
from sfumato.progress import say
from sfumato.shortening import shortened
from sfumato.verbs.check import Checked, Outputs, find_to_check, inspect_source
from sfumato.wording import counted

_NAMES = 5
"""Files named for each finding in the terminal; all of them are in the report and in the result."""

_WIDTH = len("warning DATA-000  ")
"""Columns of the severity and the code."""

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
    outputs = Outputs.claim(source, flags, report=report, out=out, fix_into=fix_into, overwrite=overwrite)
    if dry_run:
        return _rehearse(source, flags, report, out, fix_into)
    checked = replace(inspect_source(source, flags, workers=workers), report=outputs.place)
    _tell(checked)  # first: what is found is told also where it cannot be written
    outputs.write(checked)
    if checked.report is not None:
        say(f"report: {checked.report}")
    if fix_into is not None:
        say(f"a corrected copy is in {fix_into}; what was changed is in changes.csv there")
    else:
        _refuse(checked)
    return checked.summary


def _rehearse(source: Path, flags: ReadingFlags, *outputs: Path | None) -> dict[str, Any]:
    """What would be read and written."""
    found = find_to_check(source, flags)
    for note in found.notes:
        say(f"note: {note}")
    written = ", ".join(str(path) for path in outputs if path) or "nothing"
    say(f"would read {counted_cases(found.cases)} and write {written}")
    return {"source": str(source), "cases": len(found.cases)}


def _tell(checked: Checked) -> None:
    source = checked.source
    say(f"{source}: {counted_cases(checked.found.cases)} ({checked.found.form})")
    for finding in checked.findings:
        head = f"{finding.severity} {finding.code}".strip().ljust(_WIDTH)
        lines = _lines(finding, below=f"{source.absolute()}{os.sep}")
        console.print(Text.assemble((head, STYLES[finding.severity]), ("\n" + " " * _WIDTH).join(lines)))


def _lines(finding: Finding, *, below: str) -> list[str]:
    """What was found, a few names (short where they lie below a folder), what to do."""
    inside = re.compile(rf"(?<!--labels )(?<!--labels '){re.escape(below)}")  # a flag is typed as it stands
    lines = [inside.sub("", line) for line in shortened(for_terminal(finding.text)).split("\n")]
    if finding.severity != "note":
        lines += [f"  {told_mask(file).replace(below, '')}" for file in finding.files[:_NAMES]]
        if len(finding.files) > _NAMES:
            lines.append(f"  ... and {len(finding.files) - _NAMES} more")
    if finding.fix:
        lines += for_terminal(f"fix: {finding.fix}").split("\n")
    return [visible(line) for line in lines]


def _refuse(checked: Checked) -> None:
    """Raise when there are errors; the result travels with the error."""
    from sfumato.data.inspection.fix import can_fix

    page, errors, warnings = checked.report, len(checked.errors), len(checked.inspection.of("warning"))
    if not errors:
        return
    refusal = DataError(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')} in {checked.source}"
        + (f"; see {page}" if page else ""),
        expected="no errors",
        remedy="mend what is named above"
        + (", or write a corrected copy: --fix-into DIR" if can_fix(checked.found, checked.inspection) else ""),
        code="DATA-070",
    )
    refusal.result = checked.summary
    if page is None and any(len(finding.files) > _NAMES for finding in checked.findings):
        refusal.details = "\n".join(map(_in_full, checked.findings))
    raise refusal


def _in_full(finding: Finding) -> str:
    """A finding with all of its files, an indented line each."""
    text = f"  {finding.severity} {finding.code}: {finding.text}"
    return "\n".join([text, *(f"    {visible(file)}" for file in finding.files)])
