"""The tables of `sfumato evaluate masks` on the console: at most 100 columns wide, every mean with its interval."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from sfumato.report.meaning import GROUPS, heading

Told = Mapping[str, Any]
"""A part of the summary, see `sfumato.evaluation.masks.summary`."""

DASH = "\u2013"


def tables(summary: Told) -> Iterator[Table]:
    """All models, classes, readers, groups and the review, as far as there are any."""
    yield _models(summary)
    yield _classes(summary)
    if summary["readers_own"]:
        yield _readers(summary)
    if any(arm["review"] for arm in summary["arms"].values()):
        yield _review(summary)
    for column, groups in summary["groups"].items():
        yield _groups(column, groups, list(summary["arms"]))


def _models(summary: Told) -> Table:
    """A row for each number and model, with the difference of the first model to it."""
    arms, alone = summary["arms"], len(summary["arms"]) == 1
    first = next(iter(arms))
    table = Table(title=f"{summary['cases']} cases, mean [95 % interval]", title_justify="left")
    for column in ("", *(() if alone else ("model",)), "mean", *(() if alone else (f"{first} minus it",))):
        table.add_column(column, overflow="fold")
    for names in GROUPS.values():
        for name in names:
            for row in _rows(summary, name):
                table.add_row(*row)
        table.add_section()
    return table


def _rows(summary: Told, name: str) -> Iterator[tuple[str, ...]]:
    having = {arm: of[name] for arm, of in summary["arms"].items() if of.get(name)}
    for place, (arm, interval) in enumerate(having.items()):
        title = f"{heading(name)}{_unit(name, summary)}" if place == 0 else ""
        counted = "" if interval["cases"] == summary["cases"] else f" ({interval['cases']} cases)"
        cells = [title, shown(interval) + counted]
        if len(summary["arms"]) > 1:
            gap = summary["differences"].get(arm, {}).get(name)
            cells = [title, arm, cells[1], shown(gap, sign="+") if gap else ""]
        yield tuple(cells)


def _unit(name: str, summary: Told) -> str:
    if name in ("hd95", "assd"):
        return f" ({summary['length']})"
    return f" at {summary['tolerance']:g} {summary['length']}" if name == "nsd" else ""


def _classes(summary: Told) -> Table:
    """Whether each class was found at all, and what empty masks did."""
    table = Table("class", "model", "Dice", "Dice where it is", "found where it is", "silent where it is not",
                  title="Classes, found or not in all reference masks", title_justify="left")  # fmt: skip
    for arm, of_arm in summary["arms"].items():
        for label, of in of_arm["per_class"].items():
            absent = of["readings"] - of["with_reference"]
            table.add_row(
                label, arm, _number(of["dice"]), _number(of["dice_in_reference"]),
                f"{of['with_reference'] - of['missed']}/{of['with_reference']} {_range(of['presence_sensitivity'])}",
                f"{of['both_empty']}/{absent} {_range(of['presence_specificity'])}",
            )  # fmt: skip
    return table


def _readers(summary: Told) -> Table:
    own = summary["readers_own"]
    table = Table("a reader against the others", "Dice", title=f"Readers, {own['cases']} cases", title_justify="left")
    for number, interval in enumerate(own["each_dice"], start=1):
        table.add_row(f"reader {number}", shown(interval))
    table.add_row("all", shown(own["dice"]))
    return table


def _review(summary: Told) -> Table:
    """How much of the error a reader finds in the order of review."""
    shares = next(list(of["review"]["found"]) for of in summary["arms"].values() if of["review"])
    columns = [f"first {float(share):.0%}" for share in shares]
    table = Table("error found by review", *columns, "AURC", "Spearman", title_justify="left")
    for arm, of in summary["arms"].items():
        if review := of["review"]:
            found = (_percent(review["found"][share]) for share in shares)
            table.add_row(arm, *found, _number(review["aurc"]), _number(review["spearman"]))
            best = (_percent(review["found_best"][share]) for share in shares)
            table.add_row("  best order", *best, _number(review["aurc_oracle"]), "1.000")
            chance = (_percent(review["found_random"][share]) for share in shares)
            table.add_row("  random order", *chance, _number(review["aurc_random"]), "0.000")
    return table


def _groups(column: str, groups: Told, arms: Sequence[str]) -> Table:
    names = [name for name in ("dice", "hd95", "nsd") if any(name in of["arms"][arms[0]] for of in groups.values())]
    table = Table(column, "cases", "model", *map(heading, names), title=f"By {column}", title_justify="left")
    for value, of in groups.items():
        for place, arm in enumerate(arms):
            cells = [shown(of["arms"][arm][name]) for name in names]
            table.add_row(value if place == 0 else "", str(of["cases"]) if place == 0 else "", arm, *cells)
    return table


def shown(interval: Told | None, *, sign: str = "") -> str:
    """A mean with its interval: three decimals, fewer for large numbers."""
    if interval is None:
        return DASH
    digits = 3 if abs(interval["mean"]) < 10 else 1
    mean = f"{interval['mean']:{sign}.{digits}f}"
    if interval["low"] is None:
        return mean
    return f"{mean} [{interval['low']:{sign}.{digits}f}, {interval['high']:{sign}.{digits}f}]"


def _range(interval: Told | None) -> str:
    return "" if interval is None else f"[{interval['low']:.2f}, {interval['high']:.2f}]"


def _number(value: float | None) -> str:
    return DASH if value is None or math.isnan(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.0%}"
