"""The section of scores: the answer in words, the models side by side, classes, groups, and the cases behind them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.reporting.content import Block, Section, Table
from sfumato.reporting.meaning import heading, model_heading, titled
from sfumato.reporting.reading import DASH, listings, read_optional_json, table
from sfumato.reporting.sections.beside_readers import marks_table, presence_table
from sfumato.reporting.sections.cases import TRIPLE, extreme_cases
from sfumato.reporting.sections.comparison import class_tables, comparison_tables, split_arms
from sfumato.reporting.sections.uncertainty import reliability_blocks, review
from sfumato.tables import read_rows
from sfumato.wording import counted

_Told = Mapping[str, Any]
"""A part of `summary.json`."""


def scores_section(folder: Path) -> Section:
    """A folder written by `evaluate masks`."""
    rows = read_rows(folder / "scores.csv")
    summary = read_optional_json(folder / "summary.json") or {}
    arms = split_arms(rows)
    count = len({row["id"] for row in rows})
    headline, more = comparison_tables(arms, summary, source=folder.name)
    return Section(
        title="Scores",
        name=folder.name,
        summary=f"{counted(count, 'case')} scored: " + " and ".join(name or "one model" for name in arms),
        reading=tuple(summary.get("reading", ())),
        limits=(*summary.get("limits", ()), *summary.get("notes", ())),
        headline=headline,
        blocks=(
            *_classes(summary),
            *class_tables(arms, summary),
            *_readers(summary),
            *filter(None, (marks_table(summary), presence_table(summary))),
            *(_group(column, groups, summary) for column, groups in summary.get("groups", {}).items()),
            *review(arms, summary),
            *extreme_cases(folder, next(iter(arms.values()), []), readers=summary.get("readers", 1)),
            *reliability_blocks(summary),
            *more,
            table("All scores", rows, file="scores.csv", without={*TRIPLE, "overlay"}),
            *listings(folder, "provenance.json"),
        ),
    )


def _classes(summary: _Told) -> Iterator[Block]:
    """Whether each class was found at all, and what empty masks did."""
    rows = list[tuple[str, ...]]()
    for arm, about in summary.get("arms", {}).items():
        for label, of_class in about.get("per_class", {}).items():
            if "presence_sensitivity" in of_class:
                cells = _found(of_class)
                rows.append((arm, label, *cells))
    columns = (
        "model",
        "class",
        "without it",
        "silent",
        "false alarms",
        "with it",
        "found",
        "missed",
        "Dice where it is",
    )
    caption = (
        "Reference masks (each reader's) without and with the class, and in how many of them nothing or something was "
        "predicted. In brackets the share with its 95 % interval (Wilson)."
    )
    if rows:
        yield Table(title="Found at all?", columns=columns, rows=tuple(rows), caption=caption)


def _found(of_class: _Told) -> tuple[str, ...]:
    """Counts of a class where the reference has it not, and where it has."""
    there = of_class["with_reference"]
    absent = of_class["readings"] - there
    return (
        str(absent),
        f"{of_class['both_empty']} {_range(of_class['presence_specificity'])}",
        str(of_class["false_alarms"]),
        str(there),
        f"{there - of_class['missed']} {_range(of_class['presence_sensitivity'])}",
        str(of_class["missed"]),
        _three(of_class["dice_in_reference"]),
    )


def _readers(summary: _Told) -> Iterator[Block]:
    """The readers' own agreement, which no model can be asked to exceed."""
    own = summary.get("readers_own")
    if not own:
        return
    rows = [(f"reader {number}", _told(dice), "", "") for number, dice in enumerate(own["each_dice"], start=1)]
    rows.append(("mean", _told(own["dice"]), _told(own["ged_v"]), _told(own["hm_iou"])))
    for arm, about in summary["arms"].items():
        dice, distance, matched = (_told(about.get(name)) for name in ("dice", "ged_v", "hm_iou"))
        rows.append((model_heading(arm, summary), dice, distance, matched))
    columns = ("against the (other) readers", "Dice", heading("ged_v"), heading("hm_iou"))
    caption = (
        f"{counted(own['cases'], 'case')}. A reader is one answer against the others; GED² and HM-IoU depend on the "
        "number of answers and are compared at equal numbers only."
    )
    yield Table(title="The readers among themselves", columns=columns, rows=tuple(rows), caption=caption)


def _group(column: str, groups: _Told, summary: _Told) -> Table:
    """The scores of each value of a column."""
    some = next(iter(groups.values()))["arms"]
    names = list(next(iter(some.values())))
    rows = list[tuple[str, ...]]()
    for value, group in groups.items():
        for arm, scores in group["arms"].items():
            means = [_told(scores[name]) for name in names]
            rows.append((value, str(group["cases"]), arm, *means))
    columns = (column, "cases", "model", *(titled(name, summary) for name in names))
    return Table(title=f"By {column}", columns=columns, rows=tuple(rows), caption="Mean and 95 % interval.")


def _told(interval: _Told | None) -> str:
    if interval is None:
        return DASH
    digits = 3 if abs(interval["mean"]) < 10 else 1
    mean = f"{interval['mean']:.{digits}f}"
    if interval["low"] is None:
        return mean
    return f"{mean} [{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]"


def _range(interval: _Told | None) -> str:
    if interval is None:
        return ""
    return f"({interval['mean']:.0%} [{interval['low']:.0%}, {interval['high']:.0%}])"


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
