"""`sfumato check`: everything that is wrong with a source, at once, and what it is like."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from sfumato.atomic import write_atomic
from sfumato.commands.flags.numbers import Count
from sfumato.commands.flags.source import AS_FOUND, SourceFlags, find
from sfumato.commands.output.console import bar, console, say
from sfumato.commands.output.folder import check_output, output_folder
from sfumato.data.facts import CaseFacts
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import Inspection, inspect, measure
from sfumato.data.source import Found
from sfumato.errors import DataError, UsageError
from sfumato.escape import for_terminal, visible
from sfumato.recipe import load_recipe

NAMES = 5
"""Files named for each finding in the terminal; all of them are in the report and in the result."""

WIDTH = len("warning DATA-000  ")
"""Columns of the severity and the code."""

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def check(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
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
        out: Folder for check.html and fingerprint.json.
        fix_into: Folder for a corrected copy and the list of its changes; the source is never touched.
        workers: Processes that read; all cores by default.
        overwrite: Replace what is there.
        dry_run: Only say what would be read and written.
    """
    inputs = [path for path in (source, flags.masks) if path]
    for folder in (out, fix_into):
        if folder is not None:
            check_output(folder, overwrite=overwrite, inputs=inputs)
    if report is not None and report.exists() and not overwrite:
        raise UsageError(f"{report} exists already", remedy="give another --report, or --overwrite")
    settings = [*flags.settings(), "data.source.drop_unpaired=true"]
    found = find(source, load_recipe("segment", settings=settings))
    if dry_run:
        written = ", ".join(str(path) for path in (report, out, fix_into) if path) or "nothing"
        say(f"would read {len(found.cases)} cases and write {written}")
        return {"source": str(source), "cases": len(found.cases)}
    facts = _measured(found, workers or os.cpu_count() or 1)
    inspection = inspect(found, facts, unpaired="note" if flags.drop_unpaired else "error")
    numbers = fingerprint(found, facts, copies=inspection.copies)
    _tell(source, found, inspection)
    page = _write(source, found, inspection, numbers, report=report, out=out, overwrite=overwrite)
    if fix_into is not None:
        _fix(found, inspection, fix_into, overwrite=overwrite, inputs=inputs)
    result = _result(source, found, inspection, numbers, page)
    if fix_into is None:
        _refuse(source, found, inspection, page, result)
    return result


def _measured(found: Found, workers: int) -> list[CaseFacts]:
    facts = []
    with bar("checking", total=len(found.cases)) as progress:
        for fact in measure(found.cases, workers=min(workers, max(1, len(found.cases) // 50))):
            facts.append(fact)
            progress.update(len(facts), note=fact.id[:30])
    return facts


def _tell(source: Path, found: Found, inspection: Inspection) -> None:
    say(f"{source}: {len(found.cases)} cases ({found.form})")
    for finding in inspection.findings:
        head = f"{finding.severity} {finding.code}".strip().ljust(WIDTH)
        lines = _lines(finding, below=f"{source.absolute()}{os.sep}")
        console.print(Text.assemble((head, STYLES[finding.severity]), ("\n" + " " * WIDTH).join(lines)))


def _lines(finding: Finding, *, below: str) -> list[str]:
    """What was found, a few names (short where they lie below a folder), what to do."""
    lines = [line.replace(below, "") for line in for_terminal(finding.text).split("\n")]
    if finding.severity != "note":
        lines += [f"  {file.removeprefix(below)}" for file in finding.files[:NAMES]]
        if len(finding.files) > NAMES:
            lines.append(f"  ... and {len(finding.files) - NAMES} more")
    if finding.fix:
        lines.append(f"fix: {finding.fix}")
    return [visible(line) for line in lines]


def _write(
    source: Path,
    found: Found,
    inspection: Inspection,
    numbers: dict[str, Any],
    *,
    report: Path | None,
    out: Path | None,
    overwrite: bool,
) -> Path | None:
    """Write the page and the fingerprint; where the page is."""
    if report is None and out is None:
        return None
    from sfumato.report.page import render
    from sfumato.report.sections.checks import check_section

    page = render([check_section(found, inspection, numbers, name=source.name)])
    if out is not None:
        with output_folder(out, overwrite=overwrite) as staging:
            write_atomic(staging / "fingerprint.json", json.dumps(numbers, indent=1))
            if report is None:
                write_atomic(staging / "check.html", page)
    place = report if report is not None else out and out / "check.html"
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(report, page)
    say(f"report: {place}")
    return place


def _fix(found: Found, inspection: Inspection, folder: Path, *, overwrite: bool, inputs: list[Path]) -> None:
    from sfumato.data.inspection.fix import fix

    with (
        output_folder(folder, overwrite=overwrite, inputs=inputs) as staging,
        bar("fixing", total=len(found.cases)) as progress,
    ):
        for fixed in fix(found, inspection, staging):
            progress.update(fixed.done, note=fixed.name[:30])
    say(f"a corrected copy is in {folder}; what was changed is in {folder / 'changes.csv'}")


def _result(
    source: Path, found: Found, inspection: Inspection, numbers: dict[str, Any], page: Path | None
) -> dict[str, Any]:
    return {
        "source": str(source),
        "form": found.form,
        "kind": found.kind,
        "cases": len(found.cases),
        "findings": [vars(finding) | {"files": list(finding.files)} for finding in inspection.findings],
        "fingerprint": numbers,
        "report": None if page is None else str(page),
    }


def _refuse(source: Path, found: Found, inspection: Inspection, page: Path | None, result: dict[str, Any]) -> None:
    """Raise when there are errors; the result travels with the error."""
    errors, warnings = len(inspection.of("error")), len(inspection.of("warning"))
    if not errors:
        return
    refusal = DataError(
        f"{_of(errors, 'error')}, {_of(warnings, 'warning')} in {source}" + (f"; see {page}" if page else ""),
        expected="no errors",
        remedy="mend what is named above"
        + ("" if found.form == "volumes" else ", or write a corrected copy: --fix-into DIR"),
        code="DATA-070",
    )
    refusal.result = result
    raise refusal


def _of(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
