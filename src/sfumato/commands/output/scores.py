"""The tables of `sfumato evaluate masks` on the console: every mean with its interval."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sfumato.metrics.table import GROUPS, METRIC_TABLE
from sfumato.reporting.meaning import heading, model_heading, titled
from sfumato.reporting.reading import DASH
from sfumato.reporting.sections.beside_readers import marks_table, presence_table
from sfumato.wording import counted

_Told = Mapping[str, Any]
"""A part of the summary, see `sfumato.evaluation.masks.summary`."""


class _Table(NamedTuple):
    """A table as `sfumato.commands.output.layout.show_table` takes it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str] | None]
    keys: int = 1


def tables(summary: _Told) -> Iterator[_Table]:
    """All models, classes, readers, groups and the review, as far as there are any."""
    yield _models(summary)
    yield _classes(summary)
    if summary["readers_own"]:
        yield _readers(summary)
        for table in filter(None, (marks_table(summary), presence_table(summary))):
            yield _Table(table.title, table.columns, table.rows, keys=2)
    if summary["cases"] > 1 and any(_reviewed(summary)):
        yield _review(summary)
    for column, groups in summary["groups"].items():
        yield _groups(column, groups, summary)


def _models(summary: _Told) -> _Table:
    """A row for each number; the models side by side, then the first one minus each of the others."""
    first, *others = summary["arms"]
    rows: list[list[str] | None] = []
    for names in GROUPS.values():
        of_group = [_row(summary, name) for name in names if any(of.get(name) for of in summary["arms"].values())]
        rows += [None, *of_group] if rows and of_group else of_group
    models = [first, *others] if others else ["mean"]
    if summary["readers_own"]:
        models = [model_heading(arm, summary) for arm in summary["arms"]]
    title = f"{counted(summary['cases'], 'case')}, mean [95 % interval]"
    return _Table(title, ["number", *models, *(f"{first} minus {other}" for other in others)], rows)


def _row(summary: _Told, name: str) -> list[str]:
    """A number of all models; of how many cases it is, where not of all."""
    _, *others = summary["arms"]
    means = [_mean(of.get(name), summary["cases"]) for of in summary["arms"].values()]
    gaps = (summary["differences"].get(other, {}).get(name) for other in others)
    return [titled(name, summary), *means, *(_shown(gap, sign="+") for gap in gaps)]


def _mean(interval: _Told | None, cases: int) -> str:
    few = interval is not None and interval["cases"] != cases
    return _shown(interval) + (f" ({counted(interval['cases'], 'case')})" if interval and few else "")


def _classes(summary: _Told) -> _Table:
    """Whether each class was found at all, and what empty masks did."""
    rows = []
    for arm, of_arm in summary["arms"].items():
        for label, of in of_arm["per_class"].items():
            there, absent = of["with_reference"], of["readings"] - of["with_reference"]
            found = _of(there - of["missed"], there, of["presence_sensitivity"])
            silent = _of(of["both_empty"], absent, of["presence_specificity"])
            rows.append([label, arm, _number(of["dice"]), _number(of["dice_in_reference"]), found, silent])
    head = ["class", "model", heading("dice"), "Dice where it is", "found where it is", "silent where it is not"]
    return _Table("Classes, found or not in all reference masks", head, rows, keys=2)


def _of(count: int, total: int, share: _Told | None) -> str:
    """How many of how many, with the interval of the share."""
    if share is None:
        return DASH
    return f"{count} of {total} [{share['low']:.2f}, {share['high']:.2f}]"


def _readers(summary: _Told) -> _Table:
    own = summary["readers_own"]
    rows = [[f"reader {number}", _shown(of)] for number, of in enumerate(own["each_dice"], start=1)]
    title = f"Readers among themselves, {counted(own['cases'], 'case')}"
    return _Table(title, ["a reader against the others", "Dice"], [*rows, ["all", _shown(own["dice"])]])


def _reviewed(summary: _Told) -> Iterator[tuple[str, _Told]]:
    """The models whose cases have an order of review, and some error to find."""
    for arm, of in summary["arms"].items():
        if of["review"] and None not in of["review"]["found"].values():
            yield arm, of["review"]


def _review(summary: _Told) -> _Table:
    """How much of the error a reader finds in the order of review."""
    rows, shares = [], list[str]()
    for arm, review in _reviewed(summary):
        shares = list(review["found"])
        found = (_percent(review["found"][share]) for share in shares)
        rows.append([arm, *found, _number(review["aurc"]), _number(review["spearman"])])
        best = (_percent(review["found_best"][share]) for share in shares)
        rows.append([f"{arm}: best order", *best, _number(review["aurc_oracle"]), "1.000"])
        for other, order in review.get("other_orders", {}).items():
            theirs = (_percent(order["found"][share]) for share in shares)
            rows.append([f"{arm}: order of {other}", *theirs, _number(order["aurc"]), _number(order["spearman"])])
        chance = (_percent(review["found_random"][share]) for share in shares)
        rows.append([f"{arm}: random order", *chance, _number(review["aurc_random"]), "0.000"])
    head = ["order of review", *(f"first {float(share):.0%}" for share in shares), *map(heading, ("aurc", "spearman"))]
    return _Table("Share of the error that review finds", head, rows)


def _groups(column: str, groups: _Told, summary: _Told) -> _Table:
    arms = list(summary["arms"])
    names = [
        name
        for name, metric in METRIC_TABLE.items()
        if metric.by_group and any(name in of["arms"][arms[0]] for of in groups.values())
    ]
    rows = [
        [value, arm, str(of["cases"]), *(_shown(of["arms"][arm][name]) for name in names)]
        for value, of in groups.items()
        for arm in arms
    ]
    return _Table(f"By {column}", [column, "model", "cases", *(titled(name, summary) for name in names)], rows, keys=2)


def _shown(interval: _Told | None, *, sign: str = "") -> str:
    """A mean with its interval: three decimals, fewer for large numbers."""
    if interval is None:
        return DASH
    digits = 3 if abs(interval["mean"]) < 10 else 1
    mean = f"{interval['mean']:{sign}z.{digits}f}"
    if interval["low"] is None:
        return mean
    return f"{mean} [{interval['low']:{sign}z.{digits}f}, {interval['high']:{sign}z.{digits}f}]"


def _number(value: float | None) -> str:
    return DASH if value is None or math.isnan(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.0%}"
