"""The section of scores: the answer in words, the models side by side, classes, groups, and the cases behind them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.reporting.content import Block, Section, Table
from sfumato.reporting.meaning import heading, titled
from sfumato.reporting.reading import DASH, listings, read_optional_json, table
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
    rows = tuple(
        (arm, label, *_found(of))
        for arm, of_arm in summary.get("arms", {}).items()
        for label, of in of_arm.get("per_class", {}).items()
        if "presence_sensitivity" in of
    )
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
        yield Table(title="Found at all?", columns=columns, rows=rows, caption=caption)


def _found(of: _Told) -> tuple[str, ...]:
    """Counts of a class where the reference has it not, and where it has."""
    absent, there = of["readings"] - of["with_reference"], of["with_reference"]
    silent, found = _range(of["presence_specificity"]), _range(of["presence_sensitivity"])
    without = (str(absent), f"{of['both_empty']} {silent}", str(of["false_alarms"]))
    return (*without, str(there), f"{there - of['missed']} {found}", str(of["missed"]), _three(of["dice_in_reference"]))


def _readers(summary: _Told) -> Iterator[Block]:
    """The readers' own agreement, which no model can be asked to exceed."""
    if not (own := summary.get("readers_own")):
        return
    rows: list[tuple[str, ...]] = [
        (f"reader {number}", _told(of), "", "") for number, of in enumerate(own["each_dice"], start=1)
    ]
    rows.append(("mean", _told(own["dice"]), _told(own["ged_v"]), _told(own["hm_iou"])))
    for arm, of in summary["arms"].items():
        beside = (_told(of[name]) if name in of else DASH for name in ("dice", "ged_v", "hm_iou"))
        rows.append((f"{arm}, members: {of['members']}", *beside))
    columns = ("against the (other) readers", "Dice", f"{heading('ged_v')}", heading("hm_iou"))
    caption = (
        f"{counted(own['cases'], 'case')}. A reader is one answer against the others; GED² and HM-IoU depend on the "
        "number of answers and are compared at equal numbers only."
    )
    yield Table(title="The readers among themselves", columns=columns, rows=tuple(rows), caption=caption)


def _group(column: str, groups: _Told, summary: _Told) -> Table:
    """The scores of each value of a column."""
    some = next(iter(groups.values()))["arms"]
    names = list(next(iter(some.values())))
    rows = tuple(
        (value, str(of["cases"]), arm, *(_told(of["arms"][arm][name]) for name in names))
        for value, of in groups.items()
        for arm in of["arms"]
    )
    columns = (column, "cases", "model", *(titled(name, summary) for name in names))
    return Table(title=f"By {column}", columns=columns, rows=rows, caption="Mean and 95 % interval.")


def _told(interval: _Told | None) -> str:
    if interval is None:
        return DASH
    digits = 3 if abs(interval["mean"]) < 10 else 1
    bounds = "" if interval["low"] is None else f" [{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]"
    return f"{interval['mean']:.{digits}f}{bounds}"


def _range(interval: _Told | None) -> str:
    return "" if interval is None else f"({interval['mean']:.0%} [{interval['low']:.0%}, {interval['high']:.0%}])"


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
