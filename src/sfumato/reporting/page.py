"""One self-contained HTML page about any folders that sfumato wrote.

A folder is recognised by its files; each kind has its reader, which turns it into a `Section` of plain blocks, and the
template draws them: what was asked, the answer in words and numbers, its limits, then each folder. Pictures are inside
the page, styles are inline, there is no script: the file can be mailed, archived and opened without a network. Every
name in it was written by someone else and is escaped, control characters and turns of direction in it are spelt.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sfumato.atomic import write_atomic
from sfumato.errors import UsageError
from sfumato.escape import for_html
from sfumato.plain import in_form, ours
from sfumato.reporting.asked import asked_of
from sfumato.reporting.content import Section
from sfumato.reporting.reading import read_optional_json
from sfumato.reporting.sections.audit import audit_section
from sfumato.reporting.sections.datasets import dataset_section
from sfumato.reporting.sections.derived import ERROR, WEIGHT, interpolation_section, reconstruction_section
from sfumato.reporting.sections.images import images_section
from sfumato.reporting.sections.pairs import pairs_section
from sfumato.reporting.sections.predictions import predictions_section
from sfumato.reporting.sections.proof import proof_section
from sfumato.reporting.sections.runs import run_section
from sfumato.reporting.sections.samples import samples_section
from sfumato.reporting.sections.scores import scores_section
from sfumato.reporting.sections.studies import TABLE as TRIALS
from sfumato.reporting.sections.studies import study_section
from sfumato.tables import read_columns

ALWAYS = "For research. Not a medical device: no decision about a patient may rest on these numbers or pictures."
"""The limit of every page."""

CHECKED = "check.html"
"""The page that `check` has written already."""

_KINDS: dict[object, Callable[[Path], Section]] = {
    "masks": scores_section,
    "images": images_section,
    "proof": proof_section,
    "audit": audit_section,
    "pairs": pairs_section,
}
"""Who reads a folder that says in `summary.json` of which kind it is."""


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write one HTML page about the folders, in their order.

    Args:
        folders: runs, predictions, samples, scores, data sets; any mix.
        out: the page to write; replaced at once when it is complete, so an older page survives a failure.

    Returns:
        `out`.

    Raises:
        UsageError: there is no folder, one of them is none that sfumato wrote, or `out` is a folder.
        DataError: a table in a folder is damaged.
        ModelError: a log is damaged.
    """
    if not folders:
        raise UsageError("there is nothing to report", expected="at least one folder that sfumato wrote")
    if out.is_dir():
        raise UsageError(f"{out} is a folder", expected="the name of a page", remedy=f"--out {out / 'report.html'}")
    for folder in folders:
        _reader(folder)  # a stranger among them is told before anything is drawn
    page = render([section_of(folder) for folder in folders])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, page)
    return out


def section_of(folder: Path) -> Section:
    """What there is to say about a folder.

    Raises:
        UsageError: sfumato did not write it.
        DataError: a table in it is damaged.
        ModelError: its log is damaged.
    """
    with in_form(ours(folder)):
        return _told(_reader(folder)(folder.resolve()), folder)


def render(sections: Sequence[Section]) -> str:
    """The page of these sections as HTML."""
    loader = PackageLoader("sfumato.reporting")
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=for_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja2").render(
        sections=sections,
        always=ALWAYS,
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        version=version("sfumato"),
    )


def _told(section: Section, folder: Path) -> Section:
    """A section with what its folder says of itself where its reader leaves that open: what was asked, the answer."""
    said = _summary(folder).get("reading", ())
    sentences = (said,) if isinstance(said, str) else tuple(map(str, said))
    return replace(
        section,
        asked=section.asked or asked_of(folder),
        reading=tuple(map(str, section.reading)) or sentences,
        limits=tuple(map(str, section.limits)),
    )


def _reader(folder: Path) -> Callable[[Path], Section]:
    """What kind of folder it is, by what it says or by the files that only this kind has."""
    header = _header(folder / "manifest.csv")
    if (folder / "log.jsonl").is_file() or (folder / "recipe.yaml").is_file():
        return run_section
    kind = _summary(folder).get("kind")
    if isinstance(kind, str) and kind in _KINDS:
        return _KINDS[kind]
    if (folder / "scores.csv").is_file():
        return scores_section
    if (folder / TRIALS).is_file() and (folder / "study.db").is_file():
        return study_section
    if {"id", "review_rank"} <= header:
        return predictions_section
    if {"file", "seed"} <= header:
        return samples_section
    if {"id", "image", ERROR} <= header:
        return reconstruction_section
    if {"id", "image", WEIGHT} <= header and (folder / "strip.png").is_file():
        return interpolation_section
    if {"id", "image"} <= header:
        return dataset_section
    raise UsageError(
        f"{folder} is {'no folder that sfumato wrote' if folder.is_dir() else 'no folder'}",
        expected="a run (log.jsonl), predictions or samples or a data set (manifest.csv), or scores (scores.csv)",
        remedy=f"what check found is in {folder / CHECKED}" if (folder / CHECKED).is_file() else "",
    )


def _summary(folder: Path) -> dict[str, Any]:
    """What the folder says of itself in short; nothing without a summary."""
    summary = read_optional_json(folder / "summary.json")
    return summary if isinstance(summary, dict) else {}


def _header(file: Path) -> set[str]:
    """The columns of a table; none without a table."""
    return set(read_columns(file)) if file.is_file() else set()
