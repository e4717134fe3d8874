"""One self-contained HTML page about any folders that sfumato wrote.

A folder is recognised by its files; each kind has its reader, which turns it into a `Section` of plain blocks, and the
template draws them. Pictures are inside the page, styles are inline, there is no script: the file can be mailed,
archived and opened without a network. Every name in it was written by someone else and is escaped.
"""

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sfumato.atomic import write_atomic
from sfumato.errors import UsageError
from sfumato.report.content import Section, Table
from sfumato.report.datasets import dataset_section
from sfumato.report.predictions import predictions_section
from sfumato.report.runs import run_section
from sfumato.report.samples import samples_section
from sfumato.report.scores import scores_section


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
    readers = [_reader(folder) for folder in folders]
    page = render([reader(folder.resolve()) for reader, folder in zip(readers, folders, strict=True)])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, page)
    return out


def render(sections: Sequence[Section]) -> str:
    """The page of these sections as HTML."""
    overview = Table(
        title="What is on this page",
        columns=("folder", "what it is", "in short"),
        rows=tuple((section.name, section.title, section.summary) for section in sections),
    )
    loader = PackageLoader("sfumato.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.jinja2").render(
        sections=sections,
        headline=[overview, *(block for section in sections for block in section.headline)],
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        version=version("sfumato"),
    )


def _reader(folder: Path) -> Callable[[Path], Section]:
    """What kind of folder it is, by the files that only this kind has."""
    header = _header(folder / "manifest.csv")
    if (folder / "log.jsonl").is_file() or (folder / "recipe.yaml").is_file():
        return run_section
    if (folder / "scores.csv").is_file():
        return scores_section
    if {"id", "review_rank"} <= header:
        return predictions_section
    if {"file", "seed"} <= header:
        return samples_section
    if {"id", "image"} <= header:
        return dataset_section
    raise UsageError(
        f"{folder} is {'no folder that sfumato wrote' if folder.is_dir() else 'no folder'}",
        expected="a run (log.jsonl), predictions or samples or a data set (manifest.csv), or scores (scores.csv)",
    )


def _header(file: Path) -> set[str]:
    """The columns of a table; none without a table."""
    if not file.is_file():
        return set()
    with file.open(newline="", encoding="utf-8-sig") as lines:
        return set(next(csv.reader(lines), []))
